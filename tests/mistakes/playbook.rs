//! Keys, words, types.

use super::{FLEET, refused};
use crate::fleet::Fleet;

#[test]
fn what_stands_in_a_playbook() {
    let Some(fleet) = Fleet::up(2) else { return };

    // unknown key of the playbook, of a stage and of a step
    let said = refused(
        &fleet,
        r#"
hosts: fleet
envronment: { A: b }
stages:
  - name: One
    seriel: 1
    steps:
      - command: "true"
        regster: r
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: unknown key `envronment` in a playbook
     --> play.yml:2:1
      |
    2 | envronment: { A: b }
      | ^^^^^^^^^^
      |
      = help: did you mean `environment`?

    error: unknown key `seriel` in a stage
     --> play.yml:5:5
      |
    5 |     seriel: 1
      |     ^^^^^^
      |
      = help: did you mean `serial`?

    error: unknown key `regster` in a step
     --> play.yml:8:9
      |
    8 |         regster: r
      |         ^^^^^^^
      |
      = help: did you mean `register`?

    3 errors
    "#);

    // known, not built yet
    let said = refused(
        &fleet,
        r#"
hosts: fleet
handlers: []
stages:
  - name: One
    between: 2m
    steps:
      - command: "true"
        notify: x
      - reboot: {}
      - include: more.yml
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `handlers` of a playbook is known, not built yet
     --> play.yml:2:1
      |
    2 | handlers: []
      | ^^^^^^^^

    error: `between` of a stage is known, not built yet
     --> play.yml:5:5
      |
    5 |     between: 2m
      |     ^^^^^^^

    error: `notify` of a step is known, not built yet
     --> play.yml:8:9
      |
    8 |         notify: x
      |         ^^^^^^

    error: the kind `reboot` is known, not built yet
     --> play.yml:9:9
      |
    9 |       - reboot: {}
      |         ^^^^^^

    error: `include` of a step is known, not built yet
      --> play.yml:10:9
       |
    10 |       - include: more.yml
       |         ^^^^^^^

    5 errors
    "#);

    // wrong types
    let said = refused(
        &fleet,
        r#"
hosts: fleet
become: 3
stages:
  - name: One
    lockstep: "sometimes"
    tags: { a: b }
    steps:
      - command: [ls]
        timeout: soon
        run_once: [yes]
      - copy: text
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `become`: expected true or false, found an integer `3`
     --> play.yml:2:9
      |
    2 | become: 3
      |         ^

    error: `lockstep`: expected true or false, found text `sometimes`
     --> play.yml:5:15
      |
    5 |     lockstep: "sometimes"
      |               ^^^^^^^^^^^

    error: `tags`: expected a list, found a mapping
     --> play.yml:6:11
      |
    6 |     tags: { a: b }
      |           ^^^^^^^^

    error: `command` takes a mapping or text, found a list
     --> play.yml:8:18
      |
    8 |       - command: [ls]
      |                  ^^^^

    error: `timeout`: expected a duration such as `30s`, `5m` or `1m30s`, found text `soon`
     --> play.yml:9:18
      |
    9 |         timeout: soon
      |                  ^^^^ no number

    error: `run_once`: expected true or false, found a list
      --> play.yml:10:19
       |
    10 |         run_once: [yes]
       |                   ^^^^^

    error: `copy` takes a mapping, found text
      --> play.yml:11:15
       |
    11 |       - copy: text
       |               ^^^^

    7 errors
    "#);

    // unknown kinds, and two kinds in a step
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - comand: "true"
  - community.general.ufw: { rule: allow }
  - command: "true"
    shell: "true"
  - name: Nothing at all
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: unknown kind `comand`
     --> play.yml:4:5
      |
    4 |   - comand: "true"
      |     ^^^^^^
      |
      = help: did you mean `command`?

    error: unknown kind `community.general.ufw`
     --> play.yml:5:5
      |
    5 |   - community.general.ufw: { rule: allow }
      |     ^^^^^^^^^^^^^^^^^^^^^
      |
      = help: modules of collections are not there: `refit kinds` lists the kinds

    error: two kinds in one step: `command` and `shell`
     --> play.yml:7:5
      |
    6 |   - command: "true"
      |     ------- the first
    7 |     shell: "true"
      |     ^^^^^ a second kind
      |
      = help: make it two steps: write `- ` before the second

    error: the step has no kind
     --> play.yml:8:5
      |
    8 |   - name: Nothing at all
      |     ^^^^
      |
      = help: name what it does: `- command: …`; `refit kinds` lists the kinds

    4 errors
    "#);

    // the same key twice
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - command: "true"
    tags: a
    tags: b
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: the key `tags` stands twice
     --> play.yml:6:5
      |
    5 |     tags: a
      |     ---- first here
    6 |     tags: b
      |     ^^^^ here again

    1 error
    "#);

    // the same id twice
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - { id: a, command: "true" }
  - { id: b, command: "true" }
  - { id: a, command: "false" }
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: two steps have the id `a`
     --> play.yml:6:11
      |
    4 |   - { id: a, command: "true" }
      |           - first here
    5 |   - { id: b, command: "true" }
    6 |   - { id: a, command: "false" }
      |           ^ here again

    1 error
    "#);

    // YAML that is none
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true
  - command: x
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: YAML: unclosed quote
     --> play.yml:3:14
      |
    3 |   - command: "true
      |              ^
      |
      = help: is a closing " missing?

    1 error
    "#);

    // a tab
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
	- command: x
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: a tab where YAML wants spaces
     --> play.yml:3:1
      |
    3 |     - command: x
      | ^^^^ this is a tab
      |
      = help: indent with spaces

    1 error
    "#);

    // a playbook of Ansible
    let said = refused(
        &fleet,
        r#"
hosts: fleet
gather_facts: false
max_fail_percentage: 10
tasks:
  - command: "true"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `gather_facts` is a word of Ansible's
     --> play.yml:2:1
      |
    2 | gather_facts: false
      | ^^^^^^^^^^^^
      |
      = help: remove it: Refit runs no fact modules; read what you need by a step with `register:`

    error: `max_fail_percentage` is a word of Ansible's
     --> play.yml:3:1
      |
    3 | max_fail_percentage: 10
      | ^^^^^^^^^^^^^^^^^^^
      |
      = help: write `max_fail: 30%` in the stage (it counts unreachable hosts, over the stage)

    error: `tasks` is a word of Ansible's
     --> play.yml:4:1
      |
    4 | tasks:
      | ^^^^^
      |
      = help: write `steps:` (one stage), or `stages:` with `steps:` in each

    3 errors
    "#);

    // a list of plays
    let said = refused(
        &fleet,
        r#"
- hosts: fleet
  tasks: []
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: a playbook is one mapping, and this is a list of plays, as Ansible has it
     --> play.yml:1:3
      |
    1 | - hosts: fleet
      |   ^^^^^^^^^^^^
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
    "#);

    // block, with_items and notify
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - block:
      - command: "true"
  - command: "echo {{ item }}"
    with_items: [a]
  - ansible.builtin.command: "true"
    notify: restart
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `block` is a word of Ansible's
     --> play.yml:3:5
      |
    3 |   - block:
      |     ^^^^^
      |
      = help: write a stage: `- name: …` with `steps:`; `when`, `become` and `vars` of a stage hold for its steps

    error: `with_items` is a word of Ansible's
     --> play.yml:6:5
      |
    6 |     with_items: [a]
      |     ^^^^^^^^^^
      |
      = help: write `loop: [a, b]` or `loop: "{{ list }}"`

    error: `notify` of a step is known, not built yet
     --> play.yml:8:5
      |
    8 |     notify: restart
      |     ^^^^^^

    3 errors
    "#);

    // a mode that is a bare integer
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - copy: { content: x, dest: "{{ host_root }}/x", mode: 0644 }
  - file: { path: "{{ host_root }}/x", state: directory, mode: 493 }
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `mode: 0644` is an integer, and its base is not clear
     --> play.yml:4:58
      |
    4 |   - copy: { content: x, dest: "{{ host_root }}/x", mode: 0644 }
      |                                                          ^^^^
      |
      = help: write `"0644"` if these are the octal digits

    error: `mode: 493` is an integer, and its base is not clear
     --> play.yml:5:64
      |
    5 |   - file: { path: "{{ host_root }}/x", state: directory, mode: 493 }
      |                                                                ^^^
      |
      = help: write `"0755"` if it is the number 493

    2 errors
    "#);

    // a file of variables that is missing
    let said = refused(
        &fleet,
        r#"
hosts: fleet
vars_files: [releases.yml]
steps:
  - command: "echo {{ not_known_for_sure }}"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: no such file: `releases.yml`
     --> play.yml:2:14
      |
    2 | vars_files: [releases.yml]
      |              ^^^^^^^^^^^^

    1 error
    "#);

    // a value that ansible-vault encrypted
    let said = refused(
        &fleet,
        r#"
hosts: fleet
vars:
  password: !vault |
    $ANSIBLE_VAULT;1.1;AES256
    6162
steps:
  - command: "true"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `!vault` is known, not built yet
     --> play.yml:4:5
      |
    4 |     <secret>
      |     ^^^^^^^^
      |
      = help: name the value in `secrets:` and give it by `file`, `env`, `prompt` or `command`

    1 error
    "#);

    // a probe that may change something
    let said = refused(
        &fleet,
        r#"
hosts: fleet
probes:
  - command: "id"
steps:
  - command: "true"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: a step of `probes` may only read, and `command` may change something
     --> play.yml:3:5
      |
    3 |   - command: "id"
      |     ^^^^^^^
      |
      = help: add `reads: true` if it only reads

    1 error
    "#);
}
