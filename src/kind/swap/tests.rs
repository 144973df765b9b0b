//! Swaps on folders that stand for hosts, by the shells of this machine.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::KIND;
use crate::kind::trial::{Host, Place, diff, is_same, root};
use crate::kind::{Done, Failure, Kind, ShellAction, Verdict};

const TOOL: &str = "#!/bin/sh\necho tool ";

struct Site {
    host: Host,
    place: Place,
}

impl Site {
    fn all() -> Vec<Site> {
        Host::all().into_iter().map(Site::on).collect()
    }

    fn new() -> Site {
        Site::on(Host::new())
    }

    fn on(host: Host) -> Site {
        let place = Place::new("swap", host.folder.path());
        Site { host, place }
    }

    fn files(&self, version: &str) -> Json {
        let tool = self
            .host
            .write(&format!("src/tool-{version}"), &format!("{TOOL}{version}\n"), 0o755);
        json!([
            {"dest": self.host.text("bin/tool"), "src": tool},
            {"dest": self.host.text("etc/tool.conf"), "content": format!("version {version}\n"), "mode": "0640"},
        ])
    }

    fn given(&self, version: &str) -> Json {
        json!({"name": "tool", "version": version, "files": self.files(version)})
    }

    fn action(&self, given: &Json) -> Box<dyn ShellAction> {
        self.place.shell(&KIND, given)
    }

    fn run(&self, given: &Json) -> Result<Done, Failure> {
        self.host.apply(&*self.action(given))
    }

    /// Applies, and expects that a second run finds nothing to do.
    fn settle(&self, given: &Json) -> Done {
        let action = self.action(given);
        let done = self
            .host
            .apply(&*action)
            .unwrap_or_else(|failure| panic!("{}", failure.message));
        let again = self.host.check(&*action);
        assert!(is_same(&again), "a second check of {given}: {again:?}");
        let second = self
            .host
            .apply(&*action)
            .unwrap_or_else(|failure| panic!("{}", failure.message));
        assert!(!second.changed, "a second job changes nothing");
        done
    }

    fn back(&self) -> Done {
        self.settle(&json!({"name": "tool", "back": true}))
    }

