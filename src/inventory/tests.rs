//! Every case below tests/inventory/cases is a folder with sources, `args` (one word a line), `expected.json` (what
//! ansible-inventory of ansible-core 2.19 prints for them) and perhaps `patterns.json` (what `ansible --list-hosts`
//! gives for each; null where it names no host). With REFIT_ORACLE=1 the real programs are asked again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::*;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inventory/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    cases
}

struct Args {
    sources: Vec<String>,
    playbook_dir: Option<PathBuf>,
}

fn args(case: &Path) -> Args {
    let text = fs::read_to_string(case.join("args")).unwrap();
    let mut words = text.lines();
    let mut args = Args {
        sources: Vec::new(),
        playbook_dir: None,
    };
    while let Some(flag) = words.next() {
        let value = words.next().unwrap();
        match flag {
            "-i" => args.sources.push(value.to_owned()),
            "--playbook-dir" => args.playbook_dir = Some(case.join(value)),
            other => panic!("{other}"),
        }
    }
    args
}

fn load_case(case: &Path) -> Inventory {
    let args = args(case);
    match Inventory::load(&args.sources, case, args.playbook_dir.as_deref()) {
        Ok((inventory, _)) => inventory,
        Err(errors) => panic!("{}: {}", case.display(), shown(&errors, case)),
    }
}

/// `FILE:LINE:COL: message | help`, a line each.
fn shown(diagnostics: &Diagnostics, folder: &Path) -> String {
    let folder = format!("{}/", folder.display());
    let lines = diagnostics.iter().map(|d| {
        let at = d.at.as_ref().map_or(String::new(), |at| format!("{at}: "));
        let help = d.help.iter().map(|help| format!(" | {help}")).collect::<String>();
        format!("{at}{}{help}", d.message).replace(&folder, "")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Python's JSON has words for what JSON has not.
fn python_json(text: &str) -> Value {
    let text = text
        .replace(": Infinity", ": \"Infinity\"")
        .replace(": -Infinity", ": \"-Infinity\"")
        .replace(": NaN", ": \"NaN\"");
    serde_json::from_str(&text).unwrap()
}

fn difference(path: &str, ours: &Value, theirs: &Value, into: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                difference(&format!("{path}/{key}"), a, b, into);
            }
            if a.len() != b.len() {
                into.push(format!("{path}: {} keys, Ansible {}", a.len(), b.len()));
            }
        }
        _ if ours == theirs => {}
        _ => into.push(format!("{path}: {ours}, Ansible {theirs}")),
    }
}

