//! What Temporal's tools print: zap's console lines on stderr, in colours.

use super::super::plan::one_line;

/// The log of one `update-schema`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Log {
    /// `Schema updated from A to B`, in order.
    pub(super) steps: Vec<(String, String)>,
    /// `found zero updates from current version X`.
    pub(super) zero: Option<String>,
    /// A version that was begun and not recorded.
    pub(super) open: Option<Open>,
    /// What its last error says.
    pub(super) error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Open {
    pub(super) version: String,
    /// Every statement is printed before it is sent: all but the last are through.
    pub(super) statements: Vec<String>,
    /// The last is through too; only the record is missing.
    pub(super) through: bool,
}

impl Log {
    pub(super) fn read(text: &str) -> Log {
        let mut log = Log::default();
        for line in text.lines() {
            let line = plain(line);
            // time, level, message, fields
            let mut parts = line.splitn(3, '\t').skip(1);
            let (Some(level), Some(rest)) = (parts.next(), parts.next()) else {
                continue;
            };
            let (message, fields) = rest.rsplit_once('\t').unwrap_or((rest, ""));
            if level == "ERROR" {
                log.error = Some(error(fields).unwrap_or_else(|| message.to_owned()));
            }
            if level == "DEBUG" {
                log.debug(message);
            }
        }
        log
    }

    fn debug(&mut self, message: &str) {
        if let Some(version) = between(message, "---- Executing updates for version ", " ----") {
            self.open = Some(Open {
                version: version.to_owned(),
                ..Open::default()
            });
        } else if message == "---- Done ----" {
            if let Some(open) = &mut self.open {
                open.through = true;
            }
        } else if let Some((from, to)) = message
            .strip_prefix("Schema updated from ")
            .and_then(|rest| rest.split_once(" to "))
        {
            self.steps.push((from.to_owned(), to.trim().to_owned()));
            self.open = None;
        } else if let Some(version) = message.strip_prefix("found zero updates from current version ") {
            self.zero = Some(version.trim().to_owned());
        } else if let Some(open) = &mut self.open
            && !open.through
        {
            open.statements.push(one_line(message, 160));
        }
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(after)
}

/// The `error` of a line's fields.
fn error(fields: &str) -> Option<String> {
    let fields: serde_json::Value = serde_json::from_str(fields).ok()?;
    fields.get("error")?.as_str().map(str::to_owned)
}

/// Without `ESC [ … m`.
fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        text += before;
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(all: &[(&str, &str, &str)]) -> String {
        let line = |(level, message, fields): &(&str, &str, &str)| {
            format!(
                "2026-11-24T15:53:59.935Z\t\u{1b}[35m{level}\u{1b}[0m\t{message}\t{{{fields}\"logging-call-at\": \"x.go:1\"}}\n"
            )
        };
        all.iter().map(line).collect()
    }

    #[test]
    fn the_log_says_what_is_done_and_what_is_open() {
        let whole = [
            ("INFO", "UpdateSchemaTask started", "\"config\": {\"DBName\":\"\"}, "),
            ("DEBUG", "Schema Dirs: [v1.10 v1.11]", ""),
            ("DEBUG", "running 2 updates for current version 1.9", ""),
            ("DEBUG", "---- Executing updates for version 1.10 ----", ""),
            ("DEBUG", "CREATE TABLE a ( i int );", ""),
            ("DEBUG", "---- Done ----", ""),
            ("DEBUG", "Schema updated from 1.9 to 1.10", ""),
            ("DEBUG", "---- Executing updates for version 1.11 ----", ""),
            ("DEBUG", "CREATE TABLE b ( i int );", ""),
            (
                "WARN",
                "Duplicate update, most likely …",
                "\"error\": \"b already exists\", ",
            ),
            ("DEBUG", "DROP TABLE c;", ""),
            (
                "ERROR",
                "Unable to update CQL schema.",
                "\"error\": \"error executing statement: no \\\"c\\\"\", ",
            ),
        ];
        let log = Log::read(&lines(&whole));
        assert_eq!(log.steps, [("1.9".into(), "1.10".into())]);
        let open = log.open.unwrap();
        assert_eq!(open.version, "1.11");
        assert_eq!(open.statements, ["CREATE TABLE b ( i int );", "DROP TABLE c;"]);
        assert!(!open.through);
        assert_eq!(log.error.unwrap(), "error executing statement: no \"c\"");
        // killed after the last statement, before its record
        let log = Log::read(&lines(&whole[..6]));
        assert!(log.open.unwrap().through && log.error.is_none() && log.steps.is_empty());
        let log = Log::read(&lines(&[("DEBUG", "found zero updates from current version 1.13", "")]));
        assert_eq!((log.zero.as_deref(), log.open), (Some("1.13"), None));
        assert_eq!(
            Log::read("Incorrect Usage: flag provided but not defined\n\nNAME:\n"),
            Log::default()
        );
        // the last line may be cut anywhere
        assert_eq!(Log::read("2026\t\u{1b}[35mDEB"), Log::default());
    }
}
