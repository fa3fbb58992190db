// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether the library knows the kernel's header for userspace: `uapi.c` is compiled with it, and
//! asked.

use std::{
    fs,
    io::Write,
    num::NonZeroU32,
    os::unix::io::AsFd,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    sys,
    sys::{RawSource, RawWatch},
    *,
};

/// A C compiler that finds the header; nothing in a package of the library, which is without that.
fn compiler() -> Option<Command> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !here.join("src/uapi.c").exists() {
        return None;
    }
    let mut compiler = Command::new("cc");
    compiler
        .current_dir(here)
        .args(["-Wall", "-Werror", "-I", "../../../uapi"]);
    Some(compiler)
}

/// Runs `uapi.c`, and returns its output; nothing in a package, which is without the header.
fn said(arguments: &[&str]) -> Option<Vec<u8>> {
    let mut compiler = compiler()?;
    let name = format!("uapi-{}-{}", std::process::id(), arguments.concat());
    let program = std::env::temp_dir().join(name);
    let compiled = compiler
        .args(["src/uapi.c", "-o"])
        .arg(&program)
        .status()
        .unwrap();
    assert!(compiled.success());
    let output = Command::new(&program).args(arguments).output();
    fs::remove_file(&program).unwrap();
    let output = output.unwrap();
    assert!(output.status.success());
    Some(output.stdout)
}

