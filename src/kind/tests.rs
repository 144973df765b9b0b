//! Tests of the kinds that drive or answer.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::trial::{Host, Place};
use super::{Action, BoxFuture, Changing, Done, Failure, Job, Output, Probe, Reading, Tunnel, Verdict, find};
use crate::event::Segment;
use crate::id::HostName;

/// A host that is a folder, for a kind that drives.
struct Trial<'a> {
    host: &'a Host,
    terminal: bool,
    answer: &'a str,
}

impl Reading for Trial<'_> {
    fn probe<'a>(&'a self, probe: &'a Probe) -> BoxFuture<'a, Result<Output, Failure>> {
        Box::pin(async { Ok(self.host.run(&probe.script, &probe.environment)) })
    }
    fn tunnel<'a>(&'a self, _: Option<&'a HostName>, _: &'a str, _: u16) -> BoxFuture<'a, Result<Tunnel, Failure>> {
        Box::pin(async { Ok(Tunnel::direct()) })
    }
    fn progress(&self, _text: &str) {}
    fn cancelled(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
    fn terminal(&self) -> bool {
        self.terminal
    }
    fn ask<'a>(&'a self, _prompt: &'a str, _hidden: bool) -> BoxFuture<'a, Result<String, Failure>> {
        Box::pin(async { Ok(self.answer.to_owned()) })
    }
}

impl Changing for Trial<'_> {
    fn job<'a>(&'a self, suffix: &'a str, job: &'a Job) -> BoxFuture<'a, Result<Output, Failure>> {
        assert_eq!(suffix, "http");
        Box::pin(async { Ok(self.host.run(&job.script, &job.environment)) })
    }
    fn record<'a>(&'a self, _segment: Segment) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
    fn segments(&self) -> Vec<Segment> {
        Vec::new()
    }
    fn tag(&self) -> &str {
        "job"
    }
    fn reading(&self) -> &dyn Reading {
        self
    }
}

fn place() -> Place {
    Place::new("stage", std::path::Path::new("/"))
}

fn drive(kind: &str, params: &Json, trial: &Trial<'_>) -> Result<Done, Failure> {
    let Action::Drive(action) = place().action(find(kind).expect("kind"), params) else {
        panic!("{kind} does not drive")
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let verdict = action.check(trial.reading()).await;
        assert!(matches!(verdict, Ok(Verdict::Differs { .. })));
        action.apply(trial).await
    })
}

fn answer(kind: &str, params: &Json) -> Result<Done, Failure> {
    match place().action(find(kind).expect("kind"), params) {
        Action::Answer(answer) => answer,
        _ => panic!("{kind} does not answer"),
    }
}

/// Answers `count` requests with this status and body, and gives what it was sent.
fn serve(count: usize, status: &'static str, body: &'static str) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("address").port();
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for _ in 0..count {
            let (mut stream, _) = listener.accept().expect("accept");
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
            let mut seen = Vec::new();
            let mut block = [0; 4096];
            loop {
                let text = String::from_utf8_lossy(&seen).into_owned();
                if let Some((head, sent)) = text.split_once("\r\n\r\n") {
                    let length = head
                        .lines()
                        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned))
                        .map_or(0, |length| length.trim().parse::<usize>().expect("length"));
                    if sent.len() >= length {
                        break;
                    }
                }
                let read = stream.read(&mut block).expect("read");
                if read == 0 {
                    break;
                }
                seen.extend_from_slice(&block[..read]);
            }
            requests.push(String::from_utf8_lossy(&seen).into_owned());
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).expect("write");
        }
        requests
    });
    (port, thread)
}

#[test]
fn http_reads_from_controller_and_host() {
    for host in Host::all() {
        let trial = Trial {
            host: &host,
            terminal: false,
            answer: "",
        };
        let (port, server) = serve(2, "200 OK", "{\"ok\": [1, true]}\n");
        for from in ["controller", "host"] {
            let done = drive(
                "http",
                &json!({"url": format!("http://127.0.0.1:{port}/a?b=c"), "from": from}),
                &trial,
            );
            let done = done.unwrap_or_else(|failure| panic!("{from}: {}", failure.message));
            assert!(!done.changed, "a GET changes nothing");
            assert_eq!(
                done.result,
                json!({"status": 200, "body": "{\"ok\": [1, true]}\n", "json": {"ok": [1, true]}}),
                "{from}"
            );
        }
        for request in server.join().expect("server") {
            assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{request}");
        }
    }
}

