//! What happens in a run, told as lines. Plain output and the terminal show the same story.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

use super::clean;
use super::failure;
use super::line::{Line, OUTCOMES, Tone, behind_bar, bytes, count, duration};
use super::recap::{self, End};
use crate::event::{Event, Fate, Outcome, Record, RunBegan, RunEnd, RunState, SegmentState, StageEnd, UnitEnded};
use crate::id::{HostName, Phase, Unit};

/// The shortest time between two lines about what one unit waits for, while few do.
const BETWEEN: SignedDuration = SignedDuration::from_secs(5);
/// The shortest time in any case.
const BLINK: SignedDuration = SignedDuration::from_secs(1);
/// Units that may report that often together; with more of them each reports less.
const CROWD: usize = 20;
/// Hosts named in a line.
const NAMED: usize = 8;

pub(super) struct Story {
    diff: bool,
    /// Every unit has its line; else only those of small stages that did more than be in order.
    every: bool,
    check: bool,
    /// The heading was shown.
    opened: bool,
    /// When this controller's part began.
    began: Option<Timestamp>,
    stages: HashMap<String, Tally>,
    told: HashMap<Unit, (Timestamp, String)>,
    /// What failed in the very same way before, and where.
    failures: HashMap<u64, HostName>,
    over: bool,
}

/// What a stage came to, as far as this controller saw it.
#[derive(Default)]
struct Tally {
    began: Option<Timestamp>,
    hosts: usize,
    counts: [usize; 6],
}

impl Story {
    pub(super) fn new(diff: bool, every: bool) -> Story {
        Story {
            diff,
            every,
            check: false,
            opened: false,
            began: None,
            stages: HashMap::new(),
            told: HashMap::new(),
            failures: HashMap::new(),
            over: false,
        }
    }

    /// The lines that this event is worth; `state` is the one after it.
    pub(super) fn tell(&mut self, record: &Record, state: &RunState) -> Vec<Line> {
        if self.over {
            return Vec::new();
        }
        self.began.get_or_insert(record.at);
        match &record.event {
            Event::RunBegan(began) => {
                self.check = began.check;
                self.opened = true;
                heading(record, began)
            }
            Event::Attached { takeover, .. } => {
                let mut lines = Vec::new();
                // A controller that did not begin the run.
                if !std::mem::replace(&mut self.opened, true) {
                    lines.extend(taken_up(record, state));
                }
                if let Some(reason) = takeover {
                    lines.push(
                        Line::now()
                            .tone(Tone::Changed, "taken over")
                            .text(format!(": {reason}")),
                    );
                }
                lines
            }
            Event::Replanned { .. } => vec![Line::now().text("the changed playbook is accepted from here on")],
            Event::HostLost { host, cause } => {
                let mut lines = vec![Line::now().tone(Tone::Bad, "unreachable").text(format!("  {host}"))];
                lines.extend(clean::lines(cause).into_iter().map(|line| behind_bar(Tone::Text, line)));
                lines
            }
            Event::StageBegan { stage, title, hosts } => {
                let tally = self.stages.entry(stage.clone()).or_default();
                tally.began = Some(record.at);
                tally.hosts = hosts.len();
                vec![
                    Line::now()
                        .tone(Tone::Bold, format!("stage {title}"))
                        .text(format!(" on {}", named(hosts)))
                        .tone(
                            Tone::Dim,
                            if slug_like(title, stage) {
                                String::new()
                            } else {
                                format!("  [{stage}]")
                            },
                        ),
                ]
            }
            Event::BatchBegan {
                batch, batches, hosts, ..
            } => vec![Line::now().text(format!("batch {} of {batches}: {}", batch + 1, named(hosts)))],
            Event::StageEnded { stage, end } => vec![self.stage_ended(record.at, stage, end, state)],
            Event::Progress { unit, text, bytes } => self.progress(record.at, unit, text, *bytes),
            Event::Intent { unit, attempt, .. } if *attempt > 1 => {
                vec![
                    Line::now()
                        .tone(Tone::Dim, "again")
                        .text(format!("        {unit}, attempt {attempt}")),
                ]
            }
            Event::Segment { unit, segment, .. } if segment.state == SegmentState::Done => {
                vec![Line::now().text(format!("part done    {unit}: {} {}", segment.name, segment.text))]
            }
            Event::UnitEnded(ended) => self.unit_ended(ended, state),
            Event::Decision {
                unit,
                done,
                who,
                reason,
            } => {
                let what = if *done { "done" } else { "not done" };
                vec![
                    Line::now()
                        .tone(Tone::Bold, "decided")
                        .text(format!("      {unit} was {what}, says {who}: {reason}")),
                ]
            }
            Event::HostDecided {
                host,
                stage,
                fate,
                reason,
            } => vec![decided(host, stage, *fate, reason)],
            Event::HostRetried { host, stage } => {
                vec![Line::now().text(format!("again        {host} from {stage} on"))]
            }
            Event::RollbackBegan { who, reason } => vec![
                Line::now()
                    .tone(Tone::Changed, "taken back")
                    .text(format!("   by {who}: {reason}")),
            ],
            Event::Held { who, reason } => vec![
                Line::now()
                    .tone(Tone::Changed, "held")
                    .text(format!("         by {who}: {reason}; no further batch or stage begins")),
            ],
            Event::Released { who, reason } => {
                vec![
                    Line::now()
                        .tone(Tone::Good, "let go")
                        .text(format!("       by {who}: {reason}")),
                ]
            }
            Event::Note { text } => note(text),
            Event::Asked { unit, prompt } => vec![Line::now().text(format!("asks         {unit}: {prompt}"))],
            Event::RunEnded { how, exit } => self.run_ended(record.at, *how, *exit, state),
            Event::RunClosed { who, reason } => {
                vec![Line::now().text(format!("the run is closed by {who}: {reason}"))]
            }
            Event::HostSurveyed { .. }
            | Event::UnitBegan { .. }
            | Event::Answered { .. }
            | Event::Intent { .. }
            | Event::Items { .. }
            | Event::GroupEnded { .. }
            | Event::Withdrawn { .. }
            | Event::Undone { .. }
            | Event::Segment { .. } => Vec::new(),
        }
    }

