//! Frames of jobs, put together and read.

use std::fmt::Write;
use std::time::Duration;

use indexmap::IndexMap;

use super::{Job, Output, Probe};
use crate::id::{JobId, RunId};

use super::{JobState, Part, Start, text};

/// The most of one stream that comes back: the first half of it and the last.
pub(crate) const OUTPUT_LIMIT: usize = 256 << 10;

/// Shells will not let these be set.
const READ_ONLY: &[&str] = &["PPID", "UID", "EUID", "BASHOPTS", "SHELLOPTS", "BASH_VERSINFO"];

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Refuses what cannot be sent: NUL, names that are no shell variables.
fn exports(environment: &IndexMap<String, String>) -> Result<String, String> {
    let mut exports = String::new();
    for (name, value) in environment {
        let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good || READ_ONLY.contains(&name.as_str()) {
            return Err(format!(
                "`{}` cannot be the name of an environment variable",
                name.escape_debug()
            ));
        }
        if value.contains('\0') {
            return Err(format!("the environment variable {name} holds a NUL byte"));
        }
        let _ = write!(exports, "export {name}={}; ", quote(value));
    }
    Ok(exports)
}

fn script(script: &str) -> Result<String, String> {
    if script.contains('\0') {
        return Err("the script holds a NUL byte".to_owned());
    }
    Ok(quote(script))
}

/// A probe in a subshell of its own: a syntax error, an `exit` or an exported variable harms nothing else.
pub(crate) fn probe(nonce: &str, index: usize, probe: &Probe) -> Result<String, String> {
    Ok(format!(
        "( umask $um; {}eval {} ) </dev/null 9>&-; printf '\\n\\036%s rc {index} %d\\n' {nonce} $?; printf '\\n\\036%s err {index}\\n' {nonce} >&2\n",
        exports(&probe.environment)?,
        script(&probe.script)?
    ))
}

/// The host lock, taken by the shell that runs this.
#[allow(clippy::too_many_arguments)]
pub(crate) fn lock(
    nonce: &str,
    state_dir: &str,
    run: &RunId,
    epoch: i64,
    instance: &str,
    controller: &str,
    takeover: bool,
    new_id: &str,
    others: &[u32],
) -> String {
    let controller: String = controller
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let others: Vec<String> = others.iter().map(u32::to_string).collect();
    format!(
        "N={nonce}\n{}S={state_dir} run={} ep={epoch} inst={instance} ctl={} take={} newid={new_id} others='{}'\n{}{}",
        text::FUNCTIONS,
        quote(run.as_str()),
        quote(&controller),
        i32::from(takeover),
        others.join(" "),
        text::LOCK,
        text::JOBS,
    )
}

pub(crate) fn unlock(nonce: &str) -> String {
    format!("N={nonce}\n{}", text::UNLOCK)
}

/// What another account than the lock's holder needs: its folder, and the fence that the holder keeps for it.
pub(crate) fn join(nonce: &str, folder: &str, fence: &str, epoch: i64) -> String {
    format!(
        "N={nonce}\n{}A={folder} FENCE={fence} ep={epoch}\n{}{}",
        text::FUNCTIONS,
        text::JOIN,
        text::JOBS
    )
}

