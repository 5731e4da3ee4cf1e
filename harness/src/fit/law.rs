//! Which distribution delays follow: the family that lies closest to what was measured, or the measured one itself.

use skirl_generator::distribution::normal_share;
use skirl_generator::lateness::Network;
use skirl_generator::spec::{Micros, Share};

use super::minimum::minimum;
use super::rounded;

/// Delays that a law is fitted to and judged by: evenly spaced quantiles of all.
const QUANTILES: usize = 400;
/// A family may be so far from the measured distribution (Kolmogorov's distance), and a simpler one so much farther than
/// the closest; besides what chance does.
const DISTANCE_MAX: f64 = 0.04;
const SIMPLER: f64 = 0.01;
/// Delays that differ by so little, relative to their median, are all the same.
const SAME: f64 = 0.02;
/// Fewer delays than this are taken as they are.
const FEW: usize = 20;

/// A family of distributions with its parameters; delays are in microseconds and none is above `max`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Family {
    Uniform { min: f64, max: f64 },
    Exponential { mean: f64, max: f64 },
    Pareto { scale: f64, shape: f64, max: f64 },
    Lognormal { median: f64, sigma: f64, max: f64 },
    Weibull { scale: f64, shape: f64, max: f64 },
}

impl Family {
    /// The share of delays up to `x`.
    fn share(&self, x: f64) -> f64 {
        let whole = |x: f64| match *self {
            Family::Uniform { min, max } => (x - min) / (max - min),
            Family::Exponential { mean, .. } => -(-x / mean).exp_m1(),
            Family::Pareto { scale, shape, .. } => 1.0 - (scale / x.max(scale)).powf(shape),
            Family::Lognormal { median, sigma, .. } => normal_share((x / median).ln() / sigma),
            Family::Weibull { scale, shape, .. } => -(-(x / scale).powf(shape)).exp_m1(),
        };
        let (Family::Uniform { max, .. }
        | Family::Exponential { max, .. }
        | Family::Pareto { max, .. }
        | Family::Lognormal { max, .. }
        | Family::Weibull { max, .. }) = *self;
        (whole(x) / whole(max)).clamp(0.0, 1.0)
    }

    fn layer(&self, share: Share) -> Network {
        let micros = |us: f64| Micros((us.round() as i64).max(1));
        match *self {
            Family::Uniform { min, max } => Network::Uniform {
                share,
                min: micros(min),
                max: micros(max),
            },
            Family::Exponential { mean, max } => Network::Exponential {
                share,
                mean: micros(mean),
                max: Some(micros(max)),
            },
            Family::Pareto { scale, shape, max } => Network::Pareto {
                share,
                scale: micros(scale),
                shape: rounded(shape),
                max: Some(micros(max)),
            },
            Family::Lognormal { median, sigma, max } => Network::Lognormal {
                share,
                median: micros(median),
                sigma: rounded(sigma),
                max: Some(micros(max)),
            },
            Family::Weibull { scale, shape, max } => Network::Weibull {
                share,
                scale: micros(scale),
                shape: rounded(shape),
                max: Some(micros(max)),
            },
        }
    }
}

/// The layer that delays `share` of the rows as these delays are (microseconds, above 0, at least one).
pub(super) fn fit(delays: &mut [f64], share: Share) -> Network {
    delays.sort_by(f64::total_cmp);
    let sorted = &*delays;
    let (low, median, high) = (quantile(sorted, 0.05), quantile(sorted, 0.5), quantile(sorted, 0.95));
    if high - low <= SAME * median {
        let delay = Micros(median.round() as i64);
        return Network::Constant { share, delay };
    }
    if sorted.len() < FEW {
        return empirical(sorted, share);
    }
    let points: Vec<f64> = (0..QUANTILES)
        .map(|n| quantile(sorted, (n as f64 + 0.5) / QUANTILES as f64))
        .collect();
    let families = families(sorted, &points);
    let distances: Vec<f64> = families.iter().map(|family| distance(family, sorted)).collect();
    let closest = distances.iter().copied().fold(f64::INFINITY, f64::min);
    // The families come with the simplest first.
    let chance = 1.0 / (sorted.len() as f64).sqrt();
    let chosen = families
        .iter()
        .zip(&distances)
        .find(|(_, distance)| **distance <= closest + SIMPLER + chance);
    match chosen {
        Some((family, distance)) if *distance <= DISTANCE_MAX + chance => family.layer(share),
        _ => empirical(sorted, share),
    }
}