    fn stage_ended(&mut self, at: Timestamp, stage: &str, end: &StageEnd, state: &RunState) -> Line {
        let title = state.stages.get(stage).map_or(stage, |known| known.title.as_str());
        let tally = self.stages.remove(stage).unwrap_or_default();
        let (tone, how) = match end {
            StageEnd::Done => (Tone::Good, "done".to_owned()),
            StageEnd::Failed => (Tone::Bad, "failed: more hosts than its max_fail allows".to_owned()),
            StageEnd::Skipped(why) => (Tone::Skipped, format!("skipped: {why}")),
            StageEnd::Open => (Tone::Changed, "not ended".to_owned()),
        };
        let counts: Vec<String> = tally
            .counts
            .iter()
            .zip(OUTCOMES)
            .filter(|(number, _)| **number > 0)
            .map(|(number, outcome)| format!("{number} {}", self.word(outcome)))
            .collect();
        let mut line = Line::now()
            .tone(Tone::Bold, format!("stage {title}"))
            .text(" ")
            .tone(tone, how);
        if !counts.is_empty() {
            line = line.text(format!(": {}", counts.join(", ")));
        }
        if let Some(began) = tally.began {
            line = line.tone(
                Tone::Dim,
                format!("  {}", duration(at.duration_since(began).as_secs_f64())),
            );
        }
        line
    }

    fn progress(&mut self, at: Timestamp, unit: &Unit, text: &str, amount: Option<(u64, u64)>) -> Vec<Line> {
        // A terminal shows this live.
        if !self.every {
            return Vec::new();
        }
        let kind: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        let between = BETWEEN * i32::try_from(self.told.len() / CROWD + 1).unwrap_or(i32::MAX / 8);
        if let Some((before, told)) = self.told.get(unit)
            && at.duration_since(*before) < if *told == kind { between } else { BLINK }
        {
            return Vec::new();
        }
        self.told.insert(unit.clone(), (at, kind));
        let amount = amount.map(|amount| format!(" {}", bytes(amount))).unwrap_or_default();
        vec![
            Line::now()
                .tone(Tone::Dim, "..")
                .text(format!("           {unit}: {text}{amount}")),
        ]
    }

