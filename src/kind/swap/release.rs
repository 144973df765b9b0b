//! The files of one version, what they are called on the host, and their manifest.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::id::hex;
use crate::kind::{Upload, UploadFrom, upload};
use crate::yaml::{Diagnostic, Span};

/// One file of a release.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Absolute, without `.`, `..`, double slashes or control characters.
    pub(crate) dest: String,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) owner: Option<String>,
    pub(crate) group: Option<String>,
    /// Lower-case hex.
    pub(crate) sha256: String,
    pub(crate) size: u64,
    pub(crate) from: UploadFrom,
    /// `e_machine` of an ELF file.
    pub(crate) machine: Option<u16>,
    /// The text, where it may be shown in a diff.
    pub(crate) text: Option<Arc<str>>,
    /// What `User=` names in a unit file.
    pub(crate) user: Option<String>,
}

impl Entry {
    pub(crate) fn executable(&self) -> bool {
        self.mode & 0o111 != 0
    }

    fn line(&self) -> String {
        format!(
            "{} {:o} {} {} {} {}",
            self.sha256,
            self.mode,
            self.owner.as_deref().unwrap_or("-"),
            self.group.as_deref().unwrap_or("-"),
            if is_unit(&self.dest) { "unit" } else { "link" },
            self.dest
        )
    }
}

/// All files of one version.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) entries: Vec<Entry>,
    /// `<version>-<12 hex digits of the manifest's sha256>`.
    pub(crate) folder: String,
    pub(crate) manifest: String,
}

impl Release {
    pub(crate) fn new(version: &str, mut entries: Vec<Entry>) -> Release {
        entries.sort_by(|a, b| a.dest.cmp(&b.dest));
        let manifest = entries.iter().map(Entry::line).collect::<Vec<_>>().join("\n");
        let digest = hex(&Sha256::digest(format!("{manifest}\n").as_bytes())[..6]);
        Release {
            entries,
            folder: format!("{version}-{digest}"),
            manifest,
        }
    }

    pub(crate) fn executable(&self) -> bool {
        self.entries.iter().any(Entry::executable)
    }

    /// Each content once.
    pub(crate) fn uploads(&self) -> Vec<Upload> {
        let mut uploads: Vec<Upload> = Vec::new();
        for entry in &self.entries {
            if !uploads.iter().any(|upload| upload.sha256 == entry.sha256) {
                uploads.push(Upload {
                    sha256: entry.sha256.clone(),
                    size: entry.size,
                    from: entry.from.clone(),
                });
            }
        }
        uploads
    }

    /// Owners of files and users of units: who will have to reach them.
    pub(crate) fn users(&self) -> Vec<&str> {
        let mut users: Vec<&str> = Vec::new();
        for user in self
            .entries
            .iter()
            .flat_map(|entry| [entry.owner.as_deref(), entry.user.as_deref()])
            .flatten()
        {
            if !users.contains(&user) {
                users.push(user);
            }
        }
        users
    }
}

/// systemd deletes a unit that is a symbolic link when it is disabled, so units are plain files.
pub(crate) fn is_unit(dest: &str) -> bool {
    const TYPES: [&str; 8] = [
        ".service",
        ".socket",
        ".timer",
        ".path",
        ".mount",
        ".target",
        ".slice",
        ".automount",
    ];
    dest.contains("/systemd/system/")
        || dest.contains("/systemd/user/")
        || TYPES.iter().any(|suffix| dest.ends_with(suffix))
}

/// `User=` of a unit's text; the last one counts.
pub(crate) fn unit_user(text: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("User="))
        .map(|user| user.trim().to_owned())
        .rfind(|user| !user.is_empty() && !user.contains('%'))
}

/// What is known of a file on the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) sha256: String,
    pub(crate) size: u64,
    pub(crate) machine: Option<u16>,
    pub(crate) executable: bool,
}

impl Content {
    pub(crate) fn of_bytes(bytes: &[u8]) -> Content {
        Content {
            sha256: hex(&Sha256::digest(bytes)),
            size: bytes.len() as u64,
            machine: machine(bytes),
            executable: false,
        }
    }

    pub(crate) fn of_file(path: &Path, at: &Span) -> Result<Content, Diagnostic> {
        let Upload { sha256, size, .. } = upload::file(path, at)?;
        let read = || -> io::Result<(Vec<u8>, u32)> {
            let file = File::open(path)?;
            let mode = file.metadata()?.mode();
            let mut header = Vec::new();
            file.take(20).read_to_end(&mut header)?;
            Ok((header, mode))
        };
        let (header, mode) =
            read().map_err(|error| Diagnostic::error(at, format!("cannot read {}: {error}", path.display())))?;
        Ok(Content {
            sha256,
            size,
            machine: machine(&header),
            executable: mode & 0o100 != 0,
        })
    }
}

fn machine(bytes: &[u8]) -> Option<u16> {
    let header = bytes.get(..20)?;
    if header[..4] != *b"\x7fELF" {
        return None;
    }
    let machine = [header[18], header[19]];
    Some(if header[5] == 2 {
        u16::from_be_bytes(machine)
    } else {
        u16::from_le_bytes(machine)
    })
}

/// Can a host whose `uname -m` is `host` run it? True where one of the two is not known.
pub(crate) fn runs_on(machine: u16, host: &str) -> bool {
    let known: &[u16] = match host {
        "x86_64" | "amd64" => &[62, 3],
        "aarch64" | "arm64" => &[183, 40],
        "riscv64" => &[243],
        "s390x" => &[22],
        "ppc64le" | "ppc64" => &[21],
        host if host.starts_with("armv") => &[40],
        "i386" | "i486" | "i586" | "i686" => &[3],
        _ => return true,
    };
    known.contains(&machine)
}

pub(crate) fn machine_name(machine: u16) -> String {
    match machine {
        62 => "x86_64".into(),
        183 => "aarch64".into(),
        40 => "arm".into(),
        3 => "i386".into(),
        243 => "riscv64".into(),
        22 => "s390x".into(),
        21 => "ppc64".into(),
        other => format!("ELF machine {other}"),
    }
}
