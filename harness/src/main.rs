//! The command `skirl`.

use std::process::ExitCode;

use clap::Parser;
use skirl::cli::Command;

fn main() -> ExitCode {
    match Command::parse().execute() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
