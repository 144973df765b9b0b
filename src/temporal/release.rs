//! Names of releases: `1.29.7`, and the minor `1.29` that a hop counts by.

use std::cmp::Ordering;
use std::fmt;

/// A release by its tag. Four parts (`1.29.4.1`) are tags that upstream made and whose binary reports three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Release {
    pub(crate) minor: Minor,
    pub(crate) patch: u32,
    /// 0 where the tag has three parts.
    pub(crate) fourth: u32,
}

/// What one hop moves by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Minor {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// Numbers between dots, without signs or leading zeros, as many as asked for.
fn numbers<const N: usize>(text: &str) -> Option<[u32; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split('.');
    for number in &mut numbers {
        let part = parts.next()?;
        let plain = part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        *number = part.parse().ok().filter(|_| plain)?;
    }
    parts.next().is_none().then_some(numbers)
}

impl Release {
    /// `1.29.7` or `1.29.4.1`, with or without a `v`. Cloud tags and candidates (`1.31.0-150.0`, `1.30.0-rc.1`) are none.
    pub(crate) fn parse(text: &str) -> Option<Release> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let [major, minor, patch, fourth] = match numbers::<3>(text) {
            Some([major, minor, patch]) => [major, minor, patch, 0],
            None => numbers::<4>(text)?,
        };
        Some(Release {
            minor: Minor { major, minor },
            patch,
            fourth,
        })
    }
}

impl Minor {
    /// `1.29`, with or without a `v`.
    pub(crate) fn parse(text: &str) -> Option<Minor> {
        let text = text.trim();
        let [major, minor] = numbers::<2>(text.strip_prefix('v').unwrap_or(text))?;
        Some(Minor { major, minor })
    }

    pub(crate) const fn new(major: u32, minor: u32) -> Minor {
        Minor { major, minor }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.fourth {
            0 => format!("{}.{}", self.minor, self.patch),
            fourth => format!("{}.{}.{fourth}", self.minor, self.patch),
        };
        f.pad(&text)
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

impl serde::Serialize for Release {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl serde::Serialize for Minor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Is a version of a database at least this? Missing numbers count as 0; what follows the numbers (`16.6 (Debian …)`,
/// `8.0.36-log`) does not count. None where the text begins with no number.
pub(crate) fn at_least(version: &str, minimum: &str) -> Option<bool> {
    let numbers = |text: &str| -> Vec<u32> {
        text.split('.')
            .map_while(|part| {
                let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
                digits.parse().ok()
            })
            .collect()
    };
    let (have, want) = (numbers(version), numbers(minimum));
    if have.is_empty() {
        return None;
    }
    let length = have.len().max(want.len());
    let at = |numbers: &[u32], i: usize| numbers.get(i).copied().unwrap_or(0);
    let order = (0..length).map(|i| at(&have, i).cmp(&at(&want, i))).find(|o| o.is_ne());
    Some(order.unwrap_or(Ordering::Equal).is_ge())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_three_numbers_or_four() {
        let v = |text: &str| Release::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert!(v("1.9.0") < v("1.10.0") && v("v1.29.4") < v("1.29.4.1") && v("1.29.4.1") < v("1.29.5"));
        assert_eq!(v("1.29.4.1").to_string(), "1.29.4.1");
        assert_eq!(v(" v1.30.0 ").to_string(), "1.30.0");
        for text in [
            "",
            "1.29",
            "1.29.x",
            "1.31.0-150.0",
            "1.30.0-rc.1",
            "01.2.3",
            "1.2.03",
            "1.2.3.4.5",
            "+1.2.3",
            "1..3",
        ] {
            assert_eq!(Release::parse(text), None, "{text}");
        }
        assert_eq!(Minor::parse("1.10"), Some(Minor::new(1, 10)));
        assert_eq!(Minor::parse("1.10.1"), None);
    }

    #[test]
    fn a_database_says_its_version_in_many_words() {
        for (version, minimum, holds) in [
            ("15.18 (Debian 15.18-0+deb12u1)", "12", Some(true)),
            ("9.6.24", "12", Some(false)),
            ("8.0.36-28", "8.0.17", Some(true)),
            ("8.0.9", "8.0.17", Some(false)),
            ("12", "12.0", Some(true)),
            ("unknown", "12", None),
        ] {
            assert_eq!(at_least(version, minimum), holds, "{version}");
        }
    }
}
