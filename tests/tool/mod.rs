//! Schemas by Temporal's own tools, on hosts behind real sshd, against real databases.
//!
//! PostgreSQL runs with the other tests where temporal-sql-tool is built (tests/lab/temporal/build.sh). Cassandra takes
//! minutes and Java: `tests/lab/cassandra-test.sh`.

mod cassandra;
mod mysql;
mod postgres;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::fleet::Fleet;

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab");

/// The folder of a release that tests/lab/temporal/build.sh built. None, with a word of it, where it is not; CI builds it.
fn release(version: &str) -> Option<PathBuf> {
    let build = format!("{LAB}/temporal/build.sh");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    let folder = cache.join("refit-lab/temporal").join(version);
    let built = |tool: &str| folder.join("bin").join(tool).exists();
    let forced = std::env::var_os("CI").is_some() || std::env::var_os("REFIT_TEST_TEMPORAL").is_some();
    if !(built("temporal-sql-tool") && built("temporal-cassandra-tool")) {
        if !forced {
            eprintln!("skipped: temporal-sql-tool {version} is not built; {build} {version}");
            return None;
        }
        let output = Command::new("bash").args([&build, version]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Some(folder)
}

/// KEY=VALUE lines of a lab's script. None, with its words, where it cannot run here (a failure where it is asked for).
fn facts(script: &str, args: &[&str], environment: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    let output = Command::new("bash")
        .arg(format!("{LAB}/{script}"))
        .args(args)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => {}
        Some(77) => {
            let forced = std::env::var_os("CI").is_some() || std::env::var_os("REFIT_TEST_TEMPORAL").is_some();
            assert!(!forced, "{words}");
            eprintln!("skipped: {}", words.trim());
            return None;
        }
        _ => panic!("{script} {args:?}: {words}"),
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Some(
        text.lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    )
}

/// Runs a program to its end; what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// Waits for something that a database may take long for.
#[track_caller]
fn wait(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(120), "waited 120 s for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The process of a tool that works on this database; 0 where there is none.
fn process_of(program: &Path, database: &str) -> u32 {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let has = |word: &[u8]| words.contains(&word);
        if words.first() == Some(&program.as_os_str().as_encoded_bytes())
            && has(database.as_bytes())
            && has(b"update-schema")
            && has(b"-v")
        {
            return pid;
        }
    }
    0
}

/// The log that the tool's last job left on a host.
fn log_of(fleet: &Fleet, host: &str) -> String {
    let output = Command::new("find")
        .arg(fleet.root(host))
        .args(["-name", "*.tool.log", "-printf", "%T@ %p\\n"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let newest = text.lines().max().unwrap_or_default();
    newest
        .split_once(' ')
        .map(|(_, path)| std::fs::read_to_string(path).unwrap())
        .unwrap_or_default()
}
