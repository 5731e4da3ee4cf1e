//! Network delay: a share of the rows takes longer, by a distribution.
//!
//! A `max` truncates the distribution (it does not pile rows up at the maximum). Without one, the heavy tails of `pareto`,
//! `lognormal` and `weibull` can keep single rows back for very long.

use serde::Serialize;

use super::{Layer, Scene};
use crate::arrival::Arrival;
use crate::distribution::{exponential_quantile, normal_quantile, normal_share};
use crate::seed::Draws;
use crate::spec::{Micros, Share, Table};

/// The distribution of a delay and the share of rows that have one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum Network {
    /// Always the same.
    Constant {
        /// Delayed rows.
        share: Share,
        /// The delay.
        delay: Micros,
    },
    /// Evenly between two bounds.
    Uniform {
        /// Delayed rows.
        share: Share,
        /// Shortest delay.
        min: Micros,
        /// Longest delay.
        max: Micros,
    },
    /// Many short, few long.
    Exponential {
        /// Delayed rows.
        share: Share,
        /// Mean delay (before truncation).
        mean: Micros,
        /// Longest delay.
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<Micros>,
    },
    /// The usual shape of service times.
    Lognormal {
        /// Delayed rows.
        share: Share,
        /// Half of the delays are shorter.
        median: Micros,
        /// Standard deviation of the delay's logarithm.
        sigma: f64,
        /// Longest delay.
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<Micros>,
    },
    /// A heavy tail: delays from `scale` up.
    Pareto {
        /// Delayed rows.
        share: Share,
        /// Shortest delay.
        scale: Micros,
        /// Weight of the tail: the smaller, the heavier.
        shape: f64,
        /// Longest delay.
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<Micros>,
    },
    /// Between exponential (shape 1) and heavy (below) or nearly constant (above).
    Weibull {
        /// Delayed rows.
        share: Share,
        /// 63 % of the delays are shorter.
        scale: Micros,
        /// Shape.
        shape: f64,
        /// Longest delay.
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<Micros>,
    },
    /// As measured.
    Empirical {
        /// Delayed rows.
        share: Share,
        /// Share of the delays up to a delay, ascending from 0 to 1, with straight lines between.
        points: Vec<(Share, Micros)>,
    },
}

impl Network {
    /// Reads the network layer of this model; `None` when there is none of this name.
    pub(super) fn read(model: &str, table: &mut Table) -> Option<Network> {
        let share = Share::ALL;
        let second = Micros::seconds(1);
        let network = match model {
            "constant" => Network::Constant {
                share: table.or("share", share),
                delay: table.required("delay", "\"2s\"", second),
            },
            "uniform" => Network::Uniform {
                share: table.or("share", share),
                min: table.or("min", Micros(0)),
                max: table.required("max", "\"10s\"", second),
            },
            "exponential" => Network::Exponential {
                share: table.or("share", share),
                mean: table.or("mean", second),
                max: table.optional("max"),
            },
            "lognormal" => Network::Lognormal {
                share: table.or("share", share),
                median: table.or("median", second),
                sigma: table.or("sigma", 1.0),
                max: table.optional("max"),
            },
            "pareto" => Network::Pareto {
                share: table.or("share", share),
                scale: table.or("scale", second),
                shape: table.or("shape", 1.5),
                max: table.optional("max"),
            },
            "weibull" => Network::Weibull {
                share: table.or("share", share),
                scale: table.or("scale", second),
                shape: table.or("shape", 0.7),
                max: table.optional("max"),
            },
            "empirical" => Network::Empirical {
                share: table.or("share", share),
                points: table.required("points", "[[0, \"0s\"], [0.9, \"1s\"], [1, \"1m\"]]", vec![]),
            },
            _ => return None,
        };
        network.demand_sense(table);
        Some(network)
    }

