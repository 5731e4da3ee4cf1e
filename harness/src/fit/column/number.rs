//! Numbers, days and times: one value, a sequence, a distribution the generator has, or the measured one.

use std::collections::BTreeMap;

use skirl_generator::distribution::normal_share;
use skirl_generator::spec::{Micros, Time};
use skirl_generator::stream::{ColumnModel, ColumnType, Literal};

use super::super::rounded;
use super::text::exponent;

/// A distribution may be so far from the measured one, by Kolmogorov's distance, and besides by what chance does.
const DISTANCE_MAX: f64 = 0.02;
/// Up to so many values are chosen from as often as they came.
const CHOICES_MAX: usize = 64;
/// Of more values, so many quantiles.
const QUANTILES: usize = 101;
/// So many steps must be the same for a sequence.
const SEQUENCE: f64 = 0.99;
/// The largest rank that is tried for Zipf's law.
const RANK_MAX: i64 = 100_000;

/// The model of values in units of the column's type; `in_order` are some of them in order of event time.
pub(super) fn fit_units(mut values: Vec<i64>, in_order: &[i64], kind: ColumnType) -> ColumnModel {
    values.sort_unstable();
    let (Some(min), Some(max)) = (values.first().copied(), values.last().copied()) else {
        let value = literal(0, kind);
        return ColumnModel::Constant { value };
    };
    if min == max {
        let value = literal(min, kind);
        return ColumnModel::Constant { value };
    }
    if let Some((start, step)) = sequence(in_order) {
        return ColumnModel::Sequence {
            start: literal(start, kind),
            step: step_literal(step, kind),
        };
    }
    let counts = counts(&values);
    let near = nearness(values.len());
    let length = (max - min) as f64 + 1.0;
    if counts.len() > 2 && distance(&values, |x| ((x - min) as f64 + 1.0) / length) <= near {
        return ColumnModel::Uniform {
            min: literal(min, kind),
            max: literal(max, kind),
        };
    }
    if matches!(kind, ColumnType::Int | ColumnType::Bigint)
        && let Some(model) = whole_numbers(&values, &counts, near)
    {
        return model;
    }
    let chosen = if counts.len() <= CHOICES_MAX {
        counts
    } else {
        self::counts(&quantiles(&values))
    };
    ColumnModel::Choice {
        values: chosen.keys().map(|value| literal(*value, kind)).collect(),
        weights: chosen.values().map(|count| *count as f64).collect(),
    }
}

/// Counts, ranks or a bell curve of whole numbers, ascending.
fn whole_numbers(values: &[i64], counts: &BTreeMap<i64, u64>, near: f64) -> Option<ColumnModel> {
    let (mean, deviation) = mean_and_deviation(values.iter().map(|value| *value as f64));
    let (min, max) = (values[0], values[values.len() - 1]);
    if min >= 0 && mean < 1e5 {
        let poisson = poisson_shares(mean, max as usize);
        if distance(values, |x| poisson[x as usize]) <= near {
            return Some(ColumnModel::Poisson { mean: rounded(mean) });
        }
    }
    if min >= 1 && max <= RANK_MAX && counts.len() > CHOICES_MAX {
        let frequencies: Vec<u64> = (1..=max).map(|rank| counts.get(&rank).copied().unwrap_or(0)).collect();
        let exponent = exponent(&frequencies);
        let shares = zipf_shares(max as usize, exponent);
        if distance(values, |x| shares[x as usize - 1]) <= near {
            let n = max as u64;
            return Some(ColumnModel::Zipf { n, exponent });
        }
    }
    let normal = |x: i64| normal_share((x as f64 + 0.5 - mean) / deviation);
    let wide = counts.len() > CHOICES_MAX && distance(values, normal) <= near;
    wide.then(|| ColumnModel::Normal {
        mean: rounded(mean),
        deviation: rounded(deviation),
    })
}

/// The model of doubles.
pub(super) fn fit_reals(values: &[f64]) -> ColumnModel {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let (Some(min), Some(max)) = (values.first().copied(), values.last().copied()) else {
        let value = Literal::Float(0.0);
        return ColumnModel::Constant { value };
    };
    if min == max {
        let value = Literal::Float(min);
        return ColumnModel::Constant { value };
    }
    let near = nearness(values.len());
    let ranks: Vec<i64> = (0..values.len() as i64).collect();
    let at = |rank: i64| values[rank as usize];
    if distance(&ranks, |rank| (at(rank) - min) / (max - min)) <= near {
        return ColumnModel::Uniform {
            min: Literal::Float(min),
            max: Literal::Float(max),
        };
    }
    let (mean, deviation) = mean_and_deviation(values.iter().copied());
    if distance(&ranks, |rank| normal_share((at(rank) - mean) / deviation)) <= near {
        return ColumnModel::Normal {
            mean: rounded(mean),
            deviation: rounded(deviation),
        };
    }
    let mut chosen: Vec<(f64, u64)> = vec![];
    for rank in quantiles(&ranks) {
        match chosen.last_mut() {
            Some((value, count)) if *value == at(rank) => *count += 1,
            _ => chosen.push((at(rank), 1)),
        }
    }
    ColumnModel::Choice {
        values: chosen.iter().map(|(value, _)| Literal::Float(*value)).collect(),
        weights: chosen.iter().map(|(_, count)| *count as f64).collect(),
    }
}

