// SPDX-License-Identifier: GPL-2.0

//! What the queue watches, by tag.

use std::collections::HashMap;
use watch_queue::{
    Event, Filter, Message, MessageType, MetaEvent, Queue, Rule, Watched, MAX_RULES, MIN_MESSAGE,
};

use crate::{
    failure::{say, Failure},
    names::is_on_disk,
    target::{Target, OWN_MOUNTS},
};

/// What somebody asked to have watched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) target: Target,
    /// What is wanted of it, all if that is empty.
    pub(crate) rules: Vec<Rule>,
}

pub(crate) struct Entry {
    pub(crate) spec: Spec,
    /// None for all file systems, of which each has a watch.
    watched: Option<Watched>,
    pub(crate) gone: bool,
    /// Nobody asked for it, or nobody does any more.
    hidden: bool,
    announced: bool,
}

/// What the queue watches; a tag is the place in the list, from 1.
#[derive(Default)]
pub(crate) struct Watches {
    entries: Vec<Entry>,
    /// The filter of all of them, if there is one.
    pub(crate) rules: Vec<Rule>,
    /// Paths of file systems and their watches, by id, if all are to be watched.
    file_systems: HashMap<u64, (String, Watched)>,
}

/// A watch that is not there any more.
pub(crate) struct Ended {
    tag: u8,
    /// The id of the file system, if it is watched as one of all.
    file_system: Option<u64>,
}

impl Ended {
    /// The message that would have said so.
    pub(crate) fn removal(&self) -> Vec<u8> {
        let id = self
            .file_system
            .map_or_else(Vec::new, |id| id.to_ne_bytes().to_vec());
        let info = (MIN_MESSAGE + id.len()) as u32 | u32::from(self.tag) << 8;
        [&0u32.to_ne_bytes(), &info.to_ne_bytes(), &*id].concat()
    }
}

/// What a message is for who reads the queue.
#[derive(Debug, PartialEq)]
pub(crate) enum Role {
    /// To be printed.
    Wanted,
    /// To be looked at and forgotten.
    Internal,
}

impl Watches {
    /// The entry with a tag; none for messages that are from no watch.
    pub(crate) fn get(&self, tag: u8) -> Option<&Entry> {
        self.entries.get(usize::from(tag).checked_sub(1)?)
    }

    fn get_mut(&mut self, tag: u8) -> Option<&mut Entry> {
        self.entries.get_mut(usize::from(tag).checked_sub(1)?)
    }

