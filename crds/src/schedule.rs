//! Cron schedules, read as the CronJob controller reads them.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};

/// A cron expression of five fields, in a time zone.
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// Reads an expression of five fields or a macro such as `@daily`; `None` when it is neither.
    pub fn parse(expression: &str, zone: &TimeZone) -> Option<Self> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        Some(Self {
            cron: parser.parse(expression).ok()?,
            zone: zone.clone(),
        })
    }

    /// The first time after `instant`; `None` when there is none, as for the 30th of February.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        let next = self
            .cron
            .find_next_occurrence(&instant.to_zoned(self.zone.clone()), false);
        next.ok().map(|next| next.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, zone: &str, instant: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let schedule = Schedule::parse(expression, &zone).unwrap();
        schedule.next_after(instant.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_next_time_is_told_in_the_schedules_own_zone() {
        assert_eq!(
            next("0 2 * * *", "Etc/UTC", "2026-01-01T02:00:00Z"),
            "2026-01-02T02:00:00Z"
        );
        assert_eq!(
            next("0 2 * * *", "Europe/Vienna", "2026-01-01T00:00:00Z"),
            "2026-01-01T01:00:00Z"
        );
        assert_eq!(
            next("@daily", "Etc/UTC", "2026-01-01T00:00:00Z"),
            "2026-01-02T00:00:00Z"
        );
    }

    #[test]
    fn a_time_that_never_comes_has_no_next() {
        let schedule = Schedule::parse("0 0 30 2 *", &TimeZone::UTC).unwrap();
        assert_eq!(schedule.next_after("2026-01-01T00:00:00Z".parse().unwrap()), None);
    }
}
