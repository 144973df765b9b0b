//! What runs now: the lines at the foot of a terminal. Pure; the drawing thread asks for them with its own clock.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use console::truncate_str;
use indexmap::IndexMap;

use super::clean;
use super::line::{Line, Tone, bytes, clock, count};
use super::story::doing;
use crate::event::{Event, Fate, Record, RunState};
use crate::id::{HostName, Unit};

/// A host without a running unit for so long is through, or waits for others.
const PAUSE: Duration = Duration::from_millis(1500);
/// Rows of the screen that stay free of it.
const FREE: usize = 4;

#[derive(Default)]
pub(super) struct Board {
    stage: Option<Stage>,
    /// Units that began and did not end, by host.
    active: IndexMap<HostName, Vec<Active>>,
}

struct Stage {
    path: String,
    title: String,
    hosts: usize,
    began: Instant,
    batch: Option<(usize, usize)>,
    /// When a host's latest unit here ended.
    ended: HashMap<HostName, Instant>,
    failed: HashSet<HostName>,
}

struct Active {
    unit: Unit,
    doing: String,
    text: Option<String>,
    bytes: Option<(u64, u64)>,
    since: Instant,
}

impl Board {
    pub(super) fn see(&mut self, record: &Record, state: &RunState, now: Instant) {
        match &record.event {
            Event::StageBegan { stage, .. } => self.enter(stage, state, now),
            Event::BatchBegan {
                stage, batch, batches, ..
            } => {
                self.enter(stage, state, now);
                if let Some(stage) = &mut self.stage {
                    stage.batch = Some((batch + 1, *batches));
                }
            }
            Event::StageEnded { stage, .. } => self.stage = self.stage.take().filter(|known| known.path != *stage),
            Event::UnitBegan { unit, title, .. } => {
                self.enter(&unit.stage, state, now);
                let units = self.active.entry(unit.host.clone()).or_default();
                if !units.iter().any(|active| active.unit == *unit) {
                    units.push(Active {
                        unit: unit.clone(),
                        doing: doing(unit, title),
                        text: None,
                        bytes: None,
                        since: now,
                    });
                }
            }
            Event::Progress { unit, text, bytes } => {
                self.enter(&unit.stage, state, now);
                let units = self.active.entry(unit.host.clone()).or_default();
                let index = units.iter().position(|active| active.unit == *unit).unwrap_or_else(|| {
                    units.push(Active {
                        unit: unit.clone(),
                        doing: doing(unit, &unit.step),
                        text: None,
                        bytes: None,
                        since: now,
                    });
                    units.len() - 1
                });
                units[index].text = Some(text.clone());
                units[index].bytes = *bytes;
            }
            Event::UnitEnded(ended) => self.leave(&ended.unit, now),
            Event::Withdrawn { units } => units.iter().for_each(|unit| self.leave(unit, now)),
            Event::HostDecided { host, fate, .. } => {
                self.active.swap_remove(host);
                if let Some(stage) = &mut self.stage
                    && *fate != Fate::Excluded
                {
                    stage.failed.insert(host.clone());
                }
            }
            Event::RunEnded { .. } => *self = Board::default(),
            _ => {}
        }
    }

    fn enter(&mut self, path: &str, state: &RunState, now: Instant) {
        if self.stage.as_ref().is_some_and(|stage| stage.path == path) {
            return;
        }
        let known = state.stages.get(path);
        let fated = |(host, known): (&HostName, &crate::event::HostState)| {
            let (stage, fate, _) = known.fate.as_ref()?;
            (stage == path && *fate != Fate::Excluded).then(|| host.clone())
        };
        self.stage = Some(Stage {
            path: path.to_owned(),
            title: known.map_or(path, |stage| &stage.title).to_owned(),
            hosts: known.map_or(0, |stage| stage.hosts.len()),
            began: now,
            batch: None,
            ended: HashMap::new(),
            failed: state.hosts.iter().filter_map(fated).collect(),
        });
    }

