//! What a playbook names and is not there.

use super::{FLEET, refused};
use crate::fleet::Fleet;

#[test]
fn files() {
    let Some(fleet) = Fleet::up(2) else { return };

    // files that are missing
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:

  - copy: { src: nowhere.txt, dest: "{{ host_root }}/x" }
  - template: { src: nowhere.j2, dest: "{{ host_root }}/x" }
  - script: nowhere.sh
  - swap: { name: app, version: "1.0", files: [ { dest: "{{ host_root }}/app", src: bin/app } ] }
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: cannot read ./nowhere.txt: No such file or directory
     --> play.yml:4:18
      |
    4 |   - copy: { src: nowhere.txt, dest: "{{ host_root }}/x" }
      |                  ^^^^^^^^^^^

    error: cannot read ./nowhere.j2: No such file or directory
     --> play.yml:5:22
      |
    5 |   - template: { src: nowhere.j2, dest: "{{ host_root }}/x" }
      |                      ^^^^^^^^^^

    error: cannot read ./nowhere.sh: No such file or directory
     --> play.yml:6:13
      |
    6 |   - script: nowhere.sh
      |             ^^^^^^^^^^

    error: cannot read ./bin/app: No such file or directory
     --> play.yml:7:85
      |
    7 |   - swap: { name: app, version: "1.0", files: [ { dest: "{{ host_root }}/app", src: bin/app } ] }
      |                                                                                     ^^^^^^^

    4 errors
    "#);

    // a secret that cannot be read
    let said = refused(
        &fleet,
        r#"
hosts: fleet
secrets:
  token: { file: secrets/token }
  other: { env: REFIT_TEST_NOT_SET }
databases:
  main: { engine: postgres, host: 127.0.0.1, name: a, user: b, password: { file: secrets/db } }
steps:
  - command: "true"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: the secret `token` cannot be read: cannot read the secret file ./secrets/token: No such file or directory (os error 2)
     --> play.yml:3:3
      |
    3 |   token: { file: secrets/token }
      |   ^^^^^

    error: the secret `other` cannot be read: the environment variable REFIT_TEST_NOT_SET is not set
     --> play.yml:4:3
      |
    4 |   other: { env: REFIT_TEST_NOT_SET }
      |   ^^^^^

    error: the password of the database `main` cannot be read: cannot read the secret file ./secrets/db: No such file or directory (os error 2)
     --> play.yml:6:74
      |
    6 |   main: { engine: postgres, host: 127.0.0.1, name: a, user: b, password: { file: secrets/db } }
      |                                                                          ^^^^^^^^^^^^^^^^^^^^

    3 errors
    "#);
}
