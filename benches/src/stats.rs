//! Medians, percentiles, and a slope with its confidence interval.

use std::time::Duration;

/// The value below which a share `quantile` of the sorted `samples` lie. Zero if there are none.
pub(crate) fn percentile(samples: &mut [Duration], quantile: f64) -> Duration {
    samples.sort_unstable();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = ((samples.len().saturating_sub(1)) as f64 * quantile).round() as usize;
    samples.get(index).copied().unwrap_or_default()
}

/// Microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// `part / whole`.
pub(crate) fn ratio(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64()
}

/// Least-squares slope of `(x, y)` and the half width of its 95 % confidence interval.
///
/// The residuals of memory readings are correlated, so the effective number of samples is reduced by their
/// lag-one autocorrelation; without that the interval would be far too narrow.
pub(crate) fn slope(points: &[(f64, f64)]) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let n = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / n;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let together: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let slope = together / spread;
    let residuals: Vec<f64> = points.iter().map(|(x, y)| y - mean_y - slope * (x - mean_x)).collect();
    let energy: f64 = residuals.iter().map(|residual| residual * residual).sum();
    let lagged: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let correlation = if energy > 0.0 { (lagged / energy).clamp(0.0, 0.99) } else { 0.0 };
    let effective = (n * (1.0 - correlation) / (1.0 + correlation)).max(3.0);
    (slope, 1.96 * (energy / (effective - 2.0).max(1.0) / spread).sqrt())
}
