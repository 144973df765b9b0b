//! Whole outputs of made-up runs.

mod json;
mod plain;
mod readers;
mod terminal;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;

use crate::event::{
    Controller, Digests, Event, Fate, Outcome, Record, RunBegan, RunEnd, RunState, StageEnd, UnitEnded, Watch,
};
use crate::id::{HostName, JobId, Phase, RunId, Unit};

fn run() -> RunId {
    RunId::stored("0198c0de-0000-7000-8000-000000000001")
}

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

fn hosts(names: &[&str]) -> Vec<HostName> {
    names.iter().map(|name| host(name)).collect()
}

fn unit(stage: &str, step: &str, on: &str) -> Unit {
    Unit {
        stage: stage.into(),
        phase: Phase::Step,
        step: step.into(),
        host: host(on),
        item: None,
    }
}

fn plan(names: &[&str]) -> RunBegan {
    RunBegan {
        playbook: PathBuf::from("playbooks/upgrade.yml"),
        name: "Upgrade the ledger".into(),
        sources: vec![],
        extra: vec![],
        limit: None,
        tags: vec![],
        skip_tags: vec![],
        folder: PathBuf::from("/srv"),
        forks: None,
        environment: None,
        excluded: vec![],
        hosts: hosts(names),
        recipe: Digests::default(),
        plan: String::new(),
        version: "0.1.0".into(),
        check: false,
        schema: None,
    }
}

fn began(names: &[&str]) -> Event {
    Event::RunBegan(Box::new(plan(names)))
}

fn attached() -> Event {
    Event::Attached {
        controller: Controller {
            user: "ann".into(),
            machine: "ops1".into(),
            pid: 1,
            boot: String::new(),
            start_time: 0,
        },
        epoch: 1,
        takeover: None,
    }
}

fn stage(path: &str, title: &str, names: &[&str]) -> Event {
    Event::StageBegan {
        stage: path.into(),
        title: title.into(),
        hosts: hosts(names),
    }
}

fn ends(path: &str, end: StageEnd) -> Event {
    Event::StageEnded {
        stage: path.into(),
        end,
    }
}

fn over(how: RunEnd, exit: u8) -> Event {
    Event::RunEnded { how, exit }
}

fn begins(unit: Unit, title: &str) -> Event {
    Event::UnitBegan {
        unit,
        kind: "command".into(),
        title: title.into(),
    }
}

fn waits(unit: Unit, text: &str) -> Event {
    Event::Progress {
        unit,
        text: text.into(),
        bytes: None,
    }
}

fn intent(unit: Unit, attempt: u32) -> Event {
    Event::Intent {
        job: JobId::new(&run(), &unit, attempt),
        unit,
        attempt,
        boot: "boot".into(),
        identity: "id".into(),
        digest: "0".into(),
        kind: "command".into(),
        undo: false,
    }
}

fn decided(on: &str, path: &str, fate: Fate, reason: &str) -> Event {
    Event::HostDecided {
        host: host(on),
        stage: path.into(),
        fate,
        reason: reason.into(),
    }
}

fn end(unit: Unit, kind: &str, outcome: Outcome, more: impl FnOnce(&mut UnitEnded)) -> Event {
    let mut ended = UnitEnded {
        title: unit.step.clone(),
        unit,
        attempt: 1,
        kind: kind.into(),
        outcome,
        result: json!({"changed": outcome == Outcome::Changed, "failed": outcome == Outcome::Failed}),
        message: None,
        diff: None,
        command: None,
        seconds: 1.25,
        ignored: false,
        item: None,
    };
    more(&mut ended);
    Event::UnitEnded(Box::new(ended))
}

/// What a reporter wrote.
#[derive(Clone, Default, Debug)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Shows a run whose events come at these seconds.
fn play(watch: &mut dyn Watch, state: &mut RunState, events: impl IntoIterator<Item = (f64, Event)>) {
    let start: Timestamp = "2026-08-06T23:59:30Z".parse().unwrap();
    for (second, event) in events {
        let record = Record {
            seq: if event.passing() { 0 } else { state.seq + 1 },
            run: run(),
            at: start + jiff::SignedDuration::from_millis((second * 1000.0) as i64),
            event,
        };
        state.apply(&record);
        watch.see(&record, state);
    }
}