/// The values whose rows have an event time, in that order; all of them as they came where no row has one.
pub(super) fn in_order_of_events(values: &[Option<i64>], events: &[Option<i64>]) -> Vec<i64> {
    let timed = values
        .iter()
        .zip(events)
        .filter_map(|(value, event)| Some(((*event)?, (*value)?)));
    let mut timed: Vec<(i64, i64)> = timed.collect();
    if timed.is_empty() {
        return values.iter().flatten().copied().collect();
    }
    timed.sort_by_key(|(event, _)| *event);
    timed.into_iter().map(|(_, value)| value).collect()
}

/// Start and step, if the values count up or down.
fn sequence(in_order: &[i64]) -> Option<(i64, i64)> {
    let step = in_order.get(1)?.checked_sub(in_order[0])?;
    let same = in_order
        .windows(2)
        .filter(|pair| pair[1].checked_sub(pair[0]) == Some(step))
        .count();
    let enough = in_order.len() > 3 && same as f64 >= (in_order.len() - 1) as f64 * SEQUENCE;
    (step != 0 && enough).then(|| (in_order[0], step))
}

fn counts(values: &[i64]) -> BTreeMap<i64, u64> {
    let mut counts = BTreeMap::new();
    values.iter().for_each(|value| *counts.entry(*value).or_default() += 1);
    counts
}

fn quantiles(sorted: &[i64]) -> Vec<i64> {
    let last = (sorted.len() - 1) as f64;
    let at = |n: usize| sorted[(n as f64 / (QUANTILES - 1) as f64 * last).round() as usize];
    (0..QUANTILES).map(at).collect()
}

/// How near a distribution must be to so many values.
fn nearness(count: usize) -> f64 {
    DISTANCE_MAX + 1.0 / (count as f64).sqrt()
}

/// The largest difference between the share of values up to x, ascending, and what `share` says of it.
fn distance(sorted: &[i64], share: impl Fn(i64) -> f64) -> f64 {
    let count = sorted.len() as f64;
    let (mut seen, mut most) = (0, 0f64);
    for same in sorted.chunk_by(|left, right| left == right) {
        seen += same.len();
        most = most.max((seen as f64 / count - share(same[0])).abs());
    }
    most
}

fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// The shares of counts up to 0, 1, ..., `most` of a Poisson distribution.
fn poisson_shares(mean: f64, most: usize) -> Vec<f64> {
    let (mut log, mut share) = (-mean, 0.0);
    let next = |count: usize| {
        if count > 0 {
            log += mean.ln() - (count as f64).ln();
        }
        share += log.exp();
        share
    };
    (0..=most).map(next).collect()
}

/// The shares of ranks up to 1, 2, ..., `n` of Zipf's law.
fn zipf_shares(n: usize, exponent: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=n).map(|rank| (rank as f64).powf(-exponent)).collect();
    let all: f64 = weights.iter().sum();
    let mut share = 0.0;
    let up_to = |weight: &f64| {
        share += weight / all;
        share
    };
    weights.iter().map(up_to).collect()
}

/// A value as a specification writes it.
fn literal(units: i64, kind: ColumnType) -> Literal {
    match kind {
        ColumnType::Timestamp => Literal::Text(Time(units).to_string()),
        ColumnType::Date => {
            let days = i32::try_from(units).unwrap_or(0);
            let date = chrono::NaiveDate::default() + chrono::Duration::days(i64::from(days));
            Literal::Text(date.format("%Y-%m-%d").to_string())
        }
        ColumnType::Decimal(_, scale) => Literal::Text(decimal(units, scale as usize)),
        _ => Literal::Integer(units),
    }
}

fn step_literal(units: i64, kind: ColumnType) -> Literal {
    match kind {
        ColumnType::Timestamp => Literal::Text(Micros(units).to_string()),
        ColumnType::Date => Literal::Integer(units),
        _ => literal(units, kind),
    }
}

