//! Inventory, patterns and flags.

use super::{FLEET, refused};
use crate::fleet::Fleet;

#[test]
fn hosts_and_the_command_line() {
    let Some(fleet) = Fleet::up(2) else { return };

    // a misspelt group
    let said = refused(
        &fleet,
        r#"
hosts: fleat
steps:
  - command: "true"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: hosts `fleat`: no host or group matches `fleat`
     --> play.yml:1:8
      |
    1 | hosts: fleat
      |        ^^^^^
      |
      = help: did you mean `fleet`?

    1 error
    "#);

    // a list of patterns with one that is wrong
    let said = refused(
        &fleet,
        r#"
hosts: fleet
stages:
  - name: One
    hosts: [h1, h3, "!fleet[9]"]
    steps:
      - command: "true"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: hosts `h3`: no host or group matches `h3`
     --> play.yml:4:17
      |
    4 |     hosts: [h1, h3, "!fleet[9]"]
      |                 ^^

    1 error
    "#);

    // --limit without a match
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[],
        FLEET,
        &["--limit", "h9"],
    );
    insta::assert_snapshot!(said, @r#"
    error: --limit `h9`: no host or group matches `h9`

    1 error
    "#);

    // --exclude without a match
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[],
        FLEET,
        &["--exclude", "h9", "--reason", "broken"],
    );
    insta::assert_snapshot!(said, @r#"
    error: --exclude `h9`: no host or group matches `h9`

    1 error
    "#);

    // a limit that leaves no host
    let said = refused(
        &fleet,
        r#"
hosts: h1
steps:
  - command: "true"
"#,
        &[],
        FLEET,
        &["--limit", "h2"],
    );
    insta::assert_snapshot!(said, @r#"
    error: --limit `h2` leaves no host of this playbook

    1 error
    "#);

    // tags without a match
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - { command: "true", tags: install }
"#,
        &[],
        FLEET,
        &["--tags", "instal", "--skip-tags", "nothing"],
    );
    insta::assert_snapshot!(said, @r#"
    error: --tags: no stage and no step has the tag `instal`
      = help: did you mean `install`?

    error: --skip-tags: no stage and no step has the tag `nothing`

    2 errors
    "#);

    // -e that nothing reads
    let said = refused(
        &fleet,
        r#"
hosts: fleet
vars: { release: x }
steps:
  - command: "echo {{ release }}"
"#,
        &[],
        FLEET,
        &["-e", "relaese=y", "-e", "{other: 3}"],
    );
    insta::assert_snapshot!(said, @r#"
    error: -e `relaese`: nothing reads this variable
      = help: did you mean `release`?

    error: -e `other`: nothing reads this variable

    2 errors
    "#);

    // -e that is none
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[],
        FLEET,
        &["-e", "release", "-e", "{a: ", "-e", "@nowhere.yml"],
    );
    insta::assert_snapshot!(said, @r#"
    error: YAML: unclosed bracket '{'
     --> -e:1:1
      |
    1 | {a: 
      | ^
      |
      = help: is a closing `}` missing?

    error: -e `release` is no `name=value`
      = help: write `-e name=value`, `-e '{name: value}'` or `-e @FILE`

    error: no such file: `nowhere.yml`

    3 errors
    "#);

    // a password for ssh
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[(
            "inv.ini",
            "[fleet]
h1 ansible_host=127.0.0.1 ansible_password=top-secret-word
",
        )],
        "inv.ini",
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: ansible_password of h1: known, not built yet
     --> inv.ini:2:44
      |
    2 | h1 ansible_host=127.0.0.1 ansible_password=<secret>
      |                                            ^^^^^^^^
      |
      = help: log in with a key

    1 error
    "#);

    // a host name that is an option of ssh
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[(
            "inv.ini",
            "[fleet]
-oProxyCommand=touch${IFS}pwned
h2 ansible_host=-oProxyCommand=x
",
        )],
        "inv.ini",
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: host name `-oProxyCommand=touch${IFS}pwned` begins with `-`, as options of ssh do
     --> inv.ini:2:1
      |
    2 | -oProxyCommand=touch${IFS}pwned
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    1 error
    "#);

    // a host name that is an option of ssh, in a variable
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[(
            "inv.ini",
            "[fleet]
h2 ansible_host=-oProxyCommand=x
h3 ansible_user=-oProxyCommand=x
",
        )],
        "inv.ini",
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: `-oProxyCommand=x` cannot be the ansible_host of h2
     --> inv.ini:2:17
      |
    2 | h2 ansible_host=-oProxyCommand=x
      |                 ^^^^^^^^^^^^^^^^

    error: `-oProxyCommand=x` cannot be the ansible_user of h3
     --> inv.ini:3:17
      |
    3 | h3 ansible_user=-oProxyCommand=x
      |                 ^^^^^^^^^^^^^^^^

    2 errors
    "#);

    // options of ssh outside the closed set
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[(
            "inv.ini",
            "[fleet]
h1 ansible_host=127.0.0.1 ansible_ssh_common_args=\"-o ProxyCommand=nc -o PermitLocalCommand=yes\"
",
        )],
        "inv.ini",
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: ansible_ssh_common_args of h1: ProxyCommand is not among the ssh arguments that Refit takes
     --> inv.ini:2:52
      |
    2 | h1 ansible_host=127.0.0.1 ansible_ssh_common_args="-o ProxyCommand=nc -o PermitLocalCommand=yes"
      |                                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write `ProxyCommand nc` into ~/.ssh/config, which ssh reads as well

    error: ansible_ssh_common_args of h1: the option permitlocalcommand is not among the ssh arguments that Refit takes
     --> inv.ini:2:52
      |
    2 | h1 ansible_host=127.0.0.1 ansible_ssh_common_args="-o ProxyCommand=nc -o PermitLocalCommand=yes"
      |                                                    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write `permitlocalcommand yes` into ~/.ssh/config, which ssh reads as well

    2 errors
    "#);

    // another become method
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[(
            "inv.ini",
            "[fleet]
h1 ansible_host=127.0.0.1 ansible_become=true ansible_become_method=su
",
        )],
        "inv.ini",
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: ansible_become_method `su` of h1: known, not built yet
     --> inv.ini:2:69
      |
    2 | h1 ansible_host=127.0.0.1 ansible_become=true ansible_become_method=su
      |                                                                     ^^
      |
      = help: only sudo is

    1 error
    "#);

    // an inventory that is not there
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[],
        "nowhere.ini",
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: no such inventory source: `nowhere.ini`
      = help: a list of hosts has a comma: `-i nowhere.ini,`

    1 error
    "#);

    // an inventory without a host
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[(
            "inv.ini", "[fleet]
",
        )],
        "inv.ini",
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: the inventory has no host
      = help: name a source with hosts: `-i FILE`

    1 error
    "#);

    // an inventory with mistakes
    let said = refused(
        &fleet,
        r#"
hosts: fleet
steps:
  - command: "true"
"#,
        &[(
            "inv.ini",
            "[fleet]
h1 ansible_host
[fleet:childs]
[other:vars
x=1
",
        )],
        "inv.ini",
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: expected `name=value`
     --> inv.ini:2:4
      |
    2 | h1 ansible_host
      |    ^^^^^^^^^^^^
      |
      = help: one host a line, its variables behind it; quote a value with blanks

    error: unknown kind of section `childs`
     --> inv.ini:3:8
      |
    3 | [fleet:childs]
      |        ^^^^^^
      |
      = help: write `hosts`, `children` or `vars`

    2 errors
    "#);

    // a playbook that is not there
    let said = refused(&fleet, "", &[], FLEET, &[]);
    insta::assert_snapshot!(said, @r#"
    error: no such file: `play.yml`

    1 error
    "#);

    // an environment that this inventory is not in
    let said = refused(
        &fleet,
        r#"
hosts: fleet
requires_environment: staging
steps:
  - command: "true"
"#,
        &[],
        FLEET,
        &[],
    );
    insta::assert_snapshot!(said, @r#"
    error: this playbook runs in the environment `staging` only; this inventory belongs to no environment of refit.yml
     --> play.yml:2:23
      |
    2 | requires_environment: staging
      |                       ^^^^^^^

    1 error
    "#);
}
