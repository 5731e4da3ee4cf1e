//! Distributions as quantile functions and tables.
//!
//! Each turns the bits of one draw into a value, so that a row needs one draw a field. All transcendental functions are
//! `libm`'s: the platform's own differ in the last bit, and that bit would decide bytes of a trace.

/// Draws from a list of weights in constant time (Walker's alias method).
#[derive(Debug, Clone)]
pub struct Alias {
    keep_below: Vec<u64>,
    other: Vec<u32>,
}

impl Alias {
    /// A table for these weights; negative or all-zero weights are the caller's mistake to catch.
    pub fn new(weights: &[f64]) -> Alias {
        let total: f64 = weights.iter().sum();
        let count = weights.len();
        let mut scaled: Vec<f64> = weights.iter().map(|weight| weight * count as f64 / total).collect();
        let mut other: Vec<u32> = (0..count as u32).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..count).partition(|&index| scaled[index] < 1.0);
        while let (Some(&low), Some(&high)) = (small.last(), large.last()) {
            small.pop();
            other[low] = high as u32;
            scaled[high] -= 1.0 - scaled[low];
            if scaled[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        // What rounding left over is kept whole.
        for index in small.into_iter().chain(large) {
            scaled[index] = 1.0;
        }
        let keep_below = scaled
            .iter()
            .map(|share| (share * 18_446_744_073_709_551_616.0) as u64)
            .collect();
        Alias { keep_below, other }
    }

    /// The index these bits stand for.
    #[inline]
    pub fn pick(&self, bits: u64) -> usize {
        let wide = u128::from(bits) * self.other.len() as u128;
        let (index, rest) = ((wide >> 64) as usize, wide as u64);
        if rest < self.keep_below[index] {
            index
        } else {
            self.other[index] as usize
        }
    }
}

/// Poisson counts from a table.
#[derive(Debug, Clone)]
pub struct Poisson {
    first: u64,
    table: Alias,
}

impl Poisson {
    /// The largest mean a table is made for.
    pub const MEAN_MAX: f64 = 1e6;

    /// Counts with this mean, above 0 and up to [`Poisson::MEAN_MAX`].
    pub fn new(mean: f64) -> Poisson {
        let reach = 12.0 * mean.sqrt() + 30.0;
        let first = (mean - reach).max(0.0) as u64;
        let last = (mean + reach) as u64;
        let log_mean = libm::log(mean);
        let weights: Vec<f64> = (first..=last)
            .map(|count| libm::exp(count as f64 * log_mean - mean - libm::lgamma(count as f64 + 1.0)))
            .collect();
        Poisson {
            first,
            table: Alias::new(&weights),
        }
    }

    /// The count these bits stand for.
    #[inline]
    pub fn count(&self, bits: u64) -> u64 {
        self.first + self.table.pick(bits) as u64
    }
}

/// Ranks 1..=n, rank k with a weight of k^-exponent, by rejection-inversion (Hörmann and Derflinger 1996): no table, any n.
#[derive(Debug, Clone, Copy)]
pub struct Zipf {
    exponent: f64,
    n: f64,
    low: f64,
    high: f64,
    always: f64,
}

impl Zipf {
    /// Ranks up to `n` (at least 1) with a positive exponent.
    pub fn new(n: u64, exponent: f64) -> Zipf {
        let zipf = Zipf {
            exponent,
            n: n as f64,
            low: 0.0,
            high: 0.0,
            always: 0.0,
        };
        Zipf {
            low: zipf.integral(1.5) - 1.0,
            high: zipf.integral(n as f64 + 0.5),
            always: 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0)),
            ..zipf
        }
    }

    /// A rank; `draw` gives the unit number of an attempt, counted from 0. Two attempts are rarely needed.
    pub fn rank(&self, mut draw: impl FnMut(u32) -> f64) -> u64 {
        let mut attempt = 0;
        loop {
            let area = self.high + draw(attempt) * (self.low - self.high);
            let x = self.inverse(area);
            let rank = (x + 0.5).floor().clamp(1.0, self.n);
            if rank - x <= self.always || area >= self.integral(rank + 0.5) - self.weight(rank) {
                return rank as u64;
            }
            attempt += 1;
        }
    }

    fn weight(&self, x: f64) -> f64 {
        libm::exp(-self.exponent * libm::log(x))
    }

    fn integral(&self, x: f64) -> f64 {
        let log_x = libm::log(x);
        expm1_over((1.0 - self.exponent) * log_x) * log_x
    }

    fn inverse(&self, area: f64) -> f64 {
        let t = (area * (1.0 - self.exponent)).max(-1.0);
        libm::exp(log1p_over(t) * area)
    }
}