fn decimal(units: i64, scale: usize) -> String {
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let sign = if units < 0 { "-" } else { "" };
    if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part}")
    }
}

#[cfg(test)]
mod tests {
    use skirl_generator::distribution::{Poisson, Zipf, normal_quantile};
    use skirl_generator::seed::{Seed, unit};

    use super::*;

    fn fitted(values: Vec<i64>) -> ColumnModel {
        fit_units(values, &[], ColumnType::Bigint)
    }

    fn drawn(mut value: impl FnMut(u64) -> i64) -> Vec<i64> {
        let mut draws = Seed::new(3).draws("x");
        (0..20_000).map(|row| value(draws.at(row))).collect()
    }

    #[test]
    fn distributions_of_whole_numbers_are_recognised() {
        let poisson = Poisson::new(5.0);
        assert!(
            matches!(fitted(drawn(|bits| poisson.count(bits) as i64)), ColumnModel::Poisson { mean } if (mean - 5.0).abs() < 0.1)
        );
        let uniform = fitted(drawn(|bits| 10 + (bits % 1_000) as i64));
        assert_eq!(
            uniform,
            ColumnModel::Uniform {
                min: Literal::Integer(10),
                max: Literal::Integer(1_009)
            }
        );
        let bell = fitted(drawn(|bits| (1e6 + 1e4 * normal_quantile(unit(bits))).round() as i64));
        assert!(
            matches!(bell, ColumnModel::Normal { mean, .. } if (mean / 1e6 - 1.0).abs() < 0.01),
            "{bell:?}"
        );
        let zipf = Zipf::new(500, 1.2);
        let ranks = fitted(drawn(|bits| {
            zipf.rank(|turn| unit(bits.wrapping_mul(u64::from(turn) * 2 + 1))) as i64
        }));
        assert!(
            matches!(ranks, ColumnModel::Zipf { exponent, .. } if (exponent - 1.2).abs() < 0.1),
            "{ranks:?}"
        );
    }

    #[test]
    fn what_follows_no_distribution_is_chosen_as_it_came() {
        let few = fitted(drawn(|bits| [1, 1, 1, 7, 90][(bits % 5) as usize]));
        let ColumnModel::Choice { values, weights } = few else {
            panic!("{few:?}")
        };
        assert_eq!(values, [1, 7, 90].map(Literal::Integer));
        assert!((weights[0] / weights.iter().sum::<f64>() - 0.6).abs() < 0.02);
        let humps = fitted(drawn(|bits| {
            if bits % 2 == 0 {
                (bits % 1_000) as i64
            } else {
                1_000_000
            }
        }));
        assert!(matches!(humps, ColumnModel::Choice { values, .. } if values.len() > 30 && values.len() <= QUANTILES));
    }

    #[test]
    fn counting_up_is_a_sequence() {
        let values: Vec<i64> = (0..100).map(|n| 100 + 5 * n).collect();
        let wanted = ColumnModel::Sequence {
            start: Literal::Integer(100),
            step: Literal::Integer(5),
        };
        assert_eq!(fit_units(values.clone(), &values, ColumnType::Bigint), wanted);
    }

    #[test]
    fn values_are_written_as_their_types_are() {
        let written = [
            literal(-5, ColumnType::Decimal(10, 2)),
            literal(123_456, ColumnType::Decimal(10, 2)),
            literal(19_000, ColumnType::Date),
            literal(1_700_000_000_000_000, ColumnType::Timestamp),
            step_literal(1_500_000, ColumnType::Timestamp),
        ];
        let texts = written.map(|literal| literal.to_string());
        assert_eq!(
            texts,
            [
                "\"-0.05\"",
                "\"1234.56\"",
                "\"2022-01-08\"",
                "\"2023-11-14T22:13:20Z\"",
                "\"1s500ms\""
            ]
        );
    }

    #[test]
    fn doubles_are_even_or_a_bell_curve_or_as_measured() {
        let mut draws = Seed::new(5).draws("x");
        let mut units: Vec<f64> = (0..20_000).map(|row| draws.unit_at(row)).collect();
        assert!(matches!(fit_reals(&units), ColumnModel::Uniform { .. }));
        let bell: Vec<f64> = units.iter().map(|unit| 20.0 + 3.0 * normal_quantile(*unit)).collect();
        assert!(matches!(fit_reals(&bell), ColumnModel::Normal { mean, .. } if (mean - 20.0).abs() < 0.2));
        units.iter_mut().for_each(|unit| *unit = unit.powi(8));
        assert!(matches!(fit_reals(&units), ColumnModel::Choice { .. }));
    }
}
