//! Processes by their ids.

use rustix::process::{Pid, Signal, kill_process};

fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    found
}

/// Every process below this one.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = children(pid);
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}

/// The ssh processes that a controller started.
pub(crate) fn ssh_of(pid: u32) -> Vec<u32> {
    let is_ssh =
        |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "ssh");
    descendants(pid).into_iter().filter(is_ssh).collect()
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// A controller and all that it started on this side.
pub(crate) fn kill_tree(pid: u32) {
    let all = descendants(pid);
    kill(pid);
    all.into_iter().for_each(kill);
}
