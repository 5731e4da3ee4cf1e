//! The command `skirl`.

use std::process::ExitCode;

use clap::Parser;
use skirl::cli::{Command, tell};

fn main() -> ExitCode {
    match Command::parse().execute() {
        Ok(code) => code,
        Err(error) => {
            tell(&error);
            ExitCode::from(2)
        }
    }
}