    fn tool(&self) -> String {
        let output = Command::new(self.host.at("bin/tool")).output().expect("tool");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn plain(&self) {
        self.host.write("bin/tool", &format!("{TOOL}0.9\n"), 0o750);
        self.host.write("etc/tool.conf", "version 0.9\n", 0o604);
    }

    fn shows(&self, version: &str) {
        assert_eq!(self.tool(), format!("tool {version}"));
        assert_eq!(self.host.read("etc/tool.conf"), format!("version {version}\n"));
    }
}

fn message(result: Result<Done, Failure>) -> String {
    match result {
        Ok(done) => panic!("it was done: {:?}", done.result),
        Err(failure) => failure.message,
    }
}

fn refusal(result: Result<Verdict, Failure>) -> String {
    match result {
        Ok(verdict) => panic!("no refusal: {verdict:?}"),
        Err(failure) => failure.message,
    }
}

#[test]
fn a_plain_file_is_adopted_and_comes_back() {
    for site in Site::all() {
        site.plain();
        let before = site.host.tree();
        let text = diff(site.host.check(&*site.action(&site.given("1.0"))));
        assert!(text.contains("-version 0.9") && text.contains("+version 1.0"), "{text}");
        assert!(site.host.tree().len() >= before.len());

        let done = site.settle(&site.given("1.0"));
        assert!(done.changed);
        assert_eq!(done.result["to"], "1.0");
        let adopted = done.result["from"].as_str().expect("from").to_owned();
        assert!(adopted.starts_with("adopted-"), "{adopted}");
        site.shows("1.0");
        assert_eq!(site.host.mode("bin/tool"), 0o755);
        assert_eq!(site.host.mode("etc/tool.conf"), 0o640);
        for dest in ["bin/tool", "etc/tool.conf"] {
            let target = std::fs::read_link(site.host.at(dest)).expect("a link");
            assert!(target.display().to_string().contains("/releases/tool/current/"));
        }
        assert!(
            std::fs::read_dir(site.host.at("uploads"))
                .expect("folder")
                .next()
                .is_none(),
            "uploads are removed"
        );

        let done = site.back();
        assert!(done.changed);
        assert_eq!(done.result, json!({"from": "1.0", "to": adopted}));
        site.shows("0.9");
        assert_eq!(site.host.mode("bin/tool"), 0o750);
        assert_eq!(site.host.mode("etc/tool.conf"), 0o604);

        site.settle(&site.given("1.0"));
        site.shows("1.0");
        site.back();
        site.shows("0.9");
    }
}

#[test]
fn back_undoes_what_this_stage_did_and_nothing_else() {
    for mut site in Site::all() {
        site.place.stage = "hop[0]/swap".into();
        assert!(!site.back().changed, "nothing was replaced yet");
        let done = site.settle(&site.given("1.0"));
        assert_eq!(done.result, json!({"from": null, "to": "1.0"}));
        assert!(!site.back().changed, "the first release replaced nothing");
        site.shows("1.0");

        site.settle(&site.given("1.1"));
        site.place.stage = "hop[1]/swap".into();
        assert!(!site.back().changed, "this stage replaced nothing");
        site.shows("1.1");
        site.settle(&site.given("1.2"));
        assert_eq!(site.back().result, json!({"from": "1.2", "to": "1.1"}));
        site.shows("1.1");
        assert!(!site.back().changed);
        site.place.stage = "hop[0]/swap".into();
        assert_eq!(site.back().result["to"], "1.0");

        site.place.run = crate::id::RunId::stored("run-2");
        assert!(!site.back().changed, "another run replaced nothing");
        site.shows("1.0");
    }
}

#[test]
fn a_name_that_is_read_all_the_time_is_never_missing() {
    let site = Site::new();
    site.plain();
    let (a, b) = (site.action(&site.given("1.0")), site.action(&site.given("1.1")));
    let stop = AtomicBool::new(false);
    let (reads, lost) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut reads, mut lost) = (0_u64, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                for dest in ["bin/tool", "etc/tool.conf"] {
                    match std::fs::read_to_string(site.host.at(dest)) {
                        Ok(text) if text.contains("0.9") || text.contains("1.0") || text.contains("1.1") => reads += 1,
                        other => lost.push(format!("{dest}: {other:?}")),
                    }
                }
            }
            (reads, lost)
        });
        for _ in 0..10 {
            site.host.apply(&*a).expect("1.0");
            site.host.apply(&*b).expect("1.1");
            site.back();
        }
        let names: Vec<String> = std::fs::read_dir(site.host.at("state/releases/tool"))
            .expect("releases")
            .map(|entry| entry.expect("entry").file_name().display().to_string())
            .filter(|name| name.starts_with("1."))
            .collect();
        let script = format!(
            "releases={}/releases name=tool\n{}\ni=0\nwhile [ $i -lt 150 ]; do put_link \"$N/current\" {}; put_link \"$N/current\" {}; i=$((i + 1)); done\n",
            site.host.facts.state_dir,
            include_str!("swap.sh"),
            names[0],
            names[1]
        );
        let output = site.host.run(&script, &IndexMap::new());
        stop.store(true, Ordering::Relaxed);
        assert_eq!((output.rc, output.stderr.as_str()), (0, ""));
        reader.join().expect("reader")
    });
    assert!(reads > 1000, "{reads} reads");
    assert!(
        lost.is_empty(),
        "{} of {reads}: {:?}",
        lost.len(),
        &lost[..lost.len().min(3)]
    );
}

#[test]
fn staged_first_and_flipped_by_version() {
    for site in Site::all() {
        site.plain();
        let flip = json!({"name": "tool", "version": "1.0"});
        let mut staged = site.given("1.0");
        staged["state"] = "staged".into();
        let text = diff(site.host.check(&*site.action(&flip)));
        assert!(text.contains("not staged yet; staged: nothing"), "{text}");
        let failure = message(site.run(&flip));
        assert!(
            failure.contains("version 1.0 of tool is not staged; staged: nothing"),
            "{failure}"
        );

        assert!(site.settle(&staged).changed);
        site.shows("0.9");
        assert!(!site.host.at("state/releases/tool/current").exists());
        let failure = message(site.run(&json!({"name": "tool", "version": "1.1"})));
        assert!(failure.contains("staged: 1.0"), "{failure}");
        assert_eq!(site.settle(&flip).result["to"], "1.0");
        site.shows("1.0");

        // The same version with another configuration is another release, and the one that was staged last counts.
        staged["files"][1]["content"] = "version 1.0 b\n".into();
        assert!(site.settle(&staged).changed);
        site.shows("1.0");
        assert!(site.settle(&flip).changed);
        assert_eq!(site.host.read("etc/tool.conf"), "version 1.0 b\n");
        assert_eq!(
            site.back().result,
            json!({"from": "1.0", "to": site.back().result["to"]})
        );
        assert_eq!(
            site.host.read("etc/tool.conf"),
            "version 0.9\n",
            "to what stood there before this stage"
        );
    }
}

