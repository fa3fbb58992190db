// SPDX-License-Identifier: MIT OR Apache-2.0

//! What has to hold for any message, any filter and any name.

use proptest::{
    array::uniform8,
    collection::{btree_set, vec},
    prelude::*,
};
use std::collections::BTreeSet;
use watch_queue::*;

/// A message as a kernel makes it.
#[derive(Clone, Debug)]
struct Posted {
    kind: u32,
    subtype: u8,
    tag: u8,
    bits: u16,
    payload: Vec<u8>,
}

impl Posted {
    fn to_bytes(&self) -> Vec<u8> {
        let (kind, subtype) = (self.kind, u32::from(self.subtype));
        let word = if cfg!(target_endian = "little") {
            kind | (subtype << 24)
        } else {
            (kind << 8) | subtype
        };
        let length = (MIN_MESSAGE + self.payload.len()) as u32;
        let info = length | (u32::from(self.tag) << 8) | (u32::from(self.bits) << 16);
        [&word.to_ne_bytes(), &info.to_ne_bytes(), &*self.payload].concat()
    }
}

fn posted() -> impl Strategy<Value = Posted> {
    let kind = prop_oneof![0u32..7, 0..=MessageType::MAX.number()];
    let subtype = prop_oneof![0u8..20, any::<u8>()];
    let payload = vec(any::<u8>(), 0..=MAX_MESSAGE - MIN_MESSAGE);
    (kind, subtype, any::<u8>(), any::<u16>(), payload).prop_map(
        |(kind, subtype, tag, bits, payload)| Posted {
            kind,
            subtype,
            tag,
            bits,
            payload,
        },
    )
}

/// Whether this is one of the kernel's: how long is what is behind the header?
fn is_known(posted: &Posted) -> bool {
    let least = match (posted.kind, posted.subtype) {
        (0, 0..=1) => 0,
        (1, 0..=7) => 8,
        (2, 0..=5) => 64,
        (3, 0) => 40,
        (3, 1..=2 | 4..=5) => 16,
        (3, 3) => 24,
        (4, 0..=17) => 32,
        (5, subtype @ 0..=9) => {
            let (fixed, strings) = (if subtype < 8 { 24 } else { 32 }, posted.bits >> 8);
            let strings = usize::from(strings).checked_sub(MIN_MESSAGE);
            strings.map_or(usize::MAX, |at| if at < fixed { usize::MAX } else { at })
        }
        _ => return false,
    };
    posted.payload.len() >= least
}