fn good_run() -> Vec<(f64, Event)> {
    let flip = |on| unit("swap", "flip", on);
    let diff = "--- /etc/ledger.conf\n+++ /etc/ledger.conf\n@@ -1 +1 @@\n-port: 1\n+port: 2\n";
    vec![
        (0.0, began(&["web1", "web2"])),
        (0.0, attached()),
        (
            0.0,
            Event::Note {
                text: "StrictHostKeyChecking=no is not honoured".into(),
            },
        ),
        (0.1, stage("back-up", "Back up", &["web1"])),
        (0.1, begins(unit("back-up", "dump", "web1"), "Dump")),
        (
            0.2,
            waits(unit("back-up", "dump", "web1"), "waiting for the lock, 30 s left"),
        ),
        (
            2.2,
            waits(unit("back-up", "dump", "web1"), "waiting for the lock, 28 s left"),
        ),
        (
            5.3,
            waits(unit("back-up", "dump", "web1"), "waiting for the lock, 25 s left"),
        ),
        (6.4, waits(unit("back-up", "dump", "web1"), "dumping")),
        (
            8.0,
            end(unit("back-up", "dump", "web1"), "backup", Outcome::Changed, |e| {
                e.seconds = 7.9
            }),
        ),
        (8.0, ends("back-up", StageEnd::Done)),
        (8.1, stage("swap", "Swap the server", &["web1", "web2"])),
        (
            8.1,
            Event::BatchBegan {
                stage: "swap".into(),
                batch: 0,
                batches: 2,
                hosts: hosts(&["web1"]),
            },
        ),
        (
            8.2,
            Event::Progress {
                unit: flip("web1"),
                text: "sending ledger".into(),
                bytes: Some((1_048_576, 94_371_840)),
            },
        ),
        (
            9.0,
            end(flip("web1"), "swap", Outcome::Changed, |e| e.diff = Some(diff.into())),
        ),
        (
            9.5,
            end(unit("swap", "wait", "web1"), "health", Outcome::Ok, |e| {
                e.message = Some("waited 12 s".into())
            }),
        ),
        (
            9.5,
            Event::BatchBegan {
                stage: "swap".into(),
                batch: 1,
                batches: 2,
                hosts: hosts(&["web2"]),
            },
        ),
        (9.6, intent(flip("web2"), 2)),
        (40.0, end(flip("web2"), "swap", Outcome::Ok, |e| e.seconds = 0.0)),
        (
            40.1,
            end(unit("swap", "wait", "web2"), "health", Outcome::Skipped, |e| {
                e.message = Some("`when` is false: false".into());
                e.seconds = 0.0;
            }),
        ),
        (
            40.2,
            end(
                Unit {
                    item: Some(1),
                    ..unit("swap", "tell", "web2")
                },
                "debug",
                Outcome::Ok,
                |e| {
                    e.message = Some("first line\nsecond line".into());
                    e.item = Some(json!("blue"));
                    e.seconds = 0.0;
                },
            ),
        ),
        (40.3, ends("swap", StageEnd::Done)),
        (40.5, over(RunEnd::Done, 0)),
    ]
}

fn bad_run() -> Vec<(f64, Event)> {
    let flip = |on| unit("swap", "flip", on);
    let broke = |e: &mut UnitEnded| {
        e.title = "Flip to 2.0".into();
        e.command = Some("command: /usr/local/bin/flip --now".into());
        e.message = Some("exit code 3\nit would not start".into());
        e.attempt = 2;
        let stdout: String = (1..=45).map(|n| format!("line {n}\n")).collect();
        e.result = json!({"rc": 3, "stdout": stdout, "stderr": "no such\x1b[2J file\n\nat all\n"});
    };
    let mut began = plan(&["web1", "web2", "web3", "web4", "web5", "web6"]);
    began.excluded = vec![(host("web6"), "its disk is broken".into())];
    vec![
        (0.0, Event::RunBegan(Box::new(began))),
        (0.0, attached()),
        (
            0.0,
            Event::HostLost {
                host: host("web4"),
                cause: "ssh: connect to host web4 port 22: Connection refused\nis sshd up?".into(),
            },
        ),
        (
            0.0,
            decided(
                "web4",
                "swap",
                Fate::Unreachable,
                "ssh: connect to host web4 port 22: Connection refused\nis sshd up?",
            ),
        ),
        (1.0, stage("swap", "Swap", &["web1", "web2", "web3", "web5"])),
        (1.1, end(flip("web1"), "command", Outcome::Failed, broke)),
        (1.2, end(flip("web2"), "command", Outcome::Failed, broke)),
        (
            1.3,
            end(
                Unit {
                    phase: Phase::Rollback,
                    ..unit("swap", "back", "web1")
                },
                "swap",
                Outcome::Changed,
                |_| {},
            ),
        ),
        (
            1.4,
            decided("web1", "swap", Fate::RolledBack, "exit code 3\nit would not start"),
        ),
        (
            1.5,
            end(
                Unit {
                    phase: Phase::Rollback,
                    ..unit("swap", "back", "web2")
                },
                "swap",
                Outcome::Unreachable,
                |e| {
                    e.message = Some("Connection closed by 10.0.0.2 port 22".into());
                },
            ),
        ),
        (
            1.6,
            decided("web2", "swap", Fate::Broken, "exit code 3; its rollback failed: gone"),
        ),
        (
            1.7,
            end(flip("web3"), "command", Outcome::Failed, |e| {
                e.ignored = true;
                e.message = Some("exit code 1".into());
            }),
        ),
        (1.8, ends("swap", StageEnd::Failed)),
        (1.9, over(RunEnd::Failed, 2)),
    ]
}
