// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::event::Known;
use std::time::{Duration, UNIX_EPOCH};
use watch_queue::Messages;

/// A message of this type and subtype, tag, type-specific bits and payload.
fn message(kind: u32, subtype: u32, tag: u32, bits: u32, payload: &[u32]) -> Vec<u8> {
    let header = if cfg!(target_endian = "little") {
        kind | (subtype << 24)
    } else {
        (kind << 8) | subtype
    };
    let info = (8 + 4 * payload.len() as u32) | (tag << 8) | (bits << 16);
    let words = [&[header, info], payload].concat();
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}

fn output(style: Style) -> Output {
    let mut output = Output::new(style);
    (output.width, output.start) = (4, UNIX_EPOCH);
    output
}

const TEXT: Style = Style::Text {
    time: TimeStyle::None,
    colour: false,
};

fn printed_by(mut output: Output, watch: Option<&str>, message: &[u8], known: Known) -> String {
    let message = Messages::new(message).next().unwrap().unwrap();
    output.event(&Seen {
        time: UNIX_EPOCH + Duration::from_micros(1_500_000),
        watch,
        message,
        event: message.event(),
        known,
    });
    String::from_utf8(output.pending).unwrap()
}

/// Without the time, which is the same in all of them.
fn printed(json: bool, watch: Option<&str>, message: &[u8]) -> String {
    let style = if json { Style::Json } else { TEXT };
    let line = printed_by(output(style), watch, message, Known::default());
    if json {
        let begin = r#"{"time":"1970-01-01T00:00:01.500000Z","#;
        return format!("{{{}", line.strip_prefix(begin).unwrap());
    }
    line
}

