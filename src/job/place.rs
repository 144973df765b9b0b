//! The state folder: where it is, whether it may be used, who holds it.

use super::Facts;
use crate::id::RunId;

use super::text;

/// `/var/lib/refit` for root, else `${XDG_STATE_HOME:-~/.local/state}/refit`.
pub(crate) fn default_state_dir(facts: &Facts, xdg: &str) -> String {
    if facts.uid == 0 {
        "/var/lib/refit".to_owned()
    } else if xdg.starts_with('/') {
        format!("{}/refit", xdg.trim_end_matches('/'))
    } else {
        format!("{}/.local/state/refit", facts.home.trim_end_matches('/'))
    }
}

/// An absolute path that stands in shell text without quotes.
pub(crate) fn good_path(path: &str) -> bool {
    path.len() > 1
        && path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte))
        && !path.split('/').any(|part| part == ".." || part == ".")
        && !path.contains("//")
        && !path.ends_with('/')
}

/// The text that looks at `state_dir` and changes nothing.
pub(crate) fn look(nonce: &str, state_dir: &str) -> String {
    format!("N={nonce}\n{}S={state_dir}\n{}", text::FUNCTIONS, text::LOOK)
}

/// The owner file: run, epoch, since (host's clock) and controller.
pub(crate) struct Owner {
    pub(crate) run: RunId,
    pub(crate) epoch: i64,
    pub(crate) since: i64,
    pub(crate) controller: String,
}

pub(crate) fn owner(text: &str) -> Option<Owner> {
    let mut lines = text.lines();
    let words: Vec<&str> = lines.next()?.split(' ').collect();
    let [run, epoch, since, _pid, _group, _start, _boot, _instance, "end"] = words[..] else {
        return None;
    };
    Some(Owner {
        run: RunId::stored(run),
        epoch: epoch.parse().ok()?,
        since: since.parse().ok()?,
        controller: lines.next().unwrap_or("").to_owned(),
    })
}

/// What was read about a folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The folder's real path, whether or not it exists.
    pub(crate) real: String,
    pub(crate) machine: String,
    pub(crate) free: u64,
    pub(crate) problems: Vec<String>,
}

/// Reads the sections `place parents df mounts writable`, in that order.
pub(crate) fn place(uid: u32, place: &str, parents: &str, df: &str, mounts: &str, writable: bool) -> Place {
    let mut lines = place.split('\n');
    let mut next = || lines.next().unwrap_or("").to_owned();
    let (base, rest, machine, _boot, wanted) = (next(), next(), next(), next(), next());
    let mut found = Place {
        real: format!("{}{rest}", base.trim_end_matches('/')),
        machine,
        ..Place::default()
    };
    let mut problems = Vec::new();
    if base.is_empty() {
        problems.push(format!("{wanted} cannot be entered"));
    }
    for line in parents.lines() {
        judge_parent(line, uid, &wanted, &mut problems);
    }
    found.free = df
        .lines()
        .last()
        .and_then(|line| line.split_whitespace().nth(3))
        .and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024);
    if let Some((filesystem, options)) = mount_of(mounts, &found.real) {
        let network = [
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "9p",
            "fuse.sshfs",
            "ceph",
            "glusterfs",
        ];
        if filesystem == "tmpfs" || filesystem == "ramfs" {
            problems.push(format!("{wanted} is on {filesystem} and would be gone after a reboot"));
        } else if network.contains(&filesystem.as_str()) {
            problems.push(format!(
                "{wanted} is on {filesystem}; it must be a file system of the host itself"
            ));
        }
        if options.split(',').any(|option| option == "ro") {
            problems.push(format!("{wanted} is on a read-only file system"));
        } else if !writable {
            problems.push(format!("{wanted} cannot be written by this account"));
        }
        if options.split(',').any(|option| option == "noexec") {
            problems.push(format!("{wanted} is on a file system mounted noexec"));
        }
    } else if !writable {
        problems.push(format!("{wanted} cannot be written by this account"));
    }
    found.problems = problems;
    found
}

