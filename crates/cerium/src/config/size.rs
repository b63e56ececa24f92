//! An amount of memory as people write it: `1500 MB`, `2GB`, `1.5 GiB`.

use super::number_and_unit;
use serde::Deserialize;
use std::str::FromStr;

/// Units, and how many bytes each is.
const UNITS: [(&str, f64); 6] = [
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("MiB", (1u64 << 20) as f64),
    ("GiB", (1u64 << 30) as f64),
    ("TiB", (1u64 << 40) as f64),
];

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text);
        let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        match (number.parse::<f64>(), factor) {
            (Ok(n), Some((_, factor))) if n.is_finite() && n > 0.0 => Ok(Self((n * factor) as u64)),
            _ => Err(format!("`{text}` is no amount of memory, such as \"1500 MB\" or \"2 GB\"")),
        }
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_or_refused() {
        for (text, n) in
            [("1500 MB", 1_500_000_000), ("2GB", 2_000_000_000), ("1.5 gib", 1_610_612_736)]
        {
            assert_eq!(text.parse(), Ok(Size(n)), "{text}");
        }
        for bad in ["", "GB", "-1 GB", "0 MB", "2", "2 G", "inf GB", "nan MB", "1e400 GB", "2 GB x"]
        {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
