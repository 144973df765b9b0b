//! The command line: whole outputs in a closed environment, and the forms that scripts rely on.

use std::io::Read;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use serde_json::Value;

use crate::fleet::Fleet;

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        Desk(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refit"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.0.path())
            .env("NO_COLOR", "1")
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    /// Exit code, stdout and stderr as one text.
    fn refit(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        let mut said = format!("exit {}\n", output.status.code().unwrap());
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !bytes.is_empty() {
                let text: Vec<String> = String::from_utf8_lossy(bytes)
                    .lines()
                    .map(|line| line.trim_end().to_owned())
                    .collect();
                said += &format!("-- {name}\n{}\n", text.join("\n"));
            }
        }
        said.replace(&self.0.path().display().to_string(), "DESK")
    }
}

#[test]
fn help() {
    let desk = Desk::new();
    assert_snapshot!(desk.refit(&["--help"]), @"
    exit 0
    -- stdout
    Upgrades stateful services on VMs and bare metal over SSH, one stage at a time

    Usage: refit [OPTIONS] <COMMAND>

    Commands:
      lint       Check a playbook; with -i, also render everything on every host
      preflight  Load, connect, probe; say what is wrong, and change nothing
      plan       Say what a run would do, and change nothing
      run        Run a playbook
      resume     Go on with a run that was killed, stopped, paused, or left hosts failed
      resolve    Decide an unknown unit: it was done, or it was not
      abort      Close a run: stop its controller after what is running, put back what is left open,
                 free its hosts
      rollback   Take a run back: each stage that began, the last first, by its own `rollback`
      hold       Let a run end what it does and begin nothing new: no batch, no stage
      go         Let a held run go on
      exclude    Take a host out of a run: it ends the batch that it is in, and takes no further stages
      runs       List runs, or the units of one
      inventory  Show an inventory as `ansible-inventory` would
      eval       Evaluate an expression with a host's variables; the value as JSON
      schema     Look at the schema of a database that a playbook names, or update it
      temporal   Temporal Server: what runs, its releases, the path from one to another, and what a
                 release makes of a configuration
      kinds      List the kinds of step, or show the manual page of one
      help       Print this message or the help of the given subcommand(s)

    Options:
          --journal <PATH>  The journal's file (else refit.yml's, else in the state folder of the user)
                            [env: REFIT_JOURNAL]
      -h, --help            Print help
      -V, --version         Print version

    Exit codes: 0 done · 1 refused, nothing touched · 2 a host failed · 3 failed hosts were rolled back
    · 4 unknown, a decision is needed · 5 journal · 6 paused · 7 locked, or an unfinished run is in the
    way · 8 --exit-changed: something would change · 130 Ctrl-C · 143 SIGTERM
    ");
    assert_snapshot!(desk.refit(&["run", "-h"]), @r#"
    exit 0
    -- stdout
    Run a playbook

    Usage: refit run [OPTIONS] <PLAYBOOK>

    Arguments:
      <PLAYBOOK>  The playbook

    Options:
      -i, --inventory <SRC>    An inventory: a file, a folder, or `a,b,`
          --journal <PATH>     The journal's file (else refit.yml's, else in the state folder of the
                               user) [env: REFIT_JOURNAL]
      -e, --extra <VARS>       A variable: `name=text`, `{name: value}` or @FILE
      -l, --limit <PATTERN>    Only hosts of this pattern, or @FILE
      -t, --tags <TAGS>        Only steps and stages with one of these tags
          --skip-tags <TAGS>   No step or stage with one of these tags
          --check              Look at every step, change nothing
          --diff               Show what changes in files
          --exit-changed       With --check: exit 8 if something would change
      -f, --forks <N>          How many hosts at once
          --exclude <HOST>     Leave out hosts of this pattern; needs --reason
          --reason <R>         Why they are left out
          --yes <ENV>          The name of a protected environment, instead of typing it
          --takeover <REASON>  Take hosts over from another controller, and why
          --output <OUTPUT>    [default: text] [possible values: text, json]
      -h, --help               Print help (see more with '--help')
    "#);
    assert_snapshot!(desk.refit(&["resume", "-h"]), @r#"
    exit 0
    -- stdout
    Go on with a run that was killed, stopped, paused, or left hosts failed

    Usage: refit resume [OPTIONS] [RUN]

    Arguments:
      [RUN]  The run, or the beginning of its id; without it the one unfinished run

    Options:
          --accept             Go on although the playbook or its files changed
          --journal <PATH>     The journal's file (else refit.yml's, else in the state folder of the
                               user) [env: REFIT_JOURNAL]
          --takeover <REASON>  Take it over from a controller that may still live, and why
          --output <OUTPUT>    [default: text] [possible values: text, json]
      -h, --help               Print help (see more with '--help')
    "#);
    assert_snapshot!(desk.refit(&["schema", "update", "-h"]), @r#"
    exit 0
    -- stdout
    Update it: a run of one step

    Usage: refit schema update [OPTIONS] --database <NAME> <PLAYBOOK>

    Arguments:
      <PLAYBOOK>  The playbook

    Options:
      -i, --inventory <SRC>  An inventory: a file, a folder, or `a,b,`
          --journal <PATH>   The journal's file (else refit.yml's, else in the state folder of the user)
                             [env: REFIT_JOURNAL]
      -e, --extra <VARS>     A variable: `name=text`, `{name: value}` or @FILE
      -l, --limit <PATTERN>  Only hosts of this pattern, or @FILE
          --database <NAME>  Its name in `databases:`
          --dir <DIR>        The folder of versions (else that of the playbook's own step)
          --to <V>           The target version (else that of the playbook's own step)
          --output <OUTPUT>  [default: text] [possible values: text, json]
          --yes <ENV>        The name of a protected environment, instead of typing it
      -h, --help             Print help (see more with '--help')
    "#);
    for verb in [
        "lint",
        "preflight",
        "plan",
        "resolve",
        "abort",
        "runs",
        "inventory",
        "eval",
        "schema",
        "kinds",
    ] {
        let said = desk.refit(&[verb, "--help"]);
        assert!(said.starts_with("exit 0\n-- stdout\n"), "{said}");
        assert!(
            said.contains(&format!("Usage: refit {verb}")) && !said.contains("-- stderr"),
            "{said}"
        );
    }
    assert_eq!(
        desk.refit(&["--version"]),
        format!("exit 0\n-- stdout\nrefit {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn verbs_that_are_known_and_not_built() {
    let desk = Desk::new();
    for verb in [
        "retry",
        "extend",
        "cancel",
        "clean",
        "watch",
        "show",
        "approve",
        "exec",
        "completions",
    ] {
        let expected = format!("exit 1\n-- stderr\nerror: `refit {verb}` is known, not built yet\n");
        assert_eq!(desk.refit(&[verb]), expected);
        assert_eq!(desk.refit(&[verb, "something"]), expected);
    }
}

#[test]
fn wrong_usage_exits_1() {
    let desk = Desk::new();
    assert_snapshot!(desk.refit(&["rum"]), @r#"
    exit 1
    -- stderr
    error: unrecognized subcommand 'rum'

      tip: some similar subcommands exist: 'runs', 'run', 'resume'

    Usage: refit [OPTIONS] <COMMAND>

    For more information, try '--help'.
    "#);
    assert_snapshot!(desk.refit(&["run"]), @r#"
    exit 1
    -- stderr
    error: the following required arguments were not provided:
      <PLAYBOOK>

    Usage: refit run <PLAYBOOK>

    For more information, try '--help'.
    "#);
    assert_snapshot!(desk.refit(&["run", "p.yml", "--forks", "0"]), @r#"
    exit 1
    -- stderr
    error: invalid value '0' for '--forks <N>': 0 is not in 1..=65535

    For more information, try '--help'.
    "#);
    assert_snapshot!(desk.refit(&["run", "p.yml", "--exclude", "h1"]), @r#"
    exit 1
    -- stderr
    error: the following required arguments were not provided:
      --reason <R>

    Usage: refit run --reason <R> --exclude <HOST> <PLAYBOOK>

    For more information, try '--help'.
    "#);
    assert_snapshot!(desk.refit(&["run", "p.yml", "--exit-changed"]), @r#"
    exit 1
    -- stderr
    error: the following required arguments were not provided:
      --check

    Usage: refit run --check --exit-changed <PLAYBOOK>

    For more information, try '--help'.
    "#);
    assert_snapshot!(desk.refit(&["run", "p.yml", "--limti", "x"]), @r#"
    exit 1
    -- stderr
    error: unexpected argument '--limti' found

      tip: a similar argument exists: '--limit'

    Usage: refit run --limit <PATTERN> <PLAYBOOK>

    For more information, try '--help'.
    "#);
    assert_snapshot!(desk.refit(&["inventory", "-i", "a,b,"]), @r#"
    exit 1
    -- stderr
    error: the following required arguments were not provided:
      <--list|--host <H>|--hosts <PATTERN>>

    Usage: refit inventory --inventory <SRC> <--list|--host <H>|--hosts <PATTERN>>

    For more information, try '--help'.
    "#);
    assert_snapshot!(desk.refit(&["resolve", "01a", "s/t@h", "--as", "maybe", "--reason", "x"]), @r#"
    exit 1
    -- stderr
    error: invalid value 'maybe' for '--as <WHAT>'
      [possible values: done, not-done]

    For more information, try '--help'.
    "#);
}

#[test]
fn a_journal_without_runs() {
    let desk = Desk::new();
    assert_eq!(desk.refit(&["resume"]), "exit 0\n-- stdout\nno unfinished run\n");
    assert_eq!(desk.refit(&["runs"]), "exit 0\n-- stdout\nno runs\n");
    assert_eq!(desk.refit(&["runs", "--output", "json"]), "exit 0\n-- stdout\n[]\n");
    assert_snapshot!(desk.refit(&["runs", "01a"]), @r#"
    exit 1
    -- stderr
    error: no run begins with `01a`; `refit runs` lists them
    "#);
    assert_snapshot!(desk.refit(&["resume", "01a"]), @r#"
    exit 1
    -- stderr
    error: no run begins with `01a`; `refit runs` lists them
    "#);
    assert_snapshot!(desk.refit(&["abort", "01a", "--reason", "x"]), @r#"
    exit 1
    -- stderr
    error: there is no journal at DESK/.local/state/refit/journal.db
    "#);
    assert!(!desk.0.path().join(".local").exists(), "asking made a journal");
}

#[test]
fn kinds() {
    let desk = Desk::new();
    assert_snapshot!(desk.refit(&["kinds"]), @r#"
    exit 0
    -- stdout
    command    Runs a program, without a shell: no pipes, no `$VARIABLE`, no `*`. Use `shell` for those.
    shell      Runs text in a shell on the host: pipes, variables, patterns.
    script     Sends a script from the controller to the host and runs it there.
    copy       Puts a file, a folder or a text from the controller onto a host.
    template   Renders a file of the controller with the host's variables and puts it onto the host.
    file       Sees to it that a file, folder or link is there or is not, with its owner and mode.
    stat       Looks at a file of the host.
    http       Makes one HTTP request, from the controller or from the host.
    service    Starts, stops, restarts or reloads a service.
    swap       Flips the files of one version of a service (binary, configuration, unit) together, and back.
    backup     Copies a database or files into a folder of the host, and looks at the copy.
    schema     Brings a database's schema to a version.
    health     Waits until something is well, and stays so.
    temporal   Looks at a Temporal cluster, or waits until it is well.
    set        Gives variables of the host a value, for all steps that follow on it.
    debug      Says something: a text, or a variable's value.
    assert     Fails where a condition does not hold.
    fail       Fails, with a message.
    pause      Waits: for a time, or for a person.
    "#);
    assert_snapshot!(desk.refit(&["kinds", "swop"]), @r#"
    exit 1
    -- stderr
    error: no kind `swop`
      = help: did you mean `swap`?

    1 error
    "#);
    assert_snapshot!(desk.refit(&["kinds", "reboot"]), @r#"
    exit 1
    -- stderr
    error: the kind `reboot` is known, not built yet

    1 error
    "#);
    let page = desk.refit(&["kinds", "swap"]);
    for word in [
        "swap", "name", "version", "files", "state", "validate", "back", "from", "to", "changed",
    ] {
        assert!(page.contains(word), "{word} is not in:\n{page}");
    }
    let listed = desk.refit(&["kinds"]);
    for kind in listed.lines().skip(2).filter_map(|line| line.split_whitespace().next()) {
        let page = desk.refit(&["kinds", kind]);
        assert!(page.starts_with("exit 0\n") && page.lines().count() > 6, "{page}");
    }
}

#[test]
fn inventory_and_eval() {
    let desk = Desk::new();
    desk.write(
        "hosts.ini",
        "[web]\nw[1:2] port=80 name=\"{{ inventory_hostname }}.example\"\n[db]\nd1\n[site:children]\nweb\ndb\n",
    );
    desk.write("group_vars/all.yml", "release: \"1.10\"\n");
    assert_snapshot!(desk.refit(&["inventory", "-i", "hosts.ini", "--list"]), @r#"
    exit 0
    -- stdout
    {
        "_meta": {
            "hostvars": {
                "d1": {
                    "release": "1.10"
                },
                "w1": {
                    "name": "{{ inventory_hostname }}.example",
                    "port": 80,
                    "release": "1.10"
                },
                "w2": {
                    "name": "{{ inventory_hostname }}.example",
                    "port": 80,
                    "release": "1.10"
                }
            },
            "profile": "inventory_legacy"
        },
        "all": {
            "children": [
                "ungrouped",
                "site"
            ]
        },
        "db": {
            "hosts": [
                "d1"
            ]
        },
        "site": {
            "children": [
                "web",
                "db"
            ]
        },
        "web": {
            "hosts": [
                "w1",
                "w2"
            ]
        }
    }
    "#);
    assert_snapshot!(desk.refit(&["inventory", "-i", "hosts.ini", "--host", "w1"]), @r#"
    exit 0
    -- stdout
    {
        "name": "{{ inventory_hostname }}.example",
        "port": 80,
        "release": "1.10"
    }
    "#);
    assert_snapshot!(desk.refit(&["inventory", "-i", "hosts.ini", "--hosts", "site:!w2"]), @r#"
    exit 0
    -- stdout
    w1
    d1
    "#);
    assert_snapshot!(desk.refit(&["inventory", "-i", "hosts.ini", "--host", "w9"]), @r#"
    exit 1
    -- stderr
    error: no host `w9` in this inventory

    1 error
    "#);
    assert_snapshot!(desk.refit(&["inventory", "-i", "hosts.ini", "--hosts", "wbe"]), @r#"
    exit 1
    -- stderr
    error: --hosts `wbe`: no host or group matches `wbe`
      = help: did you mean `web`?

    1 error
    "#);
    assert_eq!(
        desk.refit(&["eval", "-i", "hosts.ini", "--host", "w1", "port + 1"]),
        "exit 0\n-- stdout\n81\n"
    );
    assert_eq!(
        desk.refit(&["eval", "--host", "w2", "{{ [name, release] }}", "-i", "hosts.ini"]),
        "exit 0\n-- stdout\n[\"w2.example\",\"1.10\"]\n"
    );
    assert_snapshot!(desk.refit(&["eval", "-i", "hosts.ini", "--host", "w1", "prot"]), @r#"
    exit 1
    -- stderr
    error: undefined variable `prot`
      = help: did you mean `port`?

    1 error
    "#);
}

#[test]
fn lint() {
    let desk = Desk::new();
    desk.write(
        "play.yml",
        "name: Two\nhosts: web\nsteps:\n  - command: \"echo {{ port }}\"\n",
    );
    assert_eq!(
        desk.refit(&["lint", "play.yml"]),
        "exit 0\n-- stdout\nplay.yml: fine (Two)\n"
    );
    assert_eq!(
        desk.refit(&["lint", "play.yml", "-i", "hosts.ini", "-e", "port=1"])
            .lines()
            .next(),
        Some("exit 1")
    );
    desk.write("hosts.ini", "[web]\nw1\nw2 port=1\n");
    assert_snapshot!(desk.refit(&["lint", "play.yml", "-i", "hosts.ini"]), @r#"
    exit 1
    -- stderr
    error: undefined variable `port`
     --> play.yml:4:23
      |
    4 |   - command: "echo {{ port }}"
      |                       ^^^^
      |
      = help: on w1

    1 error
    "#);
    assert_snapshot!(desk.refit(&["lint", "-e", "port=1", "play.yml", "-i", "hosts.ini"]), @r#"
    exit 0
    -- stdout
    play.yml: fine (Two; 2 hosts, 2 units)
    "#);
    assert!(!desk.0.path().join(".local").exists());
}

#[test]
fn the_project_file() {
    let desk = Desk::new();
    desk.write("hosts.ini", "[web]\nw1 ansible_connection=local\n");
    desk.write("staging.ini", "[web]\ns1 ansible_connection=local\n");
    desk.write("refit.yml", "inventory: [hosts.ini]\njournal: state/journal.db\nenvironments:\n  production: { inventory: [hosts.ini], protected: true }\n");
    desk.write(
        "sub/play.yml",
        "hosts: web\nrequires_environment: production\nsteps:\n  - shell: echo ran > {{ playbook_dir }}/ran\n",
    );
    assert_eq!(desk.refit(&["inventory", "--hosts", "all"]), "exit 0\n-- stdout\nw1\n");
    assert_snapshot!(desk.refit(&["run", "sub/play.yml"]), @r#"
    exit 1
    -- stderr
    error: `production` is protected
    help: say so with `--yes production`
    "#);
    assert_snapshot!(desk.refit(&["run", "sub/play.yml", "--yes", "prod"]), @r#"
    exit 1
    -- stderr
    error: --yes `prod`, but this inventory belongs to `production`
    "#);
    assert_snapshot!(desk.refit(&["run", "sub/play.yml", "-i", "staging.ini"]), @r#"
    exit 1
    -- stderr
    error: this playbook runs in the environment `production` only; this inventory belongs to no environment of refit.yml
     --> sub/play.yml:2:23
      |
    2 | requires_environment: production
      |                       ^^^^^^^^^^

    1 error
    "#);
    assert_snapshot!(desk.refit(&["schema", "update", "sub/play.yml", "--database", "main"]), @r#"
    exit 1
    -- stderr
    error: `production` is protected
    help: say so with `--yes production`
    "#);
    assert!(!desk.0.path().join("sub/ran").exists());
    desk.write(
        "refit.yml",
        "inventroy: [hosts.ini]\nenvironments: { production: { protected: perhaps } }\n",
    );
    assert_snapshot!(desk.refit(&["runs"]), @r#"
    exit 1
    -- stderr
    error: unknown key `inventroy` in refit.yml
     --> refit.yml:1:1
      |
    1 | inventroy: [hosts.ini]
      | ^^^^^^^^^
      |
      = help: did you mean `inventory`?

    error: the environment `production` has no `inventory`
     --> refit.yml:2:17
      |
    2 | environments: { production: { protected: perhaps } }
      |                 ^^^^^^^^^^
      |
      = help: a run belongs to the environment that lists one of its sources

    error: `protected`: expected true or false, found text `perhaps`
     --> refit.yml:2:42
      |
    2 | environments: { production: { protected: perhaps } }
      |                                          ^^^^^^^

    3 errors
    "#);
}

#[test]
fn a_protected_environment_runs_under_its_name() {
    let Some(fleet) = Fleet::up(1) else { return };
    fleet.write("refit.yml", "inventory: [../lab/inventory.ini]\nenvironments:\n  production: { inventory: [../lab/inventory.ini], protected: true }\n");
    let playbook = fleet.write(
        "play.yml",
        "hosts: fleet\nrequires_environment: production\nsteps:\n  - shell: echo x >> {{ host_root }}/effects\n",
    );
    fleet.refit(&["run", &playbook]).exits(1).says("--yes production");
    assert!(fleet.effects("h1").is_empty());
    fleet.refit(&["run", &playbook, "--yes", "production"]).exits(0);
    fleet
        .refit(&["run", &playbook, "--yes", "production", "--check"])
        .exits(0);
    assert_eq!(fleet.effects("h1"), ["x"]);
}

#[test]
fn json_is_one_object_a_line_and_the_recap_is_last() {
    let Some(fleet) = Fleet::up(2) else { return };
    let playbook = fleet.write(
        "play.yml",
        "hosts: fleet\nsteps:\n  - { id: a, shell: echo x }\n  - { id: b, command: \"true\", when: inventory_hostname == 'h1' }\n  - { id: c, shell: \"[ {{ inventory_hostname }} = h1 ]\" }\n",
    );
    let ended = fleet.run(&playbook, &["--output", "json"]);
    ended.exits(2);
    let lines: Vec<Value> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let run = lines[0]["run"].as_str().unwrap();
    for line in &lines {
        assert!(line["event"].is_string(), "{line}");
        assert_eq!(line["run"].as_str(), Some(run), "{line}");
        line["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        if line["event"] == "unit_ended" {
            for key in ["stage", "step", "host", "item", "attempt", "outcome"] {
                assert!(line.get(key).is_some(), "no {key} in {line}");
            }
        }
    }
    let recap = lines.last().unwrap();
    assert_eq!(recap["event"], "recap");
    assert_eq!(recap["exit"], 2);
    assert_eq!(
        recap["hosts"]["h1"],
        serde_json::json!({"ok": 0, "changed": 3, "skipped": 0, "failed": 0, "unreachable": 0, "unknown": 0})
    );
    assert_eq!(
        recap["hosts"]["h2"],
        serde_json::json!({"ok": 0, "changed": 1, "skipped": 1, "failed": 1, "unreachable": 0, "unknown": 0})
    );
    let refused = fleet.run(&playbook, &["--output", "json", "--limit", "h9"]);
    refused.exits(1).says("h9");
    let last: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!(
        (&last["event"], &last["exit"]),
        (&Value::from("recap"), &Value::from(1))
    );
    let listed: Value = serde_json::from_str(&fleet.refit(&["runs", "--output", "json"]).out).unwrap();
    for key in ["run", "playbook", "state", "exit", "started", "ended"] {
        assert!(listed[0].get(key).is_some(), "no {key} in {listed}");
    }
}

/// `refit … | head -1` ends as if all had been read, without a word.
#[test]
fn a_reader_that_goes_away() {
    let desk = Desk::new();
    let many: String = (0..20_000).map(|n| format!("host-with-a-long-name-{n}\n")).collect();
    desk.write("hosts.ini", &many);
    let mut child = desk
        .command(&["inventory", "-i", "hosts.ini", "--hosts", "all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_path_is_printed_and_a_catalog_of_the_team_extends_it() {
    let desk = Desk::new();
    let path = [
        "temporal",
        "path",
        "--from",
        "1.31.5",
        "--to",
        "1.32",
        "--store",
        "postgres12_pgx",
    ];
    assert_snapshot!(desk.refit(&path), @"
    exit 0
    -- stdout
    Temporal Server 1.31.5 to 1.32.2: 1 hop (catalog of 2026-11-24)

    hop  from    to      default (postgres12)  visibility (postgres12)  tables read or written whole
      1  1.31.5  1.32.2  1.19 no change        1.14 no change           none

    Hop 1: 1.31.5 to 1.32.2
      schema   - default: 1.19, no schema change
               - visibility: 1.14, no schema change

    After every hop: all frontends say the new version, the rings are whole, and history has loaded
    every shard (Temporal's guide: about 10 minutes) before the next hop begins.
    ");
    let newer = [
        "temporal",
        "path",
        "--from",
        "1.32.2",
        "--to",
        "1.33",
        "--store",
        "postgres12",
    ];
    assert_snapshot!(desk.refit(&newer), @"
    exit 1
    -- stderr
    error: the target release 1.33 is not in the catalog
      = help: the newest that it knows is 1.32.2
      = help: a newer catalog may know it: give one with --catalog FILE

    1 error
    ");
    let own = r#"minors:
  "1.33":
    newest: "1.33.1"
    schema:
      cassandra: { default: "1.13" }
      mysql8: { default: "1.20", visibility: "1.14" }
      postgres12: { default: "1.20", visibility: "1.14" }
      elasticsearch: { visibility: v14 }
"#;
    desk.write("own/releases.yml", own);
    // By the project's file, from a folder below it.
    desk.write("refit.yml", "temporal: { catalog: own/releases.yml }\n");
    desk.write("below/x", "");
    let output = desk
        .command(&[&newer[..], &["--output", "json"]].concat())
        .current_dir(desk.0.path().join("below"))
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["hops"][0]["to"], "1.33.1");
    assert_eq!(json["hops"][0]["needs"]["default"], "1.20");
    assert_eq!(
        json["hops"][0]["schema"]["visibility"],
        "postgresql/v12/visibility/versioned"
    );
    // The option wins, and its mistakes have a place.
    desk.write("broken.yml", "minors: { \"1.33\": { newest: 1.33 } }\n");
    assert_snapshot!(desk.refit(&["temporal", "releases", "--catalog", "broken.yml"]), @r#"
    exit 1
    -- stderr
    error: a version stands in quotes
     --> broken.yml:1:29
      |
    1 | minors: { "1.33": { newest: 1.33 } }
      |                             ^^^^
      |
      = help: write "1.33": YAML reads 1.10 as the number 1.1

    1 error
    "#);
    let all = desk
        .command(&["temporal", "releases", "--output", "json"])
        .output()
        .unwrap();
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(all["newest"], "1.33.1");
    assert!(desk.refit(&["temporal", "releases"]).contains("\n1.33   1.33.1 "));
}

#[test]
fn a_server_configuration_is_looked_at() {
    let desk = Desk::new();
    let config = |plugin: &str, shards: u32| {
        format!(
            "persistence:\n  numHistoryShards: {shards}\n  defaultStore: a\n  visibilityStore: b\n  datastores:\n    a: {{ sql: {{ pluginName: {plugin}, databaseName: t, connectAddr: 'd:1' }} }}\n    b: {{ sql: {{ pluginName: {plugin}, databaseName: v, connectAddr: 'd:1' }} }}\n"
        )
    };
    desk.write("old.yaml", &config("postgres12", 4));
    desk.write("new.yaml", &config("postgres12", 8));
    let unit = "[Service]\nExecStart=/opt/temporal-server start\n";
    desk.write("temporal.service", unit);
    assert_snapshot!(desk.refit(&["temporal", "lint", "old.yaml", "--to", "1.30.9"]), @"
    exit 0
    -- stdout
    nothing found
    ");
    let lint = [
        "temporal",
        "lint",
        "new.yaml",
        "--running",
        "old.yaml",
        "--from",
        "1.29.7",
        "--to",
        "1.30.9",
        "--unit",
        "temporal.service",
    ];
    assert_snapshot!(desk.refit(&lint), @"
    exit 1
    -- stderr
    error: numHistoryShards changes from 4 to 8
     --> new.yaml:2:21
      |
    2 |   numHistoryShards: 8
      |                     ^
      |
     ::: old.yaml:2:21
      |
    2 |   numHistoryShards: 4
      |                     - the running one
      |
      = help: it is fixed when a cluster is made

    error: 1.30.9 would read no configuration file, but its embedded template, whose database is Cassandra
     --> temporal.service:2:11
      |
    2 | ExecStart=/opt/temporal-server start
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: give --config DIR and --env NAME, or --config-file FILE; --root alone is not enough, and up to 1.29 ./config/development.yaml was read

    2 errors
    ");
    let output = desk
        .command(&[&lint[..], &["--output", "json"]].concat())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["configuration"]["shards"], 8);
    assert_eq!(json["findings"][0]["id"], "shards-changed");
    assert_eq!(json["findings"][0]["at"]["line"], 2);
}