/// One line of `ls -ldn`.
fn judge_parent(line: &str, uid: u32, wanted: &str, problems: &mut Vec<String>) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (Some(mode), Some(owner), Some(at)) = (words.first(), words.get(2), line.find(" /")) else {
        return;
    };
    let path = line[at + 1..].split(" -> ").next().unwrap_or("").to_owned();
    let own = path == wanted;
    let bits: Vec<char> = mode.chars().collect();
    let bit = |index: usize| bits.get(index).copied().unwrap_or('-');
    let owner: u32 = owner.parse().unwrap_or(u32::MAX);
    if own && bit(0) == 'l' {
        problems.push(format!(
            "{path} is a symbolic link; name the folder itself in refit_state_dir"
        ));
        return;
    }
    if own && owner != uid {
        problems.push(format!(
            "{path} belongs to uid {owner}, not to the account that would use it"
        ));
    } else if !own && owner != uid && owner != 0 {
        problems.push(format!("{path}, above the state folder, belongs to uid {owner}"));
    }
    let sticky = matches!(bit(9), 't' | 'T');
    if bit(0) == 'd' && bit(8) == 'w' && (own || !sticky) {
        problems.push(format!("others may write to {path}"));
    }
}

/// Type and options of the mount that a path lies on.
fn mount_of(mounts: &str, path: &str) -> Option<(String, String)> {
    let mut best: Option<(usize, String, String)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(point), Some(kind), Some(options)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let inside =
            point == "/" || path == point || path.strip_prefix(point).is_some_and(|rest| rest.starts_with('/'));
        // The last mount on a place hides those before it.
        if inside && best.as_ref().is_none_or(|(length, ..)| point.len() >= *length) {
            best = Some((point.len(), kind.to_owned(), options.to_owned()));
        }
    }
    best.map(|(_, kind, options)| (kind, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "overlay / overlay rw,relatime 0 0\ntmpfs /run tmpfs rw,nosuid 0 0\n/dev/sdb /srv ext4 ro,noexec 0 0\nhost:/x /home nfs4 rw 0 0\n";

    fn problems(path: &str, parents: &str) -> String {
        place(1000, &format!("{path}\n\nm\nb\n{path}"), parents, "", MOUNTS, true)
            .problems
            .join("; ")
    }

    #[test]
    fn folders_that_will_not_do_are_told() {
        let own = |path: &str| format!("drwx--x--x 2 1000 1000 4096 Jan  1 00:00 {path}\n");
        assert_eq!(problems("/var/x", &own("/var/x")), "");
        assert!(problems("/run/x", &own("/run/x")).contains("gone after a reboot"));
        assert!(problems("/home/x", &own("/home/x")).contains("nfs4"));
        let both = problems("/srv/x", &own("/srv/x"));
        assert!(both.contains("read-only") && both.contains("noexec"), "{both}");
        let line = |mode: &str, uid: u32, path: &str| format!("{mode} 2 {uid} 0 4096 Jan  1 00:00 {path}\n");
        assert!(problems("/var/x", &line("drwxr-xr-x", 7, "/var/x")).contains("belongs to uid 7"));
        assert!(problems("/var/x", &line("drwxrwxrwx", 0, "/var")).contains("others may write to /var"));
        assert_eq!(problems("/tmp/x", &line("drwxrwxrwt", 0, "/tmp")), "");
        assert!(problems("/var/x", &line("lrwxrwxrwx", 1000, "/var/x -> /y")).contains("symbolic link"));
    }

    #[test]
    fn paths_stand_in_shell_text_as_they_are() {
        assert!(good_path("/var/lib/refit"));
        for bad in [
            "", "/", "var", "/a b", "/a/../b", "/a;b", "/a'b", "/a$b", "/a//b", "/a/",
        ] {
            assert!(!good_path(bad), "{bad}");
        }
    }
}