    fn leave(&mut self, unit: &Unit, now: Instant) {
        if let Some(units) = self.active.get_mut(&unit.host) {
            units.retain(|active| active.unit != *unit);
            // What was announced with it and waited behind it begins now.
            if let Some(next) = units.first_mut() {
                next.since = now;
            } else {
                self.active.swap_remove(&unit.host);
            }
        }
        if let Some(stage) = self.stage.as_mut().filter(|stage| stage.path == unit.stage) {
            stage.ended.insert(unit.host.clone(), now);
        }
    }

    /// At most `rows` − 4 hosts and the stage; no line is wider than the screen.
    pub(super) fn lines(&self, now: Instant, width: usize, rows: usize, styled: bool) -> Vec<String> {
        let Some(stage) = &self.stage else { return Vec::new() };
        let mut hosts: Vec<(&HostName, &Active)> = self
            .active
            .iter()
            .filter_map(|(host, units)| Some((host, units.first()?)))
            .collect();
        hosts.sort_by(|a, b| (a.1.since, a.0).cmp(&(b.1.since, b.0)));
        let room = rows.saturating_sub(FREE).max(1);
        let shown = if hosts.len() > room { room - 1 } else { hosts.len() };
        let name = hosts[..shown]
            .iter()
            .map(|(host, _)| host.as_str().chars().count())
            .max()
            .unwrap_or(0)
            .min(24);
        let mut lines: Vec<Line> = hosts[..shown]
            .iter()
            .map(|(host, active)| row(host, active, name, now))
            .collect();
        if hosts.len() > shown {
            lines.push(Line::edge().tone(Tone::Dim, format!("  … and {} more running", hosts.len() - shown)));
        }
        lines.push(self.summary(stage, now, Line::edge()));
        let width = width.saturating_sub(1).max(10);
        lines
            .iter()
            .map(|line| truncate_str(&line.render("", styled), width, "…").into_owned())
            .collect()
    }

    /// What runs, in one line, where nothing can move: the stage, and who has been at it longest. None: nothing runs.
    pub(super) fn pulse(&self, now: Instant) -> Option<Line> {
        let stage = self.stage.as_ref()?;
        let longest = |(_, units): &(&HostName, &Vec<Active>)| units.first().map(|active| active.since);
        let (host, units) = self.active.iter().min_by_key(longest)?;
        let active = units.first()?;
        let text = active.text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        let line = self.summary(stage, now, Line::now().tone(Tone::Dim, "..           "));
        Some(line.text(format!("; {host}: {}{text}", active.doing)))
    }

    fn summary(&self, stage: &Stage, now: Instant, line: Line) -> Line {
        let resting = |(host, ended): &(&HostName, &Instant)| {
            !self.active.contains_key(*host) && !stage.failed.contains(*host) && now.duration_since(**ended) < PAUSE
        };
        let running = self.active.len() + stage.ended.iter().filter(resting).count();
        let done = stage
            .ended
            .iter()
            .filter(|(host, ended)| {
                !self.active.contains_key(*host)
                    && !stage.failed.contains(*host)
                    && now.duration_since(**ended) >= PAUSE
            })
            .count();
        let mut line = line.tone(Tone::Bold, stage.title.clone());
        if let Some((batch, batches)) = stage.batch {
            line = line.text(format!(", batch {batch} of {batches}"));
        }
        line = line
            .text(format!(": {running} running, "))
            .tone(Tone::Good, format!("{done} done"));
        if !stage.failed.is_empty() {
            line = line
                .text(", ")
                .tone(Tone::Bad, format!("{} failed", stage.failed.len()));
        }
        if stage.hosts > 0 {
            line = line.text(format!(" of {}", count(stage.hosts, "host")));
        }
        line.tone(Tone::Dim, format!("  {}", clock(now.duration_since(stage.began))))
    }
}

fn row(host: &HostName, active: &Active, width: usize, now: Instant) -> Line {
    let host = truncate_str(&clean::one_line(host.as_str()), width.max(4), "…").into_owned();
    let mut line = Line::edge()
        .tone(Tone::Skipped, format!("  {host:<width$}"))
        .tone(Tone::Dim, format!("  {:>5}  ", clock(now.duration_since(active.since))))
        .text(active.doing.clone());
    if let Some(text) = &active.text {
        line = line.tone(Tone::Dim, format!(": {text}"));
    }
    match active.bytes {
        Some(amount) => line.text(format!(" {}", bytes(amount))),
        None => line,
    }
}
