//! Which process drives, and whether it still lives.

use crate::event::Controller;

/// This process.
pub(crate) fn this_controller() -> Controller {
    let pid = std::process::id();
    Controller {
        user: std::env::var("USER")
            .ok()
            .filter(|user| !user.is_empty())
            .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw())),
        machine: line("/proc/sys/kernel/hostname"),
        pid,
        boot: boot(),
        start_time: process(pid).map_or(0, |(_, start)| start),
    }
}

/// Does this controller live on this machine? Pid and start time name it, and only within one boot.
pub(crate) fn lives(controller: &Controller) -> bool {
    if controller.boot != boot() {
        return false;
    }
    match process(controller.pid) {
        Some((state, start)) => start == controller.start_time && !matches!(state, 'Z' | 'X' | 'x'),
        None => false,
    }
}

fn line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

fn boot() -> String {
    line("/proc/sys/kernel/random/boot_id")
}

/// State and start time of a process.
fn process(pid: u32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold spaces and parentheses itself.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}
