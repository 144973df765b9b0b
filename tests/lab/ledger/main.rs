//! Ledger: the small server that `make demo` upgrades. It keeps entries in a SQLite database and refuses to start on a
//! schema that is too old for it.
//!
//! One source, several programs, told apart when they are compiled: `LEDGER_VERSION=1.0.0` (the default; needs schema 1.0)
//! or `1.1.0` (needs schema 1.2, and a `motd` in its configuration, which 1.0.0 does not know). `LEDGER_SICK=1` makes one
//! that starts and never becomes healthy.
//!
//! HTTP: `GET /health`, `POST /entries` (JSON text), `GET /entries/count`. gRPC: `grpc.health.v1.Health`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tonic_health::ServingStatus;

const VERSION: &str = match option_env!("LEDGER_VERSION") {
    Some(version) => version,
    None => "1.0.0",
};
const SICK: bool = option_env!("LEDGER_SICK").is_some();
const GRPC_SERVICE: &str = "ledger.v1.Ledger";

const USAGE: &str = "usage: ledger --config FILE [--pid-file FILE] | --check-config FILE | --version";

/// The schema that this program was written for.
fn needs() -> &'static str {
    if speaks_motd() { "1.2" } else { "1.0" }
}

fn speaks_motd() -> bool {
    VERSION != "1.0.0"
}

/// Major and minor: 1.10 is newer than 1.9.
fn schema_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `key = value` lines; `#` begins a comment line.
#[derive(Debug)]
struct Config {
    listen: SocketAddr,
    grpc: SocketAddr,
    database: PathBuf,
    motd: Option<String>,
}

impl Config {
    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|message| format!("{}: {message}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (mut listen, mut grpc, mut database, mut motd) = (None, None, None, None);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |message: String| format!("line {}: {message}", index + 1);
            let (key, value) = line.split_once('=').ok_or_else(|| at("no `key = value`".to_owned()))?;
            let (key, value) = (key.trim(), value.trim());
            let address = || {
                value
                    .parse::<SocketAddr>()
                    .map_err(|_| at(format!("{key}: `{value}` is no ADDRESS:PORT")))
            };
            match key {
                "listen" => listen = Some(address()?),
                "grpc" => grpc = Some(address()?),
                "database" => database = Some(PathBuf::from(value)),
                "motd" if speaks_motd() => motd = Some(value.to_owned()),
                _ => return Err(at(format!("ledger {VERSION} knows no `{key}`"))),
            }
        }
        let missing = |key: &str| format!("`{key}` is missing");
        if speaks_motd() && motd.is_none() {
            return Err(missing("motd"));
        }
        Ok(Self {
            listen: listen.ok_or_else(|| missing("listen"))?,
            grpc: grpc.ok_or_else(|| missing("grpc"))?,
            database: database.ok_or_else(|| missing("database"))?,
            motd,
        })
    }
}

async fn open(path: &Path) -> Result<(SqlitePool, String), String> {
    let name = path.display();
    let pool = SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(SqliteConnectOptions::new().filename(path))
        .await
        .map_err(|error| format!("database {name}: {error}"))?;
    let found: String = sqlx::query_scalar("SELECT curr_version FROM schema_version WHERE version_partition = 0")
        .fetch_one(&pool)
        .await
        .map_err(|error| format!("database {name}: no schema version: {error}"))?;
    let needed = needs();
    match schema_version(&found) {
        Some(version) if Some(version) >= schema_version(needed) => Ok((pool, found)),
        Some(_) => Err(format!(
            "database {name} has schema {found}; ledger {VERSION} needs {needed}"
        )),
        None => Err(format!("database {name}: `{found}` is no schema version")),
    }
}

#[derive(Clone)]
struct Ledger {
    pool: SqlitePool,
    schema: String,
    motd: Option<String>,
}

type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    (status, [("content-type", "application/json")], format!("{body}\n"))
}

fn broken(error: &sqlx::Error) -> Answer {
    json(
        StatusCode::INTERNAL_SERVER_ERROR,
        &serde_json::json!({ "error": error.to_string() }),
    )
}