    fn demand_sense(&self, table: &mut Table) {
        let mut positive = |key: &str, value: f64| {
            table.demand(value.is_finite() && value > 0.0, key, || {
                format!("`{key}` must be above 0, found {value}")
            });
        };
        match self {
            Network::Lognormal { median, sigma, .. } => {
                positive("median", median.0 as f64);
                positive("sigma", *sigma);
            }
            Network::Pareto { scale, shape, .. } | Network::Weibull { scale, shape, .. } => {
                positive("scale", scale.0 as f64);
                positive("shape", *shape);
            }
            Network::Exponential { mean, .. } => positive("mean", mean.0 as f64),
            Network::Constant { .. } | Network::Uniform { .. } | Network::Empirical { .. } => {}
        }
        let (least, most) = match self {
            Network::Constant { delay, .. } => {
                table.demand(delay.0 >= 0, "delay", || no_negative("delay", *delay));
                (Micros(0), None)
            }
            Network::Uniform { min, max, .. } => {
                table.demand(min.0 >= 0, "min", || no_negative("min", *min));
                (*min, Some(*max))
            }
            Network::Pareto { scale, max, .. } => (*scale, *max),
            Network::Exponential { max, .. } | Network::Lognormal { max, .. } | Network::Weibull { max, .. } => {
                (Micros(0), *max)
            }
            Network::Empirical { points, .. } => {
                demand_points(points, table);
                (Micros(0), None)
            }
        };
        table.demand(
            most.is_none_or(|most| most > least || (most == least && most.0 > 0)),
            "max",
            || {
                format!(
                    "no delay lies between {least} and `max` = {}; make `max` longer",
                    most.unwrap_or_default()
                )
            },
        );
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        Box::new(Delays {
            share: self.share().0,
            quantile: self.quantile(),
            selected: scene.seed.draws("share"),
            delay: scene.seed.draws("delay"),
        })
    }

    fn share(&self) -> Share {
        match self {
            Network::Constant { share, .. }
            | Network::Uniform { share, .. }
            | Network::Exponential { share, .. }
            | Network::Lognormal { share, .. }
            | Network::Pareto { share, .. }
            | Network::Weibull { share, .. }
            | Network::Empirical { share, .. } => *share,
        }
    }

    /// The delay's quantile function, truncated: `p` runs over the part of the distribution up to `max`.
    fn quantile(&self) -> Quantile {
        let whole = match self.clone() {
            Network::Constant { delay, .. } => Quantile::Linear {
                from: delay.0 as f64,
                length: 0.0,
            },
            Network::Uniform { min, max, .. } => Quantile::Linear {
                from: min.0 as f64,
                length: (max.0 - min.0) as f64,
            },
            Network::Exponential { mean, .. } => Quantile::Weibull {
                scale: mean.0 as f64,
                inverse_shape: 1.0,
                reach: 1.0,
            },
            Network::Weibull { scale, shape, .. } => Quantile::Weibull {
                scale: scale.0 as f64,
                inverse_shape: 1.0 / shape,
                reach: 1.0,
            },
            Network::Lognormal { median, sigma, .. } => Quantile::Lognormal {
                median: median.0 as f64,
                sigma,
                reach: 1.0,
            },
            Network::Pareto { scale, shape, .. } => Quantile::Pareto {
                scale: scale.0 as f64,
                shape,
                reach: 1.0,
            },
            Network::Empirical { points, .. } => {
                Quantile::Points(points.iter().map(|(share, delay)| (share.0, delay.0 as f64)).collect())
            }
        };
        match self {
            Network::Exponential { max: Some(max), .. }
            | Network::Weibull { max: Some(max), .. }
            | Network::Lognormal { max: Some(max), .. }
            | Network::Pareto { max: Some(max), .. } => whole.up_to(max.0 as f64),
            _ => whole,
        }
    }
}

fn no_negative(key: &str, found: Micros) -> String {
    format!("`{key}` cannot be negative, found {found}: no row arrives before it happened")
}

fn demand_points(points: &[(Share, Micros)], table: &mut Table) {
    let ends = points.first().is_some_and(|p| p.0.0 == 0.0) && points.last().is_some_and(|p| p.0.0 == 1.0);
    let ascending = points.is_sorted_by(|left, right| left.0 < right.0 && left.1 <= right.1);
    table.demand(
        !table.has("points") || (ends && ascending && points[0].1.0 >= 0),
        "points",
        || "`points` must ascend from share 0 to share 1, for example [[0, \"0s\"], [0.9, \"1s\"], [1, \"1m\"]]".into(),
    );
}