#[test]
fn lists_are_those_of_ansible() {
    let mut wrong = Vec::new();
    for case in cases() {
        let expected = python_json(&fs::read_to_string(case.join("expected.json")).unwrap());
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        difference(&name, &load_case(&case).list_json(), &expected, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn patterns_give_the_hosts_that_ansible_gives() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for case in cases() {
        let Ok(text) = fs::read_to_string(case.join("patterns.json")) else {
            continue;
        };
        let inventory = load_case(&case);
        let expected: Value = serde_json::from_str(&text).unwrap();
        for (pattern, hosts) in expected.as_object().unwrap() {
            asked += 1;
            // Where Ansible names no host, a pattern is an error or an intersection that is empty.
            let ours = match inventory.select(pattern) {
                Ok(hosts) if hosts.is_empty() => Value::Null,
                Ok(hosts) => json!(hosts),
                Err(_) => Value::Null,
            };
            difference(
                &format!("{}: {pattern}", case.file_name().unwrap().to_string_lossy()),
                &ours,
                hosts,
                &mut wrong,
            );
        }
    }
    assert!(asked > 150, "{asked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Asks the real programs again, from a virtual environment below the target folder that is made where it is missing.
#[test]
fn the_stored_lists_are_what_ansible_prints_today() {
    if std::env::var_os("REFIT_ORACLE").is_none() {
        eprintln!("skipped: REFIT_ORACLE=1 asks ansible-core 2.19");
        return;
    }
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ansible/bin");
    if !bin.join("ansible-inventory").exists() {
        let made = Command::new("python3")
            .args(["-m", "venv"])
            .arg(bin.parent().unwrap())
            .status()
            .is_ok_and(|s| s.success())
            && Command::new(bin.join("pip"))
                .args(["install", "-q", "ansible-core>=2.19,<2.20"])
                .status()
                .is_ok_and(|s| s.success());
        if !made {
            assert!(std::env::var_os("CI").is_none(), "ansible-core 2.19 is missing");
            eprintln!("skipped: ansible-core 2.19 is missing (python3 with venv and pip)");
            return;
        }
    }
    let settings = tempfile::Builder::new().suffix(".cfg").tempfile().unwrap();
    let mut wrong = Vec::new();
    for case in cases() {
        let args = fs::read_to_string(case.join("args")).unwrap();
        let output = Command::new(bin.join("ansible-inventory"))
            .args(args.lines())
            .arg("--list")
            .current_dir(&case)
            .env("ANSIBLE_CONFIG", settings.path())
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let printed = python_json(&String::from_utf8(output.stdout).unwrap());
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        difference(&name, &load_case(&case).list_json(), &printed, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files in a folder of their own.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn load(files: &[(&str, &str)], sources: &[&str]) -> Result<(Inventory, String), String> {
    let folder = folder(files);
    let sources: Vec<String> = sources.iter().map(|s| (*s).to_owned()).collect();
    match Inventory::load(&sources, folder.path(), None) {
        Ok((inventory, found)) => Ok((inventory, shown(&found, folder.path()))),
        Err(errors) => Err(shown(&errors, folder.path())),
    }
}

fn ini(text: &str) -> Inventory {
    load(&[("hosts", text)], &["hosts"]).unwrap().0
}

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

#[test]
fn every_mistake_has_its_place() {
    type Mistake<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a str);
    let mistakes: &[Mistake] = &[
        (
            &[],
            &["nope"],
            "no such inventory source: `nope` | a list of hosts has a comma: `-i nope,`",
        ),
        (
            &[("hosts.ini", "[web servers]\nh\n")],
            &["hosts.ini"],
            "hosts.ini:1:1: this is no section header | a header is `[group]`, `[group:children]` or `[group:vars]`, \
             without blanks",
        ),
        (
            &[("hosts.ini", "[web:childern]\na\n")],
            &["hosts.ini"],
            "hosts.ini:1:6: unknown kind of section `childern` | did you mean `children`?",
        ),
        (
            &[("hosts.ini", "[web:vars]\na=1\n[wbe]\nh\n")],
            &["hosts.ini"],
            "hosts.ini:1:2: variables for group `web`, which is declared nowhere | did you mean `wbe`?",
        ),
        (
            &[("hosts.ini", "[p:children]\n  wbe # x\n[web]\n")],
            &["hosts.ini"],
            "hosts.ini:2:3: group `wbe` is declared nowhere | did you mean `web`?",
        ),
        (
            &[("hosts.ini", "[g]\nh a=1 b c=2\n\ti 'x\n")],
            &["hosts.ini"],
            "hosts.ini:2:7: expected `name=value` | one host a line, its variables behind it; quote a \
             value with blanks\nhosts.ini:3:4: a quote is not closed",
        ),
        (
            &[("hosts.ini", "h:\n")],
            &["hosts.ini"],
            "hosts.ini:1:1: `h:` ends in `:` without a port",
        ),
        (
            &[("hosts.ini", "---\n")],
            &["hosts.ini"],
            "hosts.ini:1:1: `---` begins a YAML file, and this is read as INI",
        ),
        (
            &[("hosts.ini", "ok\n-oProxyCommand=x\n'a b'\nh[5:1]\n")],
            &["hosts.ini"],
            "hosts.ini:2:1: host name `-oProxyCommand=x` begins with `-`, as options of ssh do\nhosts.ini:3:1: `a b` \
             is not a name: white space and control characters are not allowed\nhosts.ini:4:1: the range `5:1` runs \
             backwards",
        ),
        (
            &[(
                "hosts.ini",
                "h x=99999999999999999999 y=1\n[all:vars]\nz =  [1, 9223372036854775808]\n",
            )],
            &["hosts.ini"],
            "hosts.ini:1:5: the integer does not fit into 64 bits\nhosts.ini:3:6: the integer does not fit into 64 bits",
        ),
        (
            &[("hosts.ini", "[a:children]\nb\n[b:children]\na\n")],
            &["hosts.ini"],
            "hosts.ini:4:1: group `a` cannot be below `b`: it is above it already",
        ),
        (
            &[("hosts.ini", "[a:children]\na\n")],
            &["hosts.ini"],
            "hosts.ini:2:1: group `a` cannot be its own child",
        ),
        (
            &[("hosts.ini", "[a:vars]\nansible_group_priority=high\n[a]\n")],
            &["hosts.ini"],
            "hosts.ini:2:24: `ansible_group_priority` must be an integer, found text",
        ),
        (
            &[("hosts.ini", "[a:vars]\njust text\n[a]\n")],
            &["hosts.ini"],
            "hosts.ini:2:1: expected `name = value` | a variable without a value is `name =`",
        ),
        (
            &[("hosts.ini", "\u{feff}[a]\nh\n")],
            &["hosts.ini"],
            "hosts.ini:1:1: the file begins with a byte order mark, which INI does not allow | save the file as UTF-8 \
             without a BOM",
        ),
        (
            &[("h.yml", "all:\n  host:\n    a:\n  children: {g: {vars: [1]}}\n")],
            &["h.yml"],
            "h.yml:2:3: unknown key `host` in group `all` | did you mean `hosts`?\nh.yml:4:24: `vars` must be a \
             mapping, found a list | one entry a line, each with a `:` behind it",
        ),
        (
            &[("h.yml", "all:\n  hosts:\n    12:\n    b: text\n    c: [1]\n")],
            &["h.yml"],
            "h.yml:3:5: a host's name must be text, found an integer | quote it\nh.yml:4:8: the variables of host `b` \
             must be a mapping, found text\nh.yml:5:8: the variables of host `c` must be a mapping, found a list",
        ),
        (
            &[("h.yml", "web: [a]\n7:\n  hosts: {b: }\n")],
            &["h.yml"],
            "h.yml:1:6: group `web` must be a mapping, found a list | a group holds `hosts`, `vars` and \
             `children`\nh.yml:2:1: a group's name must be text, found an integer | quote it",
        ),
        (
            &[("h.yml", "plugin: aws_ec2\nregions: [eu]\n")],
            &["h.yml"],
            "h.yml:1:9: this configures an inventory plugin of Ansible, which Refit does not run | print what it gives \
             to a file: ansible-inventory -i THIS --list --yaml > hosts.yml",
        ),
        (
            &[("h.yml", "all:\n  hosts:\n    a: {x: !vault abc}\n")],
            &["h.yml"],
            "h.yml:3:19: `!vault` is known, not built yet",
        ),
        (
            &[
                ("h", "a\n"),
                ("group_vars/all.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
            ],
            &["h"],
            "group_vars/all.yml:1:1: files encrypted by ansible-vault are known, not built yet",
        ),
        (
            &[
                ("h", "a\n"),
                ("group_vars/all.yml", "- x\n"),
                ("host_vars/a.yml", "text\n"),
            ],
            &["h"],
            "group_vars/all.yml:1:1: a file of variables must be a mapping, found a list\nhost_vars/a.yml:1:1: a file of \
             variables must be a mapping, found text",
        ),
        (
            &[("h", "a\n"), ("group_vars/all.yml", "x: 1\ny: 2\nx: 3\n")],
            &["h"],
            "group_vars/all.yml:3:1: the key `x` stands twice",
        ),
        (
            &[("h", "a\n"), ("group_vars/all.json", "{\"x\": 1, \"x\": 2}")],
            &["h"],
            "group_vars/all.json:1:10: the key `x` stands twice in one mapping",
        ),
        (
            &[],
            &["-x,b"],
            "-i:1:1: host name `-x` begins with `-`, as options of ssh do",
        ),
    ];
    for (files, sources, expected) in mistakes {
        let found = load(files, sources).map(|(_, found)| found);
        assert_eq!(found, Err((*expected).to_owned()), "{files:?}");
    }
}

#[test]
fn the_reason_of_the_other_reader_is_told() {
    let ini = load(&[("hosts", "[web servers]\nh\n")], &["hosts"]).unwrap_err();
    assert!(ini.starts_with("hosts:1:1: this is no section header"), "{ini}");
    assert!(ini.contains("| read as YAML, line 2: "), "{ini}");
    let yaml = load(&[("hosts", "all:\n  hosts: [\n")], &["hosts"]).unwrap_err();
    assert!(yaml.starts_with("hosts:"), "{yaml}");
    assert!(
        yaml.contains("| read as INI, line 1: `all:` ends in `:` without a port"),
        "{yaml}"
    );
}

#[test]
fn what_cannot_be_read_yet_says_what_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder(&[
        ("script", "#!/bin/sh\necho '{}'\n"),
        ("hosts.toml", "[all]\n"),
        ("inv/hosts", "h\n"),
    ]);
    fs::set_permissions(folder.path().join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("inv/dangling")).unwrap();
    fs::write(folder.path().join("latin"), b"ok\nh x=\xe9\n").unwrap();
    for (source, expected) in [
        (
            "script",
            "is executable and begins with `#!`: inventory scripts are known, not built yet",
        ),
        ("hosts.toml", "Refit does not read TOML inventories"),
        (
            "inv",
            "dangling`: No such file or directory (os error 2) | the link leads nowhere",
        ),
        ("latin", "latin:2:5: this is not UTF-8 | save the file as UTF-8"),
    ] {
        let errors = Inventory::load(&[source.to_owned()], folder.path(), None).unwrap_err();
        let shown = shown(&errors, folder.path());
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn warnings_and_notes_have_their_place_too() {
    let (inventory, found) = load(
        &[
            ("hosts", "[web]\nweb pw=ab#cd x=1\n"),
            ("empty/group_vars/all.yml", "y: 1\n"),
        ],
        &["hosts", "empty"],
    )
    .unwrap();
    assert_eq!(
        found,
        "hosts:2:10: a comment begins here, in the middle of a word | quote the value if the `#` belongs to it; put a \
         blank before it if not\nthe inventory source `empty` holds no host\nhosts:1:2: `web` names a host and a group"
    );
    let severities: Vec<&HostName> = inventory.hosts().collect();
    assert_eq!(severities, [&host("web")]);
    // The variable of a name that is both goes to the group.
    assert_eq!(inventory.host_json(&host("web")), json!({"pw": "ab", "y": 1}));
}

#[test]
fn a_pattern_without_a_match_is_an_error_at_its_token() {
    let inventory = ini("[web]\nweb1\nweb2\nweb3\n[db]\ndb1\n[empty]\n");
    for (pattern, token, offset, message, help) in [
        (
            "web:dbb",
            "dbb",
            4,
            "no host or group matches `dbb`",
            Some("did you mean `db`?"),
        ),
        (
            "web, !wbe",
            "!wbe",
            5,
            "no host or group matches `wbe`",
            Some("did you mean `web`?"),
        ),
        (
            "all:&nothing",
            "&nothing",
            4,
            "no host or group matches `nothing`",
            None,
        ),
        (
            "web[5]",
            "web[5]",
            0,
            "`web[5]` is outside `web`, which has 3 hosts",
            Some("its hosts are `web[0]` to `web[2]`"),
        ),
        (
            "db,web[7:9]",
            "web[7:9]",
            3,
            "`web[7:9]` is outside `web`, which has 3 hosts",
            Some("its hosts are `web[0]` to `web[2]`"),
        ),
        (
            "db[-2]",
            "db[-2]",
            0,
            "`db[-2]` is outside `db`, which has 1 host",
            Some("its hosts are `db[0]` to `db[0]`"),
        ),
        ("!", "!", 0, "nothing stands behind `!`", None),
        ("empty[0]", "empty[0]", 0, "no host or group matches `empty`", None),
    ] {
        let error = inventory.select(pattern).unwrap_err();
        assert_eq!(
            (
                error.token.as_str(),
                error.offset,
                error.message.as_str(),
                error.help.as_deref()
            ),
            (token, offset, message, help),
            "{pattern}"
        );
    }
    assert!(
        inventory
            .select("~web(")
            .unwrap_err()
            .message
            .contains("is no regular expression")
    );
    assert_eq!(inventory.select("empty").unwrap(), []);
    assert_eq!(inventory.select("web:&db").unwrap(), []);
}

#[test]
fn lists_of_patterns_and_limits() {
    let inventory = ini("[web]\nweb1\nweb2\nweb3\n[db]\ndb1\nweb1\n");
    let names = |hosts: Vec<HostName>| hosts.iter().map(HostName::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(
        names(inventory.select_list(&["db:web", "!web2"]).unwrap()),
        "db1 web1 web3"
    );
    let (index, error) = inventory.select_list(&["web", "db, wb"]).unwrap_err();
    assert_eq!((index, error.offset), (1, 4));

    let folder = folder(&[("retry", "web3\n\n  db \n"), ("bad", "web3\nweb9\n")]);
    let limit = |pattern: &str| inventory.limit(pattern, folder.path());
    assert_eq!(names(limit("@retry").unwrap().into_iter().collect()), "web3 db1 web1");
    assert_eq!(
        names(limit("web,@retry,!web1").unwrap().into_iter().collect()),
        "web2 web3 db1"
    );
    assert_eq!(limit("@bad").unwrap_err().token, "web9");
    assert!(limit("@gone").unwrap_err().message.contains("gone`: No such file"));
}

#[test]
fn the_implicit_local_host_is_in_no_group() {
    let (inventory, _) = load(
        &[
            ("inv/hosts", "h\n[all:vars]\na=1\n"),
            ("inv/group_vars/all.yml", "b: 2\n"),
            ("inv/group_vars/ungrouped.yml", "c: 3\n"),
            ("inv/host_vars/localhost.yml", "d: 4\n"),
        ],
        &["inv/hosts"],
    )
    .unwrap();
    assert_eq!(inventory.select("all").unwrap(), [host("h")]);
    assert_eq!(inventory.select("localhost").unwrap(), [host("localhost")]);
    assert_eq!(
        inventory.host_json(&host("localhost")),
        json!({"a": 1, "ansible_connection": "local", "b": 2, "d": 4})
    );
    assert!(inventory.layers(&host("unknown")).is_empty());
}

#[test]
fn what_is_always_there() {
    let folder = folder(&[(
        "inv/hosts",
        "10.0.0.1\n[b]\nx.example.com\n[a]\nx.example.com\n[c:children]\na\n",
    )]);
    let sources = ["inv/../inv/hosts".to_owned(), "y,".to_owned()];
    let (inventory, _) = Inventory::load(&sources, folder.path(), Some(&folder.path().join("pb"))).unwrap();
    let magic = |name: &str| -> serde_json::Map<String, Value> {
        let layers = inventory.magic(&host(name));
        let both = layers.iter().flat_map(|layer| layer.iter());
        both.map(|(name, binding)| match binding {
            Binding::Data(value) => (name.clone(), value.clone()),
            other => panic!("{other:?}"),
        })
        .collect()
    };
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    assert_eq!(
        Value::Object(magic("x.example.com")),
        json!({
            "inventory_hostname": "x.example.com",
            "inventory_hostname_short": "x",
            "group_names": ["a", "b", "c"],
            "inventory_file": path("inv/hosts"),
            "inventory_dir": path("inv"),
            "groups": {
                "all": ["10.0.0.1", "y", "x.example.com"],
                "ungrouped": ["10.0.0.1", "y"],
                "b": ["x.example.com"],
                "a": ["x.example.com"],
                "c": ["x.example.com"],
            },
            "playbook_dir": path("pb"),
        })
    );
    assert_eq!(magic("10.0.0.1")["inventory_hostname_short"], json!("10.0.0.1"));
    assert_eq!(
        (&magic("y")["inventory_file"], &magic("y")["inventory_dir"]),
        (&json!("y,"), &Value::Null)
    );
}

#[test]
fn a_variable_knows_its_file_and_line() {
    let (inventory, _) = load(
        &[
            ("hosts", "[g]\nh a=1 b='x y'\n[g:vars]\nc =  3\n"),
            ("group_vars/g.yml", "---\nd: 4\n"),
        ],
        &["hosts"],
    )
    .unwrap();
    let layers = inventory.layers(&host("h"));
    let place = |name: &str| {
        let binding = layers.iter().rev().find_map(|layer| layer.get(name)).unwrap();
        let Binding::Template(node) = binding else {
            panic!("{binding:?}")
        };
        let (line, column) = node.span.line_column();
        format!(
            "{}:{line}:{column}",
            node.span.source.path.file_name().unwrap().to_string_lossy()
        )
    };
    assert_eq!(place("a"), "hosts:2:5");
    assert_eq!(place("b"), "hosts:2:10");
    assert_eq!(place("c"), "hosts:4:6");
    assert_eq!(place("d"), "g.yml:2:4");
    assert_eq!(inventory.files().len(), 2);
}

#[test]
fn ten_thousand_hosts_share_the_layers_of_their_hundred_groups() {
    let mut hosts = String::new();
    let mut files = vec![("group_vars/all.yml".to_owned(), "shared: [1, 2, 3]\n".to_owned())];
    for group in 0..100 {
        hosts.push_str(&format!(
            "[g{group:02}]\nh{group:02}-[001:100] port=80{group:02}\n[g{group:02}:vars]\nv={group}\n"
        ));
        files.push((format!("group_vars/g{group:02}.yml"), format!("w: {group}\n")));
    }
    hosts.push_str("[top:children]\n");
    (0..100).for_each(|group| hosts.push_str(&format!("g{group:02}\n")));
    files.push(("hosts".to_owned(), hosts));
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let (inventory, _) = load(&files, &["hosts"]).unwrap();
    assert_eq!(inventory.hosts().count(), 10_000);
    assert_eq!(inventory.select("g42").unwrap().len(), 100);
    assert_eq!(inventory.select("*-001").unwrap().len(), 100);
    assert_eq!(inventory.select("top:!g0*").unwrap().len(), 9_000);
    assert_eq!(
        inventory.host_json(&host("h42-007")),
        json!({"port": 8042, "shared": [1, 2, 3], "v": 42, "w": 42})
    );
    let (one, other) = (inventory.layers(&host("h42-007")), inventory.layers(&host("h42-100")));
    let shared = one
        .iter()
        .filter(|layer| other.iter().any(|o| Arc::ptr_eq(layer, o)))
        .count();
    assert_eq!((one.len(), shared), (4, 3));
    let [_, groups] = inventory.magic(&host("h42-007"));
    assert!(Arc::ptr_eq(&groups, &inventory.magic(&host("h00-001"))[1]));
}

#[test]
fn the_examples_are_the_same_cluster() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventories/examples");
    let list = |source: &str| {
        let (inventory, found) = Inventory::load(&[source.to_owned()], &examples, None).unwrap();
        assert!(found.is_empty(), "{}", shown(&found, &examples));
        assert_eq!(inventory.select("temporal:!history[0]").unwrap().len(), 5);
        inventory.list_json()
    };
    let (ini, mut yaml) = (list("ini/hosts"), list("yaml/hosts.yml"));
    assert_eq!(ini["_meta"], yaml["_meta"]);
    assert_eq!(ini["temporal"]["children"], json!(["frontend", "history"]));
    // Only the order in which groups were declared differs.
    yaml["all"] = ini["all"].clone();
    assert_eq!(ini, yaml);
}