#[test]
fn a_staged_release_that_was_damaged_is_not_flipped() {
    let site = Site::new();
    site.plain();
    let mut staged = site.given("1.0");
    staged["state"] = "staged".into();
    site.settle(&staged);
    let folder = std::fs::read_dir(site.host.at("state/releases/tool"))
        .expect("releases")
        .map(|entry| entry.expect("entry").path())
        .find(|path| path.is_dir())
        .expect("a release");
    let below = site.host.text("bin/tool");
    std::fs::write(folder.join(&below[1..]), "broken").expect("write");
    let failure = message(site.run(&json!({"name": "tool", "version": "1.0"})));
    assert!(failure.contains("not whole"), "{failure}");
    site.shows("0.9");
    assert!(site.settle(&staged).changed, "staging again repairs it");
    site.settle(&json!({"name": "tool", "version": "1.0"}));
    site.shows("1.0");
}

#[test]
fn validate_sees_the_new_files_before_the_flip() {
    for site in Site::all() {
        site.plain();
        let (tool, conf) = (site.host.text("bin/tool"), site.host.text("etc/tool.conf"));
        let mut given = site.given("1.0");
        given["validate"] = format!(
            "\"{{{tool}}}\"; cat \"{{{conf}}}\"; cat {tool}; pwd; [ \"$PWD\" = \"$REFIT_RELEASE\" ] || exit 9; echo \"it's bad\" >&2; exit 3"
        )
        .into();
        let text = diff(site.host.check(&*site.action(&given)));
        assert!(text.contains("not validated: not staged"), "{text}");
        let failure = message(site.run(&given));
        assert!(failure.starts_with("validate: 1.0-"), "{failure}");
        for part in ["exit status 3", "tool 1.0", "version 1.0", "echo tool 0.9", "it's bad"] {
            assert!(failure.contains(part), "{part} in {failure}");
        }
        site.shows("0.9");
        assert!(!site.host.at("state/releases/tool/current").exists());
        assert!(!site.back().changed);

        let failure = refusal(site.host.check(&*site.action(&given)));
        assert!(
            failure.contains("do not pass (exit status 3)"),
            "it is staged now: {failure}"
        );
        given["validate"] = format!("test \"$(\"{{{tool}}}\")\" = 'tool 1.0' && test -z \"$name$N\"").into();
        assert!(site.settle(&given).changed);
        site.shows("1.0");
    }
}

#[test]
fn a_damaged_upload_is_found_before_anything_is_flipped() {
    let site = Site::new();
    site.plain();
    let action = site.action(&site.given("1.0"));
    let job = action.apply(&site.host.facts).expect("a job");
    site.host.upload(&job);
    std::fs::write(
        site.host.at("uploads").join(&job.uploads[0].sha256),
        "#!/bin/sh\nrm -rf x\n",
    )
    .expect("write");
    let failure = message(action.parse(&site.host.run(&job.script, &job.environment)));
    assert!(failure.contains("has sha256"), "{failure}");
    site.shows("0.9");
}

/// Kills the job at its first, second … `mv`, which is every point where something takes effect.
#[test]
fn a_job_that_dies_anywhere_is_finished_by_the_next_one() {
    for died_at in 1..40 {
        let mut site = Site::new();
        site.plain();
        let path = site.host.path.clone();
        let killer = format!(
            "#!/bin/sh\nPATH={path}\nread n <{0}/count; echo $((n - 1)) >{0}/count\n[ $n != 1 ] || {{ kill -9 $PPID; exit; }}\nexec mv \"$@\"\n",
            site.host.folder.path().display()
        );
        site.host.write("killer/mv", &killer, 0o755);
        site.host.write("count", &format!("{died_at}\n"), 0o644);
        site.host.path = format!("{}:{path}", site.host.text("killer"));
        let died = site.run(&site.given("1.0")).is_err();
        assert!(
            ["tool 0.9", "tool 1.0"].contains(&site.tool().as_str()),
            "at {died_at}: {}",
            site.tool()
        );
        site.host.path = path;
        site.settle(&site.given("1.0"));
        site.shows("1.0");
        site.back();
        site.shows("0.9");
        if !died {
            assert!(died_at > 8, "{died_at} points");
            return;
        }
    }
    panic!("it died at every point");
}

