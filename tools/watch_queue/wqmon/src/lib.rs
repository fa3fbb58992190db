// SPDX-License-Identifier: GPL-2.0

//! wqmon: what happens to keys, mounts, file systems, disks and devices, from a notification
//! queue, as lines, as a live screen or as a service.

mod cli;
mod config;
mod event;
mod exec;
mod failure;
mod journal;
mod metrics;
mod monitor;
mod names;
mod output;
mod target;
mod top;
mod watches;

use clap::{CommandFactory, Parser};
use std::process::ExitCode;

use cli::{Cli, Command};
use failure::say;

/// The command line, for manual pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs wqmon.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Top(arguments)) => top::run(arguments),
        None => monitor::run(cli.monitor),
    };
    let code = result.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            say(&failure.message);
        }
        failure.code
    });
    ExitCode::from(code)
}
