use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Account, Jump, Kind, Target, Var};
use crate::id::HostName;
use crate::yaml::Diagnostic;

fn read(vars: Value) -> Result<(Target, Vec<Diagnostic>), Vec<Diagnostic>> {
    named("h1", vars)
}

fn named(host: &str, vars: Value) -> Result<(Target, Vec<Diagnostic>), Vec<Diagnostic>> {
    let vars: HashMap<String, Value> = serde_json::from_value(vars).unwrap();
    let get = |name: &str| {
        vars.get(name).map(|value| Var {
            value: value.clone(),
            secret: false,
            at: None,
        })
    };
    Target::from_vars(&HostName::new(host).unwrap(), get)
}

fn errors(vars: Value) -> String {
    let errors = read(vars.clone()).expect_err(&format!("{vars} was taken"));
    errors
        .iter()
        .map(|e| format!("{} [{}]", e.message, e.help.join("; ")))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn variables_of_ansible_are_honoured() {
    let (target, notes) = read(json!({})).unwrap();
    assert_eq!(
        (target.kind, target.address.as_str(), target.port, &target.user),
        (Kind::Ssh, "h1", None, &None)
    );
    assert_eq!(
        (target.shell.as_str(), target.timeout, notes.len()),
        ("/bin/sh", Duration::from_secs(30), 0)
    );
    assert_eq!(target.account(false, None), Account::Login);
    assert_eq!(target.account(true, None), Account::Sudo("root".into()));
    assert_eq!(target.account(true, Some("temporal")), Account::Sudo("temporal".into()));
    let (target, _) = read(json!({
        "ansible_ssh_host": "10.0.0.1", "ansible_ssh_port": "2222", "ansible_ssh_user": "deploy",
        "ansible_private_key_file": "~/.ssh/k", "ansible_become": "yes", "ansible_become_user": "app",
        "ansible_become_pass": "x", "ansible_become_flags": "-H -S -n -E", "ansible_connection": "smart",
        "ansible_shell_executable": "/bin/bash", "ansible_timeout": 7, "refit_state_dir": "/srv/refit/",
        "ansible_python_interpreter": "{{ no }}", "ansible_ssh_pipelining": true
    }))
    .unwrap();
    assert_eq!(
        (target.address.as_str(), target.port, target.user.as_deref()),
        ("10.0.0.1", Some(2222), Some("deploy"))
    );
    assert_eq!(target.account(false, Some("other")), Account::Sudo("app".into()));
    assert_eq!(
        (target.sudo.flags, target.sudo.password.unwrap().reveal().to_owned()),
        (vec!["-E".to_owned()], "x".to_owned())
    );
    assert_eq!(
        (
            target.shell.as_str(),
            target.timeout.as_secs(),
            target.state_dir.as_deref()
        ),
        ("/bin/bash", 7, Some("/srv/refit"))
    );
    let (target, _) = read(json!({"ansible_become": "no"})).unwrap();
    assert_eq!(target.account(true, None), Account::Login);
    let (target, _) = read(json!({"ansible_host": "[fe80::1]", "ansible_connection": "local"})).unwrap();
    assert_eq!((target.address.as_str(), target.kind), ("fe80::1", Kind::Local));
}

#[test]
fn ssh_arguments_are_a_closed_set() {
    let (target, notes) = read(json!({
        "ansible_ssh_args": "-C -o ControlMaster=auto -o ControlPersist=60s -oPort=2200",
        "ansible_port": 22,
        "ansible_ssh_common_args": "-F ~/lab.conf -J a@b:1,c -o \"IdentitiesOnly yes\" -o StrictHostKeyChecking=no -i ~/x -l me",
        "ansible_ssh_extra_args": "-o UserKnownHostsFile=/dev/null -o ConnectTimeout=3 -o TCPKeepAlive=yes -o UserKnownHostsFile=~/kh"
    }))
    .unwrap();
    assert_eq!(
        (target.port, target.user.as_deref(), target.timeout.as_secs()),
        (Some(2200), Some("me"), 3)
    );
    let jumps: Vec<String> = target.jumps.iter().map(Jump::to_string).collect();
    assert_eq!(jumps, ["a@b:1", "c"]);
    assert_eq!(
        target.options,
        [
            ("Compression", "yes".to_owned()),
            ("IdentitiesOnly", "yes".to_owned()),
            ("UserKnownHostsFile", "~/kh".to_owned())
        ]
    );
    let notes: Vec<_> = notes.iter().map(|note| note.message.as_str()).collect();
    assert!(
        notes.len() == 2 && notes[0].contains("ControlMaster") && notes[1].contains("always checked"),
        "{notes:?}"
    );
    for (command, jump) in [
        ("ssh -W %h:%p -q bastion", Some("bastion")),
        (
            "ssh -p 2222 -l jim -W '[%h]:%p' -o StrictHostKeyChecking=no 10.0.0.9",
            Some("jim@10.0.0.9:2222"),
        ),
        ("/usr/bin/ssh -W%h:%p u@b", Some("u@b")),
        ("nc -X 5 %h %p", None),
        ("ssh -o ProxyCommand=x -W %h:%p b", None),
        ("ssh -W %h:%p b; touch /tmp/x", None),
        ("ssh -W %h:%p -oProxyCommand=x", None),
    ] {
        let given = json!({"ansible_ssh_common_args": format!("-o ProxyCommand=\"{command}\"")});
        match jump {
            Some(jump) => assert_eq!(read(given).unwrap().0.jumps[0].to_string(), jump),
            None => assert!(errors(given).contains("ProxyCommand"), "{command}"),
        }
    }
    for (args, words) in [
        ("-o LocalForward=1:2:3", "write `localforward 1:2:3` into ~/.ssh/config"),
        ("-o PermitLocalCommand=yes -o LocalCommand=x", "permitlocalcommand"),
        ("-R 1:2:3", "`-R`"),
        ("-o", "without a value"),
        ("-p 99999", "port"),
        ("'", "quotes"),
        ("-J -oProxyCommand=x", "jump host"),
        ("-J a@-b", "jump host"),
        ("-o User=-x", "ssh user"),
        ("-l 'a;b'", "ssh user"),
    ] {
        let found = errors(json!({"ansible_ssh_extra_args": args}));
        assert!(found.contains(words), "{args}: {found}");
    }
}

#[test]
fn what_must_not_be_is_refused() {
    for (vars, words) in [
        (json!({"ansible_password": "p"}), "known, not built yet"),
        (json!({"ansible_ssh_pass": "p"}), "known, not built yet"),
        (json!({"ansible_become_method": "su"}), "known, not built yet"),
        (json!({"ansible_connection": "docker"}), "known, not built yet"),
        (json!({"ansible_ssh_executable": "/opt/ssh"}), "known, not built yet"),
        (json!({"ansible_become_flags": "-u x"}), "known, not built yet"),
        (json!({"ansible_host_key_checking": false}), "always checked strictly"),
        (json!({"ansible_host": "-oProxyCommand=touch${IFS}x"}), "ansible_host"),
        (json!({"ansible_host": "a b"}), "ansible_host"),
        (json!({"ansible_host": "$(id)"}), "ansible_host"),
        (json!({"ansible_host": "%h"}), "ansible_host"),
        (json!({"ansible_host": "*"}), "ansible_host"),
        (json!({"ansible_port": 0}), "ansible_port"),
        (json!({"ansible_port": 65536}), "ansible_port"),
        (json!({"ansible_port": "22;id"}), "ansible_port"),
        (json!({"ansible_user": "-l"}), "ansible_user"),
        (json!({"ansible_user": "a'b"}), "ansible_user"),
        (json!({"ansible_user": ["x"]}), "must be text"),
        (json!({"ansible_become": "perhaps"}), "true or false"),
        (json!({"ansible_become_user": "$(id)"}), "ansible_become_user"),
        (json!({"ansible_become_exe": "sudo; id"}), "ansible_become_exe"),
        (json!({"ansible_become_password": "a\nb"}), "line end"),
        (json!({"ansible_shell_executable": "sh -c"}), "ansible_shell_executable"),
        (json!({"refit_state_dir": "/a b"}), "refit_state_dir"),
        (json!({"refit_state_dir": "relative"}), "refit_state_dir"),
        (
            json!({"ansible_ssh_private_key_file": "a\"\nProxyCommand x"}),
            "private_key_file",
        ),
    ] {
        let found = errors(vars.clone());
        assert!(found.contains(words), "{vars}: {found}");
    }
    assert!(named("-oProxyCommand=x", json!({})).is_err());
    assert!(named("-oProxyCommand=x", json!({"ansible_host": "10.0.0.1"})).is_err());
    assert!(
        errors(json!({"ansible_port": 0, "ansible_user": "-x", "ansible_become": "?"}))
            .lines()
            .count()
            == 3
    );
    let secret = errors(json!({"ansible_become_password": ["hush"]}));
    assert!(!secret.contains("hush"), "{secret}");
}
