//! What a host says of the servers on it: processes, their versions, the program on disk, the configuration.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::members::Member;
use crate::kind::{Output, Probe};
use crate::temporal::Role;
use crate::temporal::config::Launch;
use crate::yaml::Source;

const SCRIPT: &str = include_str!("host.sh");

/// One server process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) pid: String,
    /// What it runs, ` (deleted)` behind it where the file is gone.
    pub(super) exe: Option<String>,
    /// What that very file says.
    pub(super) version: Option<String>,
    pub(super) roles: BTreeSet<Role>,
    /// The account that may not look at it.
    pub(super) hidden_from: Option<String>,
    command: String,
    /// Those that say which configuration it reads.
    variables: IndexMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct HostSays {
    pub(super) processes: Vec<Process>,
    pub(super) program: Option<String>,
    /// What the program on disk says; it runs after the next start.
    pub(super) disk: Option<String>,
    pub(super) warnings: Vec<String>,
    /// The server's own configuration. It may hold passwords: nothing of it is ever shown as it stands.
    pub(super) config: Option<String>,
}

/// Asks a host. The texts reach the shell by variables, so that nothing in them is part of the script.
pub(super) fn probe(member: &Member) -> Probe {
    let mut environment = IndexMap::new();
    for (name, value) in [
        ("config", &member.config),
        ("program", &member.program),
        ("find", &member.pid),
    ] {
        environment.insert(
            format!("REFIT_{}", name.to_uppercase()),
            value.clone().unwrap_or_default(),
        );
    }
    let begin =
        "config=$REFIT_CONFIG program=$REFIT_PROGRAM find=$REFIT_FIND\nunset REFIT_CONFIG REFIT_PROGRAM REFIT_FIND\n";
    Probe {
        environment,
        ..Probe::new(format!("{begin}{SCRIPT}"))
    }
}

/// `temporal version 1.29.7`: the word that is a version.
fn version(line: &str) -> Option<String> {
    let word = line.split_whitespace().last()?;
    let word = word.strip_prefix('v').unwrap_or(word);
    let plain = word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    plain.then(|| word.to_owned())
}

impl Process {
    /// How it was started; None where its command is none of a server.
    pub(super) fn launch(&self) -> Option<Launch> {
        let source = Source::new("the command of the process", self.command.as_str());
        Launch::read(&source, &self.variables).ok()
    }

    /// The roles that it was started with; without any it has four.
    fn started_as(&self) -> BTreeSet<Role> {
        let services = self.launch().map(|launch| launch.services).unwrap_or_default();
        let named: BTreeSet<Role> = services.iter().filter_map(|word| Role::parse(word.trim())).collect();
        match named.is_empty() {
            true => Role::default_for_a_process(),
            false => named,
        }
    }
}

pub(super) fn parse(output: &Output, config: Option<&str>) -> HostSays {
    let mut says = HostSays::default();
    let mut rest = output.stdout.as_str();
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        let (key, value) = line.split_once('\t').unwrap_or((line, ""));
        let process = says.processes.last_mut();
        match (key, process) {
            ("pid", _) => says.processes.push(Process {
                pid: value.to_owned(),
                ..Process::default()
            }),
            ("exe", Some(process)) => process.exe = Some(value.to_owned()),
            ("version", Some(process)) => process.version = version(value),
            ("hidden", Some(process)) => process.hidden_from = Some(value.to_owned()),
            ("command", Some(process)) => process.command = value.to_owned(),
            ("variable", Some(process)) => {
                let (name, value) = value.split_once('=').unwrap_or((value, ""));
                process.variables.insert(name.to_owned(), value.to_owned());
            }
            ("none", _) => says.warnings.push(format!("no server process that {value} may see")),
            ("program", _) => says.program = Some(value.to_owned()),
            ("disk", _) => {
                says.disk = version(value);
                if says.disk.is_none() {
                    let program = says.program.as_deref().unwrap_or_default();
                    says.warnings.push(format!("{program} --version says no version"));
                }
            }
            ("missing", _) => says
                .warnings
                .push(format!("{value} is no program that can be run here")),
            ("unread", _) => says.warnings.push(format!("the configuration cannot be read: {value}")),
            ("config", _) => {
                says.config = Some(rest.to_owned());
                break;
            }
            _ => {}
        }
    }
    for process in &mut says.processes {
        process.roles = process.started_as();
    }
    let any = !says.processes.is_empty();
    narrow(&mut says, config);
    if any && says.processes.is_empty() {
        says.warnings
            .push("the server processes here read another configuration".to_owned());
    }
    let mut hidden = says
        .processes
        .iter()
        .filter_map(|process| process.hidden_from.as_deref());
    if let Some(user) = hidden.next_back() {
        let text = format!("{user} may not see what the server runs; `become` another account for this step");
        says.warnings.push(text);
    }
    says
}