/// A quantile function in microseconds; `reach` is the distribution's share that truncation leaves.
#[derive(Debug, Clone)]
enum Quantile {
    Linear { from: f64, length: f64 },
    Weibull { scale: f64, inverse_shape: f64, reach: f64 },
    Lognormal { median: f64, sigma: f64, reach: f64 },
    Pareto { scale: f64, shape: f64, reach: f64 },
    Points(Vec<(f64, f64)>),
}

impl Quantile {
    fn up_to(mut self, max: f64) -> Quantile {
        match &mut self {
            Quantile::Weibull {
                scale,
                inverse_shape,
                reach,
            } => {
                *reach = -libm::expm1(-libm::pow(max / *scale, 1.0 / *inverse_shape));
            }
            Quantile::Lognormal { median, sigma, reach } => *reach = normal_share(libm::log(max / *median) / *sigma),
            Quantile::Pareto { scale, shape, reach } => *reach = 1.0 - libm::pow(*scale / max, *shape),
            Quantile::Linear { .. } | Quantile::Points(_) => {}
        }
        self
    }

    /// The delay at `p` of the open interval (0, 1).
    fn at(&self, p: f64) -> f64 {
        match self {
            Quantile::Linear { from, length } => from + p * length,
            Quantile::Weibull {
                scale,
                inverse_shape,
                reach,
            } => {
                let waited = exponential_quantile(p * reach);
                if *inverse_shape == 1.0 {
                    scale * waited
                } else {
                    scale * libm::pow(waited, *inverse_shape)
                }
            }
            Quantile::Lognormal { median, sigma, reach } => median * libm::exp(sigma * normal_quantile(p * reach)),
            Quantile::Pareto { scale, shape, reach } => scale * libm::pow(1.0 - p * reach, -1.0 / shape),
            Quantile::Points(points) => {
                let next = points
                    .partition_point(|(share, _)| *share <= p)
                    .clamp(1, points.len() - 1);
                let ((from, low), (to, high)) = (points[next - 1], points[next]);
                low + (high - low) * (p - from) / (to - from)
            }
        }
    }
}

/// The longest delay there is: a hundred years keep sums of times within their range.
const DELAY_MAX: f64 = 3.15e15;

#[derive(Debug)]
struct Delays {
    share: f64,
    quantile: Quantile,
    selected: Draws,
    delay: Draws,
}

impl Layer for Delays {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        for arrival in arrivals {
            if self.share >= 1.0 || self.selected.unit_at(arrival.row) < self.share {
                arrival.time += self.quantile.at(self.delay.unit_at(arrival.row)).min(DELAY_MAX) as i64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all() -> Vec<Network> {
        let (share, scale, max) = (Share::ALL, Micros::seconds(2), Some(Micros::seconds(60)));
        vec![
            Network::Exponential {
                share,
                mean: scale,
                max,
            },
            Network::Lognormal {
                share,
                median: scale,
                sigma: 1.2,
                max,
            },
            Network::Pareto {
                share,
                scale,
                shape: 1.1,
                max,
            },
            Network::Weibull {
                share,
                scale,
                shape: 0.6,
                max,
            },
            Network::Uniform {
                share,
                min: Micros(0),
                max: Micros::seconds(60),
            },
            Network::Constant { share, delay: scale },
            Network::Empirical {
                share,
                points: vec![(Share(0.0), Micros(0)), (Share(0.9), scale), (Share(1.0), max.unwrap())],
            },
        ]
    }

    #[test]
    fn a_pareto_delay_is_never_below_its_scale() {
        let pareto = all()[2].quantile();
        assert!(pareto.at(1e-9) >= 2e6);
        assert!(
            (pareto.at(0.5) - 2e6 * 0.5f64.powf(-1.0 / 1.1)).abs() < 0.05e6,
            "{}",
            pareto.at(0.5)
        );
    }

    proptest! {
        /// A truncated delay lies between nothing and its maximum, and grows with the share.
        #[test]
        fn delays_stay_within_their_maximum(p in 1e-12f64..0.999_999_9, q in 1e-12f64..0.999_999_9) {
            for network in all() {
                let quantile = network.quantile();
                let (low, high) = (quantile.at(p.min(q)), quantile.at(p.max(q)));
                prop_assert!(0.0 <= low && low <= high && high <= 60.001e6, "{network:?}: {low} {high}");
            }
        }
    }
}