#[test]
fn a_change_by_hand_is_seen_and_undone() {
    for site in Site::all() {
        site.settle(&site.given("1.0"));
        let action = site.action(&site.given("1.0"));
        std::fs::write(site.host.at("etc/tool.conf"), "version 1.0\nby hand\n").expect("write");
        let text = diff(site.host.check(&*action));
        assert!(text.contains("-by hand"), "{text}");
        assert!(site.settle(&site.given("1.0")).changed);
        site.shows("1.0");
        std::fs::set_permissions(site.host.at("etc/tool.conf"), std::fs::Permissions::from_mode(0o666)).expect("mode");
        assert!(!is_same(&site.host.check(&*action)));
        site.settle(&site.given("1.0"));
        assert_eq!(site.host.mode("etc/tool.conf"), 0o640);
        // A package put its own file over the link.
        std::fs::remove_file(site.host.at("bin/tool")).expect("remove");
        site.host.write("bin/tool", &format!("{TOOL}0.8\n"), 0o755);
        assert!(site.settle(&site.given("1.0")).changed);
        site.shows("1.0");
        site.back();
        assert_eq!(site.tool(), "tool 0.8");
    }
}

#[test]
fn units_are_plain_files_whose_old_text_comes_back() {
    for site in Site::all() {
        let unit = site.host.text("etc/systemd/system/tool.service");
        site.host
            .write("etc/systemd/system/tool.service", "[Service]\nExecStart=/old\n", 0o644);
        let mut given = site.given("1.0");
        given["files"].as_array_mut().expect("files").extend([
            json!({"dest": unit, "content": "[Service]\nExecStart=/new\n"}),
            json!({"dest": site.host.text("etc/systemd/system/tool.timer"), "content": "[Timer]\n"}),
        ]);
        let text = diff(site.host.check(&*site.action(&given)));
        assert!(text.contains("-ExecStart=/old"), "{text}");
        assert!(site.settle(&given).changed);
        assert!(!site.host.at("etc/systemd/system/tool.service").is_symlink());
        assert!(site.host.read("etc/systemd/system/tool.service").contains("/new"));
        assert!(site.host.at("etc/systemd/system/tool.timer").exists());
        site.back();
        assert!(site.host.read("etc/systemd/system/tool.service").contains("/old"));
        assert!(!site.host.at("etc/systemd/system/tool.service").is_symlink());
        for gone in ["etc/systemd/system/tool.timer", "bin/tool", "etc/tool.conf"] {
            assert!(
                !site.host.at(gone).is_symlink() && !site.host.at(gone).exists(),
                "{gone} was not there before"
            );
        }
    }
}

#[test]
fn a_file_that_the_next_version_does_not_have_stays_as_it_was() {
    for site in Site::all() {
        site.settle(&site.given("1.0"));
        let mut next = site.given("1.1");
        next["files"].as_array_mut().expect("files").pop();
        site.settle(&next);
        assert_eq!(site.tool(), "tool 1.1");
        assert_eq!(site.host.read("etc/tool.conf"), "version 1.0\n");
        assert!(!site.host.at("etc/tool.conf").is_symlink());
        site.settle(&site.given("1.2"));
        site.shows("1.2");
    }
}

#[test]
fn folders_are_open_whatever_the_umask() {
    for mut site in Site::all() {
        site.host.before = "umask 077\n".into();
        site.plain();
        site.settle(&site.given("1.0"));
        for folder in ["state/releases", "state/releases/tool", "state/releases/tool/current"] {
            assert_eq!(site.host.mode(folder), 0o755, "{folder}");
        }
        let inside = site.host.text("bin");
        assert_eq!(site.host.mode(&format!("state/releases/tool/current{inside}")), 0o755);
        assert_eq!(site.host.mode("state/releases/tool/current/.manifest"), 0o600);
        site.shows("1.0");
    }
}

fn runs_as_nobody(site: &Site) -> bool {
    Command::new(site.host.at("bin/tool"))
        .uid(65534)
        .gid(65534)
        .output()
        .is_ok_and(|output| output.status.success())
}

