// SPDX-License-Identifier: GPL-2.0

//! What can be told before there is a queue.  The rest is tested in a guest, by
//! `wqmon_test.sh` and `wqmon_sources_test.sh` of the kselftests.

use std::process::{Command, Output};

fn wqmon(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_wqmon"))
        .args(args)
        .output()
        .unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_wrong_command_line_is_refused_with_the_reason() {
    for (args, reason) in [
        (&[][..], "required"),
        (&["@x"], "'@x' is no key"),
        (
            &["--filter", "kez", "@s"],
            "no type 'kez'; there are meta, key",
        ),
        (
            &["--filter", "key:linkd", "@s"],
            "no subtype 'linkd'; there are instantiated",
        ),
        (&["--count", "0", "@s"], "0 is not in"),
        (&["--timeout", "soon", "@s"], "not a number"),
        (&["--mount-ns", "/srv"], "--mount-tree"),
        (&["--format", "%x", "@s"], "'%x' is not known"),
        (&["--config", "x", "--fs", "/"], "cannot be used"),
    ] {
        let (code, stderr) = wqmon(args);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(reason), "{args:?}: {stderr}");
    }
}

/// This may be a kernel with queues, or one without.
#[test]
fn a_kernel_without_queues_is_told_of() {
    let (code, stderr) = wqmon(&["--timeout", "0", "@s"]);
    match code {
        Some(0) => {}
        code => {
            assert_eq!(code, Some(3), "{stderr}");
            let said = "wqmon: this kernel has no notification";
            assert!(
                stderr.starts_with(said) && stderr.lines().count() == 1,
                "{stderr}"
            );
        }
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_the_reason() {
    let (code, stderr) = wqmon(&["--config", "/nowhere.toml"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(stderr, "wqmon: /nowhere.toml: No such file or directory\n");
}

/// The service is not started again then: `RestartPreventExitStatus=` has this code.
#[test]
fn nonsense_in_the_configuration_is_as_on_the_command_line() {
    let file = std::env::temp_dir().join(format!("wqmon-{}.toml", std::process::id()));
    std::fs::write(&file, "nonsense = 1\n").unwrap();
    let (code, stderr) = wqmon(&["--config", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("unknown field `nonsense`"), "{stderr}");
}

#[test]
fn top_needs_a_terminal() {
    let (code, stderr) = wqmon(&["top", "@s"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(stderr, "wqmon: top needs a terminal\n");
}

/// Nobody is there to read what is said.
#[test]
fn standard_error_that_is_closed_is_no_panic() {
    let (read_end, write_end) = std::io::pipe().unwrap();
    drop(read_end);
    let status = Command::new(env!("CARGO_BIN_EXE_wqmon"))
        .args(["--config", "/nowhere.toml"])
        .stderr(write_end)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
