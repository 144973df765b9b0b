//! What a person, or a program, sees of a run: plain lines, a terminal, JSON. Reporters only watch: they know events and
//! the state, never the engine, and none of them makes a run wait for whoever reads it.
//!
//! ```text
//!            ┌► Json ─────────────────────────► Writer ─► stdout
//! (Record,   │
//!  RunState) ├► Plain ────► Story ─► [Line] ──► Writer ─► stdout (after a minute of silence: what the Board has)
//!            │
//!            └► Terminal ─► Story ─► [Line] ─┐
//!                        └► Board ───────────┴► the drawing thread, 10 times a second at most
//! ```
//! - All foreign text becomes part of a `Line`, and `Line::render` is where control characters are made visible.
//! - Times come from the records; only the terminal's clock of what runs now is its own.

mod board;
mod clean;
mod failure;
mod json;
mod line;
mod plain;
mod recap;
mod story;
mod terminal;
#[cfg(test)]
mod tests;
mod ways;
mod writer;

pub(crate) use clean::one_line;

use std::ffi::OsString;
use std::io::IsTerminal;

use crate::event::Watch;

/// One JSON object a line on stdout, the recap last.
pub(crate) fn json() -> Box<dyn Watch> {
    Box::new(json::Json::new(writer::Writer::new(std::io::stdout())))
}

/// For a person, on stdout: live on a terminal, else a timestamped line for each transition. `diff`: show what changes.
pub(crate) fn text(diff: bool) -> Box<dyn Watch> {
    let zone = jiff::tz::TimeZone::system();
    let lively =
        std::io::stdout().is_terminal() && std::io::stderr().is_terminal() && lively(|name| std::env::var_os(name));
    if lively && let Some(terminal) = terminal::Terminal::stdout(diff, zone.clone()) {
        return Box::new(terminal);
    }
    Box::new(plain::Plain::new(diff, zone, std::io::stdout()))
}

/// Does the environment allow a screen that moves?
fn lively(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty() && value != "false");
    !set("NO_COLOR") && !set("CI") && variable("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}