    /// Those that somebody asked for.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.hidden)
    }

    /// What all of them are, for names to be looked up.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.entries.iter().map(|entry| &entry.spec.target)
    }

    /// Whether nothing is left to watch.
    pub(crate) fn all_gone(&self) -> bool {
        self.shown().all(|entry| entry.gone)
    }

    /// A place in the list, and the tag of that.
    fn vacancy(&self) -> Result<(usize, u8), Failure> {
        // What nobody wants and whose removal has been read sends nothing any more.
        let is_free = |entry: &Entry| entry.hidden && entry.gone;
        let free = self.entries.iter().position(is_free);
        let index = free.unwrap_or(self.entries.len());
        let tag = u8::try_from(index + 1)
            .map_err(|_| Failure::new("more than 255 things cannot be watched"))?;
        Ok((index, tag))
    }

    fn put(&mut self, index: usize, entry: Entry) {
        match self.entries.get_mut(index) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
    }

    fn add(&mut self, spec: Spec, hidden: bool, queue: &Queue) -> Result<(), Failure> {
        let (index, tag) = self.vacancy()?;
        let watched = if spec.target.is_all_file_systems() {
            None
        } else {
            let attached = spec.target.attach(queue, tag);
            Some(attached.map_err(|failure| failure.of(&spec.name))?)
        };
        let entry = Entry {
            spec,
            watched,
            gone: false,
            hidden,
            announced: false,
        };
        self.put(index, entry);
        Ok(())
    }

    /// Attaches the queue to one more thing.
    pub(crate) fn attach(&mut self, spec: Spec, queue: &Queue) -> Result<(), Failure> {
        self.add(spec, false, queue)?;
        self.watch_mounts_if_need_be(queue)
    }

    /// Attaches the queue to one more thing, or has [`retry`](Self::retry) do that, if it is not
    /// there.
    pub(crate) fn attach_or_wait(&mut self, spec: Spec, queue: &Queue) -> Result<(), Failure> {
        let failure = match self.attach(spec.clone(), queue) {
            Err(failure) if failure.is_absence() => failure,
            result => return result,
        };
        say(format_args!("{}; waiting for it", failure.message));
        let (index, _tag) = self.vacancy()?;
        let entry = Entry {
            spec,
            watched: None,
            gone: true,
            hidden: false,
            announced: false,
        };
        self.put(index, entry);
        Ok(())
    }

    /// Says what is watched that was not before.
    pub(crate) fn announce(&mut self) {
        for entry in &mut self.entries {
            if !entry.hidden && !entry.gone && !std::mem::replace(&mut entry.announced, true) {
                let name = &entry.spec.name;
                match entry.watched.as_ref().and_then(Watched::key) {
                    Some(key) => say(format_args!("watching {name} ({key})")),
                    None => say(format_args!("watching {name}")),
                }
            }
        }
    }

    /// New file systems are mounted: to know of them, the mounts have to be watched.
    fn watch_mounts_if_need_be(&mut self, queue: &Queue) -> Result<(), Failure> {
        let live = |entry: &&Entry| !entry.gone && !entry.hidden;
        if self
            .entries
            .iter()
            .filter(live)
            .any(|entry| entry.spec.target.is_all_file_systems())
            && !self.targets().any(Target::is_own_mounts)
        {
            let spec = Spec {
                name: "mount-ns".to_owned(),
                target: Target::MountNamespace(OWN_MOUNTS.into()),
                rules: vec!["mount:attached,moved_to".parse().expect("it is a rule")],
            };
            self.add(spec, true, queue)?;
        }
        Ok(())
    }

    /// Watches a file system that is on a disk, if all of them are to be watched.
    ///
    /// It is watched already if it is mounted in two places.
    pub(crate) fn file_system(&mut self, mount: &watch_queue::mounts::Mount, queue: &Queue) {
        let all = |entry: &Entry| entry.spec.target.is_all_file_systems() && !entry.hidden;
        let Some(index) = self.entries.iter().position(all) else {
            return;
        };
        if !is_on_disk(mount) {
            return;
        }
        let target = Target::FileSystem(mount.point.clone());
        let path = mount.point.display().to_string();
        let tag = index as u8 + 1;
        match target.attach(queue, tag) {
            Ok(watched) => {
                self.file_systems.insert(watched.id(), (path, watched));
            }
            Err(failure) if failure.is_busy() => {}
            Err(failure) => say(failure.of(format!("fs={path}")).message),
        }
    }

    /// The path of the file system that a removal is of, if it is one of all.
    pub(crate) fn forget_file_system(&mut self, message: &Message<'_>) -> Option<String> {
        let all = self.get(message.tag())?.spec.target.is_all_file_systems();
        match message.event() {
            Event::Meta(MetaEvent::Removal { id: Some(id), .. }) if all => {
                self.file_systems.remove(&id).map(|(path, _)| path)
            }
            _ => None,
        }
    }

    /// Has the kernel drop what nobody wants, as far as a filter has room.
    pub(crate) fn set_filter(&self, queue: &Queue) -> Result<(), Failure> {
        let mut rules = self.rules.clone();
        let of_one = |(index, entry): (usize, &Entry)| {
            let kind = entry.spec.target.kind();
            let rules = match &entry.spec.rules[..] {
                [] => vec![Rule::new(kind)],
                rules => rules.to_vec(),
            };
            let tag = index as u8 + 1;
            rules.into_iter().map(move |rule| rule.tag(tag))
        };
        let is_one = |entry: &&Entry| !entry.spec.rules.is_empty();
        if self.rules.is_empty() && self.entries.iter().any(|entry| is_one(&entry)) {
            rules.extend(self.entries.iter().enumerate().flat_map(of_one));
        } else if !self.rules.is_empty() {
            // What is watched for our own sake
            let internal = self.entries.iter().enumerate();
            rules.extend(internal.filter(|(_, entry)| entry.hidden).flat_map(of_one));
        }
        // To know where mounts are takes to know of all that move.
        if !rules.is_empty()
            && self
                .targets()
                .any(|target| target.kind() == MessageType::MOUNT)
        {
            rules.push(
                "mount:attached,detached,moved_to"
                    .parse()
                    .expect("it is a rule"),
            );
        }
        if rules.is_empty() || rules.len() > MAX_RULES {
            return Ok(queue.clear_filter()?);
        }
        let filter = Filter::new(rules).map_err(Failure::new)?;
        Ok(queue.set_filter(&filter)?)
    }

    /// Takes note of a removal, and returns what a message is to be used for.
    pub(crate) fn take(&mut self, message: &Message<'_>) -> Role {
        let removal = matches!(message.event(), Event::Meta(MetaEvent::Removal { .. }));
        let rules = std::mem::take(&mut self.rules);
        let by_all = rules.is_empty() || rules.iter().any(|rule| rule.accepts(*message));
        self.rules = rules;
        let Some(entry) = self.get_mut(message.tag()) else {
            return Role::Wanted;
        };
        if removal && !entry.spec.target.is_all_file_systems() {
            entry.gone = true;
        }
        if entry.hidden {
            return Role::Internal;
        }
        let rules = &entry.spec.rules;
        let by_own = rules.is_empty() || rules.iter().any(|rule| rule.accepts(*message));
        if message.kind() == MessageType::META || (by_all && by_own) {
            Role::Wanted
        } else {
            Role::Internal
        }
    }

    /// The watches that are not there any more although no removal said so.
    ///
    /// The removal was lost, or is in the queue: that has to be read before this is believed.
    pub(crate) fn ended(&self, queue: &Queue) -> Vec<Ended> {
        let stats = queue.stats();
        let is_there = |watched: &Watched| match &stats {
            Ok(stats) => stats.has(watched),
            // What cannot be found out is not known to be gone.
            Err(_) => queue.still_watched(watched).unwrap_or(true),
        };
        let entries = self.entries.iter().filter(|entry| !entry.gone);
        let named = entries.filter_map(|entry| entry.watched.as_ref());
        let of_all = self.file_systems.values().map(|(_, watched)| watched);
        named
            .map(|watched| (watched, None))
            .chain(of_all.map(|watched| (watched, Some(watched.id()))))
            .filter(|(watched, _)| !is_there(watched))
            .map(|(watched, file_system)| Ended {
                tag: watched.tag(),
                file_system,
            })
            .collect()
    }

    /// Whether the removal has been read.
    pub(crate) fn knows_end(&self, end: &Ended) -> bool {
        match end.file_system {
            Some(id) => !self.file_systems.contains_key(&id),
            None => self.get(end.tag).is_none_or(|entry| entry.gone),
        }
    }

    /// Takes note of a removal that was lost.
    pub(crate) fn set_ended(&mut self, end: &Ended) {
        match end.file_system {
            Some(id) => drop(self.file_systems.remove(&id)),
            None => {
                if let Some(entry) = self.get_mut(end.tag) {
                    entry.gone = true;
                }
            }
        }
    }

    /// Attaches to what was gone, or not there yet, and is there now.  Returns whether there is
    /// something new.
    pub(crate) fn retry(&mut self, queue: &Queue) -> bool {
        let mut new = false;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let was_there = entry.watched.is_some();
            if !entry.gone || entry.hidden || (was_there && !is_back(&entry.spec.target)) {
                continue;
            }
            if let Ok(watched) = entry.spec.target.attach(queue, index as u8 + 1) {
                entry.watched = Some(watched);
                entry.gone = false;
                entry.announced = false;
                new = true;
            }
        }
        new
    }

    /// Whether something is gone that may come back.
    pub(crate) fn may_come_back(&self) -> bool {
        self.shown().any(|entry| entry.gone)
    }

    /// Watches what these say instead.  Nothing that stays is missed in between.
    pub(crate) fn reload(&mut self, specs: Vec<Spec>, queue: &Queue) -> Result<(), Failure> {
        // What a filter of before would drop may be wanted now.
        queue.clear_filter()?;
        for entry in &mut self.entries {
            let stays = specs.iter().any(|spec| spec.target == entry.spec.target);
            if entry.hidden || stays {
                continue;
            }
            // Its removal is then nobody's; what is in the queue before that is not wanted either.
            entry.hidden = true;
            let target = &entry.spec.target;
            let each: Vec<_> = if target.is_all_file_systems() {
                let all = self.file_systems.drain();
                all.map(|(_, (path, _))| Target::FileSystem(path.into()))
                    .collect()
            } else if entry.gone {
                Vec::new()
            } else {
                vec![target.clone()]
            };
            for target in each {
                // If it cannot be named any more, then its messages go nowhere.
                let _ = target.detach(queue);
            }
        }
        for spec in specs {
            let same = |entry: &&mut Entry| {
                entry.spec.target == spec.target && !(entry.gone && entry.hidden)
            };
            match self.entries.iter_mut().find(same) {
                Some(entry) => {
                    entry.hidden = false;
                    entry.spec = spec;
                }
                None => self.attach_or_wait(spec, queue).unwrap_or_else(|failure| {
                    say(failure.message);
                }),
            }
        }
        self.retry(queue);
        self.watch_mounts_if_need_be(queue)?;
        self.set_filter(queue)
    }
}

/// Whether something of that name is there again: a path without its mount is on another file
/// system.
fn is_back(target: &Target) -> bool {
    match target {
        Target::Key(..) | Target::Block(_) | Target::Devices(_) => true,
        Target::FileSystem(path) | Target::MountTree(path) => {
            watch_queue::mounts::MountTable::scan(None).is_ok_and(|table| table.at(path).is_some())
        }
        Target::MountNamespace(_) => false,
    }
}
