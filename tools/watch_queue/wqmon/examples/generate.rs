// SPDX-License-Identifier: GPL-2.0

//! Writes the manual pages and the completions for shells into a directory.
//!
//! usage: generate DIRECTORY

use clap_complete::{generate_to, Shell};
use clap_mangen::Man;
use std::{env, error::Error, fs, path::PathBuf};

/// What is not on the command line.
const SECTIONS: &str = include_str!("../man/wqmon.8.in");

/// Of the manual page
const DATE: &str = "2026-11-25";

/// The same page, so that mandoc has nothing to say of it: lines that are not too long, and no
/// requests that do nothing.
fn tidied(page: &str) -> String {
    let mut tidied = String::from(".\\\" SPDX-License-Identifier: GPL-2.0\n");
    let lines: Vec<_> = page.lines().map(str::trim_end).collect();
    for (index, line) in lines.iter().enumerate() {
        let is_sp = |line: Option<&&str>| matches!(line, Some(&(".sp" | "")));
        let before = index.checked_sub(1).and_then(|before| lines.get(before));
        if *line == ".br" && (is_sp(lines.get(index + 1)) || is_sp(before)) {
            continue;
        }
        let mut width = 0;
        for word in line.split_inclusive(' ') {
            // A request and its arguments are one line.
            if width + word.len() > 75 && !line.starts_with('.') {
                tidied.truncate(tidied.trim_end_matches(' ').len());
                tidied.push('\n');
                width = 0;
            }
            tidied += word;
            width += word.len();
        }
        tidied.push('\n');
    }
    tidied
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::args_os().nth(1).ok_or("usage: generate DIRECTORY")?;
    let directory = PathBuf::from(directory);
    fs::create_dir_all(&directory)?;

    let mut command = wqmon::command();
    command.build();
    let version = env!("CARGO_PKG_VERSION");
    let man = Man::new(command)
        .title("WQMON")
        .section("8")
        .date(DATE)
        .source(format!("wqmon {version}"))
        .manual("System Administration");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let page = tidied(&String::from_utf8(page)?) + SECTIONS;
    fs::write(directory.join("wqmon.8"), page)?;

    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        generate_to(shell, &mut wqmon::command(), "wqmon", &directory)?;
    }
    Ok(())
}
