//! Services that are real processes, and a systemctl that is a script with systemd's answers.

use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::{KIND, Service, decode};
use crate::kind::trial::{Host, Place, diff, is_same, params};
use crate::kind::{Done, Failure, ShellAction};

/// Ends what a test started, whatever becomes of it.
struct Site {
    host: Host,
    place: Place,
}

impl Drop for Site {
    fn drop(&mut self) {
        for pid in self.host.read("pids").lines().chain(self.host.read("pid").lines()) {
            if pid.trim().parse::<u32>().is_ok() {
                let _ = Command::new("kill").args(["-9", pid.trim()]).output();
            }
        }
    }
}

impl Site {
    fn all() -> Vec<Site> {
        Host::all().into_iter().map(Site::on).collect()
    }

    fn on(host: Host) -> Site {
        let place = Place::new("swap", host.folder.path());
        Site { host, place }
    }

    fn commands(&self) -> Json {
        let folder = self.host.folder.path().display().to_string();
        json!({
            "start": format!("cd {folder} && {{ ./daemon >/dev/null 2>&1 & echo $! >pid; echo $! >>pids; }}"),
            "stop": format!("kill $(cat {folder}/pid)"),
            "status": format!("kill -0 $(cat {folder}/pid)"),
            "pid": format!("cat {folder}/pid"),
        })
    }

    fn given(&self, state: &str) -> Json {
        json!({"name": "daemon", "state": state, "manager": "commands", "commands": self.commands()})
    }

    fn sleeper(&self) {
        self.host.write("daemon", "#!/bin/sh\nexec sleep 300\n", 0o755);
    }

    fn action(&self, given: &Json, limit: u32) -> Service {
        let params = params(&KIND, given).expect("parameters");
        let mut service = self
            .place
            .with(|context| decode(&params, context))
            .unwrap_or_else(|found| panic!("{found:?}"));
        service.limit = limit;
        service
    }

    fn run(&self, given: &Json) -> Result<Done, Failure> {
        self.host.apply(&self.action(given, 3))
    }

