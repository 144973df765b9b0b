//! Templates, on every host and in every place.

use super::{FLEET, refused};
use crate::fleet::Fleet;

#[test]
fn what_is_rendered() {
    let Some(fleet) = Fleet::up(2) else { return };

    // undefined on one host only
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - command: "echo {{ only_there }}"
"#,
        &[(
            "host_vars/h1.yml",
            "only_there: x
",
        )],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: undefined variable `only_there`
     --> play.yml:4:23
      |
    4 |   - command: "echo {{ only_there }}"
      |                       ^^^^^^^^^^
      |
      = help: on h2

    1 error
    "#);

    // undefined in rollback, guard and finally
    let said = refused(
        &fleet,
        r#"
hosts: fleet
vars: { release: x }
stages:
  - name: One
    guard:
      - assert: { that: "relase == 'x'" }
    steps:
      - command: "true"
    rollback:
      - command: "echo {{ relaese }}"
finally:
  - debug: { msg: "{{ releas }}" }
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: undefined variable `relase`
     --> play.yml:6:26
      |
    6 |       - assert: { that: "relase == 'x'" }
      |                          ^^^^^^
      |
      = help: did you mean `release`?

    error: undefined variable `relaese`
      --> play.yml:10:27
       |
    10 |       - command: "echo {{ relaese }}"
       |                           ^^^^^^^
       |
       = help: did you mean `release`?

    error: undefined variable `releas`
      --> play.yml:12:23
       |
    12 |   - debug: { msg: "{{ releas }}" }
       |                       ^^^^^^
       |
       = help: did you mean `release`?

    3 errors
    "#);

    // undefined inside a template file
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - template: { src: unit.j2, dest: "{{ host_root }}/unit" }
"#,
        &[(
            "unit.j2",
            "# one
port = {{ host_rot }}
",
        )],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: undefined variable `host_rot`
     --> unit.j2:2:11
      |
    2 | port = {{ host_rot }}
      |           ^^^^^^^^
      |
     ::: play.yml:4:22
      |
    4 |   - template: { src: unit.j2, dest: "{{ host_root }}/unit" }
      |                      ------- the template is used here
      |
      = help: did you mean `host_root`?

    1 error
    "#);

    // undefined through another variable
    let said = refused(
        &fleet,
        r#"
hosts: fleet
vars:
  url: "http://{{ name_of_host }}/"
  nobody_reads_this: "{{ nor_this }}"
steps:
  - command: "echo {{ url }}"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: undefined variable `name_of_host`
     --> play.yml:3:19
      |
    3 |   url: "http://{{ name_of_host }}/"
      |                   ^^^^^^^^^^^^
    ...
    6 |   - command: "echo {{ url }}"
      |                       --- needed for `url` here

    1 error
    "#);

    // variables that go round
    let said = refused(
        &fleet,
        r#"
hosts: fleet
vars:
  a: "{{ b }}"
  b: "{{ a }}"
steps:
  - command: "echo {{ a }}"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: these variables need each other: a → b → a
     --> play.yml:4:10
      |
    3 |   a: "{{ b }}"
      |      ---------
      |      |   |
      |      |   needed for `b` here
      |      `a` is set here
    4 |   b: "{{ a }}"
      |      ----^---- `b` is set here
    5 | steps:
    6 |   - command: "echo {{ a }}"
      |                       - needed for `a` here

    1 error
    "#);

    // a misspelt result field
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - command: "true"
    register: r
  - command: "echo {{ r.stdot }}"
  - command: "true"
    when: r.chnged
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: the result `r` will have no `stdot`
     --> play.yml:6:23
      |
    6 |   - command: "echo {{ r.stdot }}"
      |                       ^^^^^^^
      |
      = help: did you mean `stdout`?

    error: the result `r` will have no `chnged`
     --> play.yml:8:11
      |
    8 |     when: r.chnged
      |           ^^^^^^^^
      |
      = help: did you mean `changed`?

    2 errors
    "#);

    // an unknown filter, test and a broken template
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - command: "echo {{ 'x' | uper }}"
  - command: "true"
    when: 1 is oddd
  - command: "echo {{ host_root }"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: unknown filter `uper`
     --> play.yml:4:29
      |
    4 |   - command: "echo {{ 'x' | uper }}"
      |                             ^^^^
      |
      = help: did you mean `upper`?

    error: unknown test `oddd`
     --> play.yml:6:16
      |
    6 |     when: 1 is oddd
      |                ^^^^
      |
      = help: did you mean `is odd`?

    error: not a template: unexpected `}`, expected end of variable block
     --> play.yml:7:33
      |
    7 |   - command: "echo {{ host_root }"
      |                                 ^

    3 errors
    "#);

    // a condition that is no boolean
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - command: "true"
    when: host_root
  - assert: { that: [ "'x'" ] }
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: the condition gives text, not a boolean
     --> play.yml:5:11
      |
    5 |     when: host_root
      |           ^^^^^^^^^
      |
      = help: compare it (`… == 'x'`, `… | length > 0`), or write `| bool`

    error: the condition gives text, not a boolean
     --> play.yml:6:24
      |
    6 |   - assert: { that: [ "'x'" ] }
      |                        ^^^
      |
      = help: compare it (`… == 'x'`, `… | length > 0`), or write `| bool`

    2 errors
    "#);

    // a version that is a number
    let said = refused(
        &fleet,
        r#"
hosts: fleet
vars:
  release: 1.10
steps:
  - swap: { name: app, version: "{{ release }}", files: [ { dest: "{{ host_root }}/app", content: x } ] }
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `version` must be a version, found the number 1.1
     --> play.yml:5:33
      |
    5 |   - swap: { name: app, version: "{{ release }}", files: [ { dest: "{{ host_root }}/app", content: x } ] }
      |                                 ^^^^^^^^^^^^^^^
      |
      = help: a number has no text (1.10 would be 1.1): quote it where it is set

    1 error
    "#);

    // a secret in the arguments of a command
    let said = refused(
        &fleet,
        r#"
hosts: fleet
secrets:
  token: { env: REFIT_TEST_TOKEN }
steps:
  - command: "curl -H {{ token }} http://localhost"
  - shell: "echo {{ token }}"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `cmd` holds a secret, which every process on the host could read
     --> play.yml:5:14
      |
    5 |   - command: "curl -H {{ token }} http://localhost"
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: hand it over in `environment:` (or `stdin:`) and use the variable

    error: `cmd` holds a secret, which every process on the host could read
     --> play.yml:6:12
      |
    6 |   - shell: "echo {{ token }}"
      |            ^^^^^^^^^^^^^^^^^^
      |
      = help: hand it over in `environment:` (or `stdin:`) and use the variable

    2 errors
    "#);

    // serial, max_fail and forks
    let said = refused(
        &fleet,
        r#"
hosts: fleet
stages:
  - { name: One, serial: 0, steps: [ command: "true" ] }
  - { name: Two, serial: [ 1, "a third" ], steps: [ command: "true" ] }
  - { name: Three, max_fail: 120%, steps: [ command: "true" ] }
  - { name: Four, forks: none, steps: [ command: "true" ] }
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `serial` must be at least 1
     --> play.yml:3:26
      |
    3 |   - { name: One, serial: 0, steps: [ command: "true" ] }
      |                          ^

    error: `serial` is a whole number or `N%`
     --> play.yml:4:31
      |
    4 |   - { name: Two, serial: [ 1, "a third" ], steps: [ command: "true" ] }
      |                               ^^^^^^^^^

    error: `max_fail` is more than 100%
     --> play.yml:5:30
      |
    5 |   - { name: Three, max_fail: 120%, steps: [ command: "true" ] }
      |                              ^^^^

    error: `forks` is a whole number
     --> play.yml:6:26
      |
    6 |   - { name: Four, forks: none, steps: [ command: "true" ] }
      |                          ^^^^

    4 errors
    "#);

    // the register of another host in the same stage
    let said = refused(
        &fleet,
        r#"
hosts: fleet
stages:
  - name: One
    steps:

      - command: hostname
        register: me
      - command: "echo {{ hostvars.h2.me.stdout }}"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `me` of another host is registered in this stage, and may not be there yet
     --> play.yml:8:27
      |
    8 |       - command: "echo {{ hostvars.h2.me.stdout }}"
      |                           ^^^^^^^^^^^^^^
      |
      = help: write `lockstep: true` in the stage, so that every step is a barrier; or read it in a later stage
      = help: on h1

    1 error
    "#);

    // a database that is not there
    let said = refused(
        &fleet,
        r#"
hosts: fleet
databases:
  main: { engine: sqlite, path: "{{ host_root }}/main.db" }
steps:
  - backup: { database: mian, to: "{{ host_root }}/backup" }
  - schema: { database: man, dir: versions, to: "1.1" }
"#,
        &[
            (
                "versions/v1.0/manifest.json",
                "{\"CurrVersion\":\"1.0\",\"MinCompatibleVersion\":\"1.0\",\"Description\":\"base\",\"SchemaUpdateCqlFiles\":[\"base.sql\"]}",
            ),
            (
                "versions/v1.0/base.sql",
                "CREATE TABLE t (a INT);
",
            ),
        ],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: there is no database `mian`
     --> play.yml:5:25
      |
    5 |   - backup: { database: mian, to: "{{ host_root }}/backup" }
      |                         ^^^^
      |
      = help: did you mean `main`?

    error: there is no database `man`
     --> play.yml:6:25
      |
    6 |   - schema: { database: man, dir: versions, to: "1.1" }
      |                         ^^^
      |
      = help: did you mean `main`?

    2 errors
    "#);

    // a schema folder without the version asked for
    let said = refused(
        &fleet,
        r#"
hosts: fleet
databases:
  main: { engine: sqlite, path: "{{ host_root }}/main.db" }
steps:
  - schema: { database: main, dir: versions, to: "1.1" }
"#,
        &[
            (
                "versions/v1.0/manifest.json",
                "{\"CurrVersion\":\"1.0\",\"MinCompatibleVersion\":\"1.0\",\"Description\":\"base\",\"SchemaUpdateCqlFiles\":[\"base.sql\"]}",
            ),
            (
                "versions/v1.0/base.sql",
                "CREATE TABLE t (a INT);
",
            ),
        ],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: ./versions has no version 1.1; its newest is 1.0
     --> play.yml:5:50
      |
    5 |   - schema: { database: main, dir: versions, to: "1.1" }
      |                                                  ^^^^^

    1 error
    "#);

    // parameters that do not go together, and one that is missing
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - copy: { src: play.yml, content: x, dest: "{{ host_root }}/x" }
  - copy: { content: x }
  - health: { tcp: "127.0.0.1:1", http: "http://127.0.0.1:1" }
  - copy: { content: x, dest: "{{ host_root }}/x", onwer: root }
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `copy` takes only one of `src`, `content`
     --> play.yml:4:28
      |
    4 |   - copy: { src: play.yml, content: x, dest: "{{ host_root }}/x" }
      |                            ^^^^^^^

    error: `copy` needs `dest`
     --> play.yml:5:5
      |
    5 |   - copy: { content: x }
      |     ^^^^
      |
      = help: where it goes; a folder that is there, or a name with a slash at its end, keeps the name of `src`

    error: `health` takes only one of `tcp`, `http`
     --> play.yml:6:5
      |
    6 |   - health: { tcp: "127.0.0.1:1", http: "http://127.0.0.1:1" }
      |     ^^^^^^

    error: unknown parameter `onwer` of `copy`
     --> play.yml:7:52
      |
    7 |   - copy: { content: x, dest: "{{ host_root }}/x", onwer: root }
      |                                                    ^^^^^
      |
      = help: did you mean `owner`?

    4 errors
    "#);

    // a become method and an account that is none
    let said = refused(
        &fleet,
        r#"
hosts: fleet
become: true
become_user: "-u root"
steps:
  - command: "true"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `-u root` is no account
     --> play.yml:3:14
      |
    3 | become_user: "-u root"
      |              ^^^^^^^^^

    1 error
    "#);
}
