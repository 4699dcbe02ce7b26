//! Telling somebody that a job has ended, by the rules of Standard Webhooks: signed, at least once, a few times at growing
//! delays, and only to where the engine may connect to.
//!
//! What it sends says what a look at the job would say, and no content. Redirects are not followed.

mod outbox;
mod secret;
mod sender;

use std::time::Duration;

use super::retry::between;

pub(crate) use outbox::{Delivery, Letter, Outbox};
pub use secret::WebhookSecret;
pub(crate) use sender::{Sender, Sent};

/// The longest delay.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// When a webhook that was sent `tried` times is sent again: after 1, 2, 4, 8 ... seconds, half an hour at most, and up to half as
/// much more. `chance` is from 0 up to 1.
pub(crate) fn again(tried: u32, chance: f64) -> Duration {
    let delay = Duration::from_secs(1 << tried.saturating_sub(1).min(16)).min(LONGEST);
    between(delay, delay.mul_f64(1.5), chance)
}

/// A time as ISO 8601 has it, in UTC.
pub(crate) fn written(millis: u64) -> String {
    let (days, second) = (millis / 86_400_000, millis / 1000 % 86_400);
    // The civil calendar, counted from a first of March, so that the day that comes and goes is the last of a year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    format!(
        "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        millis % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_from_a_second_to_half_an_hour_and_span_hours() {
        let tries = crate::jobs::JobsConfig::default().webhook_tries;
        let least: Vec<_> = (1..tries).map(|tried| again(tried, 0.0).as_secs()).collect();
        assert_eq!(least, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800, 1800]);
        assert_eq!(again(3, 1.0), Duration::from_secs(6));
        assert_eq!(again(100, 0.0), LONGEST);
        let all: u64 = least.iter().sum();
        assert!((2 * 60 * 60..3 * 60 * 60).contains(&all), "{all} s");
    }

    #[test]
    fn times_are_written_as_people_do() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_614_265_330_123, "2021-02-25T15:02:10.123Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(written(millis), expected);
        }
    }
}