#[test]
fn http_posts_headers_and_a_body_once() {
    let host = Host::new();
    let trial = Trial {
        host: &host,
        terminal: false,
        answer: "",
    };
    let (port, server) = serve(2, "201 Created", "made");
    for from in ["controller", "host"] {
        let params = json!({
            "url": format!("http://127.0.0.1:{port}/"),
            "method": "POST",
            "headers": {"X-One": "a \"b\" \\n c"},
            "body": {"text": "it's \"é\"\n@/etc/passwd"},
            "status": [200, "201"],
            "from": from,
        });
        let done = drive("http", &params, &trial).unwrap_or_else(|failure| panic!("{from}: {}", failure.message));
        assert!(done.changed);
        assert_eq!(
            done.result,
            json!({"status": 201, "body": "made", "json": null}),
            "{from}"
        );
    }
    for request in server.join().expect("server") {
        let lower = request.to_lowercase();
        assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
        assert!(lower.contains("\r\nx-one: a \"b\" \\n c\r\n"), "{request}");
        assert!(lower.contains("\r\ncontent-type: application/json\r\n"), "{request}");
        assert!(
            request.ends_with("{\"text\":\"it's \\\"é\\\"\\n@/etc/passwd\"}"),
            "{request}"
        );
    }
}

#[test]
fn http_says_what_is_wrong() {
    let hosts = Host::all();
    let trial = |index: usize| Trial {
        host: &hosts[index],
        terminal: false,
        answer: "",
    };
    let (port, server) = serve(2, "503 Service Unavailable", "busy");
    let url = format!("http://127.0.0.1:{port}/");
    for from in ["controller", "host"] {
        let failure = drive("http", &json!({"url": url, "from": from}), &trial(0)).expect_err("503");
        assert_eq!(failure.message, format!("GET {url}: status 503, wanted 200"));
        assert_eq!(failure.result["status"], 503);
        assert_eq!(failure.result["body"], "busy");
    }
    server.join().expect("server");
    // Nobody listens there any more.
    for from in ["controller", "host"] {
        let failure = drive("http", &json!({"url": url, "from": from}), &trial(0)).expect_err("refused");
        assert!(
            failure.message.starts_with(&format!("GET {url}: ")),
            "{}",
            failure.message
        );
        assert!(!failure.unknown);
    }
    if let Some(busybox) = hosts.get(1) {
        let trial = Trial {
            host: busybox,
            terminal: false,
            answer: "",
        };
        let failure = drive(
            "http",
            &json!({"url": url, "from": "host", "headers": {"a": "b"}}),
            &trial,
        )
        .expect_err("curl");
        let wanted = format!("GET {url}: the host has no program for this request: it needs curl");
        assert_eq!(failure.message, wanted);
    }
    let lint = |params| place().lint(find("http").expect("http"), &params);
    assert_eq!(
        lint(json!({"url": "ftp://x"})),
        ["`url` must begin with http:// or https://"]
    );
    assert_eq!(
        lint(json!({"url": "http://x", "status": 99})),
        ["`status` must be a number from 100 to 599, or a list of these"]
    );
    assert_eq!(
        lint(json!({"url": "http://x", "headers": {"a": "b\r\nc: d"}})),
        ["the header `a` holds a control character"]
    );
    assert_eq!(
        lint(json!({"url": "http://x", "body": "b"})),
        ["a request that reads has no body: write `method: POST`"]
    );
}

#[test]
fn pause_waits_for_a_time_or_a_person() {
    let host = Host::new();
    let mut trial = Trial {
        host: &host,
        terminal: false,
        answer: "go",
    };
    let start = std::time::Instant::now();
    let done = drive("pause", &json!({"seconds": "200ms"}), &trial).expect("waited");
    assert!(start.elapsed() >= Duration::from_millis(200) && !done.changed);

    let failure = drive("pause", &json!({"prompt": "drained?"}), &trial).expect_err("nobody");
    assert!(failure.paused);
    assert_eq!(failure.message, "waiting for a person: drained?");

    trial.terminal = true;
    let done = drive("pause", &json!({"prompt": "drained?"}), &trial).expect("answered");
    assert_eq!(done.result["user_input"], "go");

    let lint = |params| place().lint(find("pause").expect("pause"), &params);
    assert_eq!(
        lint(json!({"seconds": 1, "prompt": "x"})),
        ["`pause` waits for a time or for a person, not for both"]
    );
    assert_eq!(
        lint(json!({"seconds": 1, "minutes": 2})),
        ["`pause` takes only one of `seconds`, `minutes`"]
    );
}

