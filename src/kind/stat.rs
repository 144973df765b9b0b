//! Looks at a file of the host.
//!
//!     - stat: { path: /etc/app/app.conf }
//!       register: conf
//!     - command: app import /etc/app/app.conf
//!       when: conf.stat.exists and conf.stat.size > 0
//!
//! The result has one field, `stat`, with the names that Ansible uses: `exists`, and where it is true `isreg isdir islnk
//! isblk ischr isfifo issock size mode uid gid pw_name gr_name atime mtime ctime inode dev nlink readable writeable executable
//! rusr wusr xusr rgrp wgrp xgrp roth woth xoth isuid isgid path`, for a plain file `checksum`, for a link `lnk_source` (where
//! it leads in the end) and `lnk_target` (what it holds). Times are whole seconds since 1970. Nothing is changed.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::sh::{self, HostPath, Report, four_digits};
use super::{
    Action, Context, Done, Facts, Failure, Job, Kind, Output, Param, Params, Probe, ShellAction, Ty, Verdict, list,
};
use crate::yaml::Diagnostics;

pub(super) struct Stat;
pub(super) static KIND: Stat = Stat;

const PARAMS: &[Param] = &[
    Param::required("path", Ty::Path, "what to look at"),
    Param::new("follow", Ty::Bool, "look at what a link points at; default no"),
    Param::new(
        "get_checksum",
        Ty::Bool,
        "read a plain file for its checksum; default yes",
    ),
    Param::new(
        "checksum_algorithm",
        Ty::Choice(&["sha1", "sha224", "sha256", "sha384", "sha512", "md5"]),
        "default sha1",
    ),
];

struct Look {
    path: HostPath,
    follow: bool,
    /// `sha1sum`.
    program: Option<String>,
    environment: IndexMap<String, String>,
}

impl ShellAction for Look {
    fn check(&self, facts: &Facts) -> Option<Probe> {
        let follow = if self.follow { " -L" } else { "" };
        let link = if self.follow { "" } else { " && [ ! -h \"$path\" ]" };
        let sum = match &self.program {
            Some(program) => format!(
                "if {{ {}[ -f \"$path\" ]; }} && sum=$({program} <\"$path\"); then printf 'sum=%s\\n' \"${{sum%% *}}\"; fi\n",
                if self.follow { "" } else { "! [ -h \"$path\" ] && " }
            ),
            None => String::new(),
        };
        let text = format!(
            r#"path={path}
if [ ! -e "$path" ]{link}; then
  echo exists=0
  exit 0
fi
echo exists=1
stat{follow} -c 'bits=%f
mode=%a
size=%s
uid=%u
gid=%g
user=%U
group=%G
atime=%X
mtime=%Y
ctime=%Z
inode=%i
dev=%d
nlink=%h' -- "$path" || exit
for test in r w x; do
  [ -$test "$path" ] && echo can_$test=1
done
if [ -h "$path" ]{nofollow}; then
  printf 'source=%s\n' "$(readlink -f -- "$path" | tr '\n' '?')"
  printf 'target=%s\n' "$(readlink -- "$path" | tr '\n' '?')"
fi
{sum}exit 0
"#,
            path = self.path.word(facts),
            nofollow = if self.follow { " && false" } else { "" },
        );
        Some(Probe {
            environment: self.environment.clone(),
            timeout: Some(std::time::Duration::from_secs(300)),
            ..Probe::new(text)
        })
    }

    fn judge(&self, output: &Output) -> Result<Verdict, Failure> {
        let report = Report::parse(output)?;
        let mut stat = Map::new();
        if report.get("exists") != "1" {
            stat.insert("exists".to_owned(), json!(false));
            return Ok(Verdict::Same(json!({ "stat": stat })));
        }
        stat.insert("exists".to_owned(), json!(true));
        stat.insert("path".to_owned(), json!(self.path.as_str()));
        let bits = u32::from_str_radix(report.get("bits"), 16)
            .map_err(|_| Failure::new("the host's `stat` gave no file type"))?;
        let kinds = [
            ("isreg", 0o100_000),
            ("isdir", 0o040_000),
            ("islnk", 0o120_000),
            ("isblk", 0o060_000),
            ("ischr", 0o020_000),
            ("isfifo", 0o010_000),
            ("issock", 0o140_000),
        ];
        for (name, kind) in kinds {
            stat.insert(name.to_owned(), json!(bits & 0o170_000 == kind));
        }
        stat.insert("mode".to_owned(), json!(four_digits(report.get("mode"))));
        let flags = [
            ("isuid", 0o4000),
            ("isgid", 0o2000),
            ("rusr", 0o400),
            ("wusr", 0o200),
            ("xusr", 0o100),
            ("rgrp", 0o040),
            ("wgrp", 0o020),
            ("xgrp", 0o010),
            ("roth", 0o004),
            ("woth", 0o002),
            ("xoth", 0o001),
        ];
        for (name, flag) in flags {
            stat.insert(name.to_owned(), json!(bits & flag != 0));
        }
        for name in ["size", "uid", "gid", "atime", "mtime", "ctime", "inode", "dev", "nlink"] {
            if let Ok(number) = report.get(name).parse::<u64>() {
                stat.insert(name.to_owned(), json!(number));
            }
        }
        for (name, key) in [("pw_name", "user"), ("gr_name", "group")] {
            stat.insert(name.to_owned(), json!(report.get(key)));
        }
        for (name, key) in [("readable", "can_r"), ("writeable", "can_w"), ("executable", "can_x")] {
            stat.insert(name.to_owned(), json!(report.get(key) == "1"));
        }
        for (name, key) in [("checksum", "sum"), ("lnk_source", "source"), ("lnk_target", "target")] {
            let value = report.get(key);
            if !value.is_empty() {
                // `readlink` ends its line; `tr` made that end a mark, too.
                stat.insert(name.to_owned(), json!(value.strip_suffix('?').unwrap_or(value)));
            }
        }
        Ok(Verdict::Same(json!({ "stat": Value::Object(stat) })))
    }

    fn apply(&self, _facts: &Facts) -> Option<Job> {
        None
    }

    fn parse(&self, _output: &Output) -> Result<Done, Failure> {
        Err(Failure::new("stat runs no job"))
    }
}

impl Kind for Stat {
    fn name(&self) -> &'static str {
        "stat"
    }

    fn manual(&self) -> &'static str {
        list::manual!("stat.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["stat"]
    }

    fn later(&self) -> &'static [&'static str] {
        &["get_attributes", "get_mime", "get_selinux_context"]
    }

    fn reads_only(&self) -> bool {
        true
    }

    fn lint(&self, _params: &Params, _context: &Context<'_>) -> Diagnostics {
        Diagnostics::default()
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let algorithm = params.choice("checksum_algorithm").unwrap_or_else(|| "sha1".to_owned());
        let sum = params.bool("get_checksum").unwrap_or(true);
        Ok(Action::Shell(Box::new(Look {
            path: HostPath::new(&params.required_text("path")?, params.span("path"))?,
            follow: params.bool("follow").unwrap_or(false),
            program: sum.then(|| format!("{algorithm}sum")),
            environment: sh::environment(context),
        })))
    }
}
