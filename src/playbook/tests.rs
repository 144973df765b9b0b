use std::path::Path;

use super::load::{Kinds, load_with};
use super::*;
use crate::kind::{Action, Context, Kind, Param, Params, Ty};
use crate::template::Binding;
use crate::yaml::{Diagnostics, Value};

/// A kind that only has a table; the loader asks for nothing else.
struct Fake {
    name: &'static str,
    params: &'static [Param],
    text: Option<&'static str>,
    reads: bool,
    free: bool,
}

impl Kind for Fake {
    fn name(&self) -> &'static str {
        self.name
    }
    fn manual(&self) -> &'static str {
        ""
    }
    fn params(&self) -> &'static [Param] {
        self.params
    }
    fn results(&self) -> &'static [&'static str] {
        &[]
    }
    fn text_param(&self) -> Option<&'static str> {
        self.text
    }
    fn free_names(&self) -> bool {
        self.free
    }
    fn reads_only(&self) -> bool {
        self.reads
    }
    fn lint(&self, _: &Params, _: &Context<'_>) -> Diagnostics {
        Diagnostics::default()
    }
    fn action(&self, _: &Params, _: &Context<'_>) -> Result<Action, Diagnostics> {
        Err(Diagnostics::default())
    }
}

static COMMAND: Fake = Fake {
    name: "command",
    params: &[
        Param::required("cmd", Ty::Text, "the command"),
        Param::new("chdir", Ty::Path, "the folder"),
    ],
    text: Some("cmd"),
    reads: false,
    free: false,
};
static COPY: Fake = Fake {
    name: "copy",
    params: &[
        Param::new("src", Ty::File, "from"),
        Param::required("dest", Ty::Path, "to"),
        Param::new("mode", Ty::Mode, "mode"),
    ],
    text: None,
    reads: false,
    free: false,
};
static DEBUG: Fake = Fake {
    name: "debug",
    params: &[Param::new("msg", Ty::Text, "text")],
    text: None,
    reads: true,
    free: false,
};
static HEALTH: Fake = Fake {
    name: "health",
    params: &[Param::new("tcp", Ty::Text, "address")],
    text: None,
    reads: true,
    free: false,
};
static SET: Fake = Fake {
    name: "set",
    params: &[],
    text: None,
    reads: true,
    free: true,
};

const ALL: &[&dyn Kind] = &[&COMMAND, &COPY, &DEBUG, &HEALTH, &SET];

const KINDS: Kinds = Kinds {
    find: |name| {
        let name = name.strip_prefix("ansible.builtin.").unwrap_or(name);
        ALL.iter().copied().find(|kind| kind.name() == name)
    },
    all: || ALL,
};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        std::fs::write(folder.path().join(path), text).expect("written");
    }
    folder
}

fn loaded(files: &[(&str, &str)]) -> Playbook {
    let folder = folder(files);
    load_with(&folder.path().join("p.yml"), &KINDS).unwrap_or_else(|wrong| panic!("{}", wrong.render(false, None)))
}

/// What is said of `p.yml`.
fn wrong(files: &[(&str, &str)]) -> String {
    let folder = folder(files);
    match load_with(&folder.path().join("p.yml"), &KINDS) {
        Ok(playbook) => panic!("loaded: {playbook:?}"),
        Err(wrong) => wrong
            .render(false, None)
            .replace(&format!("{}/", folder.path().display()), ""),
    }
}

fn mistakes(text: &str) -> String {
    wrong(&[("p.yml", text)])
}

/// A playbook around one step.
fn in_step(step: &str) -> String {
    format!("hosts: all\nsteps:\n  - {}\n", step.trim_end().replace('\n', "\n    "))
}

/// A playbook around one stage.
fn in_stage(stage: &str) -> String {
    format!(
        "hosts: all\nstages:\n  - {}\n",
        stage.trim_end().replace('\n', "\n    ")
    )
}

const WHOLE: &str = r#"
name: Upgrade it
hosts: [web, "&lab"]
vars_files: [vars.yml]
vars: { to: "2.0", colour: blue }
secrets:
  db_password: { file: secrets/db }
  token: { env: TOKEN }
databases:
  main: { engine: postgres, host: db1, name: app, user: app, password: "{{ db_password }}", tls: { verify: ca, ca: ca.pem } }
  side: { engine: sqlite, path: "/srv/{{ inventory_hostname }}.db" }
environment: { LANG: C }
requires_environment: lab
become: yes
become_method: sudo
probes:
  - command: uptime
    reads: true
    register: up
stages:
  - name: Send the files
    prepares: true
    steps:
      - copy: { src: a, dest: /a, mode: "0644" }
      - copy: { src: b, dest: /b }
      - name: A name
        id: own
        ansible.builtin.command: echo {{ x }}
        when: [a is defined, b]
        register: r
        loop: [1, 2]
        until: r.rc == 0
        retries: 3
        delay: 2s
        timeout: 1m30s
        become: "{{ b }}"
        become_user: app
        delegate_to: db1
        run_once: true
        tags: one, two
        changed_when: false
        failed_when: r.rc > 1
        ignore_errors: yes
        environment: { A: b }
        no_log: true
        vars: { local: 1 }
        verify: { command: { cmd: "test -e /x" }, reads: true }
        idempotent: true
  - name: "Hop to {{ hop.to }}"
    for_each: "{{ up.stdout_lines }}"
    as: hop
    stages:
      - name: "Swap: the *server*"
        hosts: web
        serial: [1, 50%]
        max_fail: 25%
        forks: 10
        lockstep: on
        rollback_scope: host
        timeout: 2h
        guard:
          - health: { tcp: "h:1" }
        steps:
          - command: swap
        rollback:
          - command: back
      - name: "{{ hop.to }}"
        steps: [{ debug: }]
      - name: swap the server
        tags: [t]
        when: x
        vars: { y: 1 }
        run_once: true
        steps: [{ set: { anything: 1 } }]
