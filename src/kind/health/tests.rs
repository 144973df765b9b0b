//! Every target, well and sick: real sockets, real servers, real commands.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::KIND;
use crate::event::Segment;
use crate::id::HostName;
use crate::kind::trial::{Host, Place};
use crate::kind::{Action, BoxFuture, Changing, Done, Failure, Job, Output, Probe, Reading, Tunnel, Verdict};
use crate::temporal::trial::{Certificates, FRONTEND, Server};

/// A host whose scripts run here; the first `lost` probes get no answer.
struct Here {
    host: Host,
    lost: AtomicUsize,
    said: Mutex<Vec<String>>,
    stop: Arc<tokio::sync::Notify>,
}

impl Here {
    fn new() -> Here {
        Here {
            host: Host::new(),
            lost: AtomicUsize::new(0),
            said: Mutex::default(),
            stop: Arc::default(),
        }
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().expect("said").clone()
    }
}

impl Reading for Here {
    fn probe<'a>(&'a self, probe: &'a Probe) -> BoxFuture<'a, Result<Output, Failure>> {
        Box::pin(async {
            let lost = |left: usize| left.checked_sub(1);
            if self.lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lost).is_ok() {
                return Err(Failure {
                    unreachable: true,
                    ..Failure::new("the connection broke")
                });
            }
            Ok(self.host.run(&probe.script, &probe.environment))
        })
    }
    fn tunnel<'a>(&'a self, _: Option<&'a HostName>, _: &'a str, _: u16) -> BoxFuture<'a, Result<Tunnel, Failure>> {
        Box::pin(async { Ok(Tunnel::direct()) })
    }

    fn progress(&self, text: &str) {
        self.said.lock().expect("said").push(text.to_owned());
    }

    fn cancelled(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.stop.notified())
    }

    fn terminal(&self) -> bool {
        false
    }
}

impl Changing for Here {
    fn job<'a>(&'a self, _: &'a str, _: &'a Job) -> BoxFuture<'a, Result<Output, Failure>> {
        panic!("health has no job")
    }

    fn record<'a>(&'a self, _: Segment) -> BoxFuture<'a, Result<(), Failure>> {
        panic!("health has no segment")
    }

    fn segments(&self) -> Vec<Segment> {
        Vec::new()
    }

    fn tag(&self) -> &str {
        "tag"
    }

    fn reading(&self) -> &dyn Reading {
        self
    }
}

async fn wait_on(here: &Here, given: &Json) -> Result<Done, Failure> {
    let place = Place::new("swap", here.host.folder.path());
    let Action::Drive(action) = place.action(&KIND, given) else {
        panic!("health drives");
    };
    assert!(action.reads_only());
    action.apply(here).await
}

async fn well(given: Json) -> String {
    match wait_on(&Here::new(), &given).await {
        Ok(done) => done.result["seen"].as_str().expect("seen").to_owned(),
        Err(failure) => panic!("{given}: {}", failure.message),
    }
}

async fn sick(mut given: Json) -> String {
    given["within"] = "1s".into();
    match wait_on(&Here::new(), &given).await {
        Ok(done) => panic!("{given} is well: {}", done.result),
        Err(failure) => failure.message,
    }
}

/// Answers every request with the status and body of the moment; ends with the test.
fn http(answer: Arc<Mutex<(u16, String)>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = listener.local_addr().expect("address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut block = [0; 4096];
            let _ = stream.read(&mut block);
            let (status, body) = answer.lock().expect("answer").clone();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

fn page(status: u16, body: &str) -> String {
    format!(
        "http://{}/health",
        http(Arc::new(Mutex::new((status, body.to_owned()))))
    )
}

fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    listener.local_addr().expect("address").to_string()
}

#[tokio::test]
async fn tcp_is_open_or_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let open = listener.local_addr().expect("address").to_string();
    for from in ["controller", "host"] {
        assert_eq!(well(json!({"tcp": open, "from": from})).await, "open");
        let closed = closed();
        let failure = sick(json!({"tcp": closed, "from": from})).await;
        assert_eq!(
            failure,
            format!("waited for tcp {closed}: the last answer was Connection refused; no time left of 1s")
        );
    }
}