/// Ids stand in shell text and file names as they are.
pub(crate) fn good_id(id: &JobId) -> bool {
    let id = id.as_str();
    id.len() <= 128
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Starts jobs in order; each is reported as sections `out`, `err`, `job INDEX STATE`.
pub(crate) fn jobs(nonce: &str, parts: &[Part<'_>]) -> Result<String, String> {
    let mut frame = format!("N={nonce} CAP={} stop=\n", OUTPUT_LIMIT + 1);
    let mut index = 0;
    for some in parts.chunk_by(|a, b| matches!((a, b), (Part::Job(_), Part::Job(_)))) {
        frame.push_str("if [ -z \"$stop\" ]; then\n");
        match some {
            [Part::Look(probe)] => look(&mut frame, index, probe)?,
            jobs => supervised(&mut frame, &nonce[..8], index, jobs)?,
        }
        frame.push_str("fi\n");
        index += some.len();
    }
    Ok(frame)
}

fn look(frame: &mut String, index: usize, probe: &Probe) -> Result<(), String> {
    let _ = writeln!(
        frame,
        r#"e=$A/.looked; {{ printf '' >"$e"; }} 2>/dev/null || e=/dev/null
( umask $um; {}eval {} ) </dev/null 2>"$e" 9>&-; rc=$?; mark out
[ -s "$e" ] && show "$e" b; mark err
mark job {index} "DONE $rc -"; [ $rc = 0 ] || stop=1"#,
        exports(&probe.environment)?,
        script(&probe.script)?
    );
    Ok(())
}

fn supervised(frame: &mut String, word: &str, first: usize, jobs: &[Part<'_>]) -> Result<(), String> {
    let mut program = text::SUPERVISOR.to_owned();
    let mut ids = String::new();
    for part in jobs {
        if let Part::Job(start) = part {
            one(&mut program, start)?;
            let _ = write!(ids, " {} -{}", start.id.as_str(), brief(start.job));
        }
    }
    let _ = writeln!(
        frame,
        r#"if [ -n "$locked" ]; then
printf %s {program} | "$SETSID" /bin/sh -s "$A" "$boot" "$ep" "$FENCE" "$FLOCK" "$TIMEOUT" "$um" {word} 2>/dev/null 9>&- | relay {first}{ids} || stop=1
else mark job {first} "REFUSED the lock is not held"; stop=1; fi"#,
        program = quote(&program),
    );
    Ok(())
}

fn one(program: &mut String, start: &Start<'_>) -> Result<(), String> {
    let job = start.job;
    for (sha, text) in &start.files {
        let _ = writeln!(program, "file {sha} {}", quote(text));
    }
    let id = start.id.as_str();
    let go_on: Vec<String> = start.go_on.iter().map(i32::to_string).collect();
    let exports = format!(
        "export REFIT_JOB={id} REFIT_STATE=\"$_A\" REFIT_UPLOADS=\"$_A/uploads\"; {}",
        exports(&job.environment)?
    );
    let _ = writeln!(
        program,
        "job {id} '{}' '{}' '{}' {} {}",
        go_on.join(" "),
        job.timeout.map_or(String::new(), seconds),
        brief(job),
        quote(&exports),
        script(&job.script)?,
    );
    Ok(())
}

fn brief(job: &Job) -> &'static str {
    if job.brief { "b" } else { "" }
}

fn seconds(limit: Duration) -> String {
    (limit.as_secs() + u64::from(limit.subsec_nanos() > 0))
        .max(1)
        .to_string()
}

pub(crate) fn status(nonce: &str, ids: &[JobId]) -> String {
    let mut frame = format!("N={nonce} CAP={}\n", OUTPUT_LIMIT + 1);
    for (index, id) in ids.iter().enumerate() {
        let _ = writeln!(frame, "status {id}; report {index} {id}");
    }
    frame
}

/// Waits for the end of a job, `seconds` at most.
pub(crate) fn wait(nonce: &str, id: &JobId, seconds: u64) -> String {
    format!(
        "N={nonce} CAP={}\n{}wait_for {id} {seconds}; report 0 {id}\n",
        OUTPUT_LIMIT + 1,
        text::WAIT
    )
}

pub(crate) fn ack(nonce: &str, ids: &[JobId]) -> String {
    let mut frame = format!("N={nonce}; set --\n");
    // One process removes the files of many jobs, as far as their names fit into its arguments.
    for some in ids.chunks(64) {
        for id in some {
            let _ = writeln!(frame, "J=$A/jobs/{id}; {}", text::ACK);
        }
        let _ = writeln!(frame, "{}", text::FREE);
    }
    frame
}

/// Size and last part of one stream of a job: sections `size`, `tail`.
pub(crate) fn tail(nonce: &str, id: &JobId, stream: &str) -> String {
    format!(
        "N={nonce}\nwc -c <\"$A/jobs/{id}.{stream}\"; mark size\ntail -c {} \"$A/jobs/{id}.{stream}\"; mark tail\n",
        OUTPUT_LIMIT / 2
    )
}

/// Reads the words after `job INDEX`. `None`: fenced.
pub(crate) fn state(words: &str, stdout: Vec<u8>, stderr: Vec<u8>) -> Option<JobState> {
    let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
    Some(match word {
        "DONE" => {
            let (rc, late) = rest.split_once(' ').unwrap_or((rest, "-"));
            match rc.parse() {
                Ok(rc) => JobState::Done {
                    output: Output {
                        rc,
                        stdout: text(stdout),
                        stderr: text(stderr),
                    },
                    late: late == "late",
                },
                Err(_) => JobState::Corrupt(format!("the result holds no exit code: {rest}")),
            }
        }
        "NONE" => JobState::None,
        "RUNNING" => JobState::Running,
        "ORPHAN" => JobState::OrphanRunning,
        "INTERRUPTED" => JobState::Interrupted {
            reboot: rest == "reboot",
        },
        "REFUSED" => JobState::Refused(rest.to_owned()),
        "FENCED" => return None,
        _ => JobState::Corrupt(if rest.is_empty() { words } else { rest }.to_owned()),
    })
}

fn text(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}
