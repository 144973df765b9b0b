//! The end: a row per host, the worst first, what the run came to, and the lines that go on.

use std::collections::{HashMap, HashSet};

use console::{Alignment, measure_text_width, pad_str};

use super::clean;
use super::line::{Line, OUTCOMES, Tone, count, duration};
use super::ways;
use crate::event::{Fate, HostState, Outcome, RunEnd, RunState, StageEnd, UnitStatus};
use crate::id::{HostName, Unit};

/// How a run ended.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) how: RunEnd,
    pub(super) exit: u8,
    pub(super) check: bool,
    /// Of this controller's part of the run, in seconds.
    pub(super) seconds: f64,
}

/// Units of a host by outcome. A host that was lost before any unit could be is one unreachable.
pub(super) fn counts(host: &HostState) -> [usize; 6] {
    let mut counts = host.counts;
    let lost = &mut counts[Outcome::Unreachable as usize];
    if *lost == 0 && matches!(host.fate, Some((_, Fate::Unreachable, _))) {
        *lost = 1;
    }
    counts
}

/// Where a host stands in the recap, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Broken,
    Failed,
    Unknown,
    Unreachable,
    RolledBack,
    Through,
    Untouched,
    Excluded,
}

struct Row<'a> {
    rank: Rank,
    host: &'a HostName,
    counts: [usize; 6],
    word: String,
    reason: &'a str,
}

pub(super) fn recap(state: &RunState, end: End) -> Vec<Line> {
    let rows = rows(state, end);
    let mut lines = vec![Line::edge(), heading(state, end)];
    lines.extend(stages(state));
    if end.how != RunEnd::Done && !end.check {
        lines.extend(boundaries(state));
    }
    lines.extend(table(&rows, end.check));
    lines.extend(running(state));
    lines.extend(left_open(state));
    let way = ways::way(end.how, end.exit);
    let tone = match end.how {
        RunEnd::Done => Tone::Good,
        RunEnd::Unknown => Tone::Unknown,
        RunEnd::Paused | RunEnd::Interrupted | RunEnd::Closed => Tone::Changed,
        RunEnd::Failed | RunEnd::Refused => Tone::Bad,
    };
    lines.push(Line::edge());
    lines.push(
        Line::edge()
            .tone(tone, meaning(&rows, end, paused(state, end).unwrap_or(way.meaning)))
            .tone(Tone::Dim, format!(" (exit {})", end.exit)),
    );
    if end.check {
        return lines;
    }
    for (unit, message) in unknown(state) {
        lines.push(Line::edge().text("  ").tone(Tone::Unknown, unit.to_string()));
        lines.extend(
            clean::lines(message)
                .into_iter()
                .map(|line| Line::edge().text("      ").text(line)),
        );
        lines.push(
            Line::edge()
                .text("      ")
                .tone(Tone::Bold, ways::decide(&state.run, unit)),
        );
    }
    let back = state.rolling_back.is_some();
    let commands: Vec<_> = way
        .commands(&state.run)
        .map(|(what, command)| match back {
            true => (what, command.replace("refit resume", "refit rollback")),
            false => (what, command),
        })
        .collect();
    let width = commands.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
    lines.extend(commands.into_iter().map(|(what, command)| {
        let what = format!("  {:<width$}", format!("{what}:"), width = width + 3);
        Line::edge().tone(Tone::Dim, what).tone(Tone::Bold, command)
    }));
    lines
}

fn heading(state: &RunState, end: End) -> Line {
    let name = state
        .began
        .as_ref()
        .map(|began| began.name.as_str())
        .unwrap_or_default();
    let mode = if end.check {
        ", check mode: nothing was changed"
    } else {
        ""
    };
    Line::edge().tone(Tone::Bold, format!("Recap of {name}")).tone(
        Tone::Dim,
        format!("   run {}, {}{mode}", state.run, duration(end.seconds)),
    )
}

