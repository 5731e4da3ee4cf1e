//! A rate on the command line: `50k/s`, or a pace such as `bursts,burst_rate=50k,every=10s,lasts=1s`.

use super::PaceSpec;
use crate::spec::{Micros, parse_rows};

/// Reads a rate or a pace as the command line writes them; the words of a pace are those of a scenario file. Points of
/// `ramp` and `steps` are written as `0s=1k,30s=50k`.
///
/// # Errors
/// The mistakes as sentences, one a line.
pub fn parse_rate(text: &str) -> Result<PaceSpec, String> {
    let (model, rest) = text.split_once(',').unwrap_or((text, ""));
    if rest.is_empty() && model.trim().starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return constant(model.trim());
    }
    let (mut fields, mut points) = (format!("model = {}\n", quoted(model.trim())), vec![]);
    for part in rest.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| {
            format!("found `{part}`, wanted `name=value` as in `bursts,burst_rate=50k,every=10s,lasts=1s`")
        })?;
        let (key, value) = (key.trim(), number(value.trim()));
        match key
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| Micros::parse(key))
        {
            Some(time) => points.push(format!("[{}, {value}]", quoted(&time?.to_string()))),
            None => fields += &format!("{key} = {value}\n"),
        }
    }
    if !points.is_empty() {
        fields += &format!("points = [{}]\n", points.join(", "));
    }
    let node = toml::from_str(&fields).map_err(|error| format!("cannot read `{text}`: {}", error.message()))?;
    match PaceSpec::read(&node) {
        (pace, mistakes) if mistakes.is_empty() => Ok(pace),
        (_, mistakes) => Err(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// `50k/s`, `3000/m`, `5/h`; a bare number is a second's.
fn constant(text: &str) -> Result<PaceSpec, String> {
    let wrong = || format!("`{text}` is no rate; write for example 50k/s or 600/m");
    let (rows, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    let rows = parse_rows(rows)
        .map(|rows| rows as f64)
        .or_else(|_| rows.trim().parse());
    let rate = rows.map_err(|_| wrong())? / seconds;
    if rate > 0.0 && rate <= 1e9 {
        Ok(PaceSpec::Constant { rate })
    } else {
        Err(wrong())
    }
}

/// A value as TOML: `50k` is a number too.
fn number(value: &str) -> String {
    match (value.parse::<f64>(), parse_rows(value)) {
        (Ok(_), _) => value.to_owned(),
        (_, Ok(rows)) => rows.to_string(),
        _ => quoted(value),
    }
}

fn quoted(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Gaps;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in [
            ("50k/s", 50_000.0),
            ("600/m", 10.0),
            ("2.5", 2.5),
            ("1M/h", 1e6 / 3_600.0),
        ] {
            assert_eq!(parse_rate(text), Ok(PaceSpec::Constant { rate }), "{text}");
        }
    }

    #[test]
    fn a_pace_is_said_in_the_words_of_a_scenario() {
        let bursts = PaceSpec::Bursts {
            rate: 1_000.0,
            burst_rate: 50_000.0,
            every: Micros::seconds(10),
            lasts: Micros::seconds(1),
            gaps: Gaps::Even,
        };
        assert_eq!(
            parse_rate("bursts,rate=1k,burst_rate=50k,every=10s,lasts=1s,gaps=even"),
            Ok(bursts)
        );
        let ramp = PaceSpec::Ramp {
            points: vec![(Micros(0), 1_000.0), (Micros::seconds(30), 50_000.0)],
            gaps: Gaps::Random,
        };
        assert_eq!(parse_rate("ramp,0s=1k,30s=50k"), Ok(ramp));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let messages: Vec<String> = [
            "50q/s",
            "0/s",
            "5/d",
            "burst,rate=5",
            "bursts,50k",
            "ramp",
            "steps,1 parsec=5",
        ]
        .into_iter()
        .map(|text| parse_rate(text).unwrap_err())
        .collect();
        insta::assert_snapshot!(messages.join("\n"), @r#"
        `50q/s` is no rate; write for example 50k/s or 600/m
        `0/s` is no rate; write for example 50k/s or 600/m
        `5/d` is no rate; write for example 50k/s or 600/m
        unknown pace `burst` (did you mean `bursts`?); the paces are `constant`, `poisson`, `daily`, `bursts`, `ramp`, `steps`
        found `50k`, wanted `name=value` as in `bursts,burst_rate=50k,every=10s,lasts=1s`
        the pace `ramp` needs `points`; write for example `points = [["0s", 1], ["10m", 100]]`
        `1 parsec` is not a duration; write for example "10s", "2m", "1h30m" or "250ms"
        "#);
    }
}