#[tokio::test]
async fn http_is_judged_by_status_body_and_json() {
    let body = r#"{"status": "ok", "version": "1.10", "port": 8080, "nodes": [{"up": true}]}"#;
    let (good, bad) = (page(200, body), page(500, "no database\nat all"));
    for from in ["controller", "host"] {
        assert_eq!(well(json!({"http": good, "from": from})).await, "status 200");
        let fields = json!({"status": "ok", "version": "1.10", "port": "8080", "nodes[0].up": true});
        let seen = well(json!({"http": good, "from": from, "json": fields, "body": "\"ok\""})).await;
        assert_eq!(seen, "status 200, status ok, version 1.10, port 8080, nodes[0].up true");
        assert_eq!(
            well(json!({"http": bad, "from": from, "status": [500, 503]})).await,
            "status 500"
        );

        let failure = sick(json!({"http": bad, "from": from})).await;
        assert!(
            failure.contains("the last answer was status 500: no database; no time left"),
            "{failure}"
        );
        for (json, wanted) in [
            (json!({"version": "1.1"}), "version 1.10"),
            (json!({"version": 1.1}), "version 1.10"),
            (json!({"nodes[1].up": true}), "no nodes[1].up"),
            (json!({"status": "ok", "nodes": 1}), "nodes [{\"up\":true}]"),
        ] {
            let failure = sick(json!({"http": good, "from": from, "json": json})).await;
            assert!(failure.contains(wanted), "{failure}");
        }
        let failure = sick(json!({"http": good, "from": from, "body": "SERVING"})).await;
        assert!(failure.contains("a body that does not match"), "{failure}");
        let failure = sick(json!({"http": page(200, "<html>"), "from": from, "json": {"a": 1}})).await;
        assert!(failure.contains("a body that is no JSON"), "{failure}");
        let failure = sick(json!({"http": format!("http://{}/", closed()), "from": from})).await;
        assert!(
            failure.to_lowercase().contains("refused") || failure.contains("connect"),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn grpc_is_judged_by_health_and_version() {
    let server = Server::start("1.30.6").await;
    let address = server.address.to_string();
    assert_eq!(well(json!({"grpc": address})).await, "SERVING");
    assert_eq!(well(json!({"grpc": address, "service": FRONTEND})).await, "SERVING");
    let seen = well(json!({"grpc": address, "service": FRONTEND, "version": "v1.30.6"})).await;
    assert_eq!(seen, "SERVING, 1.30.6");

    let failure = sick(json!({"grpc": address, "service": FRONTEND, "version": "1.30.7"})).await;
    assert_eq!(
        failure,
        format!(
            "waited for grpc {address} WorkflowService to be 1.30.7: the last answer was SERVING, 1.30.6; no time left of 1s"
        )
    );
    let failure = sick(json!({"grpc": address, "service": "no.such.Service"})).await;
    assert!(failure.contains("NOT_FOUND"), "{failure}");
    server.serving(false).await;
    let failure = sick(json!({"grpc": address, "service": FRONTEND})).await;
    assert!(failure.contains("the last answer was NOT_SERVING;"), "{failure}");
    let failure = sick(json!({"grpc": address, "service": FRONTEND, "version": "1.30.6"})).await;
    assert!(
        failure.contains("the last answer was NOT_SERVING, 1.30.6;"),
        "{failure}"
    );
    let failure = sick(json!({"grpc": closed(), "service": FRONTEND})).await;
    assert!(failure.contains("Connection refused"), "{failure}");
}

#[tokio::test]
async fn grpc_over_tls_is_judged_too() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let (server, mutual) = (certificates.server(false).await, certificates.server(true).await);
    let path = |name: &str| certificates.path(name).display().to_string();
    let (address, picky) = (server.address.to_string(), mutual.address.to_string());
    let lab = path("lab/ca.pem");
    assert_eq!(
        well(json!({"grpc": address, "tls": {"ca": lab}, "version": "1.30.6"})).await,
        "SERVING, 1.30.6"
    );
    let both = json!({"ca": lab, "cert": path("lab/client.pem"), "key": path("lab/client.key"), "name": "localhost"});
    assert_eq!(
        well(json!({"grpc": picky, "tls": both, "from": "host"})).await,
        "SERVING"
    );
    assert_eq!(
        well(json!({"grpc": address, "tls": {"ca": lab, "name": "x", "verify": "ca"}})).await,
        "SERVING"
    );
    for (given, wanted) in [
        (
            json!({"grpc": address, "tls": {"ca": lab, "name": "elsewhere"}}),
            "TLS: invalid peer certificate",
        ),
        (
            json!({"grpc": address, "tls": {"ca": path("other/ca.pem")}}),
            "it was signed by another",
        ),
        (json!({"grpc": address, "tls": true}), "UnknownIssuer"),
        (
            json!({"grpc": address, "tls": {"verify": "none"}}),
            "does the server want TLS",
        ),
        (json!({"grpc": address}), "does the server want TLS"),
        (
            json!({"grpc": picky, "tls": {"ca": lab}}),
            "the server wants a client certificate",
        ),
    ] {
        let failure = sick(given.clone()).await;
        assert!(failure.contains(wanted), "{given}: {failure}");
    }
}

#[tokio::test]
async fn a_command_is_judged_by_its_end_and_its_version() {
    for from in ["controller", "host"] {
        assert_eq!(well(json!({"command": "true", "from": from})).await, "exit status 0");
        let failure = sick(json!({"command": "echo not yet >&2; exit 3", "from": from})).await;
        assert!(
            failure.contains("the last answer was exit status 3: not yet;"),
            "{failure}"
        );
        let version = "echo widget version v1.30.6-rc.1 built with go1.22";
        assert_eq!(
            well(json!({"command": version, "version": "1.30.6-rc.1", "from": from})).await,
            "1.30.6-rc.1"
        );
        let failure = sick(json!({"command": version, "version": "1.30.6", "from": from})).await;
        assert!(
            failure.contains("the last answer was version 1.30.6-rc.1;"),
            "{failure}"
        );
        let failure = sick(json!({"command": "echo none", "version": "1", "from": from})).await;
        assert!(failure.contains("no version in what it printed"), "{failure}");
        let failure = sick(json!({"command": "kill -9 $$", "from": from})).await;
        assert!(failure.contains("exit status 137"), "{failure}");
    }
    let failure = sick(json!({"command": "sleep 60"})).await;
    assert!(failure.contains("no end after 1 s"), "{failure}");
    // The text is in no list of processes.
    let seen =
        well(json!({"command": "tr '\\0' ' ' </proc/$$/cmdline | grep canary-7 && exit 1; true", "from": "host"}));
    assert_eq!(seen.await, "exit status 0");
}

#[tokio::test]
async fn it_waits_until_it_is_well() {
    let answer = Arc::new(Mutex::new((503, "starting".to_owned())));
    let url = format!("http://{}/", http(Arc::clone(&answer)));
    let later = Arc::clone(&answer);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        *later.lock().expect("answer") = (200, "up".into());
    });
    let here = Here::new();
    let started = Instant::now();
    let done = wait_on(&here, &json!({"http": url, "within": "10s"}))
        .await
        .expect("well");
    assert!(started.elapsed() >= Duration::from_millis(1200));
    assert_eq!(done.result["seen"], "status 200");
    assert!(!done.changed);
    let said = here.said();
    assert_eq!(said.len(), 1, "said at each change, and no more: {said:?}");
    assert!(
        said[0].starts_with(&format!("waiting for {url}: status 503: starting, ")),
        "{said:?}"
    );
    assert!(said[0].ends_with("s left"), "{said:?}");
}