#[test]
fn events_of_keys() {
    let linked = message(1, 2, 1, 0, &[1000, 2000]);
    assert_eq!(
        printed(false, Some("@s"), &linked),
        "@s    key   linked        2000 into 1000\n"
    );
    assert_eq!(
        printed(true, Some("@s"), &linked),
        r#"{"watch":"@s","type":"key","key":1000,"event":"linked","member":2000}"#.to_owned()
            + "\n"
    );
    let refused = message(1, 0, 1, 0, &[1000, -126_i32 as u32]);
    assert!(printed(true, Some("@s"), &refused).contains(r#""error":126"#));
    assert!(printed(false, Some("@s"), &refused).contains("Required key not available"));
}

/// A number of 64 bits, as part of a payload.
fn wide(number: u64) -> [u32; 2] {
    let bytes = number.to_ne_bytes();
    let half = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    [half(0), half(4)]
}

/// Text and zeroes, as part of a payload.
fn text(text: &str, size: usize) -> Vec<u32> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(size, 0);
    let words = bytes.chunks(4);
    words
        .map(|word| u32::from_ne_bytes(word.try_into().unwrap()))
        .collect()
}

/// Checks text and JSON, behind what both begin with.
fn expect(watch: &str, message: &[u8], text: &str, json: &str) {
    assert_eq!(
        printed(false, Some(watch), message),
        format!("{watch}  {text}\n")
    );
    assert_eq!(
        printed(true, Some(watch), message),
        format!("{{\"watch\":\"{watch}\",{json}}}\n")
    );
}

#[test]
fn events_of_mounts() {
    let mount = |subtype, parent| {
        let ids = [wide(1 << 40), wide(parent), wide(3)].concat();
        let state = [wide(0x0a), wide(1 << 18), wide(0), wide(0), [7, 1]].concat();
        message(2, subtype, 1, 0, &[ids, state].concat())
    };
    let json = |event, parent| {
        format!(
            r#""type":"mount","mount":1099511627776,"event":"{event}","parent":{parent},"namespace":3,"attributes":["nosuid","noexec"],"propagation":["private"],"peer_group":null,"master":null,"device":"7:1""#
        )
    };
    for (subtype, name, text) in [
        (0, "attached", "attached      1099511627776 on 2"),
        (1, "detached", "detached      1099511627776 from 2"),
        (2, "moved_from", "moved_from    1099511627776 from 2"),
        (3, "moved_to", "moved_to      1099511627776 to 2"),
        (4, "setattr", "setattr       1099511627776 on 2"),
        (5, "expired", "expired       1099511627776 on 2"),
    ] {
        let text = format!("mount  {text} (nosuid,noexec,private)");
        expect("mounts", &mount(subtype, 2), &text, &json(name, "2"));
    }
    expect(
        "mounts",
        &mount(4, 1 << 40),
        "mount  setattr       1099511627776 (nosuid,noexec,private)",
        &json("setattr", "null"),
    );
}

#[test]
fn events_of_file_systems() {
    let message = |subtype, info, rest: &[u32]| {
        let sb = [&wide(9)[..], &[7, 1], rest].concat();
        message(3, subtype, 1, info, &sb)
    };
    let json = |rest| format!(r#""type":"superblock","superblock":9,"device":"7:1",{rest}"#);
    expect(
        "fs=/x",
        &message(1, 0, &[]),
        "superblock  readonly      7:1",
        &json(r#""event":"readonly""#),
    );
    expect(
        "fs=/x",
        &message(2, 0, &[]),
        "superblock  readwrite     7:1",
        &json(r#""event":"readwrite""#),
    );
    expect(
        "fs=/x",
        &message(4, 0, &[]),
        "superblock  frozen        7:1",
        &json(r#""event":"frozen""#),
    );
    let error = [wide(12), wide(8192), wide(4096)].concat();
    expect(
        "fs=/x",
        &message(0, 5 << 4 | 3, &error),
        "superblock  error         7:1 direct write: Input/output error, inode 12, 4096 bytes at 8192",
        &json(r#""event":"error","error":5,"kind":"direct_write","inode":12,"range":{"pos":8192,"len":4096}"#),
    );
    expect(
        "fs=/x",
        &message(0, 117 << 4 | 5, &[0; 6]),
        "superblock  error         7:1 metadata: Structure needs cleaning",
        &json(r#""event":"error","error":117,"kind":"metadata","inode":null,"range":null"#),
    );
    expect(
        "fs=/x",
        &message(0, 19 << 4 | 6, &[0; 6]),
        "superblock  error         7:1 device gone: No such device",
        &json(r#""event":"error","error":19,"kind":"device_gone","inode":null,"range":null"#),
    );
    expect(
        "fs=/x",
        &message(3, 4, &[0, 1000]),
        "superblock  quota         7:1 user 1000: hard limit of blocks reached",
        &json(r#""event":"quota","warning":"block_hard_limit","owner":"user","id":1000"#),
    );
    expect(
        "fs=/x",
        &message(3, 10, &[1, 5]),
        "superblock  quota         7:1 group 5: below the soft limit of blocks",
        &json(r#""event":"quota","warning":"below_block_soft_limit","owner":"group","id":5"#),
    );
}

#[test]
fn events_of_block_devices() {
    let message = |subtype, partition, op: u32| {
        let rest = [4096, 8, 16, partition];
        message(
            4,
            subtype,
            1,
            61 << 4 | op,
            &[&wide(3)[..], &wide(2048), &rest].concat(),
        )
    };
    let json = |partition, event, op| {
        format!(
            r#""type":"block","device":"8:16","partition":{partition},"diskseq":3,"event":"{event}","op":"{op}","sector":2048,"len":4096,"error":61"#
        )
    };
    let error = "4096 bytes at sector 2048: No data available";
    expect(
        "block=all",
        &message(6, 0, 0),
        &format!("block  medium        8:16 read, {error}"),
        &json("null", "medium", "read"),
    );
    expect(
        "block=all",
        &message(1, 2, 5),
        &format!("block  timeout       8:16 partition 2 write of zeroes, {error}"),
        &json("2", "timeout", "write_zeroes"),
    );
    let flush = [&wide(3)[..], &wide(0), &[0, 8, 16, 0]].concat();
    expect(
        "block=all",
        &self::message(4, 15, 1, 19 << 4 | 2, &flush),
        "block  offline       8:16 flush: No such device",
        r#""type":"block","device":"8:16","partition":null,"diskseq":3,"event":"offline","op":"flush","sector":0,"len":0,"error":19"#,
    );
}

#[test]
fn events_of_devices() {
    let device = |number: [u32; 2], bits: u32| {
        let strings = text("usb\0usb_interface\0/d/1-2:1.0\u{1b}", 36);
        let head = [&wide(77)[..], &wide(78), &number].concat();
        message(5, 6, 1, 32 << 8 | bits, &[head, strings].concat())
    };
    let json = r#""type":"device","name":"1-2:1.0\u001b","truncated":"#;
    let rest = r#""path":"/d/1-2:1.0\u001b","seqnum":77,"ino":78"#;
    expect(
        "devices",
        &device([189, 1], 0),
        r"device  bound         usb 1-2:1.0\x1b 189:1",
        &format!(
            r#"{json}false,"event":"bound","subsystem":"usb","devtype":"usb_interface","number":"189:1",{rest}"#
        ),
    );
    expect(
        "devices",
        &device([0, 0], 1),
        r"device  bound         usb 1-2:1.0\x1b (truncated)",
        &format!(
            r#"{json}true,"event":"bound","subsystem":"usb","devtype":"usb_interface","number":null,{rest}"#
        ),
    );
    let product = u32::from_ne_bytes({
        let halves = [0x0409u16.to_ne_bytes(), 0x55aau16.to_ne_bytes()];
        halves.concat().try_into().unwrap()
    });
    let usb = [
        &wide(77)[..],
        &wide(78),
        &[1, 2, 3, product],
        &text("/d/1-2", 8),
    ]
    .concat();
    expect(
        "devices",
        &message(5, 8, 1, 40 << 8, &usb),
        "device  connected     usb 1-2: 0409:55aa, bus 1 port 2 device 3",
        r#""type":"device","name":"1-2","truncated":false,"event":"connected","bus":1,"port":2,"address":3,"vendor":1033,"product":21930,"path":"/d/1-2","seqnum":77,"ino":78"#,
    );
}

#[test]
fn event_is_called_the_same_in_text_json_and_filters() {
    let kinds = (0..).map(watch_queue::MessageType::new);
    for kind in kinds.take_while(|kind| kind.name().is_some()) {
        assert!(!kind.subtypes().is_empty());
        for (subtype, name) in (0..).zip(kind.subtypes()) {
            let message = message(kind.number(), subtype, 1, 40 << 8, &[1; 26]);
            let json = printed(true, Some("x"), &message);
            let said = format!(r#""type":"{kind}""#);
            assert!(json.contains(&said), "{json}");
            assert!(json.contains(&format!(r#""event":"{name}""#)), "{json}");
            assert!(printed(false, Some("x"), &message).contains(&format!(" {kind} ")));
            assert!(format!("{kind}:{name}")
                .parse::<watch_queue::Rule>()
                .is_ok());
        }
    }
}

#[test]
fn losses() {
    let text = |lost| printed(false, None, &message(0, 1, 0, lost, &[]));
    assert_eq!(
        text(44),
        "-     meta  loss          44 messages were lost here\n"
    );
    assert_eq!(
        text(1),
        "-     meta  loss          1 message was lost here\n"
    );
    assert!(text(0).contains("it is not known how many"));
    assert!(text(65535).contains("65535 messages were"));
    let json = |lost| printed(true, None, &message(0, 1, 0, lost, &[]));
    let line = r#"{"watch":null,"type":"meta","event":"loss","lost":"#;
    assert_eq!(json(44), format!("{line}44}}\n"));
    assert_eq!(json(0), format!("{line}null}}\n"));
}

#[test]
fn what_is_not_known() {
    let unknown = message(77, 7, 1, 0, &[0]);
    assert_eq!(
        printed(false, Some("@s"), &unknown),
        "@s    type=77  ?             type=0x00004d subtype=7 info=0x0000010c payload=00000000\n"
    );
    let json = printed(true, Some("@s"), &unknown);
    assert!(
        json.contains(r#""type":"unknown","number":77,"subtype":7,"info":268"#),
        "{json}"
    );
    assert!(json.contains(r#""payload":"00000000""#), "{json}");
}

fn mount_event(subtype: u32) -> Vec<u8> {
    let ids = [wide(5), wide(2), wide(3)].concat();
    let state = [wide(0x0a), wide(1 << 18), wide(0), wide(0), [7, 1]].concat();
    message(2, subtype, 1, 0, &[ids, state].concat())
}

fn known_mount(path: &str) -> Known {
    Known {
        path: Some(path.to_owned()),
        fstype: Some("ext4".to_owned()),
        source: Some("/dev/vda1".to_owned()),
        ..Known::default()
    }
}

#[test]
fn mounts_are_paths() {
    let attached = mount_event(0);
    assert_eq!(
        printed_by(output(TEXT), Some("m"), &attached, known_mount("/srv\n")),
        "m     mount  attached      /srv\\n  ext4 /dev/vda1 (nosuid,noexec,private)\n"
    );
    let line = printed_by(output(TEXT), Some("m"), &mount_event(3), known_mount("/b"));
    assert!(line.contains("moved_to      to /b  ext4"), "{line}");
    let json = printed_by(
        output(Style::Json),
        Some("m"),
        &attached,
        known_mount("/srv"),
    );
    assert!(
        json.ends_with(
            r#","propagation":["private"],"peer_group":null,"master":null,"device":"7:1","path":"/srv","fstype":"ext4","source":"/dev/vda1"}
"#
        ),
        "{json}"
    );
}

#[test]
fn disks_have_names() {
    let known = || Known {
        devname: Some("sdb2".to_owned()),
        ..Known::default()
    };
    let rest = [4096, 8, 16, 2];
    let block = message(
        4,
        6,
        1,
        61 << 4,
        &[&wide(3)[..], &wide(2048), &rest].concat(),
    );
    assert_eq!(
        printed_by(output(TEXT), Some("d"), &block, known()),
        "d     block  medium        sdb2 read, 4096 bytes at sector 2048: No data available\n"
    );
    let known = Known {
        devname: Some("sdb2".to_owned()),
        ..known_mount("/srv")
    };
    let readonly = message(3, 1, 1, 0, &[&wide(9)[..], &[8, 18]].concat());
    assert_eq!(
        printed_by(output(TEXT), Some("d"), &readonly, known),
        "d     superblock  readonly      sdb2 on /srv\n"
    );
}

#[test]
fn times_are_as_asked_for() {
    let cleared = message(1, 4, 1, 0, &[1000, 0]);
    for (time, begin) in [
        (TimeStyle::Iso, "1970-01-01T00:00:01.500000Z  @s  "),
        (TimeStyle::Relative, "    1.500000  @s  "),
        (TimeStyle::Unix, "1.500000  @s  "),
        (TimeStyle::None, "@s  "),
    ] {
        let style = Style::Text {
            time,
            colour: false,
        };
        let line = printed_by(output(style), Some("@s"), &cleared, Known::default());
        assert!(line.starts_with(begin), "{line}");
    }
}

#[test]
fn colours_do_not_move_columns() {
    let coloured = Style::Text {
        time: TimeStyle::None,
        colour: true,
    };
    let linked = message(1, 2, 1, 0, &[1000, 2000]);
    let line = printed_by(output(coloured), Some("@s"), &linked, Known::default());
    assert!(
        line.contains("\x1b[32mlinked       \x1b[0m 2000"),
        "{line:?}"
    );
    let plain = line.replace("\x1b[32m", "").replace("\x1b[0m", "");
    assert_eq!(plain, printed(false, Some("@s"), &linked));
}

#[test]
fn columns_are_as_wide_as_names_look() {
    let mut output = output(TEXT);
    output.fit([("\u{9375}\u{4e00}", 3), ("@s", 5)].into_iter());
    assert_eq!((output.width, output.kind_width), (4, 5));
}

#[test]
fn formats_have_fields() {
    let format = |text: &str| -> String {
        let style = Style::Format {
            format: text.parse().unwrap(),
            time: TimeStyle::None,
        };
        printed_by(
            output(style),
            Some("m"),
            &mount_event(0),
            known_mount("/srv"),
        )
    };
    assert_eq!(
        format("%w %t %e %p%%%d|%{source} %{mount} %{nothing}\\t%{attributes}"),
        "m mount attached /srv%|/dev/vda1 5 \t[\"nosuid\",\"noexec\"]\n"
    );
    assert_eq!(format("%T"), "1970-01-01T00:00:01.500000Z\n");
    for wrong in ["%", "%x", "%{type", "\\x", "\\"] {
        assert!(wrong.parse::<Format>().is_err(), "{wrong}");
    }
}
