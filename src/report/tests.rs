//! Whole outputs of made-up runs.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressDrawTarget, TermLike};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::board::Board;
use super::json::Json;
use super::plain::Plain;
use super::terminal::Terminal;
use super::writer::Writer;
use crate::event::{
    Controller, Digests, Event, Fate, Outcome, Record, RunBegan, RunEnd, RunState, StageEnd, UnitEnded, Watch,
};
use crate::id::{HostName, JobId, Phase, RunId, Unit};
use crate::kind::{Segment, SegmentState};

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

fn plain_from(state: &mut RunState, diff: bool, events: Vec<(f64, Event)>) -> String {
    let paper = Paper::default();
    let mut plain = Plain::new(diff, TimeZone::UTC, paper.clone());
    play(&mut plain, state, events);
    drop(plain);
    paper.text()
}

fn plain(diff: bool, events: Vec<(f64, Event)>) -> String {
    plain_from(&mut RunState::new(run()), diff, events)
}

fn json_lines(events: Vec<(f64, Event)>) -> Vec<Value> {
    let paper = Paper::default();
    let mut watch = Json::new(Writer::new(paper.clone()));
    play(&mut watch, &mut RunState::new(run()), events);
    drop(watch);
    paper
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
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

#[test]
fn a_run_that_goes_well() {
    insta::assert_snapshot!(plain(true, good_run()), @r#"
2026-08-06 UTC
23:59:30 Upgrade the ledger (playbooks/upgrade.yml) on 2 hosts: web1, web2
         run 0198c0de-0000-7000-8000-000000000001
23:59:30 note         StrictHostKeyChecking=no is not honoured
23:59:30 stage Back up on 1 host: web1
23:59:30 ..           back-up/dump@web1: waiting for the lock, 30 s left
23:59:35 ..           back-up/dump@web1: waiting for the lock, 25 s left
23:59:36 ..           back-up/dump@web1: dumping
23:59:38 changed      back-up/dump@web1  7.9 s
23:59:38 stage Back up done: 1 changed  7.9 s
23:59:38 stage Swap the server on 2 hosts: web1, web2  [swap]
23:59:38 batch 1 of 2: 1 host: web1
23:59:38 ..           swap/flip@web1: sending ledger 1.0 of 90.0 MiB
23:59:39 changed      swap/flip@web1  1.2 s
           | --- /etc/ledger.conf
           | +++ /etc/ledger.conf
           | @@ -1 +1 @@
           | -port: 1
           | +port: 2
23:59:39 ok           swap/wait@web1: waited 12 s  1.2 s
23:59:39 batch 2 of 2: 1 host: web2
23:59:39 again        swap/flip@web2, attempt 2
2026-08-07 UTC
00:00:10 ok           swap/flip@web2
00:00:10 skipped      swap/wait@web2: `when` is false: false
00:00:10 ok           swap/tell[1]@web2 (blue)
           | first line
           | second line
00:00:10 stage Swap the server done: 3 ok, 1 changed, 1 skipped  32 s

Recap of Upgrade the ledger   run 0198c0de-0000-7000-8000-000000000001, 41 s
  host  ok  changed  skipped  failed  unreachable  unknown
  web1   1        2        0       0            0        0
  web2   2        0        1       0            0        0

done: 2 steps changed on 1 host (exit 0)
"#);
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

#[test]
fn a_run_that_fails() {
    insta::assert_snapshot!(plain(false, bad_run()), @r#"
2026-08-06 UTC
23:59:30 Upgrade the ledger (playbooks/upgrade.yml) on 5 hosts: web1, web2, web3, web4, web5
         run 0198c0de-0000-7000-8000-000000000001
         excluded: web6: its disk is broken
23:59:30 unreachable  web4
           | ssh: connect to host web4 port 22: Connection refused
           | is sshd up?
23:59:30 host web4 unreachable in swap: ssh: connect to host web4 port 22: Connection refused; it takes no further stages
23:59:31 stage Swap on 4 hosts: web1, web2, web3, web5
23:59:31 failed       swap/flip@web1
           why      exit code 3
                    it would not start
           step     Flip to 2.0
           kind     command, attempt 2
           command  command: /usr/local/bin/flip --now
           ended    rc 3 after 1.2 s
           stdout   the last 40 of 45 lines
           | line 6
           | line 7
           | line 8
           | line 9
           | line 10
           | line 11
           | line 12
           | line 13
           | line 14
           | line 15
           | line 16
           | line 17
           | line 18
           | line 19
           | line 20
           | line 21
           | line 22
           | line 23
           | line 24
           | line 25
           | line 26
           | line 27
           | line 28
           | line 29
           | line 30
           | line 31
           | line 32
           | line 33
           | line 34
           | line 35
           | line 36
           | line 37
           | line 38
           | line 39
           | line 40
           | line 41
           | line 42
           | line 43
           | line 44
           | line 45
           stderr   3 lines
           | no such␛[2J file
           |
           | at all
23:59:31 failed       swap/flip@web2: the same as on web1
23:59:31 changed      swap/rollback:back@web1  1.2 s
23:59:31 host web1 rolled back in swap: exit code 3
23:59:31 unreachable  swap/rollback:back@web2
           why      Connection closed by 10.0.0.2 port 22
           kind     swap
           ended    after 1.2 s
23:59:31 host web2 BROKEN in swap: exit code 3; its rollback failed: gone; it takes no further stages
23:59:31 failed, ignored swap/flip@web3
           why      exit code 1
           kind     command
           ended    after 1.2 s
23:59:31 stage Swap failed: more hosts than its max_fail allows: 1 changed, 3 failed, 1 unreachable  0.8 s

Recap of Upgrade the ledger   run 0198c0de-0000-7000-8000-000000000001, 1.9 s
  stage Swap: failed: more hosts than its max_fail allows
  host  ok  changed  skipped  failed  unreachable  unknown
  web2   0        0        0       1            1        0  BROKEN in swap: exit code 3; its rollback failed: gone
  web4   0        0        0       0            1        0  unreachable in swap: ssh: connect to host web4 port 22: Connection refused
  web1   0        1        0       1            0        0  rolled back in swap: exit code 3
  web3   0        0        0       1            0        0  came to swap/flip
  web5   0        0        0       0            0        0  untouched: no step ran here
  web6   0        0        0       0            0        0  excluded: its disk is broken

failed; hosts that failed are left as reported (exit 2)
  try failed hosts again:  refit resume 0198c0de-0000-7000-8000-000000000001
"#);
}

#[test]
fn an_unknown_unit_is_named_so_that_it_can_be_resolved() {
    let lost = Unit {
        item: Some(0),
        ..unit("hop-to[0]/schema", "update", "db1")
    };
    let text = plain(
        false,
        vec![
            (0.0, began(&["db1", "db2"])),
            (0.0, stage("hop-to[0]/schema", "Update the schema", &["db1"])),
            (1.0, intent(lost.clone(), 1)),
            (
                1.1,
                Event::Segment {
                    unit: lost.clone(),
                    attempt: 1,
                    segment: Segment {
                        name: "1.13/1".into(),
                        digest: "0".into(),
                        state: SegmentState::Done,
                        text: "ALTER TABLE x".into(),
                    },
                },
            ),
            (
                2.0,
                end(lost, "schema", Outcome::Unknown, |e| {
                    e.message = Some("the controller died in it\nlook at the index".into())
                }),
            ),
            (2.0, ends("hop-to[0]/schema", StageEnd::Open)),
            (2.1, over(RunEnd::Unknown, 4)),
        ],
    );
    insta::assert_snapshot!(text, @r#"
2026-08-06 UTC
23:59:30 Upgrade the ledger (playbooks/upgrade.yml) on 2 hosts: db1, db2
         run 0198c0de-0000-7000-8000-000000000001
23:59:30 stage Update the schema on 1 host: db1  [hop-to[0]/schema]
23:59:31 part done    hop-to[0]/schema/update[0]@db1: 1.13/1 ALTER TABLE x
23:59:32 unknown      hop-to[0]/schema/update[0]@db1
           why      the controller died in it
                    look at the index
           kind     schema
           ended    after 1.2 s
23:59:32 stage Update the schema not ended: 1 unknown  2.0 s

Recap of Upgrade the ledger   run 0198c0de-0000-7000-8000-000000000001, 2.1 s
  stage Update the schema: not ended
  host  ok  changed  skipped  failed  unreachable  unknown
  db1    0        0        0       0            0        1  unknown
  db2    0        0        0       0            0        0  untouched: no step ran here

unknown: what became of a step cannot be found out; look at the host, then decide (exit 4)
  hop-to[0]/schema/update[0]@db1
      the controller died in it
      look at the index
      refit resolve 0198c0de-0000-7000-8000-000000000001 'hop-to[0]/schema/update[0]@db1' --as done|not-done --reason R
  then go on:   refit resume 0198c0de-0000-7000-8000-000000000001
  or close it:  refit abort 0198c0de-0000-7000-8000-000000000001 --reason R
"#);
}

#[test]
fn a_resume_says_what_goes_on_and_what_is_left_running() {
    let mut state = RunState::new(run());
    plain_from(
        &mut state,
        false,
        vec![
            (0.0, began(&["a", "b"])),
            (0.0, attached()),
            (0.1, stage("one", "One", &["a", "b"])),
            (0.2, end(unit("one", "x", "a"), "command", Outcome::Changed, |_| {})),
            (0.3, ends("one", StageEnd::Done)),
            (0.4, stage("two", "Two", &["a", "b"])),
            (0.5, intent(unit("two", "long", "a"), 1)),
        ],
    );
    let text = plain_from(
        &mut state,
        false,
        vec![
            (100.0, attached()),
            (
                100.1,
                Event::Decision {
                    unit: unit("two", "y", "b"),
                    done: true,
                    who: "ann".into(),
                    reason: "I looked".into(),
                },
            ),
            (
                100.2,
                Event::HostRetried {
                    host: host("b"),
                    stage: "two".into(),
                },
            ),
            (101.0, ends("two", StageEnd::Open)),
            (163.0, over(RunEnd::Interrupted, 130)),
            (
                164.0,
                Event::Note {
                    text: "after the end".into(),
                },
            ),
        ],
    );
    insta::assert_snapshot!(text, @r#"
2026-08-07 UTC
00:01:10 Upgrade the ledger (playbooks/upgrade.yml) goes on, on 2 hosts
         run 0198c0de-0000-7000-8000-000000000001; 1 stage done before
00:01:10 decided      two/y@b was done, says ann: I looked
00:01:10 again        b from two on
00:01:11 stage Two not ended

Recap of Upgrade the ledger   run 0198c0de-0000-7000-8000-000000000001, 1 min 3 s
  stage Two: not ended
  host  ok  changed  skipped  failed  unreachable  unknown
  a      0        1        0       0            0        0  came to two/long
  b      0        0        0       0            0        0  untouched: no step ran here

1 job still running there, or not started:
  two/long@a

stopped by Ctrl-C (exit 130)
  go on:        refit resume 0198c0de-0000-7000-8000-000000000001
  or close it:  refit abort 0198c0de-0000-7000-8000-000000000001 --reason R
"#);
}

#[test]
fn check_mode_says_would() {
    let text = plain(
        true,
        vec![
            (
                0.0,
                Event::RunBegan(Box::new(RunBegan {
                    check: true,
                    ..plan(&["a"])
                })),
            ),
            (0.1, stage("one", "One", &["a"])),
            (
                0.2,
                end(unit("one", "x", "a"), "file", Outcome::Changed, |e| {
                    e.diff = Some("-mode 0600\n+mode 0644".into())
                }),
            ),
            (0.3, ends("one", StageEnd::Done)),
            (0.4, over(RunEnd::Done, 0)),
        ],
    );
    insta::assert_snapshot!(text, @r#"
2026-08-06 UTC
23:59:30 Upgrade the ledger (playbooks/upgrade.yml) on 1 host: a
         check mode: nothing is changed
23:59:30 stage One on 1 host: a
23:59:30 would change one/x@a  1.2 s
           | -mode 0600
           | +mode 0644
23:59:30 stage One done: 1 would change  0.2 s

Recap of Upgrade the ledger   run 0198c0de-0000-7000-8000-000000000001, 0.4 s, check mode: nothing was changed
  host  ok  would change  skipped  failed  unreachable  unknown
  a      0             1        0       0            0        0

done: 1 step would change on 1 host (exit 0)
"#);
}

#[test]
fn every_end_goes_on_somewhere() {
    let last = |how, exit| {
        let text = plain(false, vec![(0.0, began(&["a"])), (1.0, over(how, exit))]);
        text.lines()
            .skip_while(|line| !line.contains("(exit"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let ends = [
        (RunEnd::Done, 0),
        (RunEnd::Refused, 7),
        (RunEnd::Failed, 2),
        (RunEnd::Failed, 3),
        (RunEnd::Unknown, 4),
        (RunEnd::Paused, 6),
        (RunEnd::Interrupted, 130),
        (RunEnd::Interrupted, 143),
    ];
    let all: Vec<String> = ends.into_iter().map(|(how, exit)| last(how, exit)).collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
done: nothing changed (exit 0)
refused; nothing was touched (exit 7)
failed; hosts that failed are left as reported (exit 2)
  try failed hosts again:  refit resume 0198c0de-0000-7000-8000-000000000001
failed; every host that failed was rolled back and is healthy (exit 3)
  try failed hosts again:  refit resume 0198c0de-0000-7000-8000-000000000001
unknown: what became of a step cannot be found out; look at the host, then decide (exit 4)
  then go on:   refit resume 0198c0de-0000-7000-8000-000000000001
  or close it:  refit abort 0198c0de-0000-7000-8000-000000000001 --reason R
paused (exit 6)
  go on:        refit resume 0198c0de-0000-7000-8000-000000000001
  or close it:  refit abort 0198c0de-0000-7000-8000-000000000001 --reason R
stopped by Ctrl-C (exit 130)
  go on:        refit resume 0198c0de-0000-7000-8000-000000000001
  or close it:  refit abort 0198c0de-0000-7000-8000-000000000001 --reason R
stopped by SIGTERM (exit 143)
  go on:        refit resume 0198c0de-0000-7000-8000-000000000001
  or close it:  refit abort 0198c0de-0000-7000-8000-000000000001 --reason R
"#);
}

#[test]
fn json_is_one_object_a_line_and_the_recap_last() {
    let lines = json_lines(bad_run());
    for line in &lines {
        assert_eq!(line["run"], json!(run()), "{line}");
        assert!(line["at"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{line}");
        assert!(line["event"].is_string());
    }
    let zero = json!({"ok": 0, "changed": 0, "skipped": 0, "failed": 0, "unreachable": 0, "unknown": 0});
    let with = |pairs: &[(&str, u64)]| {
        let mut counts = zero.clone();
        pairs.iter().for_each(|(name, number)| counts[*name] = json!(number));
        counts
    };
    let last = lines.last().unwrap();
    let expected = json!({
        "event": "recap", "run": run(), "at": last["at"], "exit": 2,
        "hosts": {
            "web1": with(&[("changed", 1), ("failed", 1)]),
            "web2": with(&[("failed", 1), ("unreachable", 1)]),
            "web3": with(&[("failed", 1)]),
            "web4": with(&[("unreachable", 1)]),
            "web5": zero,
            "web6": zero,
        },
    });
    assert_eq!(*last, expected);
    assert_eq!(lines[lines.len() - 2]["event"], "run_ended");
}

#[test]
fn json_units_are_flat() {
    let lines = json_lines(good_run());
    let find = |event: &str, step: &str, on: &str| {
        lines
            .iter()
            .find(|l| l["event"] == event && l["step"] == step && l["host"] == on)
            .unwrap()
            .clone()
    };
    let tell = find("unit_ended", "tell", "web2");
    assert_eq!(tell["unit"], "swap/tell[1]@web2");
    assert_eq!(
        (&tell["stage"], &tell["phase"], &tell["item"]),
        (&json!("swap"), &json!("step"), &json!(1))
    );
    assert_eq!(
        (&tell["item_value"], &tell["outcome"], &tell["attempt"]),
        (&json!("blue"), &json!("ok"), &json!(1))
    );
    assert_eq!(tell["message"], "first line\nsecond line");
    let again = find("intent", "flip", "web2");
    assert_eq!(
        (&again["attempt"], &again["outcome"], &again["item"]),
        (&json!(2), &Value::Null, &Value::Null)
    );
    let sent = find("progress", "flip", "web1");
    assert_eq!(sent["bytes"], json!([1_048_576, 94_371_840]));
    assert_eq!(sent.get("seq"), None);
    assert!(find("unit_began", "dump", "web1")["title"] == "Dump");
    assert!(
        find("unit_ended", "flip", "web1")["diff"]
            .as_str()
            .unwrap()
            .contains("+port: 2")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a host, a playbook or a person wrote.
    #[test]
    fn nothing_controls_the_terminal(
        text in "(\\PC|[\\x00-\\x1f\\x7f-\\u{9f}\\u{202a}-\\u{202e}\\u{2066}-\\u{2069}\\r\\n\\x1b]){0,60}",
    ) {
        let odd = unit(&text, &text, "a");
        let mut began = plan(&["a"]);
        began.name = text.clone();
        began.excluded = vec![(host("b"), text.clone())];
        let events = |diff: bool| {
            let all = |e: &mut UnitEnded| {
                e.title = text.clone();
                e.kind = text.clone();
                e.message = Some(text.clone());
                e.command = Some(text.clone());
                e.diff = diff.then(|| text.clone());
                e.item = Some(json!(text));
                e.result = json!({"rc": text, "stdout": text, "stderr": text});
            };
            vec![
                (0.0, Event::RunBegan(Box::new(began.clone()))),
                (0.0, Event::HostLost { host: host("a"), cause: text.clone() }),
                (0.0, stage(&text, &text, &["a"])),
                (0.0, waits(odd.clone(), &text)),
                (0.1, end(odd.clone(), "x", Outcome::Failed, all)),
                (0.1, end(unit(&text, "y", "a"), "debug", Outcome::Ok, all)),
                (0.1, end(unit(&text, "z", "a"), "x", Outcome::Unknown, all)),
                (0.1, end(unit(&text, "w", "a"), "x", Outcome::Changed, all)),
                (0.2, Event::Note { text: text.clone() }),
                (0.2, decided("a", &text, Fate::Broken, &text)),
                (0.2, Event::Decision { unit: odd.clone(), done: true, who: text.clone(), reason: text.clone() }),
                (0.3, ends(&text, StageEnd::Skipped(text.clone()))),
                (0.4, over(RunEnd::Unknown, 4)),
            ]
        };
        let harmful = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
        let shown = plain(true, events(true));
        prop_assert!(!shown.contains(harmful), "{:?}", shown);

        let colours = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
        let mut board = Board::default();
        let mut state = RunState::new(run());
        let now = Instant::now();
        let mut seen = BoardWatch(&mut board, now);
        play(&mut seen, &mut state, events(true).into_iter().take(4));
        let lines = board.lines(now, 80, 24, true);
        prop_assert!(!lines.is_empty());
        for line in lines {
            let left = colours.replace_all(&line, "").into_owned();
            prop_assert!(!left.contains(|c| c == '\n' || harmful(c)), "{:?}", line);
        }
    }
}

struct BoardWatch<'a>(&'a mut Board, Instant);

impl Watch for BoardWatch<'_> {
    fn see(&mut self, record: &Record, state: &RunState) {
        self.0.see(record, state, self.1);
    }
}

#[test]
fn the_board_shows_who_does_what() {
    let mut board = Board::default();
    let mut state = RunState::new(run());
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let flip = |on| unit("swap", "flip", on);
    play(
        &mut BoardWatch(&mut board, at(0)),
        &mut state,
        vec![
            (0.0, began(&["a", "b", "c", "d"])),
            (0.0, stage("swap", "Swap the server", &["a", "b", "c", "d"])),
            (
                0.0,
                Event::BatchBegan {
                    stage: "swap".into(),
                    batch: 0,
                    batches: 2,
                    hosts: hosts(&["a", "b", "c"]),
                },
            ),
            (0.0, begins(flip("a"), "Flip to 2.0")),
            (0.0, begins(flip("b"), "Flip to 2.0")),
            (0.0, begins(unit("swap", "wait", "b"), "Wait for health")),
            (0.0, begins(flip("c"), "Flip to 2.0")),
            (
                0.0,
                Event::Progress {
                    unit: flip("a"),
                    text: "sending ledger".into(),
                    bytes: Some((1_048_576, 94_371_840)),
                },
            ),
            (0.0, decided("c", "swap", Fate::Failed, "no")),
        ],
    );
    insta::assert_snapshot!(board.lines(at(3), 80, 24, false).join("\n"), @r#"
  a   0:03  Flip to 2.0: sending ledger 1.0 of 90.0 MiB
  b   0:03  Flip to 2.0
Swap the server, batch 1 of 2: 2 running, 0 done, 1 failed of 4 hosts  0:03
"#);
    play(
        &mut BoardWatch(&mut board, at(5)),
        &mut state,
        vec![
            (5.0, end(flip("b"), "swap", Outcome::Changed, |_| {})),
            (5.0, end(flip("a"), "swap", Outcome::Changed, |_| {})),
            (5.0, waits(unit("swap", "wait", "b"), "connection refused, 55 s left")),
        ],
    );
    insta::assert_snapshot!(board.lines(at(7), 64, 24, false).join("\n"), @r#"
  b   0:02  Wait for health: connection refused, 55 s left
Swap the server, batch 1 of 2: 1 running, 1 done, 1 failed of …
"#);
    play(
        &mut BoardWatch(&mut board, at(9)),
        &mut state,
        vec![(9.0, ends("swap", StageEnd::Done))],
    );
    assert!(board.lines(at(9), 80, 24, false).is_empty());
}

#[test]
fn a_thousand_hosts_fit_any_screen() {
    let names: Vec<String> = (0..1000).map(|n| format!("rack-{n:04}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut board = Board::default();
    let mut state = RunState::new(run());
    let now = Instant::now();
    let mut events = vec![(0.0, began(&names)), (0.0, stage("swap", "Swap", &names))];
    events.extend(names.iter().map(|name| {
        (
            0.0,
            begins(unit("swap", "flip", name), "Flip to a version with a long name"),
        )
    }));
    play(&mut BoardWatch(&mut board, now), &mut state, events);
    for (width, rows) in [(80, 24), (20, 10), (200, 60), (40, 3), (1, 1)] {
        let lines = board.lines(now, width, rows, true);
        assert!(
            lines.len() <= rows.saturating_sub(3).max(2),
            "{} lines on {rows} rows",
            lines.len()
        );
        for line in &lines {
            assert!(
                console::measure_text_width(line) <= width.max(10),
                "{line:?} is wider than {width}"
            );
        }
        let text = console::strip_ansi_codes(&lines.join("\n")).into_owned();
        assert!(rows < 20 || text.contains("1000 running"), "{text}");
    }
}

#[test]
fn a_long_silence_says_what_runs() {
    let paper = Paper::default();
    let mut plain = Plain::with_pulse(false, TimeZone::UTC, paper.clone(), Duration::from_millis(50));
    let mut state = RunState::new(run());
    play(
        &mut plain,
        &mut state,
        vec![
            (0.0, began(&["a", "b"])),
            (0.0, stage("swap", "Swap", &["a", "b"])),
            (0.0, begins(unit("swap", "flip", "a"), "Flip")),
        ],
    );
    let shown = wait_for(&paper, "..           Swap: 1 running, 0 done of 2 hosts");
    assert!(shown.iter().any(|line| line.contains("; a: Flip")), "{shown:#?}");
    play(&mut plain, &mut state, vec![(1.0, over(RunEnd::Done, 0))]);
    wait_for(&paper, "(exit 0)");
    std::thread::sleep(Duration::from_millis(200));
    drop(plain);
    let text = paper.text();
    assert!(
        text.trim_end().ends_with("(exit 0)"),
        "nothing beats after the end: {text}"
    );
}

#[derive(Debug)]
struct Screen(Paper);

impl TermLike for Screen {
    fn width(&self) -> u16 {
        80
    }
    fn height(&self) -> u16 {
        24
    }
    fn move_cursor_up(&self, n: usize) -> std::io::Result<()> {
        self.write_str(&format!("\x1b[{n}A"))
    }
    fn move_cursor_down(&self, n: usize) -> std::io::Result<()> {
        self.write_str(&format!("\x1b[{n}B"))
    }
    fn move_cursor_right(&self, n: usize) -> std::io::Result<()> {
        self.write_str(&format!("\x1b[{n}C"))
    }
    fn move_cursor_left(&self, n: usize) -> std::io::Result<()> {
        self.write_str(&format!("\x1b[{n}D"))
    }
    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.write_str(&format!("{text}\n"))
    }
    fn write_str(&self, text: &str) -> std::io::Result<()> {
        self.0.clone().write_all(text.as_bytes())
    }
    fn clear_line(&self) -> std::io::Result<()> {
        self.write_str("\r\x1b[2K")
    }
    fn flush(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The lines that a terminal of 80 columns shows in the end.
fn screen(bytes: &str) -> Vec<String> {
    let mut rows = vec![String::new()];
    let (mut row, mut chars) = (0usize, bytes.chars().peekable());
    let mut column = 0usize;
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                row += 1;
                column = 0;
            }
            '\r' => column = 0,
            '\x1b' => {
                assert_eq!(chars.next(), Some('['));
                let mut number = String::new();
                let last = loop {
                    match chars.next().unwrap() {
                        c if c.is_ascii_digit() || c == ';' => number.push(c),
                        c => break c,
                    }
                };
                let n: usize = number.parse().unwrap_or(0);
                match last {
                    'A' => row = row.saturating_sub(n),
                    'B' => row += n,
                    'K' => rows[row].clear(),
                    'm' | 'C' | 'D' => {}
                    other => panic!("an escape sequence of ours: {other}"),
                }
            }
            c => {
                if column == 80 {
                    row += 1;
                    column = 0;
                    rows.resize(rows.len().max(row + 1), String::new());
                }
                let mut text: Vec<char> = rows[row].chars().collect();
                text.resize(text.len().max(column), ' ');
                if column < text.len() {
                    text[column] = c;
                } else {
                    text.push(c);
                }
                rows[row] = text.into_iter().collect();
                column += 1;
            }
        }
        rows.resize(rows.len().max(row + 1), String::new());
    }
    rows.into_iter()
        .map(|row| row.trim_end().to_owned())
        .filter(|row| !row.is_empty())
        .collect()
}

#[test]
fn a_terminal_scrolls_the_story_and_keeps_what_runs_below_it() {
    let paper = Paper::default();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(Screen(paper.clone())), 20);
    let mut terminal = Terminal::new(false, TimeZone::UTC, target, || (80, 24), paper.clone()).unwrap();
    let mut state = RunState::new(run());
    play(
        &mut terminal,
        &mut state,
        vec![
            (0.0, began(&["a", "b"])),
            (0.0, stage("swap", "Swap", &["a", "b"])),
            (0.0, begins(unit("swap", "flip", "a"), "Flip")),
            (0.0, begins(unit("swap", "flip", "b"), "Flip")),
        ],
    );
    let shown = wait_for(&paper, "2 running");
    let place = |what: &str| {
        shown
            .iter()
            .position(|line| line.contains(what))
            .unwrap_or_else(|| panic!("{what}: {shown:#?}"))
    };
    assert!(place("stage Swap on 2 hosts") < place("  Flip"), "{shown:#?}");
    play(
        &mut terminal,
        &mut state,
        vec![(
            0.1,
            end(unit("swap", "flip", "a"), "command", Outcome::Failed, |e| {
                e.message = Some("exit code 3".into())
            }),
        )],
    );
    let shown = wait_for(&paper, "exit code 3");
    let place = |what: &str| {
        shown
            .iter()
            .position(|line| line.contains(what))
            .unwrap_or_else(|| panic!("{what}: {shown:#?}"))
    };
    assert!(place("exit code 3") < place("  Flip"), "{shown:#?}");
    play(&mut terminal, &mut state, vec![(1.0, over(RunEnd::Failed, 2))]);
    drop(terminal);
    let shown = screen(&paper.text());
    assert!(
        !shown.iter().any(|line| line.ends_with("  Flip")),
        "what ran is gone: {shown:#?}"
    );
    assert!(shown.last().unwrap().contains("refit resume"), "{shown:#?}");
}

fn wait_for(paper: &Paper, what: &str) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let shown = screen(&paper.text());
        if shown.iter().any(|line| line.contains(what)) {
            return shown;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{what} is not on the screen: {shown:#?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_went_away_is_no_trouble() {
    let mut plain = Plain::new(false, TimeZone::UTC, Gone);
    play(&mut plain, &mut RunState::new(run()), good_run());
    let mut json = Json::new(Writer::new(Gone));
    play(&mut json, &mut RunState::new(run()), good_run());
}

struct Slow(std::sync::mpsc::Receiver<()>, Paper);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.recv();
        self.1.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_reads_nothing_holds_up_no_run() {
    let (gate, closed) = std::sync::mpsc::channel();
    let paper = Paper::default();
    let mut json = Json::new(Writer::new(Slow(closed, paper.clone())));
    play(&mut json, &mut RunState::new(run()), bad_run());
    assert_eq!(paper.text(), "", "nothing was read, and every event was seen");
    drop(gate);
    drop(json);
    assert!(paper.text().lines().last().unwrap().contains("recap"));
}

#[test]
fn only_a_terminal_that_can_is_drawn_on() {
    let lively = |set: &[(&str, &str)]| {
        super::lively(|name| {
            set.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        })
    };
    assert!(lively(&[("TERM", "xterm")]));
    assert!(lively(&[("TERM", "xterm"), ("NO_COLOR", ""), ("CI", "false")]));
    assert!(!lively(&[]));
    assert!(!lively(&[("TERM", "dumb")]));
    assert!(!lively(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
    assert!(!lively(&[("TERM", "xterm"), ("CI", "true")]));
}
