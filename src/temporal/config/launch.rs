//! How a server is started: a command line, or a systemd unit.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::temporal::release::{Minor, Release};
use crate::yaml::{Diagnostic, Source, Span};

/// From here on a server that is told nothing reads its embedded template.
pub(super) const EMBEDDED: Minor = Minor::new(1, 30);

/// The flags of `temporal-server` that say which configuration it reads, and the variables that stand for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launch {
    pub(crate) root: Option<String>,
    pub(crate) config: Option<String>,
    pub(crate) env: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) config_file: Option<String>,
    pub(crate) services: Vec<String>,
    /// Are the services given by the deprecated `--services`?
    pub(crate) old_services: bool,
    /// Files of variables that the unit names; what they hold is not known here.
    pub(crate) variable_files: Vec<String>,
    /// The command.
    pub(super) at: Option<Span>,
}

/// Flag, its short form, and the variables that stand for it.
const FLAGS: [(&str, &str, &[&str]); 5] = [
    ("root", "r", &["TEMPORAL_ROOT"]),
    ("config", "c", &["TEMPORAL_CONFIG_DIR"]),
    ("env", "e", &["TEMPORAL_ENVIRONMENT"]),
    (
        "zone",
        "az",
        &["TEMPORAL_AVAILABILITY_ZONE", "TEMPORAL_AVAILABILTY_ZONE"],
    ),
    ("config-file", "", &["TEMPORAL_SERVER_CONFIG_FILE_PATH"]),
];

impl Launch {
    /// Reads a systemd unit (text with a line `ExecStart=`), or a command line. `environment`: what is known of the
    /// process's variables beside what the unit sets.
    ///
    /// # Errors
    /// No command in the unit, an open quote, or a command that is no `temporal-server`'s.
    pub(crate) fn read(source: &Arc<Source>, environment: &IndexMap<String, String>) -> Result<Launch, Diagnostic> {
        let mut environment = environment.clone();
        let mut variable_files = Vec::new();
        let (mut command, mut unit) = (None, false);
        for (start, line) in lines(&source.text) {
            let bare = line.trim();
            let Some((key, value)) = bare.split_once('=') else {
                continue;
            };
            let offset = start + line.find(value).unwrap_or_default();
            match key.trim() {
                "ExecStart" => {
                    unit = true;
                    // An empty one takes back what a file before has said.
                    command = (!value.trim().is_empty()).then(|| (offset, value.to_owned()));
                }
                "Environment" => {
                    for word in split(source, offset, value)? {
                        if let Some((name, value)) = word.split_once('=') {
                            environment.insert(name.to_owned(), value.to_owned());
                        }
                    }
                }
                "EnvironmentFile" => variable_files.push(value.trim().trim_start_matches('-').to_owned()),
                _ => {}
            }
        }
        let whole = Span::new(source, 0, source.text.trim_end().len());
        let (start, text) = match command {
            Some(command) => command,
            None if unit || source.text.contains("[Service]") => {
                return Err(Diagnostic::error(
                    &Span::new(source, 0, 0),
                    "the unit has no ExecStart=",
                ));
            }
            None => (whole.start, source.text.clone()),
        };
        let words = split(source, start, &text)?;
        let mut launch = Launch {
            variable_files,
            at: Some(Span::new(source, start, start + text.trim_end().len())),
            ..Launch::default()
        };
        launch.flags(&words);
        launch.variables(&environment);
        Ok(launch)
    }

    fn flags(&mut self, words: &[String]) {
        let mut words = words.iter().skip(1);
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                continue;
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let known = FLAGS
                .iter()
                .find(|(long, short, _)| name == *long || (!short.is_empty() && name == *short));
            let service = ["service", "svc"].contains(&name);
            let services = ["services", "s"].contains(&name);
            if known.is_none() && !service && !services {
                continue;
            }
            let Some(value) = inline.or_else(|| words.next().cloned()) else {
                return;
            };
            if let Some((long, ..)) = known {
                *self.flag(long) = Some(value);
            } else {
                self.services.extend(value.split(',').map(str::to_owned));
                self.old_services |= services;
            }
        }
    }

    fn variables(&mut self, environment: &IndexMap<String, String>) {
        for (long, _, variables) in FLAGS {
            let value = variables
                .iter()
                .find_map(|name| environment.get(*name))
                .filter(|value| !value.is_empty());
            let flag = self.flag(long);
            if flag.is_none() {
                *flag = value.cloned();
            }
        }
        if self.services.is_empty()
            && let Some(services) = environment.get("TEMPORAL_SERVICES")
        {
            self.services = services.split(',').map(|service| service.trim().to_owned()).collect();
        }
    }

    fn flag(&mut self, long: &str) -> &mut Option<String> {
        match long {
            "root" => &mut self.root,
            "config" => &mut self.config,
            "env" => &mut self.env,
            "zone" => &mut self.zone,
            _ => &mut self.config_file,
        }
    }

    /// The files that the server of a release looks for, the lowest first; None where it reads one that is built in. A
    /// file that is not there is left out by the server.
    pub(crate) fn files(&self, release: Release) -> Option<Vec<String>> {
        if let Some(file) = &self.config_file {
            return Some(vec![file.clone()]);
        }
        let told = self.config.is_some() || self.env.is_some() || self.zone.is_some();
        if !told && release.minor >= EMBEDDED {
            return None;
        }
        let folder = self.folder();
        let env = self.env.as_deref().unwrap_or("development");
        let mut files = vec![format!("{folder}/base.yaml"), format!("{folder}/{env}.yaml")];
        files.extend(self.zone.as_ref().map(|zone| format!("{folder}/{env}_{zone}.yaml")));
        Some(files)
    }

    /// Root and folder joined, as the server joins them, an absolute folder too.
    pub(super) fn folder(&self) -> String {
        let root = self.root.as_deref().unwrap_or(".").trim_end_matches('/');
        let config = self.config.as_deref().unwrap_or("config");
        format!("{root}/{}", config.trim_matches('/'))
    }
}

/// Lines with their first byte; one that ends in a backslash goes on in the next.
fn lines(text: &str) -> Vec<(usize, String)> {
    let (mut lines, mut start, mut open): (Vec<(usize, String)>, usize, bool) = (Vec::new(), 0, false);
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        let (bare, more) = bare.strip_suffix('\\').map_or((bare, false), |bare| (bare, true));
        let comment = bare.trim_start().starts_with(['#', ';']);
        match lines.last_mut() {
            Some((_, last)) if open && !comment => {
                last.push(' ');
                last.push_str(bare);
            }
            _ if comment => {}
            _ => lines.push((start, bare.to_owned())),
        }
        open = more || open && comment;
        start += line.len();
    }
    lines
}

fn split(source: &Arc<Source>, start: usize, text: &str) -> Result<Vec<String>, Diagnostic> {
    // systemd's prefixes of a command.
    let bare = text.trim().trim_start_matches(['-', '@', ':', '+', '!']);
    shlex::split(bare).ok_or_else(|| {
        let line = source.text[start..].split('\n').next().unwrap_or_default().len();
        Diagnostic::error(&Span::new(source, start, start + line), "a quote is not closed")
    })
}
