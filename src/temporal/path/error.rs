//! Why there is no path, and the way out.

use super::super::catalog::{BadKind, Catalog, Leave, Side};
use super::super::release::{Minor, Release};
use crate::yaml::{Diagnostic, did_you_mean};

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum PathError {
    #[error("`{text}` is no release")]
    NoRelease { text: String },
    #[error("{release} is older than 1.0.0: its data has no supported way to a later release")]
    TooOld { release: Release },
    #[error("the {which} release {release} is not in the catalog")]
    Unknown {
        release: String,
        which: &'static str,
        /// What the catalog knows near it.
        nearest: String,
    },
    #[error("{release} is {}: {why}", .kind.as_str())]
    Bad {
        release: Release,
        kind: BadKind,
        why: String,
        instead: Option<Release>,
    },
    #[error("{release} is a tag of four parts, whose binary says {reports}: whether it runs could not be told")]
    FourParts {
        release: Release,
        reports: Release,
        instead: Option<Release>,
    },
    #[error("{to} is older than {from}: Temporal has no way back for a schema")]
    Downgrade { from: Release, to: Release },
    #[error("no way from {from} to {to}: the catalog lacks {}", list(.missing, "a step between them"))]
    Gap {
        from: Release,
        to: Release,
        missing: Vec<Minor>,
    },
    #[error("the catalog does not know the newest patch of {}", list(.minors, ""))]
    NewestUnknown { minors: Vec<Minor>, old_tools: bool },
    #[error("no store `{name}`")]
    NoStore {
        name: String,
        near: Option<String>,
        all: Vec<String>,
    },
    #[error("the store {store} cannot be upgraded: {why}")]
    Unsupported { store: String, why: String },
    #[error("{store} holds visibility only: it cannot be the default store")]
    VisibilityOnly { store: String },
    #[error("{from} does not know the store {store}: it came with {since}")]
    NotYet { store: String, since: Minor, from: Release },
    #[error("{dropped} dropped {store} as the {} store", .side.as_str())]
    Dropped {
        store: String,
        side: Side,
        from: Release,
        dropped: Minor,
        /// The last release that serves it, where the cluster is still before it.
        last: Option<Release>,
        leave: Option<Leave>,
    },
    #[error("{to} cannot run on the database `{database}`: {why}")]
    NotServed { database: String, why: String, to: Release },
    #[error("the catalog names no {} schema of {store} for {release}", .side.as_str())]
    NoSchema {
        store: String,
        side: Side,
        release: Release,
    },
}

fn list(minors: &[Minor], empty: &str) -> String {
    match minors.is_empty() {
        true => empty.to_owned(),
        false => minors.iter().map(Minor::to_string).collect::<Vec<_>>().join(", "),
    }
}

const EXTEND: &str = "a newer catalog may know it: give one with --catalog FILE";

impl PathError {
    pub(super) fn unknown(catalog: &Catalog, release: String, which: &'static str) -> PathError {
        let minor = Release::parse(&release)
            .map(|r| r.minor)
            .or_else(|| Minor::parse(&release));
        let of_minor = minor.and_then(|minor| catalog.newest_of(minor));
        let nearest = match (of_minor, catalog.newest()) {
            (Some(newest), _) => format!("the newest of {} that it knows is {newest}", newest.minor),
            (None, Some(newest)) => format!("the newest that it knows is {newest}"),
            (None, None) => "it knows none".to_owned(),
        };
        PathError::Unknown {
            release,
            which,
            nearest,
        }
    }

    pub(super) fn newest_unknown(minors: Vec<Minor>, old_tools: bool) -> PathError {
        PathError::NewestUnknown { minors, old_tools }
    }

