use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

use super::super::Link;
use super::lab::{self, Sshd, eventually};
use crate::id::HostName;
use crate::job::Tunnel;

fn db1() -> HostName {
    HostName::new("db1").unwrap()
}

/// A server that answers each line with itself.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    port
}

async fn say(stream: &mut UnixStream, word: &str) -> String {
    if stream.write_all(word.as_bytes()).await.is_err() {
        return String::new();
    }
    let mut answer = vec![0; word.len()];
    match stream.read_exact(&mut answer).await {
        Ok(_) => String::from_utf8(answer).unwrap(),
        Err(_) => String::new(),
    }
}

/// What a connection through it ends with.
async fn refused(link: &Link, host: &str, port: u16) -> String {
    let tunnel = link.tunnel(&db1(), host, port).await.unwrap();
    let mut stream = UnixStream::connect(tunnel.socket().unwrap()).await.unwrap();
    assert_eq!(say(&mut stream, "hello").await, "");
    tunnel
        .trouble()
        .unwrap_or_else(|| panic!("no reason for {host}:{port}"))
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_leads_to_a_port_of_the_host_and_ends_with_its_value() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let link = hub.connect_for_tunnels(&lab.target()).await.unwrap();
    let tunnel = link.tunnel(&db1(), "localhost", echo().await).await.unwrap();
    let socket: PathBuf = tunnel.socket().unwrap().to_owned();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert!(socket.starts_with(hub.folder()));
    assert_eq!((mode(socket.parent().unwrap()), mode(hub.folder())), (0o700, 0o700));
    assert_eq!(mode(&socket) & 0o077, 0);
    let mut one = UnixStream::connect(&socket).await.unwrap();
    let mut two = UnixStream::connect(&socket).await.unwrap();
    assert_eq!(say(&mut one, "one").await, "one");
    assert_eq!(say(&mut two, "two").await, "two");
    assert_eq!(tunnel.trouble(), None);
    // Another at the same time, to the same port: each has its own socket, and the end of one does not end the other.
    let other = link.tunnel(&db1(), "127.0.0.1", echo().await).await.unwrap();
    drop(tunnel);
    eventually("the socket goes", || !socket.exists()).await;
    assert_eq!(say(&mut one, "still").await, "still");
    let mut three = UnixStream::connect(other.socket().unwrap()).await.unwrap();
    assert_eq!(say(&mut three, "three").await, "three");
    // It led through ssh: without it both connections end, and the tunnel says why.
    lab::kill(
        link.master.as_ref().unwrap().pid().unwrap().cast_signed(),
        rustix::process::Signal::KILL,
    );
    assert_eq!(say(&mut three, "gone").await, "");
    assert_eq!(say(&mut one, "gone").await, "");
    let why = loop {
        match other.trouble() {
            Some(why) => break why,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert!(why.contains("the connection to db1 ended"), "{why}");
    let lost = link.tunnel(&db1(), "localhost", 1).await.unwrap_err();
    assert!(lost.text.contains("the connection ended"), "{lost:?}");
    let folder = hub.folder().to_owned();
    drop(other);
    link.close().await;
    hub.close().await;
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_at_the_other_end_of_a_tunnel_is_told_apart() {
    let Some(lab) = Sshd::start("") else { return };
    let hub = lab::hub();
    let link = lab.link(&hub).await;
    let port = free_port();
    let why = refused(&link, "127.0.0.1", port).await;
    let words = format!("nothing listens on 127.0.0.1:{port} as db1 sees it (ssh: connect failed: Connection refused)");
    assert!(why.contains(&words) && why.contains("is the server running"), "{why}");
    let why = refused(&link, "no-such-name.invalid", 5432).await;
    assert!(why.contains("db1 does not know the name no-such-name.invalid"), "{why}");
    // A server that takes the connection and hangs up is no trouble of the tunnel.
    let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closing.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = closing.accept().await {
            drop(stream);
        }
    });
    let tunnel: Tunnel = link.tunnel(&db1(), "127.0.0.1", port).await.unwrap();
    let mut stream = UnixStream::connect(tunnel.socket().unwrap()).await.unwrap();
    assert_eq!(say(&mut stream, "hello").await, "");
    assert_eq!(tunnel.trouble(), None);
    for host in ["-oProxyCommand=x", "a b", "/run/x", "", "a;b"] {
        let refused = link.tunnel(&db1(), host, 1).await.unwrap_err();
        assert!(refused.text.contains("is no address"), "{refused:?}");
    }
    link.close().await;
    for setting in [
        "AllowTcpForwarding no",
        "DisableForwarding yes",
        "PermitOpen 127.0.0.1:1",
    ] {
        let Some(lab) = Sshd::start(setting) else { return };
        let link = lab.link(&hub).await;
        let why = refused(&link, "127.0.0.1", port).await;
        assert!(
            why.contains(&format!("db1 does not let ssh go on to 127.0.0.1:{port}"))
                && why.contains("AllowTcpForwarding")
                && why.contains("administratively prohibited"),
            "{setting}: {why}"
        );
        link.close().await;
    }
    hub.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_a_shell_will_do_and_this_machine_needs_no_tunnel() {
    let Some(lab) = Sshd::start("ForceCommand echo 'tunnels only'; exit 1") else {
        return;
    };
    let hub = lab::hub();
    assert!(hub.connect(&lab.target()).await.is_err());
    let link = hub.connect_for_tunnels(&lab.target()).await.unwrap();
    let tunnel = link.tunnel(&db1(), "localhost", echo().await).await.unwrap();
    let mut stream = UnixStream::connect(tunnel.socket().unwrap()).await.unwrap();
    assert_eq!(say(&mut stream, "hello").await, "hello");
    drop(tunnel);
    link.close().await;
    let lab = lab.set("ansible_connection", "local");
    let link = hub.connect_for_tunnels(&lab.target()).await.unwrap();
    assert!(link.tunnel(&db1(), "localhost", 1).await.unwrap().socket().is_none());
    link.close().await;
    hub.close().await;
}
