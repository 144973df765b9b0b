use jiff::tz::TimeZone;

use super::super::plain::Plain;
use super::*;
use crate::event::{Segment, SegmentState};

fn plain_from(state: &mut RunState, diff: bool, events: Vec<(f64, Event)>) -> String {
    let paper = Paper::default();
    let mut plain = Plain::new(diff, TimeZone::UTC, paper.clone());
    play(&mut plain, state, events);
    drop(plain);
    paper.text()
}

pub(super) fn plain(diff: bool, events: Vec<(f64, Event)>) -> String {
    plain_from(&mut RunState::new(run()), diff, events)
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
  web5   0        0        0       0            0        0  untouched
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
  db2    0        0        0       0            0        0  untouched

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
  b      0        1        0       0            0        0  came to two/y

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
fn a_paused_run_says_what_it_waits_for() {
    let text = plain(
        false,
        vec![
            (0.0, began(&["a"])),
            (
                1.0,
                Event::Note {
                    text: "paused: guard `lag` does not hold on a: 9 s behind".into(),
                },
            ),
            (1.0, over(RunEnd::Paused, 6)),
        ],
    );
    assert!(
        text.contains("\npaused: guard `lag` does not hold on a: 9 s behind (exit 6)\n"),
        "{text}"
    );
}

/// Probes of the playbook run before the run begins, or goes on.
#[test]
fn a_probe_before_the_run_takes_away_no_heading() {
    let probe = || {
        let unit = Unit {
            phase: Phase::Probe,
            ..unit("probes", "look", "a")
        };
        (0.0, end(unit, "command", Outcome::Ok, |_| {}))
    };
    let mut state = RunState::new(run());
    let text = plain_from(
        &mut state,
        false,
        vec![probe(), (0.0, began(&["a"])), (0.1, attached())],
    );
    assert_eq!(text.matches("Upgrade the ledger").count(), 1, "{text}");
    let text = plain_from(&mut state, false, vec![probe(), (0.1, attached())]);
    assert!(
        text.contains("Upgrade the ledger (playbooks/upgrade.yml) goes on"),
        "{text}"
    );
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
stopped from outside (exit 143)
  go on:        refit resume 0198c0de-0000-7000-8000-000000000001
  or close it:  refit abort 0198c0de-0000-7000-8000-000000000001 --reason R
"#);
}