/// The C library's `<fcntl.h>` and the kernel's define the same.
#[test]
fn header_goes_with_either_fcntl_h_in_any_order() {
    let same = "_Static_assert(O_NOTIFICATION_PIPE == O_EXCL, \"flag\");";
    let alone = "int flag = O_NOTIFICATION_PIPE;";
    for (before, after, then) in [
        ("", "", alone),
        ("fcntl.h", "", same),
        ("", "fcntl.h", same),
        ("linux/fcntl.h", "", same),
        ("", "linux/fcntl.h", same),
    ] {
        let mut compiler = match compiler() {
            Some(compiler) => compiler,
            None => return,
        };
        let headers = [before, "watch_queue.h", after];
        let includes = headers.iter().filter(|header| !header.is_empty());
        let source: String = includes
            .map(|header| format!("#include <{header}>\n"))
            .chain([then.to_owned()])
            .collect();
        let mut compiling = compiler
            .args(["-fsyntax-only", "-x", "c", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = compiling.stdin.take().unwrap();
        stdin.write_all(source.as_bytes()).unwrap();
        drop(stdin);
        assert!(compiling.wait().unwrap().success(), "{source}");
    }
}

#[test]
fn ioctls_are_those_of_the_kernel() {
    let numbers = match said(&[]) {
        Some(said) => String::from_utf8(said).unwrap(),
        None => return,
    };
    let numbers: Vec<u64> = numbers.lines().map(|line| line.parse().unwrap()).collect();
    let here = [
        u64::from(sys::SYNC),
        u64::from(sys::ADD_WATCH),
        u64::from(sys::REMOVE_WATCH),
        u64::from(sys::GET_SOURCE),
        u64::from(sys::SEAL),
        std::mem::size_of::<RawWatch>() as u64,
        std::mem::size_of::<RawSource>() as u64,
        u64::from(sys::MOUNT_SUBTREE),
    ];
    assert_eq!(numbers, here);

    // Standard output is one, and so it is there.
    let stdout = std::io::stdout();
    let watch = RawWatch::new(Object::MountTree(stdout.as_fd()), 7);
    assert_eq!(said(&["watch"]), Some(watch.to_bytes()));
}

#[test]
fn messages_are_those_of_the_kernel() {
    let bytes = match said(&["messages"]) {
        Some(said) => said,
        None => return,
    };
    let mut messages = Messages::new(&bytes).map(|message| {
        let message = message.unwrap();
        assert_eq!(message.tag(), 7);
        (message.name().unwrap(), message.event())
    });
    let mut expect = |name: &str, event: Event<'_>| {
        assert_eq!(messages.next(), Some((name, event)));
    };

    const HIGH: u64 = 1 << 63;
    for (name, change) in [
        ("attached", MountChange::Attached),
        ("detached", MountChange::Detached),
        ("moved_from", MountChange::MovedFrom),
        ("moved_to", MountChange::MovedTo),
        ("setattr", MountChange::SetAttr),
        ("expired", MountChange::Expired),
    ] {
        let event = MountEvent {
            mount: HIGH | 1,
            change,
            parent: Some(HIGH | 2),
            namespace: HIGH | 3,
            attributes: MountAttributes::all(),
            propagation: Propagation::SHARED | Propagation::PRIVATE,
            peer_group: Some(HIGH | 4),
            master: Some(HIGH | 5),
            device: DeviceNumber {
                major: 7,
                minor: 1000,
            },
        };
        expect(name, Event::Mount(event));
    }

    let superblock = |change| {
        Event::Superblock(SuperblockEvent {
            superblock: HIGH | 1,
            device: DeviceNumber {
                major: 7,
                minor: 1000,
            },
            change,
        })
    };
    for kind in [
        SuperblockErrorKind::BufferedRead,
        SuperblockErrorKind::BufferedWrite,
        SuperblockErrorKind::DirectRead,
        SuperblockErrorKind::DirectWrite,
        SuperblockErrorKind::DataLost,
        SuperblockErrorKind::Metadata,
        SuperblockErrorKind::DeviceGone,
    ] {
        let error = SuperblockChange::Error {
            error: Errno::from_raw(117),
            kind,
            inode: Some(HIGH | 2),
            range: Some(FileRange {
                pos: HIGH | 3,
                len: HIGH | 4,
            }),
        };
        expect("error", superblock(error));
    }
    expect("readonly", superblock(SuperblockChange::ReadOnly));
    expect("readwrite", superblock(SuperblockChange::ReadWrite));
    expect("frozen", superblock(SuperblockChange::Frozen));
    expect("thawed", superblock(SuperblockChange::Thawed));
    for warning in [
        QuotaWarning::InodeHardLimit,
        QuotaWarning::InodeGraceExpired,
        QuotaWarning::InodeSoftLimit,
        QuotaWarning::BlockHardLimit,
        QuotaWarning::BlockGraceExpired,
        QuotaWarning::BlockSoftLimit,
        QuotaWarning::BelowInodeHardLimit,
        QuotaWarning::BelowInodeSoftLimit,
        QuotaWarning::BelowBlockHardLimit,
        QuotaWarning::BelowBlockSoftLimit,
    ] {
        let quota = SuperblockChange::Quota {
            warning,
            owner: QuotaOwner::Project,
            id: 4711,
        };
        expect("quota", superblock(quota));
    }

    let block = |failure, op| {
        Event::Block(BlockEvent {
            device: DeviceNumber {
                major: 8,
                minor: 16,
            },
            partition: NonZeroU32::new(3),
            diskseq: HIGH | 1,
            failure,
            op,
            sector: HIGH | 2,
            len: 4096,
            error: Errno::from_raw(5),
        })
    };
    for (name, failure) in [
        ("io", BlockFailure::Io),
        ("timeout", BlockFailure::Timeout),
        ("nospace", BlockFailure::NoSpace),
        ("transport", BlockFailure::Transport),
        ("target", BlockFailure::Target),
        ("nexus", BlockFailure::Nexus),
        ("medium", BlockFailure::Medium),
        ("protection", BlockFailure::Protection),
        ("resource", BlockFailure::Resource),
        ("other", BlockFailure::Other),
        ("notsupported", BlockFailure::NotSupported),
        ("busy", BlockFailure::Busy),
        ("again", BlockFailure::Again),
        ("zonesopen", BlockFailure::ZonesOpen),
        ("zonesactive", BlockFailure::ZonesActive),
        ("offline", BlockFailure::Offline),
        ("durationlimit", BlockFailure::DurationLimit),
        ("invalid", BlockFailure::Invalid),
    ] {
        expect(name, block(failure, BlockOp::Read));
    }
    for op in [
        BlockOp::Read,
        BlockOp::Write,
        BlockOp::Flush,
        BlockOp::Discard,
        BlockOp::SecureErase,
        BlockOp::WriteZeroes,
        BlockOp::Zone,
        BlockOp::Other,
    ] {
        expect("io", block(BlockFailure::Io, op));
    }

    for (name, change) in [
        ("added", DeviceChange::Added),
        ("removed", DeviceChange::Removed),
        ("changed", DeviceChange::Changed),
        ("moved", DeviceChange::Moved),
        ("online", DeviceChange::Online),
        ("offline", DeviceChange::Offline),
        ("bound", DeviceChange::Bound),
        ("unbound", DeviceChange::Unbound),
    ] {
        let event = DeviceEvent {
            name: DeviceName::from_bytes(b"sdb"),
            truncated: false,
            change,
            device: Device::Any {
                subsystem: DeviceName::from_bytes(b"block"),
                devtype: Some(DeviceName::from_bytes(b"disk")),
                number: Some(DeviceNumber {
                    major: 8,
                    minor: 16,
                }),
            },
            path: DeviceName::from_bytes(b"/devices/x/sdb"),
            seqnum: HIGH | 1,
            ino: HIGH | 3,
        };
        expect(name, Event::Device(event));
    }
    for (name, change) in [
        ("connected", DeviceChange::Connected),
        ("disconnected", DeviceChange::Disconnected),
    ] {
        let event = DeviceEvent {
            name: DeviceName::from_bytes(b"1-2"),
            truncated: true,
            change,
            device: Device::Usb {
                bus: 1,
                port: NonZeroU32::new(2),
                address: 3,
                vendor: 0x0409,
                product: 0x55aa,
            },
            path: DeviceName::from_bytes(b"/devices/x/1-2"),
            seqnum: HIGH | 2,
            ino: HIGH | 4,
        };
        expect(name, Event::Device(event));
    }
    assert_eq!(messages.next(), None);
}