#[test]
fn a_state_folder_that_the_service_cannot_reach_is_refused() {
    if !root() {
        eprintln!("skipped: needs root");
        return;
    }
    for site in Site::all() {
        let mut given = site.given("1.0");
        given["files"][1]["owner"] = "nobody".into();
        let state = site.host.at("state");
        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).expect("mode");
        let failure = refusal(site.host.check(&*site.action(&given)));
        assert!(failure.contains("user nobody cannot reach"), "{failure}");
        assert!(failure.contains(&state.display().to_string()), "{failure}");
        let failure = message(site.run(&given));
        assert!(
            failure.contains("cannot reach the releases: blocked nobody"),
            "{failure}"
        );
        assert!(!site.host.at("bin/tool").exists());

        std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o711)).expect("mode");
        site.settle(&given);
        assert!(runs_as_nobody(&site), "the service's user runs what was swapped");
        let owner =
            std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(site.host.at("etc/tool.conf")).expect("conf"));
        assert_eq!(owner, 65534);
    }
}

#[test]
fn who_runs_the_executable_now_must_reach_the_release() {
    if !root() {
        eprintln!("skipped: needs root");
        return;
    }
    let site = Site::new();
    std::fs::create_dir(site.host.at("bin")).expect("folder");
    std::fs::copy("/bin/sleep", site.host.at("bin/tool")).expect("copy");
    let mut running = Command::new(site.host.at("bin/tool"))
        .arg("60")
        .uid(65534)
        .gid(65534)
        .spawn()
        .expect("sleep");
    std::fs::set_permissions(site.host.at("state"), std::fs::Permissions::from_mode(0o700)).expect("mode");
    let verdict = site.host.check(&*site.action(&site.given("1.0")));
    running.kill().expect("kill");
    running.wait().expect("wait");
    assert!(refusal(verdict).contains("user nobody cannot reach"));
    assert!(
        site.host.check(&*site.action(&site.given("1.0"))).is_ok(),
        "nobody runs it any more"
    );
}

