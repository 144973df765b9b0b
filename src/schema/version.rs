//! Versions of schemas: numbers between dots, no decimals: 1.10 is newer than 1.9.

use std::cmp::Ordering;
use std::fmt;

/// A version as it is written, ordered by its numbers; missing ones count as 0.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    text: String,
    numbers: Vec<u64>,
}

impl Version {
    /// `1.19`, with or without a `v`.
    pub(crate) fn parse(text: &str) -> Option<Version> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut numbers = text
            .split('.')
            .map(|part| match part.bytes().all(|b| b.is_ascii_digit()) {
                true => part.parse().ok(),
                false => None,
            })
            .collect::<Option<Vec<u64>>>()?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(Version {
            text: text.to_owned(),
            numbers,
        })
    }

    /// What a database without a version is at.
    pub(crate) fn zero() -> Version {
        Version {
            text: "0.0".into(),
            numbers: Vec::new(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    fn number(&self, i: usize) -> u64 {
        self.numbers.get(i).copied().unwrap_or(0)
    }

    /// May `self` come right after `before`? The last number that rises does so by one, and what follows it begins
    /// again at 0. After nothing at all: 0.1, or X.0.
    pub(crate) fn follows(&self, before: &Version) -> bool {
        let length = self.numbers.len().max(before.numbers.len());
        let Some(first) = (0..length).find(|i| self.number(*i) != before.number(*i)) else {
            return false;
        };
        let rest_is_zero = (first + 1..length).all(|i| self.number(i) == 0);
        match before.numbers.is_empty() && first == 0 {
            true => rest_is_zero,
            false => self.number(first) == before.number(first) + 1 && rest_is_zero,
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        self.numbers == other.numbers
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_are_no_decimals() {
        assert!(v("1.10") > v("1.9") && v("v2") > v("1.19") && v("1") == v("1.0") && v("0.0") == Version::zero());
        for text in ["", "1.", ".1", "1.x", "-1", "+1", "1,2"] {
            assert!(Version::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_gap_is_seen() {
        for (before, after) in [
            ("1.9", "1.10"),
            ("1.19", "2.0"),
            ("0.0", "1.0"),
            ("0.0", "0.1"),
            ("0.9", "0.10"),
            ("1.2", "1.2.1"),
        ] {
            assert!(v(after).follows(&v(before)), "{before} {after}");
        }
        for (before, after) in [
            ("1.9", "1.11"),
            ("1.9", "1.9"),
            ("1.9", "2.1"),
            ("0.0", "1.1"),
            ("0.0", "0.2"),
            ("1.9", "3.0"),
        ] {
            assert!(!v(after).follows(&v(before)), "{before} {after}");
        }
    }
}