    fn unit_ended(&mut self, ended: &UnitEnded, state: &RunState) -> Vec<Line> {
        self.told.remove(&ended.unit);
        let tally = self.stages.entry(ended.unit.stage.clone()).or_default();
        tally.counts[ended.outcome as usize] += 1;
        let few = tally
            .hosts
            .max(state.stages.get(&ended.unit.stage).map_or(0, |s| s.hosts.len()))
            <= CROWD;
        let told = match ended.outcome {
            Outcome::Failed | Outcome::Unreachable | Outcome::Unknown => return self.failed(ended),
            _ if ended.kind == "debug" => return self.said(ended),
            Outcome::Ok => self.every || (few && ended.message.is_some()),
            Outcome::Changed => self.every || few || (self.diff && ended.diff.is_some()),
            Outcome::Skipped => self.every || few,
        };
        let mut lines = if told { self.said(ended) } else { Vec::new() };
        if let (true, Some(diff)) = (self.diff, &ended.diff) {
            lines.extend(clean::lines(diff).into_iter().map(diff_line));
        }
        lines
    }

    /// A unit without trouble: one line, and the rest of a long message below it.
    fn said(&self, ended: &UnitEnded) -> Vec<Line> {
        let message = ended.message.as_deref().map(clean::lines).unwrap_or_default();
        let mut line = self.name(ended, false);
        if let [one] = message[..] {
            line = line.text(format!(": {one}"));
        }
        if ended.seconds >= 0.05 {
            line = line.tone(Tone::Dim, format!("  {}", duration(ended.seconds)));
        }
        let mut lines = vec![line];
        if message.len() > 1 {
            lines.extend(message.into_iter().map(|line| behind_bar(Tone::Text, line)));
        }
        lines
    }

    fn failed(&mut self, ended: &UnitEnded) -> Vec<Line> {
        let line = self.name(ended, ended.ignored);
        let same = fingerprint(ended);
        if let Some(host) = self.failures.get(&same).filter(|host| **host != ended.unit.host) {
            return vec![line.text(format!(": the same as on {host}"))];
        }
        self.failures.insert(same, ended.unit.host.clone());
        let mut lines = vec![line];
        lines.extend(failure::block(ended));
        lines
    }

    /// Outcome and name of a unit.
    fn name(&self, ended: &UnitEnded, ignored: bool) -> Line {
        let word = self.word(ended.outcome);
        let word = if ignored {
            format!("{word}, ignored")
        } else {
            word.to_owned()
        };
        let mut line = Line::now()
            .tone(ended.outcome.into(), format!("{word:<12}"))
            .text(format!(" {}", ended.unit));
        if let Some(item) = &ended.item {
            line = line.tone(Tone::Dim, format!(" ({})", short(&failure::one(item))));
        }
        line
    }

    fn word(&self, outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::Changed if self.check => "would change",
            outcome => outcome.word(),
        }
    }

    fn run_ended(&mut self, at: Timestamp, how: RunEnd, exit: u8, state: &RunState) -> Vec<Line> {
        self.over = true;
        let seconds = self.began.map_or(0.0, |began| at.duration_since(began).as_secs_f64());
        recap::recap(
            state,
            End {
                how,
                exit,
                check: self.check,
                seconds,
            },
        )
    }
}

fn heading(record: &Record, began: &RunBegan) -> Vec<Line> {
    let left_out = |host: &HostName| began.excluded.iter().any(|(excluded, _)| excluded == host);
    let hosts: Vec<HostName> = began.hosts.iter().filter(|host| !left_out(host)).cloned().collect();
    let mut lines = vec![Line::now().tone(Tone::Bold, began.name.clone()).text(format!(
        " ({}) on {}",
        began.playbook.display(),
        named(&hosts)
    ))];
    lines.push(if began.check {
        Line::below().tone(Tone::Changed, "check mode: nothing is changed")
    } else {
        Line::below().tone(Tone::Dim, format!("run {}", record.run))
    });
    lines.extend(
        began
            .excluded
            .iter()
            .map(|(host, reason)| Line::below().text(format!("excluded: {host}: {reason}"))),
    );
    lines
}

