//! A stretch of time as people write it: `90s`, `15m`, `2 h`.

use super::number_and_unit;
use serde::Deserialize;
use std::str::FromStr;
use std::time::Duration;

/// Units, and how many seconds each is.
const UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];

/// Longer than anybody waits for anything: a week.
const SECONDS_MAX: u64 = 7 * 24 * 3600;

/// A time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text);
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let seconds = match (number.parse::<u64>(), unit) {
            (Ok(n), Some((_, seconds))) => n.checked_mul(*seconds),
            _ => None,
        };
        match seconds {
            Some(seconds @ 1..=SECONDS_MAX) => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(format!("`{text}` is no time up to a week, such as \"90s\" or \"15m\"")),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_or_refused() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2 h", 7200), ("168h", 604_800)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_secs(seconds))), "{text}");
        }
        for bad in ["", "15", "m", "0s", "-1m", "1.5h", "15 min", "169h", "99999999999999999999h"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