finally:
  - debug: { msg: "{{ run.outcome }}" }
"#;

#[test]
fn every_key_arrives() {
    let playbook = loaded(&[("p.yml", WHOLE), ("vars.yml", "colour: red\nfiles: { a: 1 }\n")]);
    assert_eq!((playbook.name.as_str(), playbook.sources.len()), ("Upgrade it", 2));
    let variables: Vec<_> = playbook
        .vars
        .iter()
        .map(|(name, binding)| match binding {
            Binding::Template(node) => (name.as_str(), node.as_str().unwrap_or("-")),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(variables, [("to", "2.0"), ("colour", "red"), ("files", "-")]);
    assert!(matches!(&playbook.secrets["db_password"].value, SecretSource::File(path) if path.ends_with("secrets/db")));
    assert!(matches!(&playbook.secrets["token"].value, SecretSource::Env(name) if name == "TOKEN"));
    assert_eq!(playbook.databases.keys().collect::<Vec<_>>(), ["main", "side"]);
    assert_eq!(
        playbook.requires_environment.as_ref().map(|name| name.value.as_str()),
        Some("lab")
    );
    assert!(matches!(
        playbook.elevation.become_.as_ref().map(|node| &node.value),
        Some(Value::Bool(true))
    ));
    assert!(playbook.probes[0].reads && playbook.finally[0].id == "debug");

    let Body::Steps(send) = &playbook.stages[0].body else {
        panic!("steps")
    };
    let ids: Vec<&str> = send.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["copy", "copy-2", "own"]);
    let own = &send[2];
    assert_eq!(own.kind.name(), "command");
    assert_eq!(
        own.params.get("cmd").and_then(|node| node.as_str()),
        Some("echo {{ x }}")
    );
    assert_eq!(own.timeout.map(|limit| limit.as_secs()), Some(90));
    assert_eq!(
        own.tags.iter().map(|tag| tag.value.as_str()).collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert!(own.run_once && own.no_log && own.idempotent && !own.reads);
    assert!(
        [
            &own.when,
            &own.loop_,
            &own.until,
            &own.retries,
            &own.delay,
            &own.changed_when,
            &own.failed_when
        ]
        .iter()
        .all(|node| node.is_some())
    );
    assert!(own.ignore_errors.is_some() && own.environment.is_some() && own.delegate_to.is_some());
    assert!(own.elevation.become_.is_some() && own.elevation.user.is_some());
    assert_eq!(own.register.as_ref().map(|name| name.value.as_str()), Some("r"));
    assert!(
        own.verify
            .as_ref()
            .is_some_and(|step| step.reads && step.id == "command")
    );
    assert!(own.vars.contains_key("local"));

    let group = &playbook.stages[1];
    assert_eq!(group.id, "hop-to");
    assert_eq!(group.as_.as_ref().map(|name| name.value.as_str()), Some("hop"));
    let Body::Stages(inner) = &group.body else {
        panic!("stages")
    };
    let ids: Vec<&str> = inner.iter().map(|stage| stage.id.as_str()).collect();
    assert_eq!(ids, ["swap-the-server", "stage", "swap-the-server-2"]);
    let swap = &inner[0];
    assert!(swap.lockstep && swap.serial.is_some() && swap.max_fail.is_some() && swap.forks.is_some());
    assert_eq!((swap.guard.len(), swap.rollback.len()), (1, 1));
    assert_eq!(swap.timeout.map(|limit| limit.as_secs()), Some(7200));
    assert!(inner[2].run_once && inner[2].when.is_some() && inner[2].tags.len() == 1);
}

#[test]
fn steps_alone_are_one_stage_in_lockstep() {
    let playbook = loaded(&[(
        "p.yml",
        "name: Two things\nhosts: all\nsteps:\n  - command: a\n  - command: b\n",
    )]);
    let [stage] = playbook.stages.as_slice() else {
        panic!("one stage")
    };
    assert!(stage.lockstep && stage.id == "two-things");
    assert!(matches!(&stage.body, Body::Steps(steps) if steps.len() == 2 && steps[1].id == "command-2"));
}

#[test]
fn a_written_id_keeps_its_place_from_slugs() {
    let playbook = loaded(&[(
        "p.yml",
        "hosts: all\nsteps:\n  - command: a\n  - { id: command, command: b }\n  - { name: Ünd so!, command: c }\n",
    )]);
    let Body::Steps(steps) = &playbook.stages[0].body else {
        panic!("steps")
    };
    let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["command-2", "command", "ünd-so"]);
    assert_eq!(playbook.name, "p");
}

#[test]
fn merge_keys_give_parameters() {
    let playbook = loaded(&[(
        "p.yml",
        "hosts: all\nvars:\n  common: &c { src: a, mode: '0600' }\nsteps:\n  - copy: { <<: *c, dest: /b }\n",
    )]);
    let Body::Steps(steps) = &playbook.stages[0].body else {
        panic!("steps")
    };
    assert_eq!(steps[0].params.get("src").and_then(|node| node.as_str()), Some("a"));
}

#[test]
fn playbook_mistakes() {
    let mut all = String::new();
    for text in [
        "- hosts: all\n  tasks:\n    - command: a\n",
        "- import_playbook: other.yml\n",
        "",
        "just text\n",
        "name: x\n",
        "hosts: all\ntasks:\n  - command: a\n",
        "hosts: all\ngather_facts: no\nroles: [a]\nvars_prompt: []\nstrategy: free\nany_errors_fatal: true\nmax_fail_percentage: 10\npre_tasks: []\nhandlers: []\nserial: 1\nregister: x\nhost: b\nsteps:\n  - command: a\n",
        "hosts: {}\nstages: []\nsteps: []\n",
        "hosts: []\nname: [a]\nbecome: maybe\nbecome_method: su\nrequires_environment: '{{ x }}'\nenvironment: [A=b]\nsteps: []\n",
        "hosts: all\nvars:\n  a-b: 1\n  hostvars: 2\n  for: 3\n  9k: 4\n  ok: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\nsteps:\n  - command: a\n",
        "hosts: all\nvars: [a]\nvars_files: ['{{ x }}.yml', none.yml]\nsteps: { command: a }\n",
    ] {
        all.push_str(&mistakes(text));
        all.push('\n');
    }
    insta::assert_snapshot!(all, @r#"
    error: a playbook is one mapping, and this is a list of plays, as Ansible has it
     --> p.yml:1:3
      |
    1 | - hosts: all
      |   ^^^^^^^^^^
      |
      = help: write each play as a stage:
              name: …
              hosts: all
              stages:
                - name: …
                  hosts: …
                  steps:
                    - …

    1 error

    error: a playbook is one mapping, and this is a list of plays, as Ansible has it
     --> p.yml:1:3
      |
    1 | - import_playbook: other.yml
      |   ^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: run the playbooks one after the other, or write their stages into one

    1 error

    error: the playbook is empty
     --> p.yml:1:1
      |
    1 |
      | ^
      |
      = help: a playbook needs at least `hosts:` and `steps:` or `stages:`

    1 error

    error: a playbook is a mapping, found text
     --> p.yml:1:1
      |
    1 | just text
      | ^^^^^^^^^

    1 error

    error: the playbook has no `hosts`
     --> p.yml:1:1
      |
    1 | name: x
      | ^^^^
      |
      = help: write `hosts: PATTERN`; `hosts: all` is every host of the inventory

    error: the playbook has neither `steps` nor `stages`
     --> p.yml:1:1
      |
    1 | name: x
      | ^^^^
      |
      = help: write `steps:` (one stage), or `stages:` with `steps:` in each

    2 errors

    error: `tasks` is a word of Ansible's
     --> p.yml:2:1
      |
    2 | tasks:
      | ^^^^^
      |
      = help: write `steps:` (one stage), or `stages:` with `steps:` in each

    1 error

    error: `gather_facts` is a word of Ansible's
     --> p.yml:2:1
      |
    2 | gather_facts: no
      | ^^^^^^^^^^^^
      |
      = help: remove it: Refit runs no fact modules; read what you need by a step with `register:`

    error: `roles` is a word of Ansible's
     --> p.yml:3:1
      |
    3 | roles: [a]
      | ^^^^^
      |
      = help: Refit has no roles: write the role's tasks as `steps:` and its variables as `vars:` or `vars_files:`

    error: `vars_prompt` is a word of Ansible's
     --> p.yml:4:1
      |
    4 | vars_prompt: []
      | ^^^^^^^^^^^
      |
      = help: write `secrets: { NAME: { prompt: "Text" } }` for a secret; give other values by `-e NAME=VALUE`

    error: `strategy` is a word of Ansible's
     --> p.yml:5:1
      |
    5 | strategy: free
      | ^^^^^^^^
      |
      = help: remove it: hosts of a stage go at their own pace; `lockstep: true` in the stage makes every step a barrier

    error: `any_errors_fatal` is a word of Ansible's
     --> p.yml:6:1
      |
    6 | any_errors_fatal: true
      | ^^^^^^^^^^^^^^^^
      |
      = help: remove it: `max_fail: 0` is the default, and no later stage begins after a failure

    error: `max_fail_percentage` is a word of Ansible's
     --> p.yml:7:1
      |
    7 | max_fail_percentage: 10
      | ^^^^^^^^^^^^^^^^^^^
      |
      = help: write `max_fail: 30%` in the stage (it counts unreachable hosts, over the stage)

    error: `pre_tasks` is a word of Ansible's
     --> p.yml:8:1
      |
    8 | pre_tasks: []
      | ^^^^^^^^^
      |
      = help: write these steps as the first of the `stages:`

    error: `handlers` of a playbook is known, not built yet
     --> p.yml:9:1
      |
    9 | handlers: []
      | ^^^^^^^^

    error: `serial` belongs to a stage, not to a playbook
      --> p.yml:10:1
       |
    10 | serial: 1
       | ^^^^^^

    error: `register` belongs to a step, not to a playbook
      --> p.yml:11:1
       |
    11 | register: x
       | ^^^^^^^^

    error: unknown key `host` in a playbook
      --> p.yml:12:1
       |
    12 | host: b
       | ^^^^
       |
       = help: did you mean `hosts`?

    11 errors

    error: `hosts` is a pattern or a list of patterns, found a mapping
     --> p.yml:1:8
      |
    1 | hosts: {}
      |        ^^

    error: a playbook has `steps` or `stages`, not both
     --> p.yml:3:1
      |
    2 | stages: []
      | ------ the stages
    3 | steps: []
      | ^^^^^
      |
      = help: move the steps into a stage of their own

    2 errors

    error: `hosts` is empty
     --> p.yml:1:8
      |
    1 | hosts: []
      |        ^^
      |
      = help: `hosts: all` is every host

    error: `name`: expected text, found a list
     --> p.yml:2:7
      |
    2 | name: [a]
      |       ^^^

    error: `become`: expected true or false, found text `maybe`
     --> p.yml:3:9
      |
    3 | become: maybe
      |         ^^^^^

    error: become methods other than sudo are known, not built yet
     --> p.yml:4:16
      |
    4 | become_method: su
      |                ^^
      |
      = help: remove it, or write `become_method: sudo`

    error: `requires_environment`: expected text, found a template
     --> p.yml:5:23
      |
    5 | requires_environment: '{{ x }}'
      |                       ^^^^^^^^^ no template may stand here

    error: `environment` is a mapping, found a list
     --> p.yml:6:14
      |
    6 | environment: [A=b]
      |              ^^^^^
      |
      = help: write `NAME: VALUE` without the `-`

    error: `steps` is empty
     --> p.yml:7:1
      |
    7 | steps: []
      | ^^^^^

    7 errors

    error: `a-b` cannot be the name of a variable
     --> p.yml:3:3
      |
    3 |   a-b: 1
      |   ^^^
      |
      = help: a variable's name has letters, digits and `_`, and does not begin with a digit

    error: `hostvars` cannot be the name of a variable
     --> p.yml:4:3
      |
    4 |   hostvars: 2
      |   ^^^^^^^^
      |
      = help: `hostvars` is a variable of Refit's own

    error: `for` cannot be the name of a variable
     --> p.yml:5:3
      |
    5 |   for: 3
      |   ^^^
      |
      = help: `for` is a word of the template language

    error: `9k` cannot be the name of a variable
     --> p.yml:6:3
      |
    6 |   9k: 4
      |   ^^
      |
      = help: a variable's name has letters, digits and `_`, and does not begin with a digit

    error: `!vault` is known, not built yet
     --> p.yml:8:5
      |
    8 |     $ANSIBLE_VAULT;1.1;AES256
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: name the value in `secrets:` and give it by `file`, `env`, `prompt` or `command`

    5 errors

    error: `vars` is a mapping, found a list
     --> p.yml:2:7
      |
    2 | vars: [a]
      |       ^^^
      |
      = help: write `NAME: VALUE` without the `-`

    error: a path in `vars_files` may not hold a template
     --> p.yml:3:14
      |
    3 | vars_files: ['{{ x }}.yml', none.yml]
      |              ^^^^^^^^^^^^^
      |
      = help: the files are read before any variable is known: name each file

    error: no such file: `none.yml`
     --> p.yml:3:29
      |
    3 | vars_files: ['{{ x }}.yml', none.yml]
      |                             ^^^^^^^^

    error: expected a list of steps, found a mapping
     --> p.yml:4:8
      |
    4 | steps: { command: a }
      |        ^^^^^^^^^^^^^^
      |
      = help: write `- ` before each step

    4 errors
    "#);
}

#[test]
fn mistakes_in_vars_files() {
    let text =
        "hosts: all\nvars_files:\n  - list.yml\n  - bad.yml\n  - enc.yml\n  - name.yml\nsteps:\n  - command: a\n";
    let page = wrong(&[
        ("p.yml", text),
        ("list.yml", "- a\n"),
        ("bad.yml", "a: b: c\n"),
        ("enc.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
        ("name.yml", "ok: 1\na b: 2\n"),
    ]);
    insta::assert_snapshot!(page, @r#"
    error: YAML: mapping values are not allowed in this context
     --> bad.yml:1:5
      |
    1 | a: b: c
      |     ^
      |
      = help: quote a value that holds `: `: `a: "…"`

    error: a file of variables is a mapping, found a list
     --> list.yml:1:1
      |
    1 | - a
      | ^^^
      |
     ::: p.yml:3:5
      |
    3 |   - list.yml
      |     -------- named here

    error: `a b` cannot be the name of a variable
     --> name.yml:2:1
      |
    2 | a b: 2
      | ^^^
      |
      = help: a variable's name has letters, digits and `_`, and does not begin with a digit

    error: a file that ansible-vault encrypted is known, not built yet
     --> p.yml:5:5
      |
    5 |   - enc.yml
      |     ^^^^^^^

    4 errors
    "#);
}

#[test]
fn secrets_and_databases() {
    let text = "\
hosts: all
vars: { both: 1 }
secrets:
  a: hunter2
  b: { fiel: x }
  c: { file: x, env: Y }
  d:
  e: { file: '{{ x }}' }
  both: { env: X }
databases:
  a: { engine: postgres, host: h, name: n, user: u, password: hunter2 }
  b: { engine: postgers, port: 70000, pasword: { env: X } }
  c: { engine: cassandra, via: h }
  d: { host: h }
  e: { engine: sqlite, tls: { verify: maybe, cafile: x } }
  f: text
steps:
  - command: a
";
    let page = mistakes(text);
    assert!(!page.contains("hunter2"), "{page}");
    insta::assert_snapshot!(page, @r#"
    error: the text of the secret `a` may not stand here
     --> p.yml:4:6
      |
    4 |   a: <secret>
      |      ^^^^^^^^
      |
      = help: say where it comes from: `{ file: PATH }`, `{ env: NAME }`, `{ prompt: TEXT }` or `{ command: TEXT }`

    error: unknown key `fiel` in a secret
     --> p.yml:5:8
      |
    5 |   b: { fiel: <secret> }
      |        ^^^^
      |
      = help: did you mean `file`?

    error: the secret `c` needs exactly one source
     --> p.yml:6:6
      |
    6 |   c: { file: x, env: Y }
      |      ^^^^^^^^^^^^^^^^^^^
      |
      = help: say where it comes from: `{ file: PATH }`, `{ env: NAME }`, `{ prompt: TEXT }` or `{ command: TEXT }`

    error: `d` has no source
     --> p.yml:7:4
      |
    7 |   d:
      |    ^
      |
      = help: say where it comes from: `{ file: PATH }`, `{ env: NAME }`, `{ prompt: TEXT }` or `{ command: TEXT }`

    error: a secret's source may not hold a template
     --> p.yml:8:14
      |
    8 |   e: { file: '{{ x }}' }
      |              ^^^^^^^^^
      |
      = help: secrets are read before any variable is known

    error: `both` is a variable and a secret
     --> p.yml:9:3
      |
    9 |   both: { env: X }
      |   ^^^^

    error: the text of the secret `password` may not stand here
      --> p.yml:11:63
       |
    11 |   a: { engine: postgres, host: h, name: n, user: u, password: <secret> }
       |                                                               ^^^^^^^^
       |
       = help: say where it comes from: `{ file: PATH }`, `{ env: NAME }`, `{ prompt: TEXT }` or `{ command: TEXT }`

    error: unknown engine `postgers`
      --> p.yml:12:16
       |
    12 |   b: { engine: postgers, port: 70000, pasword: { env: X } }
       |                ^^^^^^^^
       |
       = help: did you mean `postgres`?

    error: `port` is a number from 1 to 65535
      --> p.yml:12:32
       |
    12 |   b: { engine: postgers, port: 70000, pasword: { env: X } }
       |                                ^^^^^

    error: unknown key `pasword` in a database
      --> p.yml:12:39
       |
    12 |   b: { engine: postgers, port: 70000, pasword: { env: X } }
       |                                       ^^^^^^^
       |
       = help: did you mean `password`?

    error: the database needs `host`
      --> p.yml:13:3
       |
    13 |   c: { engine: cassandra, via: h }
       |   ^

    error: the database needs `name`
      --> p.yml:13:3
       |
    13 |   c: { engine: cassandra, via: h }
       |   ^

    error: the database has no `engine`
      --> p.yml:14:3
       |
    14 |   d: { host: h }
       |   ^
       |
       = help: write `engine: postgres`, `engine: mysql`, `engine: cassandra` or `engine: sqlite`

    error: the database needs `path`
      --> p.yml:15:3
       |
    15 |   e: { engine: sqlite, tls: { verify: maybe, cafile: x } }
       |   ^

    error: `verify` cannot be `maybe`
      --> p.yml:15:39
       |
    15 |   e: { engine: sqlite, tls: { verify: maybe, cafile: x } }
       |                                       ^^^^^
       |
       = help: it is `full` (the default), `ca` or `none`

    error: unknown key `cafile` in `tls`
      --> p.yml:15:46
       |
    15 |   e: { engine: sqlite, tls: { verify: maybe, cafile: x } }
       |                                              ^^^^^^

    error: a database is a mapping, found text
      --> p.yml:16:6
       |
    16 |   f: text
       |      ^^^^

    17 errors
    "#);
}

#[test]
fn stage_mistakes() {
    let mut all = String::new();
    for stage in [
        "steps:\n  - command: a",
        "name: x",
        "name: x\ntasks:\n  - command: a",
        "name: x\nblock:\n  - command: a\nrescue: []\nalways: []",
        "name: x\nsteps:\n  - command: a\nstages:\n  - name: y",
        "name: x\nserial: 0\nguard: []\nrollback: []\nstages:\n  - name: y\n    steps: [{ command: a }]",
        "name: x\nserial: [1, 25.5%, -1, 120%, a]\nforks: 0\nmax_fail: 200%\nas: item\nfor_eahc: [1]\ntimeout: 5x\nsteps:\n  - command: a",
        "name: x\nrollback_scope: batch\norder: reverse\nbetween: 2m\nno_way_back: true\nestimate: 5m\nsteps:\n  - command: a",
        "name: x\nguard:\n  - command: a\n  - copy: { dest: /a }\nfor_each: hops\nas: 9\nwhen: 5\nlockstep: perhaps\nregister: r\ncommand: b\nsteps:\n  - command: a",
        "name: x\nsteps: a",
        "just text",
    ] {
        all.push_str(&mistakes(&in_stage(stage)));
        all.push('\n');
    }
    insta::assert_snapshot!(all, @r#"
    error: the stage has no `name`
     --> p.yml:3:5
      |
    3 |   - steps:
      |     ^^^^^
      |
      = help: write `name: …`: reports, `--tags` and resume go by it

    1 error

    error: the stage has no `steps`
     --> p.yml:3:5
      |
    3 |   - name: x
      |     ^^^^
      |
      = help: write `steps:`, or `stages:` for a group

    1 error

    error: `tasks` is a word of Ansible's
     --> p.yml:4:5
      |
    4 |     tasks:
      |     ^^^^^
      |
      = help: write `steps:`

    1 error

    error: `block` is a word of Ansible's
     --> p.yml:4:5
      |
    4 |     block:
      |     ^^^^^
      |
      = help: write a stage: `- name: …` with `steps:`; `when`, `become` and `vars` of a stage hold for its steps

    error: `rescue` is a word of Ansible's
     --> p.yml:6:5
      |
    6 |     rescue: []
      |     ^^^^^^
      |
      = help: write `rollback:` in the stage: what a host runs that failed

    error: `always` is a word of Ansible's
     --> p.yml:7:5
      |
    7 |     always: []
      |     ^^^^^^
      |
      = help: write `finally:` in the playbook: it runs on success and on failure

    3 errors

    error: a stage has `steps` or `stages`, not both
     --> p.yml:6:5
      |
    4 |     steps:
      |     ----- the steps
    5 |       - command: a
    6 |     stages:
      |     ^^^^^^
      |
      = help: move the steps into a stage of their own

    1 error

    error: `serial` belongs to the stages of a group, not to the group
     --> p.yml:4:5
      |
    4 |     serial: 0
      |     ^^^^^^
    ...
    7 |     stages:
      |     ------ this makes it a group

    error: `serial` must be at least 1
     --> p.yml:4:13
      |
    4 |     serial: 0
      |             ^

    error: `guard` belongs to the stages of a group, not to the group
     --> p.yml:5:5
      |
    5 |     guard: []
      |     ^^^^^
    6 |     rollback: []
    7 |     stages:
      |     ------ this makes it a group

    error: `rollback` belongs to the stages of a group, not to the group
     --> p.yml:6:5
      |
    6 |     rollback: []
      |     ^^^^^^^^
    7 |     stages:
      |     ------ this makes it a group

    4 errors

    error: `serial` takes whole per cents
     --> p.yml:4:17
      |
    4 |     serial: [1, 25.5%, -1, 120%, a]
      |                 ^^^^^

    error: `serial` must be at least 1
     --> p.yml:4:24
      |
    4 |     serial: [1, 25.5%, -1, 120%, a]
      |                        ^^

    error: `serial` is more than 100%
     --> p.yml:4:28
      |
    4 |     serial: [1, 25.5%, -1, 120%, a]
      |                            ^^^^

    error: `serial` is a whole number or `N%`
     --> p.yml:4:34
      |
    4 |     serial: [1, 25.5%, -1, 120%, a]
      |                                  ^

    error: `forks` must be at least 1
     --> p.yml:5:12
      |
    5 |     forks: 0
      |            ^

    error: `max_fail` is more than 100%
     --> p.yml:6:15
      |
    6 |     max_fail: 200%
      |               ^^^^

    error: `as` needs `for_each`
     --> p.yml:7:5
      |
    7 |     as: item
      |     ^^
      |
      = help: `as` names the item of `for_each`; without it there is no item

    error: unknown key `for_eahc` in a stage
     --> p.yml:8:5
      |
    8 |     for_eahc: [1]
      |     ^^^^^^^^
      |
      = help: did you mean `for_each`?

    error: `timeout`: expected a duration such as `30s`, `5m` or `1m30s`, found text `5x`
     --> p.yml:9:14
      |
    9 |     timeout: 5x
      |              ^^ unknown unit `x`: write `s`, `m`, `h` or `d`

    9 errors

    error: `rollback_scope: batch` is known, not built yet
     --> p.yml:4:21
      |
    4 |     rollback_scope: batch
      |                     ^^^^^

    error: `order` of a stage is known, not built yet
     --> p.yml:5:5
      |
    5 |     order: reverse
      |     ^^^^^

    error: `between` of a stage is known, not built yet
     --> p.yml:6:5
      |
    6 |     between: 2m
      |     ^^^^^^^

    error: `no_way_back` of a stage is known, not built yet
     --> p.yml:7:5
      |
    7 |     no_way_back: true
      |     ^^^^^^^^^^^

    error: `estimate` of a stage is known, not built yet
     --> p.yml:8:5
      |
    8 |     estimate: 5m
      |     ^^^^^^^^

    5 errors

    error: a step of `guard` may only read, and `command` may change something
     --> p.yml:5:9
      |
    5 |       - command: a
      |         ^^^^^^^
      |
      = help: add `reads: true` if it only reads

    error: a step of `guard` may only read, and `copy` may change something
     --> p.yml:6:9
      |
    6 |       - copy: { dest: /a }
      |         ^^^^

    error: `for_each` is a list, found text
     --> p.yml:7:15
      |
    7 |     for_each: hops
      |               ^^^^
      |
      = help: write `for_each: "{{ hops }}"` if it is a variable

    error: `9` cannot be the name of an item
     --> p.yml:8:9
      |
    8 |     as: 9
      |         ^
      |
      = help: a variable's name has letters, digits and `_`, and does not begin with a digit

    error: `when` is a condition or a list of conditions, found an integer
     --> p.yml:9:11
      |
    9 |     when: 5
      |           ^
      |
      = help: write an expression: `when: version == "1.2"`

    error: `lockstep`: expected true or false, found text `perhaps`
      --> p.yml:10:15
       |
    10 |     lockstep: perhaps
       |               ^^^^^^^

    error: `register` belongs to a step, not to a stage
      --> p.yml:11:5
       |
    11 |     register: r
       |     ^^^^^^^^

    error: `command` is a kind of step, and this is a stage
      --> p.yml:12:5
       |
    12 |     command: b
       |     ^^^^^^^
       |
       = help: write it below `steps:`: `- command: …`

    8 errors

    error: expected a list of steps, found text
     --> p.yml:4:12
      |
    4 |     steps: a
      |            ^

    1 error

    error: a stage is a mapping, found text
     --> p.yml:3:5
      |
    3 |   - just text
      |     ^^^^^^^^^

    1 error
    "#);
}

#[test]
fn step_mistakes() {
    let mut all = String::new();
    for step in [
        "name: no kind",
        "comand: a",
        "command: a\nwhenn: b\nserial: 1",
        "command: a\ncopy: { dest: /a }",
        "community.general.ufw: { rule: allow }",
        "set_fact: { a: 1 }",
        "reboot:",
        "include_tasks: a.yml",
        "block:\n  - command: a",
        "command: a\nwith_items: [1]\nnotify: x\nundo: []\nasync: 10\nargs: { chdir: / }\nloop_control: {}",
        "copy: src=a dest=b",
        "copy: { sorce: a, mode: 0644 }",
        "copy: { dest: /a, mode: 420 }",
        "copy: [a]",
        "command: { chdir: / }",
        "command: a\nregister: hostvars\nloop: items\nretries: 3\ndelay: soon\ntimeout: -1\nreads: maybe\nid: a/b\nrun_once: 2",
        "command: a\nregister: 'a b'\nwhen: {}\nuntil: []\ntags: { a: b }\nbecome_user: true\nenvironment: { 'A B': 1, C: [1] }\nverify: { command: b }",
        "copy: { dest: /a }\nreads: true\nverify: [{ command: b }]",
        "just text",
    ] {
        all.push_str(&mistakes(&in_step(step)));
        all.push('\n');
    }
    insta::assert_snapshot!(all, @r#"
    error: the step has no kind
     --> p.yml:3:5
      |
    3 |   - name: no kind
      |     ^^^^
      |
      = help: name what it does: `- command: …`; `refit kinds` lists the kinds

    1 error

    error: unknown kind `comand`
     --> p.yml:3:5
      |
    3 |   - comand: a
      |     ^^^^^^
      |
      = help: did you mean `command`?

    1 error

    error: unknown key `whenn` in a step
     --> p.yml:4:5
      |
    4 |     whenn: b
      |     ^^^^^
      |
      = help: did you mean `when`?

    error: `serial` belongs to a stage, not to a step
     --> p.yml:5:5
      |
    5 |     serial: 1
      |     ^^^^^^

    2 errors

    error: two kinds in one step: `command` and `copy`
     --> p.yml:4:5
      |
    3 |   - command: a
      |     ------- the first
    4 |     copy: { dest: /a }
      |     ^^^^ a second kind
      |
      = help: make it two steps: write `- ` before the second

    1 error

    error: unknown kind `community.general.ufw`
     --> p.yml:3:5
      |
    3 |   - community.general.ufw: { rule: allow }
      |     ^^^^^^^^^^^^^^^^^^^^^
      |
      = help: modules of collections are not there: `refit kinds` lists the kinds

    1 error

    error: `set_fact` is a module of Ansible's
     --> p.yml:3:5
      |
    3 |   - set_fact: { a: 1 }
      |     ^^^^^^^^
      |
      = help: in Refit it is `set`

    1 error

    error: the kind `reboot` is known, not built yet
     --> p.yml:3:5
      |
    3 |   - reboot:
      |     ^^^^^^

    1 error

    error: `include_tasks` is a word of Ansible's
     --> p.yml:3:5
      |
    3 |   - include_tasks: a.yml
      |     ^^^^^^^^^^^^^
      |
      = help: write the steps here: `include: FILE` is known, not built yet

    1 error

    error: `block` is a word of Ansible's
     --> p.yml:3:5
      |
    3 |   - block:
      |     ^^^^^
      |
      = help: write a stage: `- name: …` with `steps:`; `when`, `become` and `vars` of a stage hold for its steps

    1 error

    error: `with_items` is a word of Ansible's
     --> p.yml:4:5
      |
    4 |     with_items: [1]
      |     ^^^^^^^^^^
      |
      = help: write `loop: [a, b]` or `loop: "{{ list }}"`

    error: `notify` of a step is known, not built yet
     --> p.yml:5:5
      |
    5 |     notify: x
      |     ^^^^^^

    error: `async` is a word of Ansible's
     --> p.yml:7:5
      |
    7 |     async: 10
      |     ^^^^^
      |
      = help: remove it: every step that changes something outlives its connection; `timeout:` limits it

    error: `args` is a word of Ansible's
     --> p.yml:8:5
      |
    8 |     args: { chdir: / }
      |     ^^^^
      |
      = help: write the parameters below the kind: `command: { cmd: …, chdir: … }`

    error: `loop_control` is a word of Ansible's
     --> p.yml:9:5
      |
    9 |     loop_control: {}
      |     ^^^^^^^^^^^^
      |
      = help: remove it: the item is `item`; a stage with `for_each:` names it by `as:`

    5 errors

    error: `copy` takes a mapping, found text
     --> p.yml:3:11
      |
    3 |   - copy: src=a dest=b
      |           ^^^^^^^^^^^^
      |
      = help: write `copy: { name: value }`, not `name=value`

    1 error

    error: `copy` needs `dest`
     --> p.yml:3:5
      |
    3 |   - copy: { sorce: a, mode: 0644 }
      |     ^^^^
      |
      = help: to

    error: unknown parameter `sorce` of `copy`
     --> p.yml:3:13
      |
    3 |   - copy: { sorce: a, mode: 0644 }
      |             ^^^^^
      |
      = help: it has src, dest, mode

    error: `mode: 0644` is an integer, and its base is not clear
     --> p.yml:3:29
      |
    3 |   - copy: { sorce: a, mode: 0644 }
      |                             ^^^^
      |
      = help: write `"0644"` if these are the octal digits

    3 errors

    error: `mode: 420` is an integer, and its base is not clear
     --> p.yml:3:29
      |
    3 |   - copy: { dest: /a, mode: 420 }
      |                             ^^^
      |
      = help: write `"0420"` if these are the octal digits
      = help: write `"0644"` if it is the number 420

    1 error

    error: `copy` takes a mapping, found a list
     --> p.yml:3:11
      |
    3 |   - copy: [a]
      |           ^^^

    1 error

    error: `command` needs `cmd`
     --> p.yml:3:5
      |
    3 |   - command: { chdir: / }
      |     ^^^^^^^
      |
      = help: the command

    1 error

    error: `hostvars` cannot be a register
     --> p.yml:4:15
      |
    4 |     register: hostvars
      |               ^^^^^^^^
      |
      = help: `hostvars` is a variable of Refit's own

    error: `loop` is a list, found text
     --> p.yml:5:11
      |
    5 |     loop: items
      |           ^^^^^
      |
      = help: write `loop: "{{ items }}"` if it is a variable

    error: `retries` needs `until`
     --> p.yml:6:5
      |
    6 |     retries: 3
      |     ^^^^^^^
      |
      = help: write what is waited for: `until: r.rc == 0`, with `register: r`

    error: `delay` needs `until`
     --> p.yml:7:5
      |
    7 |     delay: soon
      |     ^^^^^
      |
      = help: write what is waited for: `until: r.rc == 0`, with `register: r`

    error: `delay`: expected a duration such as `30s`, `5m` or `1m30s`, found text `soon`
     --> p.yml:7:12
      |
    7 |     delay: soon
      |            ^^^^ no number

    error: `timeout`: expected a duration such as `30s`, `5m` or `1m30s`, found an integer `-1`
     --> p.yml:8:14
      |
    8 |     timeout: -1
      |              ^^ it may not be negative

    error: `reads`: expected true or false, found text `maybe`
     --> p.yml:9:12
      |
    9 |     reads: maybe
      |            ^^^^^

    error: `a/b` cannot be an id
      --> p.yml:10:9
       |
    10 |     id: a/b
       |         ^^^
       |
       = help: an id has letters, digits, `-`, `_` and `.`

    error: `run_once`: expected true or false, found an integer `2`
      --> p.yml:11:15
       |
    11 |     run_once: 2
       |               ^

    9 errors

    error: `a b` cannot be a register
     --> p.yml:4:15
      |
    4 |     register: 'a b'
      |               ^^^^^
      |
      = help: a variable's name has letters, digits and `_`, and does not begin with a digit

    error: `when` is a condition or a list of conditions, found a mapping
     --> p.yml:5:11
      |
    5 |     when: {}
      |           ^^
      |
      = help: write an expression: `when: version == "1.2"`

    error: `until` is a condition or a list of conditions, found a list
     --> p.yml:6:12
      |
    6 |     until: []
      |            ^^
      |
      = help: write an expression: `until: version == "1.2"`

    error: `tags`: expected a list, found a mapping
     --> p.yml:7:11
      |
    7 |     tags: { a: b }
      |           ^^^^^^^^

    error: expected text, found a boolean `true`
     --> p.yml:8:18
      |
    8 |     become_user: true
      |                  ^^^^

    error: `A B` cannot be the name of a variable of the process
     --> p.yml:9:20
      |
    9 |     environment: { 'A B': 1, C: [1] }
      |                    ^^^^^

    error: the value of `C` must be text, found a list
     --> p.yml:9:33
      |
    9 |     environment: { 'A B': 1, C: [1] }
      |                                 ^^^

    error: a step of `verify` may only read, and `command` may change something
      --> p.yml:10:15
       |
    10 |     verify: { command: b }
       |               ^^^^^^^
       |
       = help: add `reads: true` if it only reads

    8 errors

    error: `reads` does not go with `copy`
     --> p.yml:4:5
      |
    4 |     reads: true
      |     ^^^^^
      |
      = help: it goes with command, shell and http

    error: `verify` is one step, found a list
     --> p.yml:5:13
      |
    5 |     verify: [{ command: b }]
      |             ^^^^^^^^^^^^^^^^
      |
      = help: remove the `- `

    2 errors

    error: a step is a mapping, found text
     --> p.yml:3:5
      |
    3 |   - just text
      |     ^^^^^^^^^

    1 error
    "#);
}

#[test]
fn ids_that_stand_twice() {
    insta::assert_snapshot!(mistakes("hosts: all\nsteps:\n  - { id: a, command: a }\n  - { id: b, command: b }\n  - { id: a, command: c }\n"), @r#"
    error: two steps have the id `a`
     --> p.yml:5:11
      |
    3 |   - { id: a, command: a }
      |           - first here
    4 |   - { id: b, command: b }
    5 |   - { id: a, command: c }
      |           ^ here again

    1 error
    "#);
}

#[test]
fn probes_only_read() {
    insta::assert_snapshot!(mistakes("hosts: all\nprobes:\n  - command: a\n  - health: { tcp: 'a:1' }\nsteps:\n  - command: a\n"), @r#"
    error: a step of `probes` may only read, and `command` may change something
     --> p.yml:3:5
      |
    3 |   - command: a
      |     ^^^^^^^
      |
      = help: add `reads: true` if it only reads

    1 error
    "#);
}

#[test]
fn a_playbook_that_is_not_there() {
    let missing = load(Path::new("/nowhere/p.yml")).expect_err("missing");
    assert_eq!(
        missing.render(false, None),
        "error: no such file: `/nowhere/p.yml`\n\n1 error\n"
    );
}

mod random {
    use proptest::prelude::*;

    use super::*;

    fn spoiled() -> impl Strategy<Value = String> {
        let words = prop_oneof![
            Just(""),
            Just("x: 1"),
            Just("[]"),
            Just("{}"),
            Just("- a"),
            Just("{{ x }}"),
            Just("5"),
            Just("!vault x"),
            Just("steps:"),
        ];
        let cuts = proptest::collection::vec((0..WHOLE.len(), 0..30_usize, words), 1..4);
        cuts.prop_map(|cuts| {
            let mut text = WHOLE.to_owned();
            for (start, length, word) in cuts {
                let start = start.min(text.len());
                let end = (start + length).min(text.len());
                text.replace_range(start..end, word);
            }
            text
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// It loads, or says what is wrong; it never panics, and never fails without an error.
        #[test]
        fn a_spoiled_playbook_is_read_or_refused(text in spoiled()) {
            let folder = folder(&[("p.yml", &text), ("vars.yml", "a: 1")]);
            if let Err(wrong) = load_with(&folder.path().join("p.yml"), &KINDS) {
                prop_assert!(wrong.has_errors(), "{text}");
                prop_assert!(wrong.render(false, None).contains(" --> "), "{text}");
            }
        }
    }
}