#[test]
fn set_gives_variables() {
    let done = answer("set", &json!({"a": 1, "b_2": ["x"]})).expect("set");
    assert!(!done.changed);
    assert_eq!(done.result, json!({"a": 1, "b_2": ["x"]}));
    let lint = |params| place().lint(find("set").expect("set"), &params);
    assert_eq!(
        lint(json!({"a-b": 1, "2x": 1, "hostvars": 1})),
        [
            "`a-b` cannot be the name of a variable: a letter or `_`, then letters, digits and `_`",
            "`2x` cannot be the name of a variable: a letter or `_`, then letters, digits and `_`",
            "`hostvars` is a name of Refit's own",
        ]
    );
    assert_eq!(lint(json!({})), ["`set` names no variable"]);
}

#[test]
fn debug_and_fail_say_it() {
    let done = answer("debug", &json!({"msg": "x: 5"})).expect("debug");
    assert_eq!(done.message.as_deref(), Some("x: 5"));
    assert_eq!(done.result, json!({"msg": "x: 5"}));
    let done = answer("debug", &json!({"msg": [1, "a"]})).expect("debug");
    assert_eq!(done.message.as_deref(), Some("[\n  1,\n  \"a\"\n]"));
    let lint = place().lint(find("debug").expect("debug"), &json!({"msg": "x", "var": "true"}));
    assert_eq!(lint, ["`debug` takes only one of `msg`, `var`"]);

    let failure = answer("fail", &json!({"msg": "no room"})).expect_err("fail");
    assert_eq!(failure.message, "no room");
    assert_eq!(failure.result, json!({"msg": "no room"}));
}

/// Binds variables: a template, a secret, and the register of a step that has not run.
fn scope() -> crate::template::Scope {
    use crate::template::{Binding, Layer, Pending, Scope};
    let mut layer = Layer::new();
    layer.insert("port".to_owned(), Binding::Data(json!(7233)));
    layer.insert("ready".to_owned(), Binding::Data(json!(true)));
    layer.insert("evil".to_owned(), Binding::Data(json!("{{ port }}")));
    layer.insert(
        "token".to_owned(),
        Binding::Secret(crate::secret::Secret::new("hunter2-canary")),
    );
    let fields: Option<&'static [&'static str]> = Some(&["rc"]);
    let pending = Pending {
        name: "r".to_owned(),
        fields,
        known: None,
    };
    layer.insert("r".to_owned(), Binding::Pending(pending));
    Scope::default().with(std::sync::Arc::new(layer))
}

fn templates(folder: &std::path::Path) -> Place {
    Place {
        scope: scope(),
        ..Place::new("stage", folder)
    }
}

#[test]
fn a_template_is_rendered_and_placed() {
    for host in Host::all() {
        let play = tempfile::tempdir().expect("folder");
        let place = templates(play.path());
        let kind = find("template").expect("template");
        let params = json!({"src": "app.conf.j2", "dest": format!("{}/", host.text("etc")), "mode": "0640"});
        std::fs::write(play.path().join("app.conf.j2"), "port={{ port }}\nraw={{ evil }}\n").expect("write");
        let action = place.shell(kind, &params);
        let done = host
            .apply(&*action)
            .unwrap_or_else(|failure| panic!("{}", failure.message));
        assert!(done.changed);
        assert_eq!(done.result["path"], json!(host.text("etc/app.conf")));
        assert_eq!(host.read("etc/app.conf"), "port=7233\nraw={{ port }}\n");
        assert_eq!(host.mode("etc/app.conf"), 0o640);
        assert!(super::trial::is_same(&host.check(&*action)));

        std::fs::write(
            play.path().join("app.conf.j2"),
            "port={{ port }}\nmore={{ port + 1 }}\n",
        )
        .expect("write");
        let params = json!({"src": "app.conf.j2", "dest": host.text("etc/app.conf")});
        let action = place.shell(kind, &params);
        let diff = super::trial::diff(host.check(&*action));
        assert!(diff.contains("-raw={{ port }}\n+more=7234\n"), "{diff}");

        std::fs::write(play.path().join("app.conf.j2"), "token={{ token }}\n").expect("write");
        let action = place.shell(kind, &params);
        assert_eq!(super::trial::diff(host.check(&*action)), "");
        let script = action.apply(&host.facts).expect("job").script;
        assert!(!script.contains("hunter2"));
        host.apply(&*action)
            .unwrap_or_else(|failure| panic!("{}", failure.message));
        assert_eq!(host.read("etc/app.conf"), "token=hunter2-canary\n");
        assert_eq!(host.mode("etc/app.conf"), 0o640, "what is there keeps its mode");
    }
}

