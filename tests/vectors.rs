//! What real Spark emitted, case by case: the engine emits it, and the oracle derives it.
//!
//! `fixtures/vectors` are the cases given to the project. Those of supported shapes must agree with Spark; each other is
//! either right or refused as `SKIRL_UNSUPPORTED`, and what Spark refuses is never called that. `fixtures/asked` are
//! cases of our own that Spark was asked about; all of them must agree.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use skirl::case::{Case, Expected, differences, read_case, read_expected, rows_json};
use skirl::check::is_unsupported;
use skirl::oracle::{self, Freedom};
use skirl::replay::replay;
use skirl::run::Run;
use skirl::scenario::find;
use skirl::system::Embedded;

/// Vectors whose names begin so are of supported shapes.
const SUPPORTED: &[&str] = &[
    "a_",
    "b_",
    "c_",
    "d_",
    "e_",
    "f_gap_match_inner",
    "g_",
    "h_",
    "m_",
    "s_drip_join_hour",
    "s_drip_join_inner",
    "s_drip_select",
    "s_drip_tumble",
    "s_drip_union",
    "s_drip_watermark",
];
