//! A line as it is shown: pieces of text, each with a tone.

use std::time::Duration;

use console::Style;

use super::clean;
use crate::event::Outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Text,
    Dim,
    Bold,
    Good,
    Changed,
    Skipped,
    Bad,
    Unknown,
}

impl Tone {
    fn style(self) -> Style {
        let style = Style::new().force_styling(true);
        match self {
            Tone::Text => Style::new().force_styling(false),
            Tone::Dim => style.dim(),
            Tone::Bold => style.bold(),
            Tone::Good => style.green(),
            Tone::Changed => style.yellow(),
            Tone::Skipped => style.cyan(),
            Tone::Bad => style.red().bold(),
            Tone::Unknown => style.magenta().bold(),
        }
    }
}

impl From<Outcome> for Tone {
    fn from(outcome: Outcome) -> Tone {
        match outcome {
            Outcome::Ok => Tone::Good,
            Outcome::Changed => Tone::Changed,
            Outcome::Skipped => Tone::Skipped,
            Outcome::Failed | Outcome::Unreachable => Tone::Bad,
            Outcome::Unknown => Tone::Unknown,
        }
    }
}

/// In the order in which `HostState` counts.
pub(super) const OUTCOMES: [Outcome; 6] = [
    Outcome::Ok,
    Outcome::Changed,
    Outcome::Skipped,
    Outcome::Failed,
    Outcome::Unreachable,
    Outcome::Unknown,
];

/// How a line stands under the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Margin {
    /// With the time before it.
    Time,
    /// Below such a line, as far in as its text.
    Below,
    /// At the edge: recap, and the lines to copy.
    Edge,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    margin: Margin,
    pieces: Vec<(Tone, String)>,
}

impl Line {
    /// Something happened.
    pub(super) fn now() -> Line {
        Line {
            margin: Margin::Time,
            pieces: Vec::new(),
        }
    }

    /// More about what the line before says.
    pub(super) fn below() -> Line {
        Line {
            margin: Margin::Below,
            ..Line::now()
        }
    }

    pub(super) fn edge() -> Line {
        Line {
            margin: Margin::Edge,
            ..Line::now()
        }
    }

    pub(super) fn text(self, text: impl Into<String>) -> Line {
        self.tone(Tone::Text, text)
    }

    pub(super) fn tone(mut self, tone: Tone, text: impl Into<String>) -> Line {
        self.pieces.push((tone, text.into()));
        self
    }

    /// `time`: what stands before a line that happened now. The result holds no control character but, if `styled`,
    /// those of our own colours.
    pub(super) fn render(&self, time: &str, styled: bool) -> String {
        let mut shown = match self.margin {
            Margin::Time if styled => format!("{} ", Tone::Dim.style().apply_to(time)),
            Margin::Time => format!("{time} "),
            Margin::Below => " ".repeat(time.len() + 1),
            Margin::Edge => String::new(),
        };
        for (tone, text) in &self.pieces {
            let text = clean::one_line(text);
            match (styled, tone) {
                (false, _) | (true, Tone::Text) => shown.push_str(&text),
                (true, tone) => shown.push_str(&tone.style().apply_to(text).to_string()),
            }
        }
        shown.truncate(shown.trim_end().len());
        shown
    }
}

/// One line of output.
pub(super) fn behind_bar(tone: Tone, line: &str) -> Line {
    Line::below().tone(Tone::Dim, "  | ").tone(tone, line)
}

/// `1.2 s`, `42 s`, `3 min 4 s`, `2 h 5 min`.
pub(super) fn duration(seconds: f64) -> String {
    let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Elapsed time that is shown while it grows: whole seconds.
pub(super) fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds % 3600 / 60, seconds % 60),
    }
}

/// `12.3 of 90.0 MiB`.
pub(super) fn bytes((done, all): (u64, u64)) -> String {
    let (unit, size) = match all {
        0..1024 => ("bytes", 1.0),
        1024..1_048_576 => ("KiB", 1024.0),
        1_048_576..1_073_741_824 => ("MiB", 1_048_576.0),
        _ => ("GiB", 1_073_741_824.0),
    };
    let digits = usize::from(size > 1.0);
    format!(
        "{:.digits$} of {:.digits$} {unit}",
        done as f64 / size,
        all as f64 / size
    )
}

pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!(duration(0.04), "0.0 s");
        assert_eq!(duration(9.96), "10 s");
        assert_eq!(duration(59.7), "1 min 0 s");
        assert_eq!(duration(7500.0), "2 h 5 min");
        assert_eq!(duration(f64::NAN), "0.0 s");
        assert_eq!(clock(Duration::from_secs(3725)), "1:02:05");
        assert_eq!(bytes((12_900_000, 94_371_840)), "12.3 of 90.0 MiB");
        assert_eq!(bytes((3, 12)), "3 of 12 bytes");
    }

    #[test]
    fn styles_close_what_they_open() {
        let line = Line::now().tone(Tone::Bad, "no\x1b[2J").text(" x");
        assert_eq!(line.render("12:00:00", false), "12:00:00 no␛[2J x");
        let styled = line.render("12:00:00", true);
        assert_eq!(console::strip_ansi_codes(&styled), "12:00:00 no␛[2J x");
        assert!(!styled.contains("\x1b[2J"), "{styled:?}");
    }
}
