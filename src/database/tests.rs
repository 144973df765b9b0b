use std::path::Path;

use serde_json::{Value, json};

use super::lab::{Lab, PASSWORD};
use super::mysql_lab::{self, MysqlLab};
use super::*;
use crate::secret::Secret;
use crate::yaml::{Node, Source, Span};

async fn error(database: &Database) -> String {
    match Session::open(database, "test").await {
        Ok(_) => panic!("{} let us in", database.place()),
        Err(e) => {
            let text = format!("{e} {e:?}");
            assert!(!text.contains(PASSWORD), "{text}");
            let password = database.password.as_ref().map_or("no password", |p| p.reveal());
            assert!(!text.contains(password), "{text}");
            e.to_string()
        }
    }
}

#[tokio::test]
async fn tls_is_verified_and_every_refusal_has_its_words() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.over_tls(&lab.create("tls"));
    let mut session = Session::open(&database, "refit:tls").await.unwrap();
    let tag = session
        .value("SELECT current_setting('application_name')", &[])
        .await
        .unwrap();
    assert_eq!(tag.as_deref(), Some("refit:tls"));
    let encrypted = session
        .value("SELECT ssl::text FROM pg_stat_ssl WHERE pid=pg_backend_pid()", &[])
        .await
        .unwrap();
    assert_eq!(encrypted.as_deref(), Some("true"));
    assert!(!session.server().await.unwrap().version.is_empty());

    let wrong = |change: &dyn Fn(&mut Database)| {
        let mut copy = database.clone();
        change(&mut copy);
        copy
    };
    let text = error(&wrong(&|d| d.host = "127.0.0.1".into())).await;
    assert!(
        text.contains("certificate of 127.0.0.1") && text.contains("another name"),
        "{text}"
    );
    Session::open(
        &wrong(&|d| {
            d.host = "127.0.0.1".into();
            d.tls.verify = Verify::Ca;
        }),
        "test",
    )
    .await
    .unwrap();
    let text = error(&wrong(&|d| d.tls.ca = Some(lab.path().join("other.pem")))).await;
    assert!(
        text.contains("TLS with localhost") && text.contains("UnknownIssuer"),
        "{text}"
    );
    let text = error(&wrong(&|d| d.tls.verify = Verify::None)).await;
    assert!(
        text.contains("does not let `temporal` in") && text.contains("no encryption"),
        "{text}"
    );
    let text = error(&wrong(&|d| d.password = Some(Secret::new("wrong-secret")))).await;
    assert!(
        text.contains("password authentication failed") && !text.contains("wrong-secret"),
        "{text}"
    );
    let text = error(&wrong(&|d| d.name = "nowhere".into())).await;
    assert!(text.contains("no database of the name `nowhere`"), "{text}");
    let text = error(&wrong(&|d| d.port = 1)).await;
    assert!(
        text.contains("localhost:1 cannot be reached") && text.contains("refused"),
        "{text}"
    );
    let text = error(&wrong(&|d| d.host = "no-such-host.invalid".into())).await;
    assert!(text.contains("cannot be reached"), "{text}");

    let text = error(&wrong(&|d| d.user = "certonly".into())).await;
    assert!(text.contains("certificate"), "{text}");
    let by_certificate = wrong(&|d| {
        d.user = "certonly".into();
        d.password = None;
        d.tls.cert = Some(lab.path().join("client.pem"));
        d.tls.key = Some(lab.path().join("client.key"));
    });
    Session::open(&by_certificate, "test").await.unwrap();
}

#[tokio::test]
async fn a_user_that_only_reads_is_refused() {
    let Some(lab) = Lab::start() else { return };
    let mut database = lab.create("readonly");
    Session::open(&database, "t")
        .await
        .unwrap()
        .refuse_unfit()
        .await
        .unwrap();
    database.user = "reader".into();
    let refused = Session::open(&database, "t").await.unwrap().refuse_unfit().await;
    assert!(matches!(refused, Err(DatabaseError::ReadOnly { .. })), "{refused:?}");
}

