//! Batches and the failure budget of a stage: counts and per cent of its hosts, as Ansible reckons them.

use serde_json::Value;

/// A number of hosts, or a share of those of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Count(u64),
    Percent(u64),
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum BadSize {
    #[error("`{0}` must be above 0")]
    NotAboveZero(String),
    #[error("`{0}` must not be negative")]
    Negative(String),
    #[error("`{0}` is no whole number of hosts or per cent: write `2` or `25%`")]
    NotWhole(String),
    #[error("expected a number or per cent, found {0}")]
    Kind(&'static str),
    #[error("an empty list says nothing about batches")]
    Empty,
}

impl Size {
    /// `2`, `"2"` or `"25%"`.
    fn parse(value: &Value) -> Result<Size, BadSize> {
        let text = match value {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.trim().to_owned(),
            Value::Null => return Err(BadSize::Kind("nothing")),
            Value::Bool(_) => return Err(BadSize::Kind("a boolean")),
            Value::Array(_) => return Err(BadSize::Kind("a list")),
            Value::Object(_) => return Err(BadSize::Kind("a mapping")),
        };
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits.trim(), true),
            None => (text.as_str(), false),
        };
        let negative = digits.starts_with('-');
        let digits = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        let number = match digits.parse::<u64>() {
            Ok(number) if digits.bytes().all(|b| b.is_ascii_digit()) => number,
            _ => return Err(BadSize::NotWhole(text)),
        };
        if negative && number != 0 {
            return Err(BadSize::Negative(text));
        }
        Ok(if percent {
            Size::Percent(number)
        } else {
            Size::Count(number)
        })
    }

    /// Of so many hosts, rounded down.
    fn of(self, hosts: usize) -> usize {
        match self {
            Size::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            // Ansible's own expression: 29 % of 100 is 28.
            Size::Percent(percent) => ((percent as f64 / 100.0) * hosts as f64) as usize,
        }
    }
}

/// The value of a rendered `serial`: a size, or a list of sizes. Each is above 0.
pub(crate) fn parse_serial(value: &Value) -> Result<Vec<Size>, BadSize> {
    let sizes = match value {
        Value::Array(items) if items.is_empty() => return Err(BadSize::Empty),
        Value::Array(items) => items.iter().map(Size::parse).collect::<Result<Vec<_>, _>>()?,
        one => vec![Size::parse(one)?],
    };
    match sizes.iter().find(|s| matches!(s, Size::Count(0) | Size::Percent(0))) {
        Some(Size::Percent(_)) => Err(BadSize::NotAboveZero("0%".to_owned())),
        Some(Size::Count(_)) => Err(BadSize::NotAboveZero("0".to_owned())),
        None => Ok(sizes),
    }
}

/// How many hosts each batch takes; the last size repeats, and no batch is empty. Without sizes there is one batch.
pub(crate) fn batches(serial: &[Size], hosts: usize) -> Vec<usize> {
    let mut batches = Vec::new();
    let mut left = hosts;
    let mut sizes = serial.iter();
    let mut size = None;
    while left > 0 {
        size = sizes.next().or(size);
        let wanted = size.map_or(left, |size| size.of(hosts).max(1));
        let batch = wanted.min(left);
        batches.push(batch);
        left -= batch;
    }
    batches
}

/// The value of a rendered `max_fail`: a size, 0 included.
pub(crate) fn parse_max_fail(value: &Value) -> Result<Size, BadSize> {
    Size::parse(value)
}

/// How many hosts of a stage may fail before it stops: more than this is too many.
pub(crate) fn max_fail(budget: Size, hosts: usize) -> usize {
    budget.of(hosts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn batches_as_ansible_makes_them() {
        for (serial, hosts, expected) in [
            (json!("33%"), 10, vec![3, 3, 3, 1]),
            (json!([1, "50%"]), 10, vec![1, 5, 4]),
            (json!([1, 2]), 10, vec![1, 2, 2, 2, 2, 1]),
            (json!("5%"), 10, vec![1; 10]),
            (json!("29%"), 100, vec![28, 28, 28, 16]),
            (json!("58%"), 50, vec![28, 22]),
            (json!("2"), 3, vec![2, 1]),
            (json!(99), 3, vec![3]),
            (json!("200%"), 3, vec![3]),
            (json!([1, 1, "100%"]), 5, vec![1, 1, 3]),
            (json!(3), 0, vec![]),
        ] {
            assert_eq!(
                batches(&parse_serial(&serial).unwrap(), hosts),
                expected,
                "{serial} of {hosts}"
            );
        }
        assert_eq!(batches(&[], 4), [4]);
    }

    #[test]
    fn what_is_no_size() {
        for (serial, expected) in [
            (json!(0), "`0` must be above 0"),
            (json!("0%"), "`0%` must be above 0"),
            (json!(-1), "`-1` must not be negative"),
            (
                json!("25.5%"),
                "`25.5%` is no whole number of hosts or per cent: write `2` or `25%`",
            ),
            (
                json!(1.5),
                "`1.5` is no whole number of hosts or per cent: write `2` or `25%`",
            ),
            (
                json!("two"),
                "`two` is no whole number of hosts or per cent: write `2` or `25%`",
            ),
            (json!([]), "an empty list says nothing about batches"),
            (json!([1, [2]]), "expected a number or per cent, found a list"),
            (json!(null), "expected a number or per cent, found nothing"),
            (json!(true), "expected a number or per cent, found a boolean"),
        ] {
            assert_eq!(parse_serial(&serial).unwrap_err().to_string(), expected, "{serial}");
        }
    }

    #[test]
    fn the_failure_budget_rounds_down() {
        for (value, hosts, expected) in [
            (json!(0), 4, 0),
            (json!("25%"), 4, 1),
            (json!("24%"), 4, 0),
            (json!("29%"), 100, 28),
            (json!(3), 2, 3),
            (json!("100%"), 7, 7),
        ] {
            assert_eq!(
                max_fail(parse_max_fail(&value).unwrap(), hosts),
                expected,
                "{value} of {hosts}"
            );
        }
        assert!(parse_max_fail(&json!(-1)).is_err());
    }
}
