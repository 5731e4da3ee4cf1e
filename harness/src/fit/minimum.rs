//! The minimum of a function of few numbers, by Nelder and Mead's simplex (1965): no derivatives, no randomness.

/// Steps after which it is good enough in any case.
const STEPS_MAX: usize = 200;
/// Changes of the function that are no progress any more.
const TOLERANCE: f64 = 1e-10;

/// The place near `start` where `f` is least.
pub(super) fn minimum<const N: usize>(start: [f64; N], f: impl Fn(&[f64; N]) -> f64) -> [f64; N] {
    let value = |place: &[f64; N]| {
        let value = f(place);
        if value.is_nan() { f64::INFINITY } else { value }
    };
    let mut simplex = vec![(value(&start), start)];
    for axis in 0..N {
        let mut corner = start;
        corner[axis] += 0.3;
        simplex.push((value(&corner), corner));
    }
    for _ in 0..STEPS_MAX {
        simplex.sort_by(|left, right| left.0.total_cmp(&right.0));
        let (best, worst) = (simplex[0].0, simplex[N].0);
        if worst - best < TOLERANCE {
            break;
        }
        let centre: [f64; N] =
            std::array::from_fn(|axis| simplex[..N].iter().map(|(_, c)| c[axis]).sum::<f64>() / N as f64);
        let towards = |factor: f64| -> (f64, [f64; N]) {
            let place = std::array::from_fn(|axis| centre[axis] + factor * (simplex[N].1[axis] - centre[axis]));
            (value(&place), place)
        };
        let reflected = towards(-1.0);
        let better = if reflected.0 < best {
            let expanded = towards(-2.0);
            if expanded.0 < reflected.0 { expanded } else { reflected }
        } else if reflected.0 < simplex[N - 1].0 {
            reflected
        } else if reflected.0 < worst {
            towards(-0.5)
        } else {
            towards(0.5)
        };
        if better.0 < worst {
            simplex[N] = better;
        } else {
            let best = simplex[0].1;
            for (of, corner) in &mut simplex[1..] {
                *corner = std::array::from_fn(|axis| best[axis] + 0.5 * (corner[axis] - best[axis]));
                *of = value(corner);
            }
        }
    }
    simplex.sort_by(|left, right| left.0.total_cmp(&right.0));
    simplex[0].1
}

#[cfg(test)]
mod tests {
    use super::minimum;

    #[test]
    fn the_minimum_of_a_valley_is_found() {
        let [x, y] = minimum([-1.0, 1.0], |[x, y]| (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2));
        assert!((x - 1.0).abs() < 1e-2 && (y - 1.0).abs() < 1e-2, "{x} {y}");
        let [x] = minimum([5.0], |[x]| (x - 2.0).abs());
        assert!((x - 2.0).abs() < 1e-4, "{x}");
    }
}
