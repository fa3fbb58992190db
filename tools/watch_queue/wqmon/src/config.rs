// SPDX-License-Identifier: GPL-2.0

//! The configuration file.

use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};
use watch_queue::Rule;

use crate::{
    cli::{MonitorArgs, DEFAULT_SIZE},
    failure::{reason, Failure},
    target::{Target, ALL, OWN_MOUNTS},
    watches::Spec,
};

/// What the file says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) size: usize,
    pub(crate) output: Kind,
    pub(crate) textfile: Option<PathBuf>,
    pub(crate) watches: Vec<Spec>,
    pub(crate) runs: Vec<Run>,
}

/// A command, and the events that it is run for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) on: Vec<Rule>,
    /// Of what is watched under this name only.
    pub(crate) watch: Option<String>,
    pub(crate) command: String,
    pub(crate) jobs: u16,
}

/// Where events go.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Journal,
    Json,
    #[default]
    Text,
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "default_size")]
    size: usize,
    #[serde(default)]
    output: Kind,
    textfile: Option<PathBuf>,
    #[serde(default)]
    watch: Vec<FileWatch>,
    #[serde(default)]
    run: Vec<FileRun>,
}

fn default_size() -> usize {
    DEFAULT_SIZE
}

fn default_jobs() -> u16 {
    4
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileWatch {
    name: Option<String>,
    key: Option<String>,
    mount_ns: Option<SwitchOrPath>,
    mount_tree: Option<PathBuf>,
    fs: Option<PathBuf>,
    block: Option<PathBuf>,
    devices: Option<SwitchOrPath>,
    #[serde(default)]
    filter: Vec<String>,
}

/// `true`, or the path of a mount namespace or of a directory of sysfs.
#[derive(Deserialize)]
#[serde(untagged)]
enum SwitchOrPath {
    Switch(bool),
    Path(PathBuf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRun {
    #[serde(default)]
    on: Vec<String>,
    watch: Option<String>,
    command: String,
    #[serde(default = "default_jobs")]
    jobs: u16,
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let of_file = |message: String| format!("{}: {message}", path.display());
        let text =
            fs::read_to_string(path).map_err(|error| Failure::new(of_file(reason(&error))))?;
        Self::parse(&text).map_err(|message| Failure::usage(of_file(message)))
    }

    /// A command line, as if it were a file.
    pub(crate) fn of_arguments(arguments: &MonitorArgs) -> Self {
        let spec = |target: Target| Spec {
            name: target.to_string(),
            target,
            rules: Vec::new(),
        };
        let run = |command: &String| Run {
            on: Vec::new(),
            watch: None,
            command: command.clone(),
            jobs: arguments.jobs,
        };
        Self {
            size: arguments.watch.size,
            output: match (arguments.quiet, arguments.json) {
                (2.., _) => Kind::None,
                (_, true) => Kind::Json,
                _ => Kind::Text,
            },
            textfile: arguments.textfile.clone(),
            watches: arguments.watch.targets().into_iter().map(spec).collect(),
            runs: arguments.exec.iter().map(run).collect(),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.watch.is_empty() {
            return Err("there is no [[watch]]".to_owned());
        }
        let watches: Vec<_> = file
            .watch
            .into_iter()
            .map(FileWatch::spec)
            .collect::<Result<_, _>>()?;
        let runs: Vec<_> = file
            .run
            .into_iter()
            .map(|run| run.checked(&watches))
            .collect::<Result<_, _>>()?;
        for (index, watch) in watches.iter().enumerate() {
            if watches[..index]
                .iter()
                .any(|other| other.target == watch.target)
            {
                return Err(format!("{} is there twice", watch.target));
            }
        }
        Ok(Self {
            size: file.size,
            output: file.output,
            textfile: file.textfile,
            watches,
            runs,
        })
    }
}

impl FileWatch {
    fn spec(self) -> Result<Spec, String> {
        let mut targets = Vec::new();
        if let Some(key) = self.key {
            let name = key.parse();
            targets.push(Target::Key(key, name.map_err(|error| format!("{error}"))?));
        }
        match self.mount_ns {
            Some(SwitchOrPath::Switch(true)) => {
                targets.push(Target::MountNamespace(OWN_MOUNTS.into()))
            }
            Some(SwitchOrPath::Path(path)) => targets.push(Target::MountNamespace(path)),
            Some(SwitchOrPath::Switch(false)) | None => {}
        }
        targets.extend(self.mount_tree.map(Target::MountTree));
        targets.extend(self.fs.map(Target::FileSystem));
        targets.extend(self.block.map(Target::Block));
        match self.devices {
            Some(SwitchOrPath::Switch(true)) => targets.push(Target::Devices(ALL.into())),
            Some(SwitchOrPath::Path(path)) => targets.push(Target::Devices(path)),
            Some(SwitchOrPath::Switch(false)) | None => {}
        }
        let (Some(target), 0) = (targets.pop(), targets.len()) else {
            return Err(
                "a [[watch]] has one of key, mount-ns, mount-tree, fs, block and devices"
                    .to_owned(),
            );
        };
        Ok(Spec {
            name: self.name.unwrap_or_else(|| target.to_string()),
            target,
            rules: rules(&self.filter)?,
        })
    }
}

impl FileRun {
    fn checked(self, watches: &[Spec]) -> Result<Run, String> {
        if let Some(name) = &self.watch {
            if !watches.iter().any(|watch| watch.name == *name) {
                return Err(format!("there is no [[watch]] with the name '{name}'"));
            }
        }
        if self.jobs == 0 {
            return Err("jobs = 0 runs nothing".to_owned());
        }
        Ok(Run {
            on: rules(&self.on)?,
            watch: self.watch,
            command: self.command,
            jobs: self.jobs,
        })
    }
}

fn rules(texts: &[String]) -> Result<Vec<Rule>, String> {
    let rule = |text: &String| text.parse().map_err(|error| format!("{error}"));
    texts.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_says_what_to_watch_and_to_run() {
        let config = Config::parse(
            r#"
            size = 4096
            output = "journal"
            textfile = "/run/x.prom"
            [[watch]]
            name = "disks"
            block = "all"
            [[watch]]
            fs = "/srv"
            filter = ["superblock:error,readonly"]
            [[watch]]
            mount-ns = true
            [[run]]
            on = ["block", "superblock:error"]
            watch = "disks"
            command = "mail root"
            jobs = 1
            "#,
        )
        .unwrap();
        let names: Vec<_> = config.watches.iter().map(|watch| &*watch.name).collect();
        assert_eq!(names, ["disks", "fs=/srv", "mount-ns"]);
        assert_eq!((config.size, config.output), (4096, Kind::Journal));
        assert_eq!((config.runs[0].on.len(), config.runs[0].jobs), (2, 1));
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no [[watch]]"),
            ("[[watch]]\n", "one of key"),
            ("[[watch]]\nfs='/'\nblock='all'", "one of key"),
            ("[[watch]]\nfss='/'", "unknown field"),
            ("[[watch]]\nfs='/'\nfilter=['disk']", "no type 'disk'"),
            ("[[watch]]\nkey='@x'", "is no key"),
            ("[[watch]]\nfs='/'\n[[watch]]\nname='x'\nfs='/'", "twice"),
            (
                "[[watch]]\nfs='/'\n[[run]]\ncommand='x'\nwatch='y'",
                "no [[watch]] with",
            ),
            (
                "[[watch]]\nfs='/'\n[[run]]\ncommand='x'\njobs=0",
                "runs nothing",
            ),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