fn rule() -> impl Strategy<Value = Rule> {
    let kind = prop_oneof![0u32..3, 0..=MessageType::MAX.number()].prop_map(MessageType::new);
    let subtypes = prop_oneof![
        Just((0..=255).collect::<BTreeSet<u8>>()),
        btree_set(0u8..10, 0..10),
        btree_set(any::<u8>(), 0..256),
    ];
    (kind, subtypes, any::<u32>(), any::<u32>()).prop_map(|(kind, subtypes, filter, mask)| {
        let mask = mask & !0x7f;
        let rule = Rule::new(kind).subtypes(subtypes);
        rule.info(filter & mask, mask).unwrap()
    })
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(posted in vec(posted(), 0..20), offset in 0usize..8) {
        let mut buffer = vec![0; offset];
        buffer.extend(posted.iter().flat_map(Posted::to_bytes));
        let messages: Vec<_> = Messages::new(&buffer[offset..]).map(Result::unwrap).collect();
        prop_assert_eq!(messages.len(), posted.len());
        for (message, posted) in messages.iter().zip(&posted) {
            prop_assert_eq!(message.kind().number(), posted.kind);
            prop_assert_eq!(message.subtype(), posted.subtype);
            prop_assert_eq!(message.tag(), posted.tag);
            prop_assert_eq!(message.type_info(), posted.bits);
            prop_assert_eq!(message.payload(), &posted.payload);
            prop_assert_eq!(message.bytes(), posted.to_bytes());
        }
    }

    #[test]
    fn what_is_cut_off_is_one_error(posted in vec(posted(), 1..5), cut in any::<prop::sample::Index>()) {
        let sizes: Vec<_> = posted.iter().map(|posted| posted.to_bytes().len()).collect();
        let mut buffer: Vec<_> = posted.iter().flat_map(Posted::to_bytes).collect();
        buffer.truncate(cut.index(buffer.len()));
        let mut whole = 0;
        let mut left = buffer.len();
        while sizes[whole] <= left {
            left -= sizes[whole];
            whole += 1;
        }
        let results: Vec<_> = Messages::new(&buffer).collect();
        prop_assert_eq!(results.iter().filter(|result| result.is_ok()).count(), whole);
        prop_assert_eq!(results.len(), whole + usize::from(left > 0));
        prop_assert!(left == 0 || results[whole].is_err());
    }

    #[test]
    fn any_bytes_can_be_taken_apart(bytes in vec(any::<u8>(), 0..600)) {
        let mut messages = Messages::new(&bytes);
        let (least, most) = messages.size_hint();
        let mut size = 0;
        let mut count = 0;
        while let Some(result) = messages.next() {
            count += 1;
            let Ok(message) = result else {
                prop_assert!(messages.next().is_none());
                break;
            };
            size += message.bytes().len();
            prop_assert!((MIN_MESSAGE..=MAX_MESSAGE).contains(&message.bytes().len()));
            message.event().to_string();
        }
        prop_assert!(size <= bytes.len());
        prop_assert!(least <= count && count <= most.unwrap());
    }

    #[test]
    fn events_are_told_by_type_and_size(posted in posted()) {
        let bytes = posted.to_bytes();
        let (message, _) = Message::split_from(&bytes).unwrap();
        let number = |range: std::ops::Range<usize>| {
            posted.payload.get(range).map(|bytes| i32::from_ne_bytes(bytes.try_into().unwrap()))
        };
        match message.event() {
            Event::Meta(MetaEvent::Removal { id, .. }) => {
                prop_assert_eq!((posted.kind, posted.subtype), (0, 0));
                prop_assert_eq!(id.is_some(), posted.payload.len() >= 8);
            }
            Event::Meta(MetaEvent::Loss { lost, .. }) => {
                prop_assert_eq!((posted.kind, posted.subtype), (0, 1));
                prop_assert_eq!(lost.at_least(), posted.bits.max(1));
                prop_assert_eq!(lost == Lost::Unknown, posted.bits == 0);
            }
            Event::Key(KeyEvent { key, change, .. }) => {
                prop_assert_eq!(posted.kind, 1);
                prop_assert_eq!(Some(key.serial()), number(0..4));
                let aux = number(4..8).unwrap();
                let member = KeySerial::from_serial(aux);
                let (subtype, its_member) = match change {
                    KeyChange::Instantiated { error, .. } => {
                        prop_assert_eq!(error.map_or(0, Errno::raw), aux.unsigned_abs());
                        (0, None)
                    }
                    KeyChange::Updated => (1, None),
                    KeyChange::Linked { member, .. } => (2, Some(member)),
                    KeyChange::Unlinked { member, .. } => (3, Some(member)),
                    KeyChange::Cleared => (4, None),
                    KeyChange::Revoked => (5, None),
                    KeyChange::Invalidated => (6, None),
                    KeyChange::SetAttr => (7, None),
                    change => panic!("{change:?}"),
                };
                prop_assert_eq!(subtype, posted.subtype);
                prop_assert!(its_member.map_or(true, |its_member| its_member == member));
            }
            Event::Mount(event) => {
                prop_assert_eq!(posted.kind, 2);
                prop_assert!(is_known(&posted));
                prop_assert_eq!(event.attributes.bits() as i32, number(24..28).unwrap());
            }
            Event::Superblock(event) => {
                prop_assert_eq!(posted.kind, 3);
                prop_assert!(is_known(&posted));
                prop_assert_eq!(event.device.minor as i32, number(12..16).unwrap());
            }
            Event::Block(event) => {
                prop_assert_eq!(posted.kind, 4);
                prop_assert!(is_known(&posted));
                prop_assert_eq!(event.error.raw(), u32::from(posted.bits >> 4));
            }
            Event::Device(event) => {
                prop_assert_eq!(posted.kind, 5);
                prop_assert!(is_known(&posted));
                prop_assert_eq!(event.truncated, posted.bits & 1 != 0);
                prop_assert!(!event.name.as_bytes().contains(&0));
            }
            Event::Unknown(raw) => {
                prop_assert_eq!(raw.bytes(), &bytes);
                prop_assert!(!is_known(&posted));
            }
            event => panic!("{event:?}"),
        }
    }

    #[test]
    fn filter_is_what_the_kernel_reads(rules in vec(rule(), 1..=MAX_RULES)) {
        let words = Filter::new(rules.iter().copied()).unwrap().to_words();
        prop_assert_eq!(words.len(), 2 + 11 * rules.len());
        prop_assert_eq!(&words[..2], &[rules.len() as u32, 0]);
        for (rule, words) in rules.iter().zip(words[2..].chunks(11)) {
            prop_assert_eq!(words[0], rule.kind().number());
            prop_assert_eq!((words[1], words[2]), rule.info_bits());
            // As the kernel refuses it
            prop_assert_eq!(words[1] & !words[2], 0);
            prop_assert_eq!(words[2] & 0x7f, 0);
            for subtype in 0..=255u8 {
                let bit = words[3 + usize::from(subtype) / 32] >> (subtype % 32) & 1;
                prop_assert_eq!(bit == 1, rule.accepts_subtype(subtype));
            }
        }
    }

    #[test]
    fn rules_are_read_as_they_are_written(rule in rule()) {
        prop_assert_eq!(rule.to_string().parse(), Ok(rule));
    }

    #[test]
    fn rules_are_read_as_fdinfo_writes_them(rules in vec(rule(), 0..=MAX_RULES), numbers in uniform8(any::<u64>())) {
        let mut text = String::from("pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t4711\n");
        let keys = ["size", "messages", "bytes", "posted", "delivered", "filtered", "lost", "later"];
        for (key, number) in keys.iter().zip(numbers) {
            text += &format!("watch_queue-{key}:\t{number}\n");
        }
        for rule in &rules {
            let subtypes: Vec<_> = (0..=255u8)
                .filter(|&subtype| rule.accepts_subtype(subtype))
                .map(|subtype| subtype.to_string())
                .collect();
            let (filter, mask) = rule.info_bits();
            text += &format!(
                "watch_queue-filter:\ttype={:#08x} subtypes={} info={filter:#010x}/{mask:#010x}\n",
                rule.kind().number(),
                subtypes.join(","),
            );
        }
        let stats: Stats = text.parse().unwrap();
        prop_assert_eq!(stats.rules, rules);
        prop_assert_eq!([stats.size, stats.messages, stats.bytes, stats.posted], &numbers[..4]);
        prop_assert_eq!([stats.delivered, stats.filtered, stats.lost], &numbers[4..7]);
    }

    #[test]
    fn watches_are_read_as_fdinfo_writes_them(id: u64, tag: u8) {
        let mut text: String = ["size", "messages", "bytes", "posted", "delivered", "filtered", "lost"]
            .map(|key| format!("watch_queue-{key}:\t1\n"))
            .concat();
        text += &format!("watch_queue-watch:\tsource=keyctl id={id:#x} tag={tag:#04x}\n");
        let stats: Stats = text.parse().unwrap();
        prop_assert_eq!(stats.watches.len(), 1);
        prop_assert_eq!((stats.watches[0].id, stats.watches[0].tag), (id, tag));
        prop_assert_eq!(&stats.watches[0].source, "keyctl");
    }

    #[test]
    fn any_text_can_be_parsed(text in "\\PC*", line in "(watch_queue-[a-z]{0,9}:\t[ -~]{0,40}\n){0,9}") {
        let _ = text.parse::<Rule>();
        let _ = text.parse::<KeyName>();
        let _ = text.parse::<Stats>();
        let _ = line.parse::<Stats>();
    }

    #[test]
    fn serial_numbers_are_keys(serial in 1..=i32::MAX) {
        let key = Ok(KeyName::Serial(KeySerial::from_serial(serial)));
        prop_assert_eq!(&serial.to_string().parse(), &key);
        prop_assert_eq!(&format!("{serial:#x}").parse(), &key);
    }

    #[test]
    fn searches_are_split_at_the_first_colon(kind in "[a-z_]{0,8}", description in "[ -~]{1,20}") {
        let name: KeyName = format!("%{kind}:{description}").parse().unwrap();
        let kind = if kind.is_empty() { "keyring".to_owned() } else { kind };
        prop_assert_eq!(name, KeyName::Search { kind, description });
    }
}

