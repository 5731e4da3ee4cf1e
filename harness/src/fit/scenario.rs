//! What was fitted, as a scenario file.

use skirl_generator::DisorderCard;
use toml::{Table, Value};

use super::Fitted;

/// A scenario with these streams. Its query counts rows, for a scenario has one; put your own in its place.
pub fn scenario_text(trace: &str, fitted: &[Fitted]) -> String {
    let mut text = format!("# Fitted to {trace} by `skirl fit`. What was measured there:\n");
    for stream in fitted {
        text += &format!("#\n# {}\n", stream.name);
        stream
            .remarks
            .iter()
            .for_each(|remark| text += &format!("# - {remark}\n"));
        text += &commented(&stream.measured);
    }
    let streams = fitted.iter().map(|stream| {
        let spec = Table::try_from(&stream.spec).expect("a specification is TOML");
        (stream.name.clone(), Value::Table(spec))
    });
    let of = |entries: &[(&str, &str)]| {
        let entries = entries
            .iter()
            .map(|(key, value)| (key.to_string(), Value::String(value.to_string())));
        Value::Table(entries.collect())
    };
    let sql = format!("SELECT count(*) AS row_count FROM `{}`", fitted[0].name);
    let mut document = Table::new();
    document.insert(
        "title".into(),
        Value::String(format!("Streams that look like those of {trace}")),
    );
    document.insert("streams".into(), Value::Table(streams.collect()));
    document.insert("query".into(), of(&[("sql", &sql), ("output_mode", "complete")]));
    document.insert("expect".into(), of(&[("output_rows", "> 0")]));
    text + "\n" + &toml::to_string(&document).expect("a table is TOML")
}

fn commented(card: &DisorderCard) -> String {
    card.to_string().lines().map(|line| format!("#   {line}\n")).collect()
}