/// The best of each family, the simplest first.
fn families(sorted: &[f64], points: &[f64]) -> Vec<Family> {
    let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
    let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
    let logs: Vec<f64> = sorted.iter().map(|delay| delay.ln()).collect();
    let log_mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let spread = (logs.iter().map(|log| (log - log_mean).powi(2)).sum::<f64>() / logs.len() as f64).sqrt();
    let miss = |family: Family| -> f64 {
        let each = |(n, x): (usize, &f64)| (family.share(*x) - (n as f64 + 0.5) / points.len() as f64).powi(2);
        points.iter().enumerate().map(each).sum()
    };
    let exponential = |[mean]: &[f64; 1]| Family::Exponential { mean: mean.exp(), max };
    // The least delay lies a little above the scale, and rounding may put it below.
    let pareto = |[scale, shape]: &[f64; 2]| Family::Pareto {
        scale: scale.exp().min(points[0]),
        shape: shape.exp(),
        max,
    };
    let lognormal = |[median, sigma]: &[f64; 2]| Family::Lognormal {
        median: median.exp(),
        sigma: sigma.exp(),
        max,
    };
    let weibull = |[scale, shape]: &[f64; 2]| Family::Weibull {
        scale: scale.exp(),
        shape: shape.exp(),
        max,
    };
    let shape = 1.0 / (log_mean - min.ln()).max(1e-3);
    vec![
        Family::Uniform { min, max },
        exponential(&minimum([mean.ln()], |p| miss(exponential(p)))),
        pareto(&minimum([points[0].ln(), shape.ln()], |p| miss(pareto(p)))),
        lognormal(&minimum([log_mean, spread.max(1e-3).ln()], |p| miss(lognormal(p)))),
        weibull(&minimum([mean.ln(), 0.0], |p| miss(weibull(p)))),
    ]
}

/// How far a family is from what was measured, at most (Kolmogorov and Smirnov).
fn distance(family: &Family, sorted: &[f64]) -> f64 {
    let count = sorted.len() as f64;
    let at = |(n, x): (usize, &f64)| {
        let share = family.share(*x);
        (share - n as f64 / count)
            .abs()
            .max((share - (n + 1) as f64 / count).abs())
    };
    sorted.iter().enumerate().map(at).fold(0.0, f64::max)
}

/// The measured distribution, finer towards its tail.
fn empirical(sorted: &[f64], share: Share) -> Network {
    const SHARES: [f64; 17] = [
        0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0,
    ];
    let point = |part: f64| (Share(part), Micros(quantile(sorted, part).round() as i64));
    let points = SHARES.map(point).to_vec();
    Network::Empirical { share, points }
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = part * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skirl_generator::seed::Seed;

    /// Delays of a family: its quantiles at random shares, found by halving.
    fn drawn(family: Family, count: u64) -> Vec<f64> {
        let mut draws = Seed::new(3).draws("delay");
        let quantile = |share: f64| {
            let (mut low, mut high) = (0.0, 1e9);
            for _ in 0..80 {
                let middle = (low + high) / 2.0;
                if family.share(middle) < share {
                    low = middle
                } else {
                    high = middle
                }
            }
            high
        };
        (0..count).map(|row| quantile(draws.unit_at(row))).collect()
    }

    #[test]
    fn every_family_is_recognised_with_its_parameters() {
        let max = 300e6;
        for family in [
            Family::Uniform { min: 2e6, max: 30e6 },
            Family::Exponential { mean: 5e6, max },
            Family::Pareto {
                scale: 1e6,
                shape: 1.5,
                max,
            },
            Family::Lognormal {
                median: 3e6,
                sigma: 0.8,
                max,
            },
            Family::Weibull {
                scale: 4e6,
                shape: 0.6,
                max,
            },
        ] {
            let found = fit(&mut drawn(family, 4_000), Share(0.1));
            let close = |found: f64, wanted: f64| (found / wanted - 1.0).abs() < 0.1;
            let fine = match (&found, family) {
                (Network::Uniform { min, max: most, .. }, Family::Uniform { min: low, max: high }) => {
                    close(min.0 as f64, low) && close(most.0 as f64, high)
                }
                (Network::Exponential { mean, .. }, Family::Exponential { mean: wanted, .. }) => {
                    close(mean.0 as f64, wanted)
                }
                (Network::Pareto { scale, shape, .. }, Family::Pareto { scale: s, shape: w, .. }) => {
                    close(scale.0 as f64, s) && close(*shape, w)
                }
                (
                    Network::Lognormal { median, sigma, .. },
                    Family::Lognormal {
                        median: m, sigma: s, ..
                    },
                ) => close(median.0 as f64, m) && close(*sigma, s),
                (Network::Weibull { scale, shape, .. }, Family::Weibull { scale: s, shape: w, .. }) => {
                    close(scale.0 as f64, s) && close(*shape, w)
                }
                _ => false,
            };
            assert!(fine, "{family:?} was taken for {found:?}");
        }
    }

    #[test]
    fn delays_of_no_family_are_taken_as_measured() {
        let mut two_humps: Vec<f64> = (0..500)
            .flat_map(|n| [1e6 + f64::from(n), 60e6 + f64::from(n) * 1e3])
            .collect();
        assert!(matches!(fit(&mut two_humps, Share::ALL), Network::Empirical { .. }));
    }

    #[test]
    fn delays_that_hardly_differ_are_constant() {
        let mut delays: Vec<f64> = (0..100).map(|n| 2e6 + f64::from(n) * 100.0).collect();
        let delay = Micros(2_004_950);
        assert_eq!(
            fit(&mut delays, Share::ALL),
            Network::Constant {
                share: Share::ALL,
                delay
            }
        );
    }
}
