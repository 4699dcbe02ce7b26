//! The slope of noisy points, and how sure it is: Theil and Sen's estimator.
//!
//! The median of the slopes of all pairs of points. Single wild points do not move it, and its confidence interval
//! comes from the order of those slopes alone (Kendall), without assuming how the noise is distributed.

use serde::Serialize;

/// A slope with its confidence interval, in units of y per unit of x.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slope {
    /// The estimate.
    pub slope: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Slope {
    /// The slope of `points` (x, y), its interval `z` standard deviations wide to either side: 1.96 is 95 %, 2.576 is 99 %.
    /// `None` for fewer than three points with different x. Takes time in the square of the number of points.
    #[must_use]
    pub fn of(points: &[(f64, f64)], z: f64) -> Option<Self> {
        let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
        for (place, (x1, y1)) in points.iter().enumerate() {
            for (x2, y2) in &points[place + 1..] {
                if x2 > x1 {
                    slopes.push((y2 - y1) / (x2 - x1));
                }
            }
        }
        if slopes.len() < 3 {
            return None;
        }
        slopes.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "counts of a few hundred points")]
        let (n, pairs) = (points.len() as f64, slopes.len() as f64);
        let spread = z * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the places there are")]
        let at = |rank: f64| slopes[rank.clamp(0.0, pairs - 1.0) as usize];
        Some(Self {
            slope: median(&slopes),
            low: at(((pairs - spread) / 2.0).floor() - 1.0),
            high: at(((pairs + spread) / 2.0).ceil()),
        })
    }
}

/// The median of sorted values; there is at least one.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn line(slope: f64, noise: f64, seed: u64) -> Vec<(f64, f64)> {
        let mut rng = Rng::with_seed(seed);
        (0..40).map(|x| (f64::from(x), slope * f64::from(x) + noise * (rng.f64() - 0.5))).collect()
    }

    #[test]
    fn a_line_has_its_slope_exactly() {
        let slope = Slope::of(&line(2.5, 0.0, 1), 1.96).expect("enough points");
        for value in [slope.slope, slope.low, slope.high] {
            assert!((value - 2.5).abs() < 1e-9, "{slope:?}");
        }
        assert_eq!(Slope::of(&[(0.0, 1.0), (1.0, 2.0)], 1.96), None);
        assert_eq!(Slope::of(&[(1.0, 1.0); 10], 1.96), None, "all at once");
    }

    #[test]
    fn wild_points_do_not_move_it() {
        let mut points = line(1.0, 0.1, 2);
        points[7].1 = 1e9;
        points[31].1 = -1e9;
        let slope = Slope::of(&points, 1.96).expect("enough points");
        assert!((slope.slope - 1.0).abs() < 0.05, "{slope:?}");
    }

    /// The interval holds the true slope about as often as it says.
    #[test]
    fn the_interval_is_as_wide_as_it_says() {
        let held = (0..400).filter(|seed| {
            let slope = Slope::of(&line(0.0, 1.0, *seed), 1.96).expect("enough points");
            slope.low <= 0.0 && slope.high >= 0.0
        });
        let share = held.count();
        assert!((370..=396).contains(&share), "{share} of 400");
    }
}