/// Several clusters may run on one host: those that were told to read another configuration are not meant.
fn narrow(says: &mut HostSays, config: Option<&str>) {
    let Some((file, (folder, _))) = config.and_then(|path| Some((path, path.rsplit_once('/')?))) else {
        return;
    };
    says.processes.retain(|process| {
        let Some(launch) = process.launch() else { return true };
        match (&launch.config_file, &launch.config) {
            (Some(own), _) => own == file,
            // Joined to a root, which may be the process's own folder.
            (None, Some(own)) => folder.ends_with(&format!("/{}", own.trim_matches('/'))),
            (None, None) => true,
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str, config: Option<&str>) -> HostSays {
        let output = Output {
            rc: 0,
            stdout: text.to_owned(),
            stderr: String::new(),
        };
        parse(&output, config)
    }

    #[test]
    fn the_lines_of_a_host() {
        let text = "pid\t12\nexe\t/opt/t/temporal-server (deleted)\nversion\ttemporal version 1.29.7\n\
            command\t/opt/t/temporal-server -c /etc/t start \n\
            program\t/opt/t/temporal-server\ndisk\ttemporal version 1.30.6\nconfig\t\nlog:\n  level: info\tx\n";
        let says = says(text, Some("/etc/t/base.yaml"));
        let [process] = &says.processes[..] else {
            panic!("{says:?}")
        };
        assert_eq!(process.version.as_deref(), Some("1.29.7"));
        assert_eq!(process.roles, Role::default_for_a_process());
        assert!(process.exe.as_deref().is_some_and(|exe| exe.ends_with("(deleted)")));
        assert_eq!(says.disk.as_deref(), Some("1.30.6"));
        assert_eq!(says.config.as_deref(), Some("log:\n  level: info\tx\n"));
        assert_eq!(says.warnings, Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_seen_is_said() {
        let text = "pid\t12\nhidden\tdeploy\ncommand\t\nprogram\t/x\nmissing\t/x\nunread\tcat: /c: Permission denied\n";
        let says = says(text, None);
        assert_eq!(says.processes[0].version, None);
        let warnings = says.warnings.join("\n");
        for words in [
            "/x is no program",
            "cannot be read: cat: /c: Permission denied",
            "deploy may not see",
        ] {
            assert!(warnings.contains(words), "{warnings}");
        }
    }

    #[test]
    fn of_two_clusters_on_a_host_the_one_of_the_configuration_is_meant() {
        let one = |pid: &str, folder: &str| {
            format!("pid\t{pid}\nexe\t/t\nversion\ttemporal version 1.30.6\ncommand\t/t -r / --config={folder} start\n")
        };
        let text = one("1", "/etc/a") + &one("2", "/etc/b");
        let pids = |config| -> Vec<String> { says(&text, config).processes.into_iter().map(|p| p.pid).collect() };
        assert_eq!(pids(Some("/etc/b/lab.yaml")), ["2"]);
        assert_eq!(pids(Some("/etc/c/lab.yaml")), [""; 0]);
        let warnings = says(&text, Some("/etc/c/lab.yaml")).warnings.join("\n");
        assert!(warnings.contains("read another configuration"), "{warnings}");
        // One that does not say what it reads may be meant, and so may a folder of its own.
        let more = text.clone() + "pid\t3\ncommand\t/t start\npid\t4\ncommand\t/t -c a start\n";
        let all = says(&more, Some("/etc/a/lab.yaml")).processes;
        assert_eq!(
            all.iter().map(|process| process.pid.as_str()).collect::<Vec<_>>(),
            ["1", "3", "4"]
        );
        assert_eq!(pids(None), ["1", "2"]);
    }

    #[test]
    fn roles_by_arguments_or_environment() {
        let words = |command: &str, services: &str| -> Vec<&str> {
            let text = format!("pid\t1\ncommand\t{command}\nvariable\tTEMPORAL_SERVICES={services}\n");
            says(&text, None).processes[0]
                .roles
                .iter()
                .map(|role| role.word())
                .collect()
        };
        let all = ["frontend", "history", "matching", "worker"];
        for (command, services, wanted) in [
            ("temporal-server start", "", &all[..]),
            (
                "temporal-server start --service history --service=matching",
                "",
                &["history", "matching"],
            ),
            (
                "temporal-server start --services=frontend,internal-frontend",
                "",
                &["frontend", "internal-frontend"],
            ),
            ("temporal-server start", "worker", &["worker"]),
            ("temporal-server start -s frontend", "worker", &["frontend"]),
            // A folder that is called so is no service.
            ("temporal-server -c service history start", "", &all),
        ] {
            assert_eq!(words(command, services), wanted, "{command}");
        }
    }

    #[test]
    fn a_version_is_the_last_word() {
        assert_eq!(version("temporal version 1.29.7").as_deref(), Some("1.29.7"));
        assert_eq!(version("v1.30.6").as_deref(), Some("1.30.6"));
        for line in ["", "Permission denied", "temporal version (devel)"] {
            assert_eq!(version(line), None, "{line}");
        }
    }
}
