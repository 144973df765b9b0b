//! What only a host can reach, through its ssh: a gRPC server on its loopback, a database.

mod database;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::fleet::Fleet;

/// A port of loopback that leads to a server, and notes which program comes in.
struct Door {
    port: u16,
    callers: Arc<Mutex<Vec<String>>>,
}

impl Door {
    /// `address` is one of loopback's.
    fn to(address: &str, inside: SocketAddr) -> Door {
        let door = TcpListener::bind((address, 0)).unwrap();
        let port = door.local_addr().unwrap().port();
        let callers: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&callers);
        std::thread::spawn(move || {
            for near in door.incoming().flatten() {
                noted.lock().unwrap().push(owner(near.peer_addr().unwrap(), port));
                if let Ok(far) = TcpStream::connect(inside) {
                    relay(near, far);
                }
            }
        });
        Door { port, callers }
    }

    /// Who came in since the last question.
    fn callers(&self) -> Vec<String> {
        std::mem::take(&mut *self.callers.lock().unwrap())
    }

    /// Somebody came in, and every one of them was an sshd.
    #[track_caller]
    fn only_sshd(&self) {
        let callers = self.callers();
        assert!(
            !callers.is_empty() && callers.iter().all(|name| name.starts_with("sshd")),
            "{callers:?}"
        );
    }
}

/// gRPC health; its threads end with the value.
fn grpc() -> (tokio::runtime::Runtime, Door) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let inner = TcpListener::bind("127.0.0.1:0").unwrap();
    let inside = inner.local_addr().unwrap();
    inner.set_nonblocking(true).unwrap();
    runtime.spawn(async move {
        let (health, service) = tonic_health::server::health_reporter();
        health
            .set_service_status("ledger", tonic_health::ServingStatus::Serving)
            .await;
        let listener = tokio::net::TcpListener::from_std(inner).unwrap();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let router = tonic::transport::Server::builder().add_service(service);
        router.serve_with_incoming(incoming).await.unwrap();
    });
    (runtime, Door::to("127.0.0.1", inside))
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

fn relay(near: TcpStream, far: TcpStream) {
    for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// The program that holds the other end of a connection to `port`.
fn owner(peer: SocketAddr, port: u16) -> String {
    let (from, to) = (format!(":{:04X}", peer.port()), format!(":{port:04X}"));
    let mut sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    sockets += &std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let inode = sockets.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words.get(1)?.ends_with(&from) && words.get(2)?.ends_with(&to)).then(|| words[9].to_owned())
    });
    let Some(inode) = inode else { return "nobody".into() };
    let link = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let held = std::fs::read_dir(process.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        for fd in held {
            if std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy() == link) {
                let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                return name.trim().to_owned();
            }
        }
    }
    "unknown".into()
}

fn playbook(fleet: &Fleet, health: &str) -> String {
    let text = format!("hosts: h1\nstages:\n  - name: Wait\n    steps:\n      - health: {health}\n");
    fleet.write("health.yml", &text)
}

#[test]
fn grpc_is_asked_from_the_host() {
    let Some(fleet) = Fleet::up(1) else { return };
    let (_runtime, server) = grpc();
    let port = server.port;
    let ask = |from: &str| {
        let health =
            format!("{{ grpc: \"localhost:{port}\", service: ledger, from: {from}, stable_for: 1s, within: 20s }}");
        fleet.run(&playbook(&fleet, &health), &[]).exits(0).says("SERVING");
    };
    ask("host");
    server.only_sshd();
    ask("controller");
    let callers = server.callers();
    assert!(
        !callers.is_empty() && callers.iter().all(|name| !name.starts_with("sshd")),
        "{callers:?}"
    );

    // A sick target turns it red, with the host's view of it.
    let free = free_port();
    let red = |port: u16| format!("{{ grpc: \"127.0.0.1:{port}\", from: host, within: 1s }}");
    fleet
        .run(&playbook(&fleet, &red(free)), &[])
        .exits(2)
        .says(&format!("nothing listens on 127.0.0.1:{free} as h1 sees it"));

    // A host that forwards nothing says so.
    let config = fleet.path("lab/sshd/h1/config");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("AllowTcpForwarding no\n{text}")).unwrap();
    fleet.stop("h1");
    fleet.start("h1");
    fleet
        .run(&playbook(&fleet, &red(port)), &[])
        .exits(2)
        .says("h1 does not let ssh go on to")
        .says("AllowTcpForwarding");
    assert_eq!(server.callers(), Vec::<String>::new());
    std::fs::write(&config, text).unwrap();
}

#[test]
fn a_cut_connection_ends_no_wait_for_grpc() {
    let Some(fleet) = Fleet::up(1) else { return };
    let (_runtime, server) = grpc();
    let health = format!(
        "{{ grpc: \"127.0.0.1:{}\", service: ledger, from: host, stable_for: 4s, within: 40s }}",
        server.port
    );
    let run = fleet.spawn_run(&playbook(&fleet, &health), &[]);
    crate::fleet::until("it asks", || !server.callers.lock().unwrap().is_empty());
    fleet.stop("h1");
    std::thread::sleep(Duration::from_millis(300));
    let before = server.callers().len();
    fleet.start("h1");
    crate::fleet::finish(run, std::time::Instant::now())
        .exits(0)
        .says("SERVING");
    let after = server.callers();
    assert!(
        before > 0 && after.iter().any(|name| name.starts_with("sshd")),
        "{after:?}"
    );
}