    pub(super) fn no_store(catalog: &Catalog, name: &str) -> PathError {
        let all = catalog.plugins();
        // Names of directories, and what people say.
        let said = match name {
            "v12" | "postgresql" => Some("postgres12"),
            "v8" => Some("mysql8"),
            "v96" | "postgres96" => Some("postgres"),
            "v57" | "mysql57" => Some("mysql"),
            "opensearch" | "es" => Some("elasticsearch"),
            _ => did_you_mean(name, all.iter().copied()),
        };
        PathError::NoStore {
            name: name.to_owned(),
            near: said.map(str::to_owned),
            all: all.into_iter().map(str::to_owned).collect(),
        }
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> Vec<String> {
        let instead = |release: &Option<Release>| release.iter().map(|r| format!("take {r}")).collect();
        match self {
            PathError::NoRelease { .. } => {
                vec!["write its three numbers, such as 1.29.7; candidates and cloud tags are none".to_owned()]
            }
            PathError::TooOld { .. } => {
                vec![
                    "ask at Temporal's community forum, as the upgrade guide says: https://community.temporal.io"
                        .to_owned(),
                ]
            }
            PathError::Unknown { nearest, .. } => vec![nearest.clone(), EXTEND.to_owned()],
            PathError::Bad { instead: way, .. } | PathError::FourParts { instead: way, .. } => instead(way),
            PathError::Downgrade { .. } => vec![
                "one minor back, the old binaries run on the newer schema: swap them back and leave the schema"
                    .to_owned(),
                "further back, restore the backups of both databases, taken together".to_owned(),
            ],
            PathError::Gap { .. } => vec!["a minor is never skipped".to_owned(), EXTEND.to_owned()],
            PathError::NewestUnknown { minors, old_tools } => {
                let named = minors
                    .iter()
                    .map(|m| format!("\"{m}\": {{ newest: \"{m}.…\" }}"))
                    .collect::<Vec<_>>();
                let mut help = vec![format!(
                    "look it up among the tags of temporalio/temporal and name it in a file of your own (--catalog FILE): minors: {{ {} }}",
                    named.join(", ")
                )];
                if *old_tools {
                    help.push("never use --dryrun of a schema tool older than 1.8.0: it drops every table of the real database".to_owned());
                }
                help
            }
            PathError::NoStore { near, all, .. } => {
                let near = near.iter().map(|near| format!("did you mean `{near}`?"));
                near.chain([format!("stores: {}", all.join(", "))]).collect()
            }
            PathError::Unsupported { .. } => Vec::new(),
            PathError::NotServed { .. } => vec!["upgrade the database first, apart from Temporal".to_owned()],
            PathError::VisibilityOnly { store } => vec![format!(
                "give it as --visibility {store}, and the default store as --store"
            )],
            PathError::NotYet { store, .. } => {
                let old = match store.as_str() {
                    "postgres12" => "postgres",
                    "mysql8" => "mysql",
                    _ => return Vec::new(),
                };
                vec![format!("such a cluster runs on `{old}`: take that")]
            }
            PathError::Dropped {
                side,
                from,
                last,
                leave,
                ..
            } => {
                let mut help = Vec::new();
                help.extend(leave.as_ref().map(|leave| leave.text.clone()));
                help.push(match last {
                    Some(last) if from == last => format!("do this at {last}, which runs:"),
                    Some(last) => format!("go to {last} first (--to {last}), then:"),
                    None => {
                        return vec![format!(
                            "{from} does not serve it either: look at `pluginName` in the server's configuration"
                        )];
                    }
                });
                help.extend(
                    leave
                        .iter()
                        .flat_map(|leave| &leave.steps)
                        .enumerate()
                        .map(|(i, step)| format!("{}. {step}", i + 1)),
                );
                match (leave.as_ref().and_then(|leave| leave.to.as_ref()), side) {
                    (Some(to), Side::Default) => help.push(format!("then ask again with --store {to}")),
                    (Some(to), Side::Visibility) => help.push(format!("then ask again with --visibility {to}")),
                    (None, _) => help.push("then ask again with --visibility and the new store".to_owned()),
                }
                help
            }
            PathError::NoSchema { .. } => vec![EXTEND.to_owned()],
        }
    }

    pub(crate) fn diagnostic(&self) -> Diagnostic {
        self.help()
            .into_iter()
            .fold(Diagnostic::general(self.to_string()), |diagnostic, help| {
                diagnostic.help(help)
            })
    }
}
