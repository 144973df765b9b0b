//! The first frame: what a host is.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Facts;

use super::text;

/// The text, and the reading of what it printed: facts without `state_dir`, and XDG_STATE_HOME.
pub(crate) fn facts() -> &'static str {
    text::FACTS
}

impl Facts {
    pub(crate) fn read(printed: &str) -> Option<(Facts, String)> {
        let mut facts = Facts {
            controller_clock: now(),
            ..Facts::default()
        };
        let mut xdg = String::new();
        for line in printed.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let value = value.trim();
            match key {
                "boot" => facts.boot_id = value.to_owned(),
                "home" => facts.home = value.to_owned(),
                "xdg" => xdg = value.to_owned(),
                "id" => {
                    // uid=1000(deploy) gid=…
                    let (uid, rest) = value.strip_prefix("uid=")?.split_once(['(', ' '])?;
                    facts.uid = uid.parse().ok()?;
                    facts.user = rest.split(')').next().unwrap_or("").to_owned();
                }
                "uname" => {
                    let mut words = value.split_whitespace();
                    facts.system = words.next()?.to_owned();
                    facts.kernel = words.next()?.to_owned();
                    facts.machine = words.next()?.to_owned();
                }
                "clock" => facts.clock = value.parse().ok()?,
                "systemd" => facts.systemd = true,
                "program" => facts.programs.push(value.to_owned()),
                "ID" => facts.os = value.trim_matches(['"', '\'']).to_owned(),
                "VERSION_ID" => facts.os_version = value.trim_matches(['"', '\'']).to_owned(),
                _ => {}
            }
        }
        (!facts.user.is_empty() || facts.clock != 0).then_some((facts, xdg))
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read() {
        let printed = "boot b-1\nhome /home/d\nxdg \nid uid=1000(deploy) gid=1000(deploy) groups=1000(deploy),4(adm)\nuname Linux 6.1.0 x86_64\nclock 1700000000\nprogram flock\nID=debian\nID debian\nVERSION_ID \"12\"\n";
        let (facts, xdg) = Facts::read(printed).unwrap();
        assert_eq!(
            (facts.uid, facts.user.as_str(), facts.machine.as_str()),
            (1000, "deploy", "x86_64")
        );
        assert_eq!((facts.os.as_str(), facts.os_version.as_str()), ("debian", "12"));
        assert_eq!((facts.programs, xdg.as_str()), (vec!["flock".to_owned()], ""));
    }
}
