//! Every scenario of `scenarios/` is a test of its own name: it runs on the embedded engine and all its checks pass.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use skirl::judge::{self, Status};
use skirl::report::{Entry, Paint, Report, results, terminal};
use skirl::scenario::{Scenario, find};
use skirl::system::Embedded;

fn main() {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, trials()).exit();
}

fn trials() -> Vec<Trial> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    match find(&[root], "toml") {
        Ok(paths) if !paths.is_empty() => paths.into_iter().map(trial).collect(),
        Ok(_) => vec![failure("no scenario was found")],
        Err(error) => vec![failure(error)],
    }
}

/// A test in the name of the folder that fails.
fn failure(reason: impl ToString) -> Trial {
    let reason = reason.to_string();
    Trial::test("scenarios", || Err(Failed::from(reason)))
}

fn trial(path: PathBuf) -> Trial {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = folder(&path);
    Trial::test(name, move || passes(&path)).with_kind(folder)
}

fn folder(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    folder.to_string_lossy().into_owned()
}

fn passes(path: &Path) -> Result<(), Failed> {
    let scenario = Scenario::read(path)?;
    let first = report(&scenario)?;
    let text = terminal::render(&first, Paint::PLAIN);
    if first.count(Status::Passed) == 0 {
        return Err(format!("{text}again: skirl run {}", path.display()).into());
    }
    let second = report(&scenario)?;
    if text != terminal::render(&second, Paint::PLAIN) || results::render(&first) != results::render(&second) {
        return Err("a second run gave other results than the first".into());
    }
    Ok(())
}

/// The report of one run of `scenario` on the embedded engine.
fn report(scenario: &Scenario) -> Result<Report, Failed> {
    let seed = scenario.seed;
    let trial = judge::Trial::of(scenario, seed)?;
    let outcome = Box::new(judge::judge(&trial, &mut Embedded::default()));
    Ok(Report {
        entries: vec![Entry::Ran { outcome, again: None }],
    })
}