#[test]
fn what_is_no_key_is_refused() {
    for name in [
        "",
        "@",
        "@x",
        "0",
        "-3",
        "+3",
        "2147483648",
        "0x80000000",
        "%",
        "%keyring",
        "%:",
        "s",
    ] {
        assert!(name.parse::<KeyName>().is_err(), "{name}");
    }
}

#[test]
fn what_is_no_rule_is_refused() {
    for rule in [
        "",
        "keys",
        "key:",
        "key:linkd",
        "key:linked,",
        "key:3-1",
        "key:256",
        "key:0-256",
        "type=",
        "type=0x1000000",
        "type=-1",
        "key linked",
        "key info=1",
        "key info=0x10000/0x20000",
        "key info=8/0x7f",
    ] {
        assert!(rule.parse::<Rule>().is_err(), "{rule}");
    }
    assert!(Filter::new([]).is_err());
    assert!(Filter::new([Rule::new(MessageType::KEY); MAX_RULES + 1]).is_err());
}

#[test]
fn rules_are_written_with_names() {
    for (rule, written) in [
        ("key", "key"),
        ("key:0-255", "key"),
        ("key:3,2", "key:linked,unlinked"),
        ("key:none", "key:none"),
        ("key:6-9,40", "key:invalidated,setattr,8-9,40"),
        (
            "meta:loss info=65536/0x30000",
            "meta:loss info=0x10000/0x30000",
        ),
        ("type=77:0-7", "type=77:0-7"),
        ("type=4:6,timeout", "block:timeout,medium"),
        ("device:8-9", "device:connected,disconnected"),
        ("type=1:linked", "key:linked"),
    ] {
        assert_eq!(rule.parse::<Rule>().unwrap().to_string(), written);
    }
    let tagged = Rule::new(MessageType::KEY).tag(0x17).info_bits();
    assert_eq!(tagged, (0x1700, 0xff00));
}

#[test]
fn statistics_that_are_not_there_are_told_from_broken_ones() {
    assert_eq!("pos:\t0\n".parse::<Stats>(), Err(BadStats::NotThere));
    let some = "watch_queue-size:\t32\n".parse::<Stats>();
    assert_eq!(some, Err(BadStats::Malformed("messages")));
}

/// This may be a kernel with queues, or one without.
#[test]
fn a_kernel_without_queues_is_told_of() {
    match Queue::new(32) {
        Ok(queue) => {
            queue.set_nonblocking(true).unwrap();
            let error = queue.read(&mut [0; MAX_MESSAGE]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
        Err(error) => assert!(matches!(error, Error::NoQueues), "{error}"),
    }
}
