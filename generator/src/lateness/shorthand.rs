//! Lateness on the command line: `pareto,share=5%,max=2m`, several layers joined by `+`.

use super::LayerSpec;

/// Reads layers as the command line writes them; the same as the tables of a scenario file.
///
/// # Errors
/// The mistakes as sentences, one a line.
pub fn parse_lateness(text: &str) -> Result<Vec<LayerSpec>, String> {
    text.split('+')
        .map(str::trim)
        .filter(|layer| !layer.is_empty())
        .map(parse_layer)
        .collect()
}

fn parse_layer(text: &str) -> Result<LayerSpec, String> {
    let mut parts = text.split(',').map(str::trim);
    let mut toml = format!("model = {}\n", quoted(parts.next().unwrap_or_default()));
    for part in parts {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| format!("found `{part}`, wanted `name=value` as in `pareto,share=5%,max=2m`"))?;
        toml += &format!("{} = {}\n", key.trim(), bare_or_quoted(value.trim()));
    }
    let node = toml::from_str(&toml).map_err(|error| format!("cannot read `{text}`: {}", error.message()))?;
    match LayerSpec::read(&node) {
        (Some(layer), mistakes) if mistakes.is_empty() => Ok(layer),
        (_, mistakes) => Err(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// Numbers, truths and lists stand as they are, everything else is a text.
fn bare_or_quoted(value: &str) -> String {
    let bare = value.parse::<f64>().is_ok() || matches!(value, "true" | "false") || value.starts_with('[');
    if bare { value.to_owned() } else { quoted(value) }
}

fn quoted(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::StreamSpec;

    #[test]
    fn the_short_form_says_the_same_as_a_table() {
        let spec = "kind = \"scotsmen\"\nrows = 1\nlateness = { model = \"pareto\", share = 0.05, max = \"2m\" }";
        assert_eq!(
            parse_lateness("pareto,share=5%,max=2m").unwrap(),
            StreamSpec::from_toml(spec).unwrap().lateness
        );
    }

    #[test]
    fn layers_are_joined_by_plus() {
        assert_eq!(parse_lateness("exponential,mean=2s + loss,share=1%").unwrap().len(), 2);
    }

    #[test]
    fn mistakes_say_what_to_write() {
        insta::assert_snapshot!(parse_lateness("paretto,share=5%").unwrap_err(), @"unknown lateness model `paretto` (did you mean `pareto`?); the models are `constant`, `uniform`, `exponential`, `lognormal`, `pareto`, `weibull`, `empirical`, `ties`, `jump`, `clock`, `boundary`, `device`, `spikes`, `partition`, `by-partition`, `duplicate`, `loss`, `corrupt`, `null-time`, `schedule`");
        insta::assert_snapshot!(parse_lateness("pareto,5%").unwrap_err(), @"found `5%`, wanted `name=value` as in `pareto,share=5%,max=2m`");
        insta::assert_snapshot!(parse_lateness("pareto,share=500%,maximum=2m").unwrap_err(), @r#"
        `share`: a share lies between 0 and 1 (or "0%" and "100%"), found 5
        the layer `pareto` has no field `maximum`; it has `model`, `share`, `scale`, `shape`, `max`
        "#);
    }
}
