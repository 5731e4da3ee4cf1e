//! Comparison with a stored run: by how much a figure changed, and whether that is more than noise.
//!
//! Both runs are cut into ten equal parts by time, and the figure of each part is taken. If both runs were alike, a part of
//! the one would be above a part of the other in about half of the hundred pairs. Outside of 16 to 84 of them, ties counted
//! half, the difference is *beyond noise*: the Mann-Whitney test, two-sided, at 1 %. What the test cannot see is that a
//! broker may have a good and a bad day: who wants to know that repeats both runs.

use super::figure::Figure;

/// Parts a run is cut into.
pub const PARTS: usize = 10;
/// Pairs, of a hundred, from which on a difference is beyond noise: U of 84 and above for two samples of ten at 1 %.
const BEYOND: f64 = 84.0;

/// A figure of this run and of a stored one.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The figure.
    pub figure: Figure,
    /// Of this run.
    pub now: f64,
    /// Of the stored run.
    pub then: f64,
    /// Whether the difference is beyond noise; `None` where there are not parts enough to tell.
    pub beyond_noise: Option<bool>,
}

impl Change {
    /// Compares the figures of whole runs, and of their parts.
    pub fn of(figure: Figure, now: f64, then: f64, parts_now: &[f64], parts_then: &[f64]) -> Change {
        let enough = parts_now.len() == PARTS && parts_then.len() == PARTS;
        Change {
            figure,
            now,
            then,
            beyond_noise: enough.then(|| {
                let above = pairs_above(parts_now, parts_then);
                above.max((PARTS * PARTS) as f64 - above) >= BEYOND
            }),
        }
    }

    /// This run's figure divided by the stored one's.
    pub fn ratio(&self) -> Option<f64> {
        (self.then > 0.0).then(|| self.now / self.then)
    }
}

/// In how many pairs the one is above the other; a tie counts half.
fn pairs_above(ones: &[f64], others: &[f64]) -> f64 {
    let pair = |one: f64, other: f64| match one.total_cmp(&other) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    };
    ones.iter()
        .map(|one| others.iter().map(|other| pair(*one, *other)).sum::<f64>())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beyond_noise(now: [i32; 10], then: [i32; 10]) -> Option<bool> {
        let of = |parts: [i32; 10]| parts.map(f64::from);
        Change::of(Figure::Lag, 1.0, 1.0, &of(now), &of(then)).beyond_noise
    }

    #[test]
    fn parts_that_mix_are_noise_and_parts_that_do_not_are_more() {
        let then = [10, 12, 11, 13, 12, 10, 11, 14, 12, 11];
        assert_eq!(beyond_noise(then, then), Some(false));
        assert_eq!(
            beyond_noise([11, 13, 12, 14, 11, 12, 13, 12, 11, 13], then),
            Some(false)
        );
        assert_eq!(beyond_noise([15, 16, 14, 17, 15, 16, 15, 14, 16, 15], then), Some(true));
        assert_eq!(beyond_noise([5, 6, 4, 7, 5, 6, 5, 4, 6, 5], then), Some(true));
    }

    #[test]
    fn one_bad_part_is_noise() {
        let then = [10; 10];
        assert_eq!(
            beyond_noise([10, 10, 10, 10, 10, 900, 10, 10, 10, 10], then),
            Some(false)
        );
    }

    #[test]
    fn too_few_parts_tell_nothing() {
        let change = Change::of(Figure::Lag, 2.0, 1.0, &[1.0], &[1.0, 2.0]);
        assert_eq!((change.beyond_noise, change.ratio()), (None, Some(2.0)));
    }
}