/// Stages that did not simply come to their end.
fn stages(state: &RunState) -> Vec<Line> {
    state
        .stages
        .values()
        .filter_map(|stage| {
            let (tone, text) = match stage.end.as_ref() {
                Some(StageEnd::Done) => return None,
                Some(StageEnd::Failed) => (Tone::Bad, "failed: more hosts than its max_fail allows".to_owned()),
                Some(StageEnd::Skipped(why)) => (Tone::Skipped, format!("skipped: {why}")),
                Some(StageEnd::Open) | None => (Tone::Changed, "not ended".to_owned()),
            };
            Some(Line::edge().text(format!("  stage {}: ", stage.title)).tone(tone, text))
        })
        .collect()
}

/// How far the run came in each group that goes over items: the end of one is a safe place to stop.
fn boundaries(state: &RunState) -> Vec<Line> {
    let begun = |instance: &str| {
        let inside = format!("{instance}/");
        let mut stages = state.stages.iter();
        stages.any(|(path, stage)| path.starts_with(&inside) && !stage.hosts.is_empty())
    };
    let mut lines = Vec::new();
    for (path, titles) in &state.groups {
        let instance = |index: usize| format!("{path}[{index}]");
        let through = (0..titles.len()).take_while(|index| state.complete.contains(&instance(*index)));
        let through = through.count();
        let last = through
            .checked_sub(1)
            .map(|index| format!("{} is complete", titles[index]));
        let next = titles.get(through).map(|title| match begun(&instance(through)) {
            true => format!("{title} is not complete"),
            false => format!("{title} has not begun"),
        });
        let text = match (last, next) {
            (_, None) => continue,
            (None, Some(_)) if !begun(&instance(0)) => continue,
            (None, Some(next)) => next,
            (Some(last), Some(next)) => format!("{last}, {next}"),
        };
        lines.push(Line::edge().text("  ").tone(Tone::Changed, text));
    }
    lines
}

fn rows(state: &RunState, end: End) -> Vec<Row<'_>> {
    let mut furthest: HashMap<&HostName, &Unit> = HashMap::new();
    for unit in state.units.keys().filter(|unit| unit.stage != "finally") {
        furthest.insert(&unit.host, unit);
    }
    // They stand among the failed, and the run is done all the same: the row says why.
    let mut ignored: HashMap<&HostName, usize> = HashMap::new();
    for (unit, known) in &state.units {
        if matches!(&known.status, UnitStatus::Ended { ignored: true, .. }) {
            *ignored.entry(&unit.host).or_default() += 1;
        }
    }
    let unsure: HashSet<&HostName> = unknown(state).into_iter().map(|(unit, _)| &unit.host).collect();
    let mut rows: Vec<Row<'_>> = state
        .hosts
        .iter()
        .map(|(name, host)| {
            let counts = counts(host);
            let none = counts.iter().all(|count| *count == 0);
            let (rank, word, reason) = match &host.fate {
                Some((stage, fate, reason)) => {
                    let (rank, word) = fate_word(*fate);
                    let place = if stage.is_empty() {
                        String::new()
                    } else {
                        format!(" in {stage}")
                    };
                    (rank, format!("{word}{place}"), reason.as_str())
                }
                None if unsure.contains(name) => (Rank::Unknown, "unknown".to_owned(), ""),
                None if none => (Rank::Untouched, "untouched".to_owned(), ""),
                None if end.how == RunEnd::Done => {
                    let word = ignored.get(name).map(|n| format!("{n} failed, ignored"));
                    (Rank::Through, word.unwrap_or_default(), "")
                }
                None => {
                    let word = furthest
                        .get(name)
                        .map(|unit| format!("came to {}/{}", unit.stage, unit.step));
                    (Rank::Through, word.unwrap_or_default(), "")
                }
            };
            Row {
                rank,
                host: name,
                counts,
                word,
                reason,
            }
        })
        .collect();
    rows.sort_by_key(|row| row.rank);
    rows
}

fn fate_word(fate: Fate) -> (Rank, &'static str) {
    match fate {
        Fate::Broken => (Rank::Broken, "BROKEN"),
        Fate::Unknown => (Rank::Unknown, "unknown"),
        Fate::Failed => (Rank::Failed, "failed"),
        Fate::Unreachable => (Rank::Unreachable, "unreachable"),
        Fate::RolledBack => (Rank::RolledBack, "rolled back"),
        Fate::Excluded => (Rank::Excluded, "excluded"),
    }
}

