//! What a release makes of a configuration, and what an upgrade may not change in it.

use std::fmt::Display;

use super::launch::EMBEDDED;
use super::{Launch, Placed, ServerConfig, StoreConfig, at};
use crate::temporal::catalog::{Catalog, Side};
use crate::temporal::release::{Minor, Release};
use crate::yaml::{Diagnostic, Severity, Span, suggestion};

/// One thing that is wrong, or worth a look.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// A short name that stays: `plugin-gone`, `shards-changed`.
    pub(crate) id: &'static str,
    pub(crate) diagnostic: Diagnostic,
}

/// What is looked at: a configuration for a release, and what is known of the one that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) to: Release,
    /// The release that runs.
    pub(crate) from: Option<Release>,
    /// The configuration that the new release will read.
    pub(crate) new: &'a ServerConfig,
    /// The configuration that runs.
    pub(crate) old: Option<&'a ServerConfig>,
    /// How the new release is started.
    pub(crate) launch: Option<&'a Launch>,
}

/// Everything that is wrong, in the order of the configuration: stores, then what changed, then how it is started.
/// A [`Severity::Error`] must stop the upgrade.
pub(crate) fn lint(change: &Change<'_>) -> Vec<Finding> {
    let mut lint = Lint {
        change,
        found: Vec::new(),
    };
    lint.stores();
    lint.gone();
    if let Some(old) = change.old {
        lint.changed(old);
        lint.archival(old);
    }
    if let Some(launch) = change.launch {
        lint.launch(launch);
    }
    lint.found
}

/// Its history panics where archival was switched off after it had been on.
const ARCHIVAL_PANIC: Minor = Minor::new(1, 21);
/// `visibilityStore` must be there.
const ONE_VISIBILITY: Minor = Minor::new(1, 25);

struct Lint<'a> {
    change: &'a Change<'a>,
    found: Vec<Finding>,
}

