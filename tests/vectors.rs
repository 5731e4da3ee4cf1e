//! What real Spark emitted, case by case: the engine emits it, and the oracle derives it.
//!
//! Every case of the supported shapes must agree with Spark. Of the others each is either right or refused as
//! `SKIRL_UNSUPPORTED`, never taken for one of Spark's refusals.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use skirl::case::{Case, differences, read_case, read_expected};
use skirl::check::is_unsupported;
use skirl::oracle;
use skirl::replay::replay;
use skirl::run::Run;
use skirl::scenario::find;
use skirl::system::Embedded;

/// Cases whose names begin so are of supported shapes.
const SUPPORTED: &[&str] = &[
    "a_",
    "b_",
    "c_",
    "d_",
    "e_",
    "g_",
    "h_",
    "s_drip_select",
    "s_drip_tumble",
    "s_drip_join_inner",
    "s_drip_join_hour",
];

fn main() {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, trials()).exit();
}

fn trials() -> Vec<Trial> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors");
    let cases = match find(&[vectors.join("cases")], "json") {
        Ok(cases) => cases,
        Err(error) => return vec![failure(error)],
    };
    let is_missing = |group: &&&str| !cases.iter().any(|path| name_of(path).starts_with(**group));
    if let Some(group) = SUPPORTED.iter().find(is_missing) {
        return vec![failure(format!("no vector is called `{group}...`"))];
    }
    cases
        .iter()
        .flat_map(|path| trials_of(path, &vectors.join("expected")))
        .collect()
}

/// A test in the name of the folder that fails.
fn failure(reason: impl ToString) -> Trial {
    let reason = reason.to_string();
    Trial::test("vectors", || Err(Failed::from(reason)))
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn trials_of(case: &Path, results: &Path) -> [Trial; 2] {
    let name = name_of(case);
    let result = results.join(format!("{name}.json"));
    let trial = |kind: &str, run: fn(&Case) -> Run| {
        let (case, result, name) = (case.to_path_buf(), result.clone(), name.clone());
        Trial::test(format!("{kind}::{name}"), move || agrees(&name, case, result, run))
    };
    [trial("engine", run_engine), trial("oracle", run_oracle)]
}

fn run_engine(case: &Case) -> Run {
    replay(&mut Embedded::default(), &case.job, &case.trace)
}

fn run_oracle(case: &Case) -> Run {
    oracle::expect(&case.job, &case.trace).run
}

/// What `run` makes of the case agrees with Spark's result, as far as Skirl supports the case.
fn agrees(name: &str, case: PathBuf, result: PathBuf, run: fn(&Case) -> Run) -> Result<(), Failed> {
    let expected = read_expected(&result)?;
    let run = run(&read_case(&case)?);
    let is_supported = SUPPORTED.iter().any(|group| name.starts_with(group));
    if is_unsupported(&run) && !is_supported {
        return Ok(());
    }
    let differences = differences(&expected, &run);
    if differences.is_empty() {
        Ok(())
    } else {
        Err(differences.join("\n").into())
    }
}