/// A real pooler in front of the server.
#[tokio::test]
async fn a_pooler_of_transactions_is_refused() {
    let Some(lab) = Lab::start() else { return };
    let database = lab.create("pooled");
    let Some(pgbouncer) = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
        .iter()
        .find(|p| Path::new(p).exists())
    else {
        assert!(std::env::var_os("CI").is_none(), "pgbouncer is missing");
        eprintln!("skipped: pgbouncer is missing");
        return;
    };
    for (mode, pooled) in [("transaction", true), ("session", false)] {
        let dir = tempfile::Builder::new()
            .prefix("refit-pool-")
            .tempdir_in("/tmp")
            .unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let ini = dir.path().join("pgbouncer.ini");
        let settings = format!(
            "[databases]\n* = host={} port={} user=temporal\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n\
             unix_socket_dir=\nauth_type=any\npool_mode={mode}\n",
            lab.path().display(),
            lab.port
        );
        std::fs::write(&ini, settings).unwrap();
        std::process::Command::new("chmod")
            .args(["-R", "a+rX"])
            .arg(dir.path())
            .status()
            .unwrap();
        let mut command = std::process::Command::new("setpriv");
        if rustix::process::getuid().is_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        let mut process = command
            .args(["--", pgbouncer])
            .arg(&ini)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let through = Database {
            host: "127.0.0.1".into(),
            port,
            ..database.clone()
        };
        let mut session = None;
        for _ in 0..100 {
            session = Session::open(&through, "t").await.ok();
            if session.is_some() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let refused = match session {
            Some(mut session) => Some(session.refuse_unfit().await),
            None => None,
        };
        process.kill().unwrap();
        process.wait().unwrap();
        let refused = refused.expect("pgbouncer does not answer");
        assert_eq!(
            matches!(refused, Err(DatabaseError::Pooled { .. })),
            pooled,
            "{mode}: {refused:?}"
        );
        assert_eq!(refused.is_ok(), !pooled, "{mode}: {refused:?}");
    }
}

#[tokio::test]
async fn mysql_verifies_tls_and_every_refusal_has_its_words() {
    let Some(lab) = MysqlLab::own() else { return };
    let socket = lab.create("tls");
    let mut database = lab.over_tls(&socket);
    // One that stands in no message by chance.
    lab.sql("mysql", &format!("ALTER USER temporal IDENTIFIED BY '{PASSWORD}'"));
    database.password = Some(Secret::new(PASSWORD));
    let mut session = Session::open(&database, "test").await.unwrap();
    let cipher = session
        .rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'", &[])
        .await
        .unwrap();
    assert!(
        cipher[0][1].as_ref().is_some_and(|cipher| !cipher.is_empty()),
        "{cipher:?}"
    );
    assert_eq!(session.server().await.unwrap().to_string(), "MySQL 8.0.31");
    assert_eq!(session.server().await.unwrap().numbers(), [8, 0, 31]);
    let refused = session.simple("SELECT nothing").await.unwrap_err();
    assert_eq!(refused.code(), "1054", "{refused}");

    let wrong = |change: &dyn Fn(&mut Database)| {
        let mut copy = database.clone();
        change(&mut copy);
        copy
    };
    // Another way to the server, of a name that its certificate does not have.
    let door = tokio::net::TcpListener::bind("127.0.0.9:0").await.unwrap();
    let (other, port) = (door.local_addr().unwrap(), database.port);
    let forward = tokio::spawn(async move {
        while let Ok((mut client, _)) = door.accept().await {
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let through = wrong(&|d| {
        d.host = other.ip().to_string();
        d.port = other.port();
    });
    let text = error(&through).await;
    assert!(
        text.contains("certificate of 127.0.0.9") && text.contains("another name"),
        "{text}"
    );
    let mut unnamed = through.clone();
    unnamed.tls.verify = Verify::Ca;
    Session::open(&unnamed, "test").await.unwrap();
    forward.abort();
    let text = error(&wrong(&|d| d.tls.ca = Some(lab.tls("client.pem")))).await;
    assert!(text.contains("TLS with localhost"), "{text}");
    let text = error(&wrong(&|d| d.tls.ca = None)).await;
    assert!(text.contains("TLS with localhost"), "{text}");
    let text = error(&wrong(&|d| d.password = Some(Secret::new("wrong-secret")))).await;
    assert!(
        text.contains("does not let `temporal` in") && text.contains("Access denied") && text.contains("REQUIRE X509"),
        "{text}"
    );
    let text = error(&wrong(&|d| d.name = "nowhere".into())).await;
    assert!(text.contains("no database of the name `nowhere`"), "{text}");
    let text = error(&wrong(&|d| d.port = 1)).await;
    assert!(
        text.contains("localhost:1 cannot be reached") && text.contains("refused"),
        "{text}"
    );
    let by_certificate = wrong(&|d| {
        d.user = "certonly".into();
        d.password = Some(Secret::new(mysql_lab::PASSWORD));
        d.tls.cert = Some(lab.tls("client.pem"));
        d.tls.key = Some(lab.tls("client.key"));
    });
    Session::open(&by_certificate, "test").await.unwrap();
    let text = match Session::open(
        &wrong(&|d| {
            d.user = "certonly".into();
            d.password = Some(Secret::new(mysql_lab::PASSWORD));
        }),
        "test",
    )
    .await
    {
        Ok(_) => panic!("let in without a certificate"),
        Err(e) => e.to_string(),
    };
    assert!(text.contains("REQUIRE X509"), "{text}");

    // Without TLS the password of an account that has not logged in since the server's start cannot be sent.
    lab.sql("mysql", "FLUSH PRIVILEGES");
    let text = error(&wrong(&|d| d.tls.verify = Verify::None)).await;
    assert!(
        text.contains("caching_sha2_password, which goes over TLS only"),
        "{text}"
    );

    lab.sql("mysql", "SET GLOBAL read_only=1");
    let refused = Session::open(&database, "t").await.unwrap().refuse_unfit().await;
    lab.sql("mysql", "SET GLOBAL read_only=0");
    assert!(matches!(refused, Err(DatabaseError::ReadOnly { .. })), "{refused:?}");
    session.refuse_unfit().await.unwrap();
    lab.sql(
        "mysql",
        &format!("ALTER USER temporal IDENTIFIED BY '{}'", mysql_lab::PASSWORD),
    );

    // A session that an administrator ends is lost, not refused.
    let id = session.id().to_owned();
    let sleeping = session.simple("DO SLEEP(20)");
    let kill = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        lab.sql("mysql", &format!("KILL {id}"));
    };
    let (lost, ()) = tokio::join!(sleeping, kill);
    assert!(matches!(lost, Err(DatabaseError::Lost { .. })), "{lost:?}");
}

/// An entry without places: what matters here are the words.
fn decode(value: &Value) -> Result<Database, Vec<String>> {
    let source = Source::new("site.yml", "main:");
    let node = Node::string(Span::new(&source, 0, 4), "main");
    Database::decode("main", &node, value, None, Path::new("/nowhere")).map_err(|found| {
        found
            .iter()
            .map(|d| format!("{} {}", d.message, d.help.join(" ")))
            .collect()
    })
}

#[test]
fn entries_are_decoded() {
    let database = decode(
        &json!({"engine": "postgres", "host": "db1", "name": "temporal", "user": "t",
        "password": {"env": "X"}}),
    )
    .unwrap();
    assert_eq!((database.port, database.tls.verify), (5432, Verify::Full));
    assert_eq!(database.place(), "db1:5432");
    let database = decode(&json!({"engine": "mysql", "host": "db1", "name": "temporal", "user": "t"})).unwrap();
    assert_eq!((database.port, database.tls.verify), (3306, Verify::Full));
    assert_eq!(database.place(), "db1:3306");
    let behind = json!({"engine": "postgres", "host": "db1", "name": "t", "user": "t", "via": "bastion"});
    let database = decode(&behind).unwrap();
    assert_eq!(database.place(), "db1:5432 via bastion");
    let database = decode(&json!({"engine": "sqlite", "path": "/var/lib/app.db"})).unwrap();
    assert_eq!(
        (database.engine, database.place().as_str()),
        (Engine::Sqlite, "/var/lib/app.db")
    );
    for host in [json!(["n1", " n2"]), json!("n1, n2")] {
        let given = json!({"engine": "cassandra", "host": host, "name": "temporal"});
        let database = decode(&given).unwrap();
        assert_eq!(database.place(), "n1,n2:9042");
        assert_eq!((database.user.as_str(), database.tls.verify), ("", Verify::Full));
    }
}

#[test]
fn every_mistake_of_an_entry_is_found_at_once() {
    let cases: &[(Value, &[&str])] = &[
        (
            json!({"engine": "cassandra"}),
            &["no `host` (a node, or a list of nodes)", "no `name` (the keyspace)"],
        ),
        (json!({"engine": "oracle"}), &["unknown engine `oracle`"]),
        (json!({"host": "x"}), &["no `engine`"]),
        (
            json!({"engine": "sqlite", "path": "/a.db", "via": "db"}),
            &["`via` does not belong to a database of engine sqlite"],
        ),
        (
            json!({"engine": "postgres", "host": "/run/postgresql", "name": "t", "user": "t", "via": "db"}),
            &["a tunnel leads to a host and a port", "localhost"],
        ),
        (
            json!({"engine": "postgres", "host": "db1", "name": "t", "user": "t", "via": "a b"}),
            &["`a b` is not a name"],
        ),
        (json!("x"), &["must be a mapping"]),
        (
            json!({"engine": "postgres", "hots": "db1", "port": 99999, "via": "db", "password": "hunter2"}),
            &[
                "unknown key `hots`",
                "did you mean `host`",
                "no `host`",
                "no `user`",
                "no `name`",
                "`99999` is no port",
                "does not stand in a playbook",
            ],
        ),
        (
            json!({"engine": "postgres", "host": "h", "user": "u", "name": "n",
                   "tls": {"verify": "maybe", "ca": "ca.pem", "cert": "c.pem", "keys": 1}}),
            &[
                "none, ca or full",
                "/nowhere/ca.pem",
                "/nowhere/c.pem",
                "unknown key `keys`",
                "belong together",
            ],
        ),
        (
            json!({"engine": "cassandra", "host": ["n1", ""], "path": "/x"}),
            &[
                "a node, or a list of nodes",
                "no `name` (the keyspace)",
                "`path` does not belong",
            ],
        ),
        (
            json!({"engine": "sqlite", "path": "app.db", "host": "x"}),
            &["must be absolute", "`host` does not belong"],
        ),
    ];
    for (value, expected) in cases {
        let found = decode(value).unwrap_err().join("\n");
        assert!(!found.contains("hunter2"));
        for words in *expected {
            assert!(found.contains(words), "{value}: {words:?} is not in\n{found}");
        }
    }
}
