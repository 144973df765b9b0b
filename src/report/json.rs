//! `--output json`: each event as one object on one line, the recap last.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::recap::counts;
use super::writer::Writer;
use crate::event::{Event, Outcome, Record, RunState, Watch};
use crate::id::Unit;

/// The shortest time between two reports of what one unit waits for.
const BETWEEN: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

pub(super) struct Json {
    out: Writer,
    told: HashMap<Unit, jiff::Timestamp>,
    over: bool,
}

impl Json {
    pub(super) fn new(out: Writer) -> Json {
        Json {
            out,
            told: HashMap::new(),
            over: false,
        }
    }

    /// Too soon after the one before.
    fn crowded(&mut self, record: &Record) -> bool {
        let Event::Progress { unit, .. } = &record.event else {
            return false;
        };
        match self.told.get(unit) {
            Some(before) if record.at.duration_since(*before) < BETWEEN => true,
            _ => {
                self.told.insert(unit.clone(), record.at);
                false
            }
        }
    }
}

impl Watch for Json {
    fn see(&mut self, record: &Record, state: &RunState) {
        if self.over || self.crowded(record) {
            return;
        }
        self.out.line(object(record, state).to_string());
        if let Event::UnitEnded(ended) = &record.event {
            self.told.remove(&ended.unit);
        }
        if let Event::RunEnded { exit, .. } = &record.event {
            self.over = true;
            self.out.line(last(record, state, *exit).to_string());
        }
    }
}

/// `event`, `run`, `at`, `seq` of what is journalled, what names the unit, then the event's own fields.
fn object(record: &Record, state: &RunState) -> Value {
    let mut fields = match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let mut shown = Map::new();
    for name in ["event", "run", "at", "seq"] {
        if let Some(value) = fields.remove(name) {
            shown.insert(name.into(), value);
        }
    }
    if record.seq == 0 {
        shown.remove("seq");
    }
    if let Some((unit, attempt, outcome)) = unit(&record.event, state) {
        fields.remove("unit");
        // A unit's `item` is its place in the loop, as in its name; the value that stood there comes beside it.
        if let Some(value) = fields.remove("item") {
            fields.insert("item_value".into(), value);
        }
        fields.remove("attempt");
        fields.remove("outcome");
        shown.insert("unit".into(), json!(unit.to_string()));
        shown.insert("stage".into(), json!(unit.stage));
        shown.insert("phase".into(), json!(unit.phase));
        shown.insert("step".into(), json!(unit.step));
        shown.insert("host".into(), json!(unit.host));
        shown.insert("item".into(), json!(unit.item));
        shown.insert("attempt".into(), json!(attempt));
        shown.insert("outcome".into(), json!(outcome));
    }
    if let Event::Withdrawn { units } = &record.event {
        fields.insert("units".into(), units.iter().map(|unit| unit.to_string()).collect());
    }
    shown.extend(fields);
    Value::Object(shown)
}

/// The unit that the event speaks of, its attempt as far as one is known, and its outcome if it ended.
fn unit<'a>(event: &'a Event, state: &RunState) -> Option<(&'a Unit, Option<u32>, Option<Outcome>)> {
    let known = |unit: &Unit| state.units.get(unit).map(|unit| unit.attempt);
    match event {
        Event::UnitBegan { unit, .. }
        | Event::Progress { unit, .. }
        | Event::Asked { unit, .. }
        | Event::Answered { unit }
        | Event::Decision { unit, .. } => Some((unit, known(unit), None)),
        Event::Intent { unit, attempt, .. } | Event::Segment { unit, attempt, .. } => {
            Some((unit, Some(*attempt), None))
        }
        Event::UnitEnded(ended) => Some((&ended.unit, Some(ended.attempt), Some(ended.outcome))),
        _ => None,
    }
}

fn last(record: &Record, state: &RunState, exit: u8) -> Value {
    let hosts: Map<String, Value> = state
        .hosts
        .iter()
        .map(|(name, host)| {
            let [ok, changed, skipped, failed, unreachable, unknown] = counts(host);
            let counts = json!({
                "ok": ok, "changed": changed, "skipped": skipped,
                "failed": failed, "unreachable": unreachable, "unknown": unknown,
            });
            (name.to_string(), counts)
        })
        .collect();
    json!({"event": "recap", "run": record.run, "at": record.at, "exit": exit, "hosts": hosts})
}
