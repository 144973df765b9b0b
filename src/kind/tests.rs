//! Tests of the kinds that drive or answer.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::trial::{Host, Place};
use super::{Action, BoxFuture, Changing, Done, Facts, Failure, Job, Output, Probe, Reading, Verdict, find};
use crate::event::Segment;

/// A host that is a folder, for a kind that drives.
struct Trial<'a> {
    host: &'a Host,
    terminal: bool,
    answer: &'a str,
}

impl Reading for Trial<'_> {
    fn facts(&self) -> &Facts {
        &self.host.facts
    }
    fn probe<'a>(&'a self, probe: &'a Probe) -> BoxFuture<'a, Result<Output, Failure>> {
        Box::pin(async { Ok(self.host.run(&probe.script, &probe.environment)) })
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
    assert_eq!(done.result, json!({"ansible_facts": {"a": 1, "b_2": ["x"]}}));
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
    let lint = place().lint(find("debug").expect("debug"), &json!({"msg": "x", "var": "y"}));
    assert_eq!(lint, ["`debug` takes only one of `msg`, `var`"]);

    let failure = answer("fail", &json!({"msg": "no room"})).expect_err("fail");
    assert_eq!(failure.message, "no room");
    assert_eq!(failure.result, json!({"msg": "no room"}));
}