    fn done(&self, given: &Json) -> Done {
        self.run(given).unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    fn same(&self, given: &Json) -> bool {
        is_same(&self.host.check(&self.action(given, 3)))
    }

    fn pid(&self) -> String {
        self.host.read("pid").trim().to_owned()
    }
}

fn message(result: Result<Done, Failure>) -> String {
    match result {
        Ok(done) => panic!("it was done: {:?}", done.result),
        Err(failure) => failure.message,
    }
}

fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn commands_start_stop_and_restart_a_real_process() {
    for site in Site::all() {
        site.sleeper();
        let (started, stopped, restarted) = (site.given("started"), site.given("stopped"), site.given("restarted"));
        assert!(site.same(&stopped) && !site.same(&started));
        let done = site.done(&started);
        let first = site.pid();
        assert!(done.changed && alive(&first));
        assert_eq!(
            done.result,
            json!({"name": "daemon", "state": "started", "pid": first.parse::<u32>().expect("pid")})
        );
        assert!(site.same(&started));
        assert!(!site.done(&started).changed);
        assert_eq!(site.pid(), first);

        assert!(diff(site.host.check(&site.action(&restarted, 3))).contains("daemon: active -> restarted"));
        assert!(site.done(&restarted).changed);
        let second = site.pid();
        assert!(second != first && alive(&second) && !alive(&first));

        assert!(site.done(&stopped).changed);
        assert!(!alive(&second) && site.same(&stopped));
        assert!(!site.done(&stopped).changed);
        assert!(site.done(&restarted).changed, "a restart starts what does not run");
    }
}

#[test]
fn a_daemon_holds_nothing_of_the_job() {
    let mut site = Site::on(Host::new());
    site.sleeper();
    let lock = site.host.write("lock", "", 0o600);
    site.host.before = format!("umask 077\nexec 7>>{lock} 9>>{lock}\n");
    site.done(&site.given("started"));
    let pid = site.pid();
    let held: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("fd")
        .map(|entry| entry.expect("entry").path())
        // Above 9 is what this test itself was given.
        .filter(|fd| fd.file_name().is_some_and(|name| name.len() == 1))
        .map(|fd| std::fs::read_link(fd).expect("link").display().to_string())
        .collect();
    assert!(held.iter().all(|path| path == "/dev/null"), "{held:?}");
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).expect("environ");
    assert!(!environment.contains("REFIT_"), "{environment:?}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    assert!(status.contains("Umask:\t0022"), "{status}");
}

#[test]
fn a_start_that_does_not_return_does_not_hang() {
    let site = Site::on(Host::new());
    site.sleeper();
    let mut given = site.given("started");
    given["commands"]["start"] = format!(
        "cd {0}; echo $$ >pid; echo $$ >>pids; exec ./daemon",
        site.host.folder.path().display()
    )
    .into();
    assert!(site.done(&given).changed);
    assert!(alive(&site.pid()));
    assert!(site.done(&site.given("stopped")).changed);
}

#[test]
fn a_start_that_fails_shows_what_it_said() {
    for site in Site::all() {
        let mut given = site.given("started");
        given["commands"]["start"] = "echo no such database >&2; exit 7".into();
        given["commands"]["status"] = "echo not yet; false".into();
        let failure = message(site.run(&given));
        assert!(
            failure.starts_with("service daemon: start ended with exit status 7"),
            "{failure}"
        );
        assert!(
            failure.contains("no such database") && failure.contains("not yet"),
            "{failure}"
        );
        given["commands"]["start"] = "true".into();
        let failure = message(site.run(&given));
        assert!(
            failure.starts_with("service daemon: not running after 3 s (pid printed no process)"),
            "{failure}"
        );
    }
}

#[test]
fn a_service_that_ends_at_once_is_not_started() {
    let site = Site::on(Host::new());
    site.host.write("daemon", "#!/bin/sh\nsleep 0.6\n", 0o755);
    let failure = message(site.run(&site.given("started")));
    assert!(failure.contains("it ended at once"), "{failure}");
}

#[test]
fn a_service_that_does_not_stop_is_a_failure() {
    let site = Site::on(Host::new());
    site.host
        .write("daemon", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n", 0o755);
    site.done(&site.given("started"));
    let pid = site.pid();
    let failure = message(site.run(&site.given("restarted")));
    assert!(
        failure.starts_with("service daemon: not stopped after 3 s"),
        "{failure}"
    );
    assert!(alive(&pid));
}

#[test]
fn the_old_executable_is_found_after_a_restart() {
    for site in Site::all() {
        let releases = site.host.at("state/releases/tool");
        for release in ["1.0-000000000000", "1.1-000000000000"] {
            std::fs::create_dir_all(releases.join(release).join("bin")).expect("folder");
            std::fs::copy("/bin/sleep", releases.join(release).join("bin/tool")).expect("copy");
        }
        let flip = |to: &str| {
            let _ = std::fs::remove_file(releases.join("current"));
            std::os::unix::fs::symlink(to, releases.join("current")).expect("link");
        };
        flip("1.0-000000000000");
        let mut given = site.given("restarted");
        let start = |tool: String| {
            format!(
                "cd {0}; {tool} 300 >/dev/null 2>&1 & echo $! >{0}/pid; echo $! >>{0}/pids",
                site.host.folder.path().display()
            )
        };
        given["commands"]["start"] = start(releases.join("current/bin/tool").display().to_string()).into();
        site.done(&given);

        // Its start line names the old release, whatever `current` is.
        flip("1.1-000000000000");
        given["commands"]["start"] = start(releases.join("1.0-000000000000/bin/tool").display().to_string()).into();
        let failure = message(site.run(&given));
        assert!(failure.starts_with("daemon still runs the old executable"), "{failure}");
        assert!(
            failure.contains("runs release 1.0-000000000000 of tool, and 1.1-000000000000 is current"),
            "{failure}"
        );
        site.done(&site.given("stopped"));

        // Its file was replaced between start and look.
        let file = site.host.at("plain");
        std::fs::copy("/bin/sleep", &file).expect("copy");
        given["commands"]["start"] = format!(
            "{}; sleep 0.3; rm {}",
            start(file.display().to_string()),
            file.display()
        )
        .into();
        let failure = message(site.run(&given));
        assert!(failure.contains("which was replaced"), "{failure}");
    }
}

#[test]
fn a_service_of_an_unprivileged_user_is_restarted() {
    if !crate::kind::trial::root() {
        eprintln!("skipped: needs root");
        return;
    }
    let site = Site::on(Host::new());
    site.sleeper();
    let mut given = site.given("restarted");
    given["commands"]["start"] = format!(
        "cd {0}; setpriv --reuid=65534 --regid=65534 --clear-groups ./daemon >/dev/null 2>&1 & echo $! >{0}/pid; echo $! >>{0}/pids",
        site.host.folder.path().display()
    )
    .into();
    site.done(&given);
    let status = std::fs::read_to_string(format!("/proc/{}/status", site.pid())).expect("status");
    assert!(status.contains("Uid:\t65534"), "{status}");
    let own = Command::new("true").uid(65534).status().expect("true");
    assert!(own.success());
}

/// `systemctl` with one unit, whose state stands in a file.
const SYSTEMCTL: &str = r#"#!/bin/sh
d=${0%/*}
echo "$*" >>$d/calls
. $d/unit
save() { printf 'load=%s active=%s unit=%s inv=%s pid=%s\n' "$load" "$active" "$unit" "$inv" "$pid" >$d/unit; }
case $1 in
  show) printf 'LoadState=%s\nActiveState=%s\nSubState=x\nUnitFileState=%s\nInvocationID=%s\nMainPID=%s\nType=simple\nNRestarts=0\n' "$load" "$active" "$unit" "$inv" "$pid" ;;
  start | restart) [ ! -e $d/broken ] || { active=failed; save; echo "Job for x failed." >&2; exit 1; }
    [ -e $d/stuck ] || inv=$((inv + 1)); active=active; save
    ( [ ! -e $d/flaps ] || { sleep 0.5; active=activating; save; } ) >/dev/null 2>&1 & ;;
  stop) active=inactive; save ;;
  enable) unit=enabled; save ;;
  disable) unit=disabled; save ;;
  reload) ;;
  status) echo "x.service - broken thing" ;;
esac
"#;

impl Site {
    fn systemd(unit: &str) -> Site {
        let mut site = Site::on(Host::new());
        site.host.write("fake/systemctl", SYSTEMCTL, 0o755);
        site.host
            .write("fake/journalctl", "#!/bin/sh\necho panic: no database\n", 0o755);
        site.host.write("fake/unit", unit, 0o644);
        site.host.path = format!("{}:{}", site.host.text("fake"), site.host.path);
        site
    }

    fn calls(&self) -> Vec<String> {
        let calls = self.host.read("fake/calls");
        let _ = std::fs::remove_file(self.host.at("fake/calls"));
        calls
            .lines()
            .filter(|call| !call.starts_with("show"))
            .map(str::to_owned)
            .collect()
    }

    /// The fake writes down its calls, which is no change of the host.
    fn verdict(&self, given: &Json) -> Result<crate::kind::Verdict, Failure> {
        let action = self.action(given, 3);
        let probe = action.check(&self.host.facts).expect("a probe");
        action.judge(&self.host.run(&probe.script, &probe.environment))
    }
}

#[test]
fn systemd_is_asked_and_told() {
    let site = Site::systemd("load=loaded active=inactive unit=disabled inv=1 pid=0\n");
    let given = json!({"name": "x", "state": "started", "enabled": true});
    let text = diff(site.verdict(&given));
    assert_eq!(text, "x: inactive -> started\nx: disabled -> enabled\n");
    assert!(site.calls().is_empty(), "a check only asks");
    assert!(site.done(&given).changed);
    assert_eq!(site.calls(), ["enable -- x", "start -- x"]);
    assert!(is_same(&site.verdict(&given)));
    assert!(!site.done(&given).changed);
    assert!(site.done(&json!({"name": "x", "state": "restarted"})).changed);
    assert!(site.done(&json!({"name": "x", "state": "reloaded"})).changed);
    assert!(site.done(&json!({"name": "x", "enabled": false})).changed);
    assert!(site.done(&json!({"name": "x", "state": "stopped"})).changed);
    assert_eq!(
        site.calls(),
        ["restart -- x", "reload -- x", "disable -- x", "stop -- x"]
    );
    assert!(is_same(
        &site.verdict(&json!({"name": "x", "state": "stopped", "enabled": false}))
    ));
}

#[test]
fn a_unit_that_fails_is_shown_with_its_journal() {
    let site = Site::systemd("load=loaded active=active unit=enabled inv=1 pid=0\n");
    let restart = json!({"name": "x", "state": "restarted"});
    site.host.write("fake/broken", "", 0o644);
    let failure = message(site.run(&restart));
    assert!(failure.starts_with("service x: systemctl restart failed"), "{failure}");
    for part in ["Job for x failed.", "x.service - broken thing", "panic: no database"] {
        assert!(failure.contains(part), "{failure}");
    }
    std::fs::remove_file(site.host.at("fake/broken")).expect("remove");
    site.host.write("fake/stuck", "", 0o644);
    let failure = message(site.run(&restart));
    assert!(
        failure.starts_with("service x: not active after 3 s"),
        "the old invocation is no restart: {failure}"
    );
    std::fs::remove_file(site.host.at("fake/stuck")).expect("remove");
    site.host.write("fake/flaps", "", 0o644);
    let failure = message(site.run(&restart));
    assert!(failure.contains("it did not stay active (activating"), "{failure}");
}

#[test]
fn a_unit_that_is_not_there_is_an_error_of_the_job() {
    let site = Site::systemd("load=not-found active=inactive unit= inv= pid=0\n");
    for state in ["started", "stopped"] {
        let given = json!({"name": "x", "state": state});
        assert!(diff(site.verdict(&given)).contains("no such unit yet"));
        assert_eq!(message(site.run(&given)), "there is no unit x on this host");
    }
}

#[test]
fn a_main_process_with_the_old_executable_is_a_failure_under_systemd() {
    let old = tempfile::tempdir().expect("folder");
    std::fs::copy("/bin/sleep", old.path().join("tool")).expect("copy");
    let mut running = Command::new(old.path().join("tool")).arg("60").spawn().expect("sleep");
    std::fs::remove_file(old.path().join("tool")).expect("remove");
    let site = Site::systemd(&format!(
        "load=loaded active=active unit=enabled inv=1 pid={}\n",
        running.id()
    ));
    let result = site.run(&json!({"name": "x", "state": "restarted"}));
    let untouched = site.run(&json!({"name": "x", "state": "started"}));
    running.kill().expect("kill");
    running.wait().expect("wait");
    assert!(message(result).contains("x still runs the old executable"));
    assert!(
        untouched.is_ok_and(|done| !done.changed),
        "nothing was started, so nothing is compared"
    );
}

#[test]
fn mistakes_are_named() {
    let site = Site::on(Host::new());
    let cases = [
        (json!({"name": "x"}), "`service` needs `state`"),
        (json!({"name": "-x", "state": "started"}), "`name` can hold only"),
        (
            json!({"name": "x", "state": "running"}),
            "`state` cannot be `running`: one of started",
        ),
        (
            json!({"name": "x", "state": "started", "manager": "commands"}),
            "needs `commands`",
        ),
        (
            json!({"name": "x", "state": "started", "commands": {"start": "a", "stop": "b", "status": "c"}}),
            "`commands` needs `manager: commands`",
        ),
        (
            json!({"name": "x", "state": "started", "manager": "commands", "commands": {"start": "a", "stop": "b"}}),
            "`commands` of `service` needs `status`",
        ),
        (
            json!({"name": "x", "state": "reloaded", "manager": "commands", "commands": {"start": "a", "stop": "b", "status": "c"}}),
            "`state: reloaded` needs `manager: systemd`",
        ),
        (
            json!({"name": "x", "state": "started", "daemon_reload": true}),
            "known, not built yet",
        ),
    ];
    for (given, wanted) in cases {
        let found = site.place.lint(&KIND, &given);
        assert!(
            found.iter().any(|message| message.contains(wanted)),
            "{given}: {found:?}"
        );
    }
}
