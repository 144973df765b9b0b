//! Mistakes of different sorts come together.

use super::{FLEET, refused};
use crate::fleet::Fleet;

#[test]
fn all_at_once() {
    let Some(fleet) = Fleet::up(2) else { return };

    // eight of different sorts
    let said = refused(
        &fleet,
        r#"
name: Eight mistakes
hosts: fleet
vars:
  target: "{{ host_root }}/x"
stages:
  - name: One
    stepz: 3
    steps:
      - id: a
        comand: "true"
      - id: a
        command: "echo {{ targt }}"
        register: r
      - command: "echo {{ r.stdot }}"
      - copy: { src: nowhere.txt, dest: "{{ target }}" }
  - name: Two
    hosts: fleat
    steps:
      - command: "true"
"#,
        &[],
        FLEET,
        &["-e", "tarqet=1"],
    );
    insta::assert_snapshot!(said, @r#"
    error: unknown key `stepz` in a stage
     --> play.yml:7:5
      |
    7 |     stepz: 3
      |     ^^^^^
      |
      = help: did you mean `steps`?

    error: unknown kind `comand`
      --> play.yml:10:9
       |
    10 |         comand: "true"
       |         ^^^^^^
       |
       = help: did you mean `command`?

    error: two steps have the id `a`
      --> play.yml:11:13
       |
     9 |       - id: a
       |             - first here
    10 |         comand: "true"
    11 |       - id: a
       |             ^ here again

    error: undefined variable `targt`
      --> play.yml:12:27
       |
    12 |         command: "echo {{ targt }}"
       |                           ^^^^^
       |
       = help: did you mean `target`?

    error: the result `r` will have no `stdot`
      --> play.yml:14:27
       |
    14 |       - command: "echo {{ r.stdot }}"
       |                           ^^^^^^^
       |
       = help: did you mean `stdout`?

    error: cannot read ./nowhere.txt: No such file or directory
      --> play.yml:15:22
       |
    15 |       - copy: { src: nowhere.txt, dest: "{{ target }}" }
       |                      ^^^^^^^^^^^

    error: hosts `fleat`: no host or group matches `fleat`
      --> play.yml:17:12
       |
    17 |     hosts: fleat
       |            ^^^^^
       |
       = help: did you mean `fleet`?

    error: -e `tarqet`: nothing reads this variable
      = help: did you mean `target`?

    8 errors
    "#);
}