#[tokio::test]
async fn a_bad_answer_begins_the_stable_time_anew() {
    let answer = Arc::new(Mutex::new((200, String::new())));
    let url = format!("http://{}/", http(Arc::clone(&answer)));
    let flapped = Arc::new(AtomicBool::new(false));
    let (later, done_flapping) = (Arc::clone(&answer), Arc::clone(&flapped));
    let started = Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1300)).await;
        later.lock().expect("answer").0 = 500;
        tokio::time::sleep(Duration::from_millis(700)).await;
        later.lock().expect("answer").0 = 200;
        done_flapping.store(true, Ordering::SeqCst);
    });
    let here = Here::new();
    wait_on(&here, &json!({"http": url, "within": "20s", "stable_for": "2s"}))
        .await
        .expect("well");
    assert!(
        flapped.load(Ordering::SeqCst),
        "2 s had not passed before the bad answer"
    );
    assert!(
        started.elapsed() >= Duration::from_millis(4000),
        "{:?}",
        started.elapsed()
    );
    let said = here.said();
    assert!(said.iter().any(|text| text.contains("status 500")), "{said:?}");
    assert!(said[0].contains("status 200, well for 0s of 2s"), "{said:?}");
}

#[tokio::test]
async fn what_does_not_stay_well_is_sick() {
    let answer = Arc::new(Mutex::new((200, String::new())));
    let url = format!("http://{}/", http(Arc::clone(&answer)));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let mut answer = answer.lock().expect("answer");
            answer.0 = 700 - answer.0;
        }
    });
    let failure = wait_on(&Here::new(), &json!({"http": url, "within": "4s", "stable_for": "2s"}))
        .await
        .expect_err("it flaps");
    assert!(failure.message.contains("no time left of 4s"), "{}", failure.message);
}

#[tokio::test]
async fn a_lost_connection_ends_no_wait() {
    let here = Here::new();
    here.lost.store(2, Ordering::SeqCst);
    let done = wait_on(&here, &json!({"command": "true", "from": "host"}))
        .await
        .expect("well");
    assert_eq!(done.result["seen"], "exit status 0");
    assert!(here.said()[0].contains("the connection broke"), "{:?}", here.said());
}