fn taken_up(record: &Record, state: &RunState) -> Vec<Line> {
    let Some(began) = &state.began else { return Vec::new() };
    let done = state
        .stages
        .values()
        .filter(|stage| stage.end == Some(StageEnd::Done))
        .count();
    vec![
        Line::now().tone(Tone::Bold, began.name.clone()).text(format!(
            " ({}) goes on, on {}",
            began.playbook.display(),
            count(began.hosts.len(), "host")
        )),
        Line::below().tone(
            Tone::Dim,
            format!("run {}; {} done before", record.run, count(done, "stage")),
        ),
    ]
}

fn decided(host: &HostName, stage: &str, fate: Fate, reason: &str) -> Line {
    let (tone, what) = match fate {
        Fate::Failed => (Tone::Bad, "failed"),
        Fate::Unreachable => (Tone::Bad, "unreachable"),
        Fate::Excluded => (Tone::Dim, "excluded"),
        Fate::RolledBack => (Tone::Changed, "rolled back"),
        Fate::Broken => (Tone::Bad, "BROKEN"),
        Fate::Unknown => (Tone::Unknown, "unknown"),
    };
    let mut line = Line::now()
        .tone(Tone::Bold, format!("host {host}"))
        .text(" ")
        .tone(tone, what);
    if !stage.is_empty() {
        line = line.text(format!(" in {stage}"));
    }
    if let Some(reason) = clean::lines(reason).first() {
        line = line.text(format!(": {reason}"));
    }
    if fate == Fate::RolledBack {
        return line;
    }
    line.tone(Tone::Dim, "; it takes no further stages")
}

fn note(text: &str) -> Vec<Line> {
    let mut rows = clean::lines(text).into_iter();
    let mut lines = vec![
        Line::now()
            .tone(Tone::Skipped, "note")
            .text(format!("         {}", rows.next().unwrap_or_default())),
    ];
    lines.extend(rows.map(|row| Line::below().text(format!("             {row}"))));
    lines
}

fn diff_line(line: &str) -> Line {
    let tone = match line.as_bytes() {
        [b'+', ..] => Tone::Good,
        [b'-', ..] => Tone::Bad,
        [b'@', ..] => Tone::Skipped,
        _ => Tone::Text,
    };
    behind_bar(tone, line)
}

/// `3 hosts: a, b, c`, and not all of a thousand.
fn named(hosts: &[HostName]) -> String {
    let names: Vec<&str> = hosts.iter().take(NAMED).map(HostName::as_str).collect();
    let more = match hosts.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}: {}{more}", count(hosts.len(), "host"), names.join(", "))
}

/// Equal for failures of one step that a person would call the same.
fn fingerprint(ended: &UnitEnded) -> u64 {
    let mut hash = DefaultHasher::new();
    (&ended.unit.stage, ended.unit.phase, &ended.unit.step, ended.outcome).hash(&mut hash);
    (&ended.message, &ended.command).hash(&mut hash);
    for name in ["rc", "stdout", "stderr"] {
        ended.result.get(name).map(|value| value.to_string()).hash(&mut hash);
    }
    hash.finish()
}

fn short(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Would the path say anything that the title does not?
fn slug_like(title: &str, stage: &str) -> bool {
    let plain = |text: &str| {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    plain(title) == plain(stage)
}

/// What a unit does when nothing more is said of it.
pub(super) fn doing(unit: &Unit, title: &str) -> String {
    match unit.phase {
        Phase::Rollback => format!("rolling back: {title}"),
        Phase::Undo => format!("putting back: {title}"),
        Phase::Guard => format!("guard: {title}"),
        Phase::Probe | Phase::Step | Phase::Finally => title.to_owned(),
    }
}
