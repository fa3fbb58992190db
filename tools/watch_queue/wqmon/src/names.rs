// SPDX-License-Identifier: GPL-2.0

//! Names that people know, for the numbers that are in events: paths of mounts, and names of block
//! devices.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::fd::AsFd,
    path::Path,
};
use watch_queue::{
    mounts::{Mount, MountTable},
    BlockEvent, DeviceNumber, MountEvent,
};

use crate::target::{Target, OWN_MOUNTS};

/// What was found out so far; objects may be gone when their last event is read.
#[derive(Default)]
pub(crate) struct Names {
    devices: HashMap<DeviceNumber, String>,
    tables: Vec<MountTable>,
}

impl Names {
    /// Learns what there is now.  The queue has to be attached before.
    pub(crate) fn seed<'a>(&mut self, targets: impl Iterator<Item = &'a Target>) {
        let mut of_namespaces = Vec::new();
        let mut devices = false;
        for target in targets {
            match target {
                Target::MountNamespace(path) => of_namespaces.push(path.as_path()),
                Target::MountTree(_) => of_namespaces.push(Path::new(OWN_MOUNTS)),
                Target::FileSystem(_) => {
                    of_namespaces.push(Path::new(OWN_MOUNTS));
                    devices = true;
                }
                Target::Block(_) => devices = true,
                Target::Key(..) | Target::Devices(_) => {}
            }
        }
        of_namespaces.sort_unstable();
        of_namespaces.dedup();
        // Older kernels have none, and events are printed with their numbers then.
        self.tables = of_namespaces
            .iter()
            .filter_map(|path| MountTable::scan_file(File::open(path).ok()?.as_fd()).ok())
            .collect();
        if devices {
            self.seed_devices();
        }
    }

    fn seed_devices(&mut self) {
        for entry in fs::read_dir("/sys/class/block").into_iter().flatten() {
            let Ok(entry) = entry else { continue };
            let number = fs::read_to_string(entry.path().join("dev"));
            if let Some(number) = number.ok().and_then(|number| parse_number(&number)) {
                let name = entry.file_name().to_string_lossy().into_owned();
                self.devices.insert(number, name);
            }
        }
    }

    /// Messages were lost: what is known of mounts may not be so any more.
    pub(crate) fn after_loss(&mut self) {
        self.tables.retain_mut(|table| table.rescan().is_ok());
    }

    /// What a block device is called in `/dev`.
    pub(crate) fn device(&mut self, number: DeviceNumber) -> Option<&str> {
        if let Ok(link) = fs::read_link(format!("/sys/dev/block/{number}")) {
            let name = link.file_name()?.to_string_lossy().into_owned();
            self.devices.insert(number, name);
        }
        self.devices.get(&number).map(String::as_str)
    }

    /// What the disk or the partition of an event is called.
    pub(crate) fn block(&mut self, event: &BlockEvent) -> Option<String> {
        let disk = self.device(event.device)?;
        let Some(partition) = event.partition else {
            return Some(disk.to_owned());
        };
        // As the kernel names partitions
        let between = if disk.ends_with(|last: char| last.is_ascii_digit()) {
            "p"
        } else {
            ""
        };
        Some(format!("{disk}{between}{partition}"))
    }

    /// The mount of an event, as it is now or was last.
    pub(crate) fn mount(&mut self, event: &MountEvent) -> Option<Mount> {
        let of_namespace = |table: &&mut MountTable| table.namespace() == Some(event.namespace);
        let table = self.tables.iter_mut().find(of_namespace)?;
        table.apply(event).ok()?
    }

    /// Where the mount is that the mount of an event is on.
    pub(crate) fn parent(&self, event: &MountEvent) -> Option<&Mount> {
        let parent = event.parent?;
        self.tables.iter().find_map(|table| table.get(parent))
    }

    /// Where a file system is mounted: first of all, if that is in several places.
    pub(crate) fn mount_of_device(&self, device: DeviceNumber) -> Option<&Mount> {
        let mut mounts = self.tables.iter().flat_map(MountTable::iter);
        mounts.find(|mount| mount.device == device)
    }

    /// The mounts of file systems that are on a block device.
    pub(crate) fn mounts_on_disks(&self) -> Vec<Mount> {
        let mounts = self.tables.iter().flat_map(MountTable::iter);
        mounts.filter(|mount| is_on_disk(mount)).cloned().collect()
    }
}

/// Whether a file system is on a block device.
pub(crate) fn is_on_disk(mount: &Mount) -> bool {
    // Some, such as btrfs, have a number that is of no block device.
    mount.device.major != 0
        || (mount.source.as_deref()).is_some_and(|source| source.starts_with("/dev/"))
}

fn parse_number(text: &str) -> Option<DeviceNumber> {
    let (major, minor) = text.trim().split_once(':')?;
    Some(DeviceNumber {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_those_of_sysfs() {
        let number = DeviceNumber {
            major: 254,
            minor: 1,
        };
        assert_eq!(parse_number("254:1\n"), Some(number));
        assert_eq!(parse_number("254"), None);
    }

    #[test]
    fn names_outlive_their_devices() {
        let gone = DeviceNumber {
            major: 4000,
            minor: 1,
        };
        let mut names = Names::default();
        assert_eq!(names.device(gone), None);
        names.devices.insert(gone, "sdz".to_owned());
        assert_eq!(names.device(gone), Some("sdz"));
    }
}
