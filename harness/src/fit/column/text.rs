//! Texts: one of a few, keys of which some are far more frequent, or a text of its own for every row.

use std::collections::BTreeMap;

use arrow::array::StringArray;
use skirl_generator::stream::{ColumnModel, Literal};

use super::super::minimum::minimum;
use super::super::rounded;

/// Up to so many texts are chosen from by name; more are ranks by frequency.
const CHOICES_MAX: usize = 256;
/// A column where nearly every text is another has a text for each row.
const UNIQUE: f64 = 0.95;
const UNIQUE_ROWS: usize = 20;

/// The model of these texts, and its template.
pub(super) fn fit(name: &str, texts: &StringArray) -> (ColumnModel, Option<String>) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    texts
        .iter()
        .flatten()
        .for_each(|text| *counts.entry(text).or_default() += 1);
    let rows: u64 = counts.values().sum();
    let Some(first) = counts.keys().next() else {
        let value = Literal::Text(String::new());
        return (ColumnModel::Constant { value }, None);
    };
    if counts.len() == 1 {
        let value = Literal::Text((*first).to_string());
        return (ColumnModel::Constant { value }, None);
    }
    if rows as usize >= UNIQUE_ROWS && counts.len() as f64 >= rows as f64 * UNIQUE {
        return (ColumnModel::Template, Some(template(name, &counts, "{row}")));
    }
    let mut by_count: Vec<(&str, u64)> = counts.iter().map(|(text, count)| (*text, *count)).collect();
    by_count.sort_by_key(|(text, count)| (std::cmp::Reverse(*count), *text));
    if counts.len() <= CHOICES_MAX {
        let model = ColumnModel::Choice {
            values: by_count
                .iter()
                .map(|(text, _)| Literal::Text((*text).to_string()))
                .collect(),
            weights: by_count.iter().map(|(_, count)| *count as f64).collect(),
        };
        return (model, None);
    }
    let frequencies: Vec<u64> = by_count.iter().map(|(_, count)| *count).collect();
    let model = ColumnModel::Zipf {
        n: counts.len() as u64,
        exponent: exponent(&frequencies),
    };
    (model, Some(template(name, &counts, "{value}")))
}

/// What the texts begin with, and then a number; braces would say something else in a template.
fn template(name: &str, counts: &BTreeMap<&str, u64>, number: &str) -> String {
    let first = counts.keys().next().copied().unwrap_or_default();
    let common = counts.keys().fold(first, |common, text| {
        let same = common
            .char_indices()
            .zip(text.chars())
            .find(|((_, left), right)| left != right);
        &common[..same.map_or(common.len().min(text.len()), |((at, _), _)| at)]
    });
    let prefix = common.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = counts.keys().all(|text| {
        let rest = &text[prefix.len()..];
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
    });
    let plain = |text: &str| text.replace(['{', '}'], "");
    if numbered {
        format!("{}{number}", plain(prefix))
    } else {
        format!("{}-{number}", plain(name))
    }
}

/// The exponent of Zipf's law under which ranks with these frequencies, the most frequent first, are likeliest.
pub(super) fn exponent(frequencies: &[u64]) -> f64 {
    let rows: u64 = frequencies.iter().sum();
    let logs: f64 = (1..)
        .zip(frequencies)
        .map(|(rank, count)| f64::from(rank).ln() * *count as f64)
        .sum();
    let unlikely = |[log]: &[f64; 1]| {
        let exponent = log.exp();
        let norm: f64 = (1..=frequencies.len()).map(|rank| (rank as f64).powf(-exponent)).sum();
        exponent * logs / rows as f64 + norm.ln()
    };
    let [log] = minimum([0.0], unlikely);
    rounded(log.exp().clamp(1e-3, 20.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(texts: &[Option<String>]) -> (ColumnModel, Option<String>) {
        fit("user", &texts.iter().cloned().collect::<StringArray>())
    }

    #[test]
    fn few_texts_are_chosen_from_as_often_as_they_came() {
        let texts = ["Porto", "Faro", "Porto"].map(|text| Some(text.to_string()));
        let model = ColumnModel::Choice {
            values: vec![Literal::Text("Porto".into()), Literal::Text("Faro".into())],
            weights: vec![2.0, 1.0],
        };
        assert_eq!(fitted(&texts), (model, None));
    }

    #[test]
    fn a_text_for_each_row_is_a_template() {
        let texts: Vec<_> = (0..100).map(|row| Some(format!("order-{row}"))).collect();
        assert_eq!(fitted(&texts), (ColumnModel::Template, Some("order-{row}".into())));
        let hashes: Vec<_> = (0..100u64)
            .map(|row| Some(format!("{:x}", row * 0x9e37_79b9_7f4a)))
            .collect();
        assert_eq!(fitted(&hashes), (ColumnModel::Template, Some("user-{row}".into())));
    }

    #[test]
    fn many_keys_are_ranks_whose_skew_is_found() {
        for wanted in [0.7, 1.0, 1.4] {
            let count = |rank: u64| (20_000.0 * (rank as f64).powf(-wanted)).ceil() as usize;
            let texts: Vec<_> = (1..=1_000)
                .flat_map(|rank| vec![Some(format!("user-{rank}")); count(rank)])
                .collect();
            let (ColumnModel::Zipf { n: 1_000, exponent }, Some(template)) = fitted(&texts) else {
                panic!("keys were taken for something else");
            };
            assert_eq!(template, "user-{value}");
            assert!((exponent / wanted - 1.0).abs() < 0.05, "{exponent} instead of {wanted}");
        }
    }
}