async fn health(State(ledger): State<Ledger>) -> Answer {
    let database = sqlx::query("SELECT 1").execute(&ledger.pool).await;
    let well = database.is_ok() && !SICK;
    let mut body = serde_json::json!({
        "status": if well { "serving" } else { "sick" },
        "version": VERSION,
        "schema": ledger.schema,
    });
    if let Some(motd) = ledger.motd {
        body["motd"] = motd.into();
    }
    json(
        if well {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        &body,
    )
}

async fn add(State(ledger): State<Ledger>, body: String) -> Answer {
    let text = match serde_json::from_str::<serde_json::Value>(&body) {
        Ok(serde_json::Value::String(text)) => text,
        _ => {
            return json(
                StatusCode::BAD_REQUEST,
                &serde_json::json!({ "error": "the entry is a JSON text" }),
            );
        }
    };
    // 1.1.0 uses what schema 1.1 brought: on 1.0 its statement would fail
    let statement = if speaks_motd() {
        "INSERT INTO entries (text, author) VALUES (?, 'http')"
    } else {
        "INSERT INTO entries (text) VALUES (?)"
    };
    match sqlx::query(statement).bind(text).execute(&ledger.pool).await {
        Ok(done) => json(
            StatusCode::CREATED,
            &serde_json::json!({ "id": done.last_insert_rowid() }),
        ),
        Err(error) => broken(&error),
    }
}

async fn count(State(ledger): State<Ledger>) -> Answer {
    match sqlx::query_scalar::<_, i64>("SELECT count(*) FROM entries")
        .fetch_one(&ledger.pool)
        .await
    {
        Ok(count) => json(StatusCode::OK, &serde_json::json!({ "count": count })),
        Err(error) => broken(&error),
    }
}

async fn serve(config: Config, pid_file: Option<PathBuf>) -> Result<(), String> {
    let (pool, schema) = open(&config.database).await?;
    let bind = async |at: SocketAddr| TcpListener::bind(at).await.map_err(|error| format!("{at}: {error}"));
    let (http, grpc) = (bind(config.listen).await?, bind(config.grpc).await?);
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    if let Some(path) = &pid_file {
        std::fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }

    let (reporter, service) = tonic_health::server::health_reporter();
    let status = if SICK {
        ServingStatus::NotServing
    } else {
        ServingStatus::Serving
    };
    for name in ["", GRPC_SERVICE] {
        reporter.set_service_status(name, status).await;
    }
    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        // an error says that the sender is gone, which is the end as well
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let routes = Router::new()
        .route("/health", get(health))
        .route("/entries", post(add))
        .route("/entries/count", get(count))
        .with_state(Ledger {
            pool: pool.clone(),
            schema: schema.clone(),
            motd: config.motd,
        });
    let web = tokio::spawn(
        axum::serve(http, routes)
            .with_graceful_shutdown(until(stopped.clone()))
            .into_future(),
    );
    let rpc = tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming_shutdown(tonic::transport::server::TcpIncoming::from(grpc), until(stopped)),
    );
    println!(
        "ledger {VERSION}: schema {schema}, http {}, grpc {}",
        config.listen, config.grpc
    );

    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    for name in ["", GRPC_SERVICE] {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
    let _ = stop.send(true);
    // a client that keeps its connection open must not keep a stopped server alive
    let drained = tokio::time::timeout(std::time::Duration::from_secs(3), async { (web.await, rpc.await) }).await;
    pool.close().await;
    if let Some(path) = &pid_file {
        let _ = std::fs::remove_file(path);
    }
    println!(
        "ledger {VERSION}: stopped{}",
        if drained.is_ok() { "" } else { ", connections cut" }
    );
    Ok(())
}

fn run(arguments: &[String]) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (config, pid_file) = match words[..] {
        ["--version"] => {
            println!("ledger {VERSION}");
            return Ok(());
        }
        ["--check-config", path] => {
            let config = Config::read(Path::new(path))?;
            println!("ledger {VERSION}: {path} is good, listens on {}", config.listen);
            return Ok(());
        }
        ["--config", config] => (config, None),
        ["--config", config, "--pid-file", pid_file] => (config, Some(PathBuf::from(pid_file))),
        _ => return Err(USAGE.to_owned()),
    };
    let config = Config::read(Path::new(config))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(serve(config, pid_file))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("ledger {VERSION}: {message}");
            ExitCode::FAILURE
        }
    }
}
