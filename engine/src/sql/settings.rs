//! Settings that change what a query means: wrong values are refused as Spark refuses them, and what Skirl knows only
//! one way is refused as unsupported rather than answered wrongly.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// Settings that are true or false.
const FLAGS: [&str; 8] = [
    "spark.sql.ansi.enabled",
    "spark.sql.caseSensitive",
    "spark.sql.groupByAliases",
    "spark.sql.groupByOrdinal",
    "spark.sql.orderByOrdinal",
    "spark.sql.streaming.noDataMicroBatches.enabled",
    "spark.sql.streaming.statefulOperator.checkCorrectness.enabled",
    "spark.sql.streaming.unsupportedOperationCheck",
];

/// Settings of which Skirl knows these values only, in upper or lower case.
const ONLY: [(&str, &[&str]); 9] = [
    ("spark.sql.session.timeZone", &["UTC", "Etc/UTC", "GMT", "Z", "+00:00"]),
    ("spark.sql.caseSensitive", &["false"]),
    ("spark.sql.groupByAliases", &["true"]),
    ("spark.sql.groupByOrdinal", &["true"]),
    ("spark.sql.orderByOrdinal", &["true"]),
    ("spark.sql.mapKeyDedupPolicy", &["exception"]),
    ("spark.sql.streaming.statefulOperator.allowMultiple", &["true"]),
    (
        "spark.sql.streaming.statefulOperator.checkCorrectness.enabled",
        &["true"],
    ),
    ("spark.sql.streaming.unsupportedOperationCheck", &["true"]),
];

const POLICY: &str = "spark.sql.streaming.multipleWatermarkPolicy";

/// The names of Spark's settings on which the results of a query depend.
pub fn setting_names() -> impl Iterator<Item = &'static str> {
    let refused_mostly = ONLY.iter().map(|(name, _)| *name).filter(|name| !FLAGS.contains(name));
    FLAGS.into_iter().chain(refused_mostly).chain([POLICY])
}

/// Refuses values that are none, and values Skirl does not know.
pub(super) fn check(conf: &BTreeMap<String, String>) -> Result<()> {
    conf.iter().try_for_each(|(name, value)| check_setting(name, value))
}

/// Refuses a value that the setting `name` cannot have, or that Skirl does not know. Other names have any value.
///
/// # Errors
/// `INVALID_CONF_VALUE` as Spark's, or `SKIRL_UNSUPPORTED`.
pub fn check_setting(name: &str, value: &str) -> Result<()> {
    let lower = value.to_lowercase();
    if FLAGS.contains(&name) && !matches!(lower.as_str(), "true" | "false") {
        return Err(Error::spark(
            "INVALID_CONF_VALUE.TYPE_MISMATCH",
            format!(
                "The value '{value}' in the config \"{name}\" is invalid. It should be a/an 'boolean' value: write \
                 `true` or `false`."
            ),
        ));
    }
    if name == POLICY && !matches!(lower.as_str(), "min" | "max") {
        return Err(Error::spark(
            "INVALID_CONF_VALUE.REQUIREMENT",
            format!("The value '{value}' in the config \"{name}\" is invalid: write `min` or `max`."),
        ));
    }
    let known = ONLY.iter().find(|(only, _)| *only == name);
    if let Some((_, values)) = known.filter(|(_, values)| !values.iter().any(|known| known.eq_ignore_ascii_case(value)))
    {
        return Err(not_yet(name, value, &format!("write `{}`", values[0])));
    }
    if name.starts_with("spark.sql.legacy.") {
        return Err(not_yet(name, value, "remove the setting"));
    }
    Ok(())
}

fn not_yet(name: &str, value: &str, instead: &str) -> Error {
    Error::unsupported(format!(
        "`{name}` is `{value}`, under which Spark gives results that Skirl does not give yet; {instead}"
    ))
}