fn table(rows: &[Row<'_>], check: bool) -> Vec<Line> {
    let changed = if check { "would change" } else { "changed" };
    let heads = ["ok", changed, "skipped", "failed", "unreachable", "unknown"];
    let name = |row: &Row<'_>| clean::one_line(row.host.as_str());
    let first = rows
        .iter()
        .map(|row| measure_text_width(&name(row)))
        .max()
        .unwrap_or(0)
        .max("host".len());
    let mut head = format!("  {}", pad_str("host", first, Alignment::Left, None));
    for title in heads {
        head.push_str("  ");
        head.push_str(title);
    }
    let mut lines = vec![Line::edge().tone(Tone::Dim, head)];
    for row in rows {
        let tone = match row.rank {
            Rank::Broken | Rank::Failed | Rank::Unreachable => Tone::Bad,
            Rank::Unknown => Tone::Unknown,
            Rank::RolledBack => Tone::Changed,
            Rank::Through => Tone::Text,
            Rank::Untouched | Rank::Excluded => Tone::Dim,
        };
        let padded = pad_str(&name(row), first, Alignment::Left, None).into_owned();
        let mut line = Line::edge().text("  ").tone(tone, padded);
        for (index, outcome) in OUTCOMES.iter().enumerate() {
            let number = row.counts[*outcome as usize];
            let cell = format!("  {number:>width$}", width = heads[index].len());
            line = line.tone(if number == 0 { Tone::Dim } else { Tone::from(*outcome) }, cell);
        }
        line = line.text("  ").tone(tone, row.word.clone());
        if let Some(reason) = clean::lines(row.reason).first() {
            line = line.text(format!(": {reason}"));
        }
        lines.push(line);
    }
    lines
}

fn meaning(rows: &[Row<'_>], end: End, meaning: &str) -> String {
    let changed = |row: &&Row<'_>| row.counts[Outcome::Changed as usize] > 0;
    let hosts = rows.iter().filter(changed).count();
    let units: usize = rows.iter().map(|row| row.counts[Outcome::Changed as usize]).sum();
    let did = if end.check { "would change" } else { "changed" };
    match (end.how, end.check) {
        (RunEnd::Done, _) if units == 0 => format!("done: nothing {did}"),
        (RunEnd::Done, _) => format!("done: {} {did} on {}", count(units, "step"), count(hosts, "host")),
        (RunEnd::Failed, true) => "a run would fail, as reported above".to_owned(),
        _ => meaning.to_owned(),
    }
}

/// The note that says what a run waits for.
fn paused(state: &RunState, end: End) -> Option<&str> {
    let note = state
        .notes
        .last()
        .filter(|note| end.how == RunEnd::Paused && note.starts_with("paused"))?;
    clean::lines(note).first().copied()
}

/// Unknown units, with what is known of them.
fn unknown(state: &RunState) -> Vec<(&Unit, &str)> {
    state
        .units
        .iter()
        .filter_map(|(unit, known)| match &known.status {
            UnitStatus::Ended {
                outcome: Outcome::Unknown,
                message,
                ..
            } => Some((unit, message.as_deref().unwrap_or("what became of it is not known"))),
            _ => None,
        })
        .collect()
}

/// Jobs that were announced and not seen to end: they live on, or end on the host by themselves.
fn running(state: &RunState) -> Vec<Line> {
    let open: Vec<&Unit> = state
        .units
        .iter()
        .filter(|(_, known)| known.status == UnitStatus::Open && known.intent.is_some())
        .map(|(unit, _)| unit)
        .collect();
    if open.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![
        Line::edge(),
        Line::edge().text(format!(
            "{} still running there, or not started:",
            count(open.len(), "job")
        )),
    ];
    lines.extend(open.iter().map(|unit| Line::edge().text(format!("  {unit}"))));
    lines
}

/// Steps that brought about what their `undo` has not put back.
fn left_open(state: &RunState) -> Vec<Line> {
    if state.left_open.is_empty() {
        return Vec::new();
    }
    let head = "left open, what these steps brought about was not put back:";
    let mut lines = vec![Line::edge(), Line::edge().tone(Tone::Changed, head)];
    lines.extend(
        state
            .left_open
            .iter()
            .map(|unit| Line::edge().text(format!("  {unit}"))),
    );
    lines
}