#[tokio::test]
async fn a_host_without_any_program_is_no_wait() {
    let mut here = Here::new();
    here.host.path = here.host.text("nothing");
    let started = Instant::now();
    for given in [
        json!({"tcp": "127.0.0.1:1", "from": "host"}),
        json!({"http": "http://127.0.0.1:1/", "from": "host"}),
    ] {
        let failure = wait_on(&here, &given).await.expect_err("no program");
        assert!(
            failure.message.contains("the host has no program"),
            "{}",
            failure.message
        );
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_second_interrupt_ends_the_wait() {
    let here = Here::new();
    let stop = Arc::clone(&here.stop);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        stop.notify_waiters();
    });
    let started = Instant::now();
    let failure = wait_on(&here, &json!({"tcp": closed(), "within": "1h"}))
        .await
        .expect_err("broken off");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(
        failure
            .message
            .contains("was broken off: the last answer was Connection refused"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn check_mode_does_not_wait() {
    let here = Here::new();
    let place = Place::new("swap", here.host.folder.path());
    let Action::Drive(action) = place.action(&KIND, &json!({"tcp": closed(), "within": "1h"})) else {
        panic!("health drives");
    };
    let started = Instant::now();
    let verdict = action.check(&here).await;
    assert!(
        matches!(verdict, Ok(Verdict::Differs { diff: None, .. })),
        "{verdict:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn nothing_is_shown_of_what_must_not_be() {
    let here = Here::new();
    let mut place = Place::new("swap", here.host.folder.path());
    place.quiet = true;
    let given = json!({"command": "echo canary-9; exit 1", "within": "1s"});
    let Action::Drive(action) = place.action(&KIND, &given) else {
        panic!("health drives");
    };
    let failure = action.apply(&here).await.expect_err("sick");
    let all = format!("{failure:?} {:?}", here.said());
    assert!(!all.contains("canary-9"), "{all}");
}

#[test]
fn mistakes_are_named() {
    let host = Host::new();
    let place = Place::new("swap", host.folder.path());
    let cases = [
        (json!({}), "`health` needs one of"),
        (json!({"tcp": "a:1", "grpc": "a:1"}), "takes only one of `tcp`, `grpc`"),
        (json!({"tcp": "a"}), "`a` is no HOST:PORT"),
        (json!({"tcp": "a:0"}), "is no HOST:PORT"),
        (json!({"tcp": "::1:80"}), "write [::1]:80"),
        (json!({"tcp": "-oProxyCommand=x:80"}), "is no HOST:PORT"),
        (json!({"grpc": "http://a:1"}), "is no HOST:PORT"),
        (json!({"http": "a:1"}), "must begin with http://"),
        (
            json!({"http": "http://a", "version": "1.0"}),
            "`version` goes with `grpc` or `command`, not with `http`",
        ),
        (json!({"tcp": "a:1", "service": "x"}), "`service` goes with `grpc`"),
        (
            json!({"tcp": "a:1", "tls": true}),
            "`tls` goes with `grpc`, not with `tcp`",
        ),
        (
            json!({"grpc": "a:1", "tls": "full"}),
            "`tls` must be true, false or a mapping: write { verify:",
        ),
        (
            json!({"grpc": "a:1", "tls": {"verify": "maybe"}}),
            "`verify` is none, ca or full",
        ),
        (
            json!({"grpc": "a:1", "tls": {"ca": "gone.pem"}}),
            "gone.pem: No such file",
        ),
        (
            json!({"grpc": "a:1", "tls": {"cert": "/dev/null"}}),
            "`cert` and `key` belong together",
        ),
        (json!({"grpc": "a:1", "tls": {"name": 7}}), "`name` must be the name in"),
        (
            json!({"grpc": "a:1", "tls": {"nmae": "a"}}),
            "unknown key `nmae` in `tls`: did you mean `name`?",
        ),
        (
            json!({"tcp": "a:1", "stable_for": "2m"}),
            "it cannot stay well for 2m within 1m",
        ),
        (json!({"http": "http://a", "json": {"a..b": 1}}), "is no path"),
        (json!({"http": "http://a", "status": 1000}), "`status` must be"),
    ];
    for (given, wanted) in cases {
        let found = place.lint(&KIND, &given);
        assert!(
            found.iter().any(|message| message.contains(wanted)),
            "{given}: {found:?}"
        );
    }
    for given in [
        json!({"tcp": "[::1]:80"}),
        json!({"grpc": "node-1.internal:7233", "service": FRONTEND, "version": "1.30.6", "stable_for": "30s", "within": "5m"}),
        json!({"command": "true", "from": "host"}),
        json!({"grpc": "a:1", "from": "host", "tls": false}),
        json!({"grpc": "a:1", "tls": {}}),
    ] {
        assert_eq!(place.lint(&KIND, &given), Vec::<String>::new());
    }
}