impl Lint<'_> {
    fn push(&mut self, id: &'static str, diagnostic: Diagnostic) {
        self.found.push(Finding { id, diagnostic });
    }

    fn stores(&mut self) {
        let Change { new, to, .. } = *self.change;
        let sides = [
            (Side::Default, &new.default),
            (Side::Visibility, &new.visibility),
            (Side::Visibility, &new.secondary_visibility),
        ];
        for (side, store) in sides {
            if let Some(store) = store {
                self.store(side, store);
            }
        }
        if new.visibility.is_none() && to.minor >= ONE_VISIBILITY {
            let place = at(&new.root, "persistence").unwrap_or(&new.root);
            self.push(
                "visibility-missing",
                Diagnostic::error(&start(&place.span), format!("{to} needs `persistence.visibilityStore`"))
                    .help("name the datastore that holds visibility"),
            );
        }
        if let (Some(default), Some(visibility)) = (&new.default, &new.visibility) {
            self.one_database(default, visibility);
        }
    }

    fn store(&mut self, side: Side, store: &StoreConfig) {
        let Change { catalog, to, .. } = *self.change;
        let plugin = store.store.value.as_str();
        if plugin == "custom" {
            let message = format!("the datastore `{}` is none that Refit knows", store.name.value);
            let unknown = Diagnostic::error(&store.name.at, message).severity(Severity::Warning);
            self.push("store-unknown", unknown.help("its schema is yours to update"));
            return;
        }
        let Some((_, known)) = catalog.store(plugin) else {
            let message = format!("no plugin `{plugin}` in {to}");
            let mut unknown = Diagnostic::error(&store.store.at, message);
            if let Some(help) = suggestion(plugin, catalog.plugins()) {
                unknown = unknown.help(help);
            }
            self.push("plugin-unknown", unknown);
            return;
        };
        if let Some(dropped) = known.dropped.get(&side).filter(|dropped| to.minor >= **dropped) {
            let message = format!("{dropped} dropped {plugin} as the {} store", side.as_str());
            let mut gone = Diagnostic::error(&store.store.at, message);
            for text in known
                .leave
                .iter()
                .flat_map(|leave| std::iter::once(&leave.text).chain(&leave.steps))
            {
                gone = gone.help(text);
            }
            self.push("plugin-gone", gone);
        } else if known.since.is_some_and(|since| to.minor < since) {
            self.push(
                "plugin-unknown",
                Diagnostic::error(&store.store.at, format!("{to} does not know the plugin {plugin} yet")),
            );
        }
        if let Some(why) = &known.unsupported {
            let message = format!("{plugin} cannot be upgraded");
            self.push(
                "store-unsupported",
                Diagnostic::error(&store.store.at, message).help(why),
            );
        }
    }

    fn one_database(&mut self, default: &StoreConfig, visibility: &StoreConfig) {
        let text = |placed: &Option<Placed<String>>| placed.as_ref().map(|placed| placed.value.clone());
        let same_name = default.name.value == visibility.name.value;
        let same_database = default.store.value == visibility.store.value
            && text(&default.database).is_some()
            && text(&default.database) == text(&visibility.database)
            && text(&default.address) == text(&visibility.address);
        if same_name || same_database {
            let place = visibility
                .database
                .as_ref()
                .filter(|_| !same_name)
                .map_or(&visibility.name.at, |d| &d.at);
            let other = default
                .database
                .as_ref()
                .filter(|_| !same_name)
                .map_or(&default.name.at, |d| &d.at);
            self.push(
                "one-database",
                Diagnostic::error(place, "both stores are one database")
                    .also(other, "the default store")
                    .help("`schema_version` has one row for a database: give visibility a database of its own"),
            );
        }
    }

    /// Keys that a minor up to the target took away.
    fn gone(&mut self) {
        let Change { catalog, to, new, .. } = *self.change;
        let mut found = Vec::new();
        for (minor, facts) in catalog.minors.range(..=to.minor) {
            for action in facts.actions.values() {
                for key in &action.gone {
                    if let Some(node) = at(&new.root, key) {
                        let message = format!("`{key}` is gone from {minor} on");
                        found.push(Diagnostic::error(&start(&node.span), message).help(&action.text));
                    }
                }
            }
        }
        found.into_iter().for_each(|gone| self.push("key-gone", gone));
    }

    fn changed(&mut self, old: &ServerConfig) {
        let new = self.change.new;
        self.differs(
            "shards-changed",
            "numHistoryShards",
            old.shards.as_ref(),
            new.shards.as_ref(),
            "it is fixed when a cluster is made",
        );
        let clusters = (&old.clusters, &new.clusters);
        let fixed = "members and data know the cluster by it";
        self.differs(
            "cluster-changed",
            "currentClusterName",
            clusters.0.current.as_ref(),
            clusters.1.current.as_ref(),
            fixed,
        );
        self.differs(
            "cluster-changed",
            "masterClusterName",
            clusters.0.main.as_ref(),
            clusters.1.main.as_ref(),
            fixed,
        );
        let increment = (clusters.0.increment.as_ref(), clusters.1.increment.as_ref());
        self.differs(
            "cluster-changed",
            "failoverVersionIncrement",
            increment.0,
            increment.1,
            fixed,
        );
        for name in &clusters.0.names {
            if !clusters.1.names.iter().any(|known| known.value == name.value) {
                let message = format!("the cluster `{}` of the running configuration is gone", name.value);
                self.push(
                    "cluster-changed",
                    Diagnostic::error(&name.at, message).help("change clusters apart from an upgrade"),
                );
            }
        }
        let stores = [
            ("defaultStore", &old.default, &new.default),
            ("visibilityStore", &old.visibility, &new.visibility),
            (
                "secondaryVisibilityStore",
                &old.secondary_visibility,
                &new.secondary_visibility,
            ),
        ];
        for (key, old, new) in stores {
            match (old, new) {
                (Some(old), Some(new)) => self.store_changed(key, old, new),
                (Some(old), None) => {
                    let message = format!("`{key}` of the running configuration is gone");
                    self.push("store-changed", Diagnostic::error(&old.name.at, message));
                }
                _ => {}
            }
        }
    }

    fn store_changed(&mut self, key: &str, old: &StoreConfig, new: &StoreConfig) {
        self.differs(
            "store-changed",
            key,
            Some(&old.name),
            Some(&new.name),
            "change stores apart from an upgrade",
        );
        let engine = |store: &StoreConfig| {
            let known = self.change.catalog.store(&store.store.value);
            known.map_or_else(|| store.store.value.clone(), |(_, known)| known.engine.clone())
        };
        let other_engine = engine(old) != engine(new);
        if other_engine {
            let what = format!("the kind of `{key}`");
            self.differs(
                "store-changed",
                &what,
                Some(&old.store),
                Some(&new.store),
                "change stores apart from an upgrade",
            );
        }
        let what = format!("the database of `{key}`");
        let help = "the schema that was brought up is that of the running configuration's database";
        self.differs(
            "database-changed",
            &what,
            old.database.as_ref(),
            new.database.as_ref(),
            help,
        );
        if !other_engine
            && let (Some(was), Some(is)) = (&old.address, &new.address)
            && was.value != is.value
        {
            let message = format!("the address of `{key}` changes from {} to {}", was.value, is.value);
            self.push(
                "address-changed",
                Diagnostic::error(&is.at, message)
                    .severity(Severity::Warning)
                    .also(&was.at, "the running one")
                    .help("is it the same database?"),
            );
        }
    }

    /// An error where a value that must stay does not.
    fn differs<T: PartialEq + Display>(
        &mut self,
        id: &'static str,
        what: &str,
        old: Option<&Placed<T>>,
        new: Option<&Placed<T>>,
        help: &str,
    ) {
        match (old, new) {
            (Some(old), Some(new)) if old.value != new.value => self.push(
                id,
                Diagnostic::error(&new.at, format!("{what} changes from {} to {}", old.value, new.value))
                    .also(&old.at, "the running one")
                    .help(help),
            ),
            (Some(old), None) => self.push(
                id,
                Diagnostic::error(
                    &old.at,
                    format!("{what} of the running configuration ({}) is gone", old.value),
                )
                .help(help),
            ),
            _ => {}
        }
    }

    fn archival(&mut self, old: &ServerConfig) {
        let Change { new, from, to, .. } = *self.change;
        let on = |state: &Option<Placed<String>>| state.as_ref().is_some_and(|state| state.value == "enabled");
        let states = [
            ("history", &old.archival.history, &new.archival.history),
            ("visibility", &old.archival.visibility, &new.archival.visibility),
        ];
        for (what, was, is) in states {
            let Some(was) = was.as_ref().filter(|_| on(was) && !on(is)) else {
                continue;
            };
            let place = is.as_ref().map_or(&was.at, |is| &is.at);
            let panics = to.minor >= ARCHIVAL_PANIC && from.is_none_or(|from| from.minor <= ARCHIVAL_PANIC);
            let off = Diagnostic::error(place, format!("archival of {what} is on and is switched off"));
            let help = match panics {
                true => {
                    "history of 1.21 panics on tasks that are left of it (#6307, #4715): leave it on over the upgrade"
                }
                false => "switch it off apart from an upgrade, when its tasks are done",
            };
            let severity = if panics { Severity::Error } else { Severity::Warning };
            self.push(
                "archival-off",
                off.severity(severity).also(&was.at, "the running one").help(help),
            );
        }
    }

    fn launch(&mut self, launch: &Launch) {
        let to = self.change.to;
        let Some(place) = launch.at.clone() else { return };
        // A file of variables may set what the command does not.
        let unsure = match launch.variable_files.is_empty() {
            true => Severity::Error,
            false => Severity::Warning,
        };
        let files = || launch.variable_files.join(", ");
        if launch.files(to).is_none() {
            let mut trap = Diagnostic::error(&place, format!("{to} would read no configuration file, but its embedded template, whose database is Cassandra"))
                .severity(unsure)
                .help("give --config DIR and --env NAME, or --config-file FILE; --root alone is not enough, and up to 1.29 ./config/development.yaml was read");
            if !launch.variable_files.is_empty() {
                trap = trap.help(format!(
                    "unless {} sets TEMPORAL_CONFIG_DIR, TEMPORAL_ENVIRONMENT or TEMPORAL_SERVER_CONFIG_FILE_PATH",
                    files()
                ));
            }
            self.push("embedded-configuration", trap);
        }
        if let Some(file) = &launch.config_file {
            if to.minor < EMBEDDED {
                let message = format!("{to} does not know --config-file {file}, and exits 0 on an unknown flag");
                self.push(
                    "config-file",
                    Diagnostic::error(&place, message).help("it is there from 1.30 on: give --config and --env"),
                );
            } else if let Some(other) = [
                ("--root", &launch.root),
                ("--config", &launch.config),
                ("--env", &launch.env),
                ("--zone", &launch.zone),
            ]
            .into_iter()
            .find_map(|(flag, value)| value.is_some().then_some(flag))
            {
                self.push(
                    "config-file",
                    Diagnostic::error(&place, format!("--config-file excludes {other}, its variable too")),
                );
            }
        }
        let absolute = launch.config.as_deref().is_some_and(|config| config.starts_with('/'));
        if absolute && launch.config_file.is_none() && launch.root.as_deref() != Some("/") {
            let message = format!("the server joins --config to --root: it looks in {}", launch.folder());
            self.push(
                "config-root",
                Diagnostic::error(&place, message)
                    .severity(unsure)
                    .help("give `--root /` with an absolute --config"),
            );
        }
        if launch.old_services {
            let old = Diagnostic::error(&place, "--services is deprecated").severity(Severity::Note);
            self.push("services-flag", old.help("write --service for each"));
        }
    }
}

/// The first line of a node.
fn start(span: &Span) -> Span {
    let text = &span.source.text[span.start..span.end.max(span.start)];
    let length = text.find('\n').unwrap_or(text.len());
    Span::new(&span.source, span.start, span.start + length)
}