#[test]
fn a_template_says_what_it_lacks_before_any_host_is_asked() {
    let play = tempfile::tempdir().expect("folder");
    let place = templates(play.path());
    let kind = find("template").expect("template");
    let params = json!({"src": "a.j2", "dest": "/etc/a"});
    let missing = format!(
        "cannot read {}: No such file or directory",
        play.path().join("a.j2").display()
    );
    assert_eq!(place.lint(kind, &params), [missing]);
    std::fs::write(play.path().join("a.j2"), "{{ prot }}").expect("write");
    let found = place.lint(kind, &params).concat();
    assert!(found.contains("prot") && found.contains("undefined"), "{found}");
    std::fs::write(play.path().join("a.j2"), "{{ r.rc }}").expect("write");
    assert!(place.lint(kind, &params).is_empty());
    let known = super::trial::params(kind, &params).expect("params");
    assert_eq!(place.with(|context| kind.waits(&known, context)), ["r"]);
}

#[test]
fn assert_names_what_does_not_hold() {
    let place = templates(std::path::Path::new("/"));
    let kind = find("assert").expect("assert");
    let ask = |params: Json| match place.action(kind, &params) {
        Action::Answer(answer) => answer,
        _ => panic!("no answer"),
    };
    let done = ask(json!({"that": ["ready", "port == 7233"], "success_msg": "fine"})).expect("holds");
    assert!(!done.changed);
    assert_eq!(done.message.as_deref(), Some("fine"));

    let failure = ask(json!({"that": ["ready", "port > 8000", "not ready"]})).expect_err("fails");
    assert_eq!(failure.message, "`port > 8000` does not hold");
    assert_eq!(failure.result["assertion"], "port > 8000");
    let failure = ask(json!({"that": "not ready", "fail_msg": "no"})).expect_err("fails");
    assert_eq!(failure.message, "no (`not ready` does not hold)");
    assert_eq!(failure.result["msg"], "no");

    let lint = |params: Json| place.lint(kind, &params).concat();
    assert!(lint(json!({"that": ["prot == 1"]})).contains("prot"));
    assert!(!lint(json!({"that": ["port"]})).is_empty(), "a number is no condition");
    assert!(lint(json!({"that": ["r.rc == 0"]})).is_empty());
    assert!(!lint(json!({"that": ["r.rcc == 0"]})).is_empty());
    let params = super::trial::params(kind, &json!({"that": ["r.rc == 0"]})).expect("params");
    assert_eq!(place.with(|context| kind.waits(&params, context)), ["r"]);
}

#[test]
fn debug_shows_a_variable() {
    let place = templates(std::path::Path::new("/"));
    let kind = find("debug").expect("debug");
    let Action::Answer(Ok(done)) = place.action(kind, &json!({"var": "port"})) else {
        panic!("no answer")
    };
    assert_eq!(done.message.as_deref(), Some("port: 7233"));
    assert_eq!(done.result, json!({"msg": 7233}));
    assert!(place.lint(kind, &json!({"var": "prot"})).concat().contains("prot"));
}

#[test]
fn every_character_goes_through_every_shell() {
    let source = crate::yaml::Source::new("play.yml", "x");
    let at = crate::yaml::Span::new(&source, 0, 1);
    let ascii: String = (1u8..128).map(char::from).collect();
    let texts = [
        ascii,
        "\u{80}\u{a0}\u{2028}é😀".to_owned(),
        String::new(),
        "-n".to_owned(),
        "~/x".to_owned(),
        "a\n\n".to_owned(),
        "'\\''\"$(id)`id`!{a,b}*?[x]#;&|<>".to_owned(),
    ];
    for host in Host::all() {
        for text in &texts {
            let word = super::sh::quote(text, &at).expect("quoted");
            let script = format!("set -- {word}\nprintf '%s:%s.' $# \"$1\"");
            let output = host.run(&script, &indexmap::IndexMap::new());
            assert_eq!(output.stdout, format!("1:{text}."), "{}: {word}", host.shell[0]);
        }
    }
    let error = super::sh::quote("a\0b", &at).expect_err("NUL");
    assert_eq!(error.message, "a NUL character cannot be part of a command");
}