/// `(e^x - 1) / x`, also near 0.
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 {
        libm::expm1(x) / x
    } else {
        1.0 + x / 2.0
    }
}

/// `ln(1 + x) / x`, also near 0.
fn log1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 {
        libm::log1p(x) / x
    } else {
        1.0 - x / 2.0
    }
}

/// The exponential distribution of mean 1 at `p`.
#[inline]
pub fn exponential_quantile(p: f64) -> f64 {
    -libm::log1p(-p)
}

/// The distribution function of the standard normal distribution.
pub fn normal_share(x: f64) -> f64 {
    0.5 * libm::erfc(-x * core::f64::consts::FRAC_1_SQRT_2)
}

/// The standard normal distribution at `p` (Wichura's AS 241, exact to about 16 digits).
pub fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * ratio(&CENTRE, r);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = libm::sqrt(-libm::log(tail));
    let x = if r <= 5.0 {
        ratio(&MIDDLE, r - 1.6)
    } else {
        ratio(&FAR, r - 5.0)
    };
    if q < 0.0 { -x } else { x }
}

/// A quotient of two polynomials; coefficients from the highest power down.
fn ratio([top, bottom]: &[[f64; 8]; 2], x: f64) -> f64 {
    let polynomial = |factors: &[f64; 8]| factors.iter().fold(0.0, |sum, factor| sum * x + factor);
    polynomial(top) / polynomial(bottom)
}

#[rustfmt::skip]
const CENTRE: [[f64; 8]; 2] = [
    [2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0],
    [5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0],
];
#[rustfmt::skip]
const MIDDLE: [[f64; 8]; 2] = [
    [7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0],
    [1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0],
];
#[rustfmt::skip]
const FAR: [[f64; 8]; 2] = [
    [2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0],
    [2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn the_normal_quantile_inverts_the_normal_share() {
        for p in [1e-12, 1e-5, 0.03, 0.2, 0.5, 0.7, 0.93, 0.9999] {
            let back = normal_share(normal_quantile(p));
            assert!((back / p - 1.0).abs() < 1e-11, "{p} came back as {back}");
        }
    }

    #[test]
    fn poisson_counts_have_their_mean_and_variance() {
        for mean in [0.2, 3.0, 50.0, 10_000.0] {
            let poisson = Poisson::new(mean);
            let mut draws = Seed::new(3).draws("count");
            let counts: Vec<f64> = (0..40_000).map(|row| poisson.count(draws.at(row)) as f64).collect();
            let found = counts.iter().sum::<f64>() / counts.len() as f64;
            let variance = counts.iter().map(|count| (count - found).powi(2)).sum::<f64>() / counts.len() as f64;
            assert!(
                (found - mean).abs() < 5.0 * (mean / 40_000.0).sqrt(),
                "mean {mean}, found {found}"
            );
            assert!(
                (variance / mean - 1.0).abs() < 0.05,
                "variance of mean {mean} is {variance}"
            );
        }
    }

    #[test]
    fn an_alias_table_keeps_the_weights() {
        let alias = Alias::new(&[1.0, 0.0, 2.0, 7.0]);
        let mut draws = Seed::new(5).draws("choice");
        let mut counts = [0; 4];
        (0..100_000).for_each(|row| counts[alias.pick(draws.at(row))] += 1);
        assert_eq!(counts[1], 0);
        for (index, share) in [(0, 0.1), (2, 0.2), (3, 0.7)] {
            assert!((f64::from(counts[index]) / 1e5 - share).abs() < 0.01, "{counts:?}");
        }
    }

    #[test]
    fn zipf_ranks_fall_with_their_exponent() {
        for exponent in [0.8, 1.0, 1.5] {
            let zipf = Zipf::new(100, exponent);
            let mut draws = Seed::new(5).draws("rank");
            let mut counts = [0u32; 101];
            for row in 0..100_000 {
                counts[zipf.rank(|attempt| crate::seed::unit(draws.turn_at(row, attempt))) as usize] += 1;
            }
            let ratio = f64::from(counts[1]) / f64::from(counts[4]);
            assert!((ratio / 4f64.powf(exponent) - 1.0).abs() < 0.15, "{exponent}: {ratio}");
            assert!(counts[100] > 0);
        }
    }
}