#[test]
fn a_noexec_mount_is_refused() {
    let mut site = Site::new();
    let state = site.host.facts.state_dir.clone();
    let mount = format!("mount -t tmpfs -o noexec tmpfs '{state}' && chmod 711 '{state}' && exec /bin/sh \"$1\"");
    let possible = Command::new("unshare")
        .args(["-m", "sh", "-c", &mount, "sh", "/dev/null"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !possible {
        eprintln!("skipped: no mount namespace");
        return;
    }
    site.host.shell = ["unshare", "-m", "sh", "-c", &mount, "sh"].map(str::to_owned).to_vec();
    let given = site.given("1.0");
    let failure = refusal(site.host.check(&*site.action(&given)));
    assert!(
        failure.contains(&format!("{state}, which is mounted noexec")),
        "{failure}"
    );
    assert!(message(site.run(&given)).contains("mounted noexec"));
    assert!(!site.host.at("bin/tool").exists());
    let mut configuration = given.clone();
    configuration["files"].as_array_mut().expect("files").remove(0);
    assert!(
        site.host.check(&*site.action(&configuration)).is_ok(),
        "nothing to execute"
    );
}

#[test]
fn a_binary_for_another_machine_is_refused() {
    let site = Site::new();
    let mut elf = std::fs::read("/bin/sleep").expect("read");
    elf[18..20].copy_from_slice(&2_u16.to_le_bytes());
    std::fs::write(site.host.at("sparc"), elf).expect("write");
    let mut given = site.given("1.0");
    given["files"][0]["src"] = site.host.text("sparc").into();
    let failure = refusal(site.host.check(&*site.action(&given)));
    assert!(failure.contains("is built for ELF machine 2"), "{failure}");
    given["files"][0]["src"] = "/bin/sleep".into();
    assert!(site.host.check(&*site.action(&given)).is_ok());
}

#[test]
fn a_secret_in_the_content_is_not_shown() {
    let mut site = Site::new();
    site.place.quiet = true;
    site.plain();
    match site.host.check(&*site.action(&site.given("1.0"))) {
        Ok(Verdict::Differs { diff: None, .. }) => {}
        other => panic!("{other:?}"),
    }
    let job = site.action(&site.given("1.0")).apply(&site.host.facts).expect("a job");
    assert!(!job.script.contains("version 1.0"));
}

#[test]
fn a_template_is_rendered_for_the_host() {
    let site = Site::new();
    let mut given = site.given("1.0");
    site.host.write("tool.conf.j2", "version {{ 1 + 1 }}\n", 0o600);
    given["files"][1] = json!({"dest": site.host.text("etc/tool.conf"), "template": "tool.conf.j2"});
    assert_eq!(site.place.lint(&KIND, &given), Vec::<String>::new());
    site.settle(&given);
    assert_eq!(site.host.read("etc/tool.conf"), "version 2\n");
    assert_eq!(site.host.mode("etc/tool.conf"), 0o644);
    site.host
        .write("tool.conf.j2", "version {{ nobody_set_this }}\n", 0o600);
    let found = site.place.lint(&KIND, &given);
    assert!(
        found.iter().any(|message| message.contains("nobody_set_this")),
        "{found:?}"
    );
}

#[test]
fn odd_names_are_only_names() {
    for site in Site::all() {
        let dest = site.host.text("etc/it's $(touch pwned) *;\"x");
        let given = json!({"name": "tool", "version": "1.0~rc1+b", "files": [{"dest": dest, "content": "x\n"}]});
        site.settle(&given);
        assert_eq!(std::fs::read_to_string(&dest).expect("read"), "x\n");
        assert!(!site.host.at("pwned").exists());
    }
}

#[test]
fn mistakes_are_named_before_any_host_is_asked() {
    let site = Site::new();
    let cases = [
        (json!({"name": "tool"}), "`swap` needs `version`"),
        (
            json!({"name": "../x", "version": "1"}),
            "`name` must begin with a letter",
        ),
        (json!({"name": "tool", "version": "a/b"}), "`version` can hold only"),
        (
            json!({"name": "tool", "version": "1", "back": true}),
            "`version` has no meaning with `back: true`",
        ),
        (
            json!({"name": "tool", "version": "1", "state": "staged"}),
            "`state: staged` needs `files`",
        ),
        (
            json!({"name": "tool", "version": "1", "files": [{"dest": "/a", "src": "nope"}]}),
            "cannot read",
        ),
        (
            json!({"name": "tool", "version": "1", "files": [{"dest": "/a"}]}),
            "needs one of `src`",
        ),
        (
            json!({"name": "tool", "version": "1", "files": [{"dest": "/a", "src": "x", "content": "x"}]}),
            "only one of `src` and `content`",
        ),
        (
            json!({"name": "tool", "version": "1", "files": [{"dest": "/a/../b", "content": "x"}]}),
            "`dest` must name a file",
        ),
        (
            json!({"name": "tool", "version": "1", "files": [{"dest": "~/b", "content": "x"}]}),
            "`dest` must be an absolute path",
        ),
        (
            json!({"name": "tool", "version": "1", "files": [{"dest": "/b", "content": "x"}, {"dest": "/b/c", "content": "x"}]}),
            "cannot both be files",
        ),
        (
            json!({"name": "tool", "version": "1", "files": [{"dest": "/b", "content": "x", "sha256": "0".repeat(64)}]}),
            "the content of /b has another sha256: it is 2d711642",
        ),
        (
            json!({"name": "tool", "version": "1", "files": [{"dest": "/b", "content": "x", "owner": "-R"}]}),
            "`owner` is no name",
        ),
        (
            json!({"name": "tool", "version": "1", "files": [{"dest": "/b", "contents": "x"}]}),
            "unknown parameter `contents` of a file of `swap`: did you mean `content`?",
        ),
        (
            json!({"name": "tool", "version": "1", "validate": "{/usr/bin/tol} check", "files": [{"dest": "/usr/bin/tool", "content": "x"}]}),
            "`{/usr/bin/tol}` is no destination of `files`: did you mean `{/usr/bin/tool}`?",
        ),
    ];
    for (given, wanted) in cases {
        let found = site.place.lint(&KIND, &given);
        assert!(
            found.iter().any(|message| message.contains(wanted)),
            "{given}: {found:?}"
        );
    }
    assert_eq!(site.place.lint(&KIND, &site.given("1.0")), Vec::<String>::new());
    assert_eq!(
        site.place.lint(&KIND, &json!({"name": "tool", "back": true})),
        Vec::<String>::new()
    );
}

#[test]
fn its_files_are_part_of_the_recipe() {
    let place = Place::new("swap", std::path::Path::new("/play"));
    let given = json!({"name": "tool", "version": "1.0", "files": [
        {"dest": "/opt/tool", "src": "bin/tool"},
        {"dest": "/etc/tool", "template": "tool.j2"},
        {"dest": "/etc/text", "content": "text"},
    ]});
    let params = crate::kind::trial::params(&KIND, &given).expect("parameters");
    let found = place.with(|context| KIND.artefacts(&params, context));
    assert_eq!(found, ["/play/bin/tool", "/play/tool.j2"].map(std::path::PathBuf::from));
}
