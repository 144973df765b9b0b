//! The release catalog: what is known of every release, as data.
//!
//! `releases.yml` is shipped in the program. A file of a team's is read on top of it, key by key, and the whole is
//! checked again: a new release needs a few lines, not a new Refit.

mod check;
mod page;
mod read;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::release::{Minor, Release, at_least};
use crate::schema::Version;
use crate::yaml::{Diagnostics, Source, Span};

/// Everything that is known of releases, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    /// The day of the facts, as written.
    pub(crate) as_of: String,
    pub(crate) stores: IndexMap<String, Store>,
    pub(crate) health: IndexMap<String, Health>,
    pub(crate) bad: BTreeMap<Release, Bad>,
    /// What a binary says, where that is not its tag.
    pub(crate) reports: BTreeMap<Release, Release>,
    pub(crate) minors: BTreeMap<Minor, MinorFacts>,
    /// What schema versions do to tables; a store and side that is missing here is not known.
    pub(crate) steps: IndexMap<String, IndexMap<Side, BTreeMap<Version, Step>>>,
}

/// Which of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Default,
    Visibility,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::Default, Side::Visibility];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Side::Default => "default",
            Side::Visibility => "visibility",
        }
    }
}

/// A kind of store, as `pluginName` names it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// postgres, mysql, cassandra, elasticsearch or sqlite.
    pub(crate) engine: String,
    /// Names in the server's configuration that mean this store; its own name where none is given.
    pub(crate) plugins: Vec<String>,
    /// `postgresql/v12/temporal/versioned`, below `schema/` of a release.
    pub(crate) directories: BTreeMap<Side, String>,
    /// The oldest version of the database that the code works with.
    pub(crate) minimum: Option<String>,
    /// What upstream documents, for people.
    pub(crate) documented: Option<String>,
    /// Series of the database (`5.0`) that are served only from a version on.
    pub(crate) refused: IndexMap<String, String>,
    /// The first minor that has it; None: the first of all.
    pub(crate) since: Option<Minor>,
    /// The first minor that does not have it any more.
    pub(crate) dropped: BTreeMap<Side, Minor>,
    /// What to do before it is dropped.
    pub(crate) leave: Option<Leave>,
    /// Why Refit does not upgrade it at all.
    pub(crate) unsupported: Option<String>,
    /// How its schema is brought up, where Refit does not do it.
    pub(crate) by_hand: Option<String>,
    at: Span,
}

/// The way out of a store that upstream dropped.
#[derive(Clone, Debug)]
pub(crate) struct Leave {
    /// The store to go to, where there is one.
    pub(crate) to: Option<String>,
    pub(crate) text: String,
    pub(crate) steps: Vec<String>,
}

/// gRPC health of a role.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) service: String,
    /// The first minor whose role answers; None: all do.
    pub(crate) since: Option<Minor>,
    /// The first minor in which SERVING means ready; None: not known.
    pub(crate) ready: Option<Minor>,
}

/// A tag that no path leads to.
#[derive(Clone, Debug)]
pub(crate) struct Bad {
    pub(crate) kind: BadKind,
    pub(crate) why: String,
    at: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BadKind {
    /// By go.mod.
    Retracted,
    /// Broken.
    KnownBad,
    /// Refused by another tool; a patch above it exists.
    Banned,
}

impl BadKind {
    const WORDS: [(&'static str, BadKind); 3] = [
        ("retracted", BadKind::Retracted),
        ("known_bad", BadKind::KnownBad),
        ("banned", BadKind::Banned),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            BadKind::Retracted => "retracted",
            BadKind::KnownBad => "known bad",
            BadKind::Banned => "banned",
        }
    }
}

/// What is known of a minor.
#[derive(Clone, Debug)]
pub(crate) struct MinorFacts {
    /// The latest good patch; None where the facts end.
    pub(crate) newest: Option<(Release, Span)>,
    /// What the newest patch needs.
    schema: Needs,
    /// What patches below this one need instead, where they differ.
    before: BTreeMap<Release, Needs>,
    pub(crate) actions: IndexMap<String, Action>,
    at: Span,
}

type Needs = IndexMap<String, BTreeMap<Side, Need>>;

/// A schema version that a release needs.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    /// As written: `1.19`, `v14`.
    pub(crate) text: String,
    pub(crate) version: Version,
    at: Span,
}

/// What to do before the hop to a minor.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) text: String,
    /// Only where one of these stores is used; empty: always.
    pub(crate) stores: Vec<String>,
    /// Keys of the configuration that it is about.
    pub(crate) keys: Vec<String>,
    /// Keys of the configuration that must not stand there any more.
    pub(crate) gone: Vec<String>,
    stores_at: Span,
}

/// What a schema version does beside making tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    /// Why upstream's tool cannot run it again after it was cut off.
    pub(crate) replay: Option<String>,
    /// The oldest tool that can read its files.
    pub(crate) tool: Option<Release>,
    does: Vec<Does>,
}

/// One effect on a table that exists.
#[derive(Clone, Debug)]
pub(crate) struct Does {
    pub(crate) table: String,
    pub(crate) kind: Effect,
    /// Statements of that kind.
    pub(crate) times: u32,
    pub(crate) text: Option<String>,
    /// The schema version that made the table.
    made: Option<Version>,
    /// Of each minor the first release whose files do this.
    since: Vec<Release>,
    /// Of each minor the last release whose files do this.
    until: Vec<Release>,
}

/// What a statement means for who uses the table meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effect {
    /// Written anew: nobody reads or writes it; room for table and indexes once more.
    Rewrite,
    /// Copied by MySQL: readers go on, writers wait; room for table and indexes once more.
    Copy,
    /// Writers wait.
    Index,
    /// Nobody waits.
    Online,
    /// What it holds is gone.
    Drop,
}

impl Effect {
    const WORDS: [(&'static str, Effect); 5] = [
        ("rewrite", Effect::Rewrite),
        ("copy", Effect::Copy),
        ("index", Effect::Index),
        ("online", Effect::Online),
        ("drop", Effect::Drop),
    ];

    /// Does it take a time that grows with the table?
    pub(crate) fn reads_all(self) -> bool {
        self != Effect::Drop
    }

    /// Needs the disk for the whole table a second time?
    pub(crate) fn writes_all(self) -> bool {
        matches!(self, Effect::Rewrite | Effect::Copy)
    }
}

impl Catalog {
    /// The shipped one.
    pub(crate) fn shipped() -> Catalog {
        // It is checked by this room's tests; a mistake in it is a mistake in the program.
        Catalog::read(&[Source::new("releases.yml", include_str!("../releases.yml"))])
            .unwrap_or_else(|wrong| panic!("{}", wrong.render(false, None)))
    }

    /// The shipped one, with a team's file on top.
    ///
    /// # Errors
    /// Every mistake in the file, and every contradiction that it brings, with its place.
    pub(crate) fn extended(by: &Arc<Source>) -> Result<Catalog, Diagnostics> {
        let shipped = Source::new("releases.yml", include_str!("../releases.yml"));
        Catalog::read(&[shipped, Arc::clone(by)])
    }

    fn read(sources: &[Arc<Source>]) -> Result<Catalog, Diagnostics> {
        let mut catalog = Catalog::default();
        let mut found = Diagnostics::default();
        for source in sources {
            match crate::yaml::parse(source, crate::yaml::Rules::Core) {
                Ok(root) => read::read(&mut catalog, &root, &mut found),
                Err(wrong) => found.extend(wrong),
            }
        }
        // What could not be read would only be missed a second time.
        if !found.has_errors() {
            check::check(&catalog, &mut found);
        }
        if found.has_errors() { Err(found) } else { Ok(catalog) }
    }

    /// The store that a `pluginName` or a `--store` means, with its name here.
    pub(crate) fn store(&self, plugin: &str) -> Option<(&str, &Store)> {
        self.stores
            .iter()
            .find(|(name, store)| match store.plugins.is_empty() {
                true => *name == plugin,
                false => store.plugins.iter().any(|p| p == plugin),
            })
            .map(|(name, store)| (name.as_str(), store))
    }

    /// Every name that `store` knows.
    pub(crate) fn plugins(&self) -> Vec<&str> {
        let of = |(name, store): (&'_ String, &'_ Store)| -> Vec<String> {
            match store.plugins.is_empty() {
                true => vec![name.clone()],
                false => store.plugins.clone(),
            }
        };
        let known: Vec<String> = self.stores.iter().flat_map(of).collect();
        self.stores
            .iter()
            .flat_map(|(name, store)| {
                std::iter::once(name.as_str())
                    .chain(store.plugins.iter().map(String::as_str))
                    .filter(|n| known.iter().any(|k| k == n))
            })
            .collect::<indexmap::IndexSet<_>>()
            .into_iter()
            .collect()
    }

    /// What a release needs in a database; None where the store is not served, or nothing is known.
    pub(crate) fn need(&self, store: &str, side: Side, release: Release) -> Option<&Need> {
        let facts = self.minors.get(&release.minor)?;
        facts
            .before
            .iter()
            .filter(|(below, _)| release < **below)
            .find_map(|(_, needs)| needs.get(store)?.get(&side))
            .or_else(|| facts.schema.get(store)?.get(&side))
    }

    /// What the binary of a tag says of itself.
    pub(crate) fn reported(&self, tag: Release) -> Release {
        self.reports.get(&tag).copied().unwrap_or(tag)
    }

    /// The newest release of all.
    pub(crate) fn newest(&self) -> Option<Release> {
        let newest = |facts: &MinorFacts| facts.newest.as_ref().map(|(release, _)| *release);
        self.minors.values().rev().find_map(newest)
    }

    /// The latest good patch of a minor.
    pub(crate) fn newest_of(&self, minor: Minor) -> Option<Release> {
        self.minors.get(&minor)?.newest.as_ref().map(|(release, _)| *release)
    }

    /// A release that is newer than a running one: the newest patch of its minor, and the newest of all, where they are
    /// newer. This is the notice that upstream's web UI no longer shows.
    pub(crate) fn newer(&self, running: Release) -> (Option<Release>, Option<Release>) {
        let above = |release: Option<Release>| release.filter(|r| *r > running);
        let (patch, all) = (above(self.newest_of(running.minor)), above(self.newest()));
        (patch, all.filter(|_| all != patch))
    }

    /// Is a version of the database served? The text of the error says what is.
    pub(crate) fn serves(&self, store: &str, version: &str) -> Result<(), String> {
        let Some(store) = self.stores.get(store) else {
            return Ok(());
        };
        let too_old = store.minimum.as_deref().filter(|m| at_least(version, m) == Some(false));
        let hole = store.refused.iter().find(|(series, from)| {
            let inside = version == series.as_str() || version.starts_with(&format!("{series}."));
            inside && at_least(version, from) == Some(false)
        });
        let needed = match (too_old, hole) {
            (Some(minimum), _) => minimum,
            (None, Some((_, from))) => from,
            (None, None) => return Ok(()),
        };
        let documented = store.documented.as_ref().map(|d| format!(" (documented: {d})"));
        Err(format!(
            "{} {version} is not served: {needed} or newer is needed{}",
            store.engine,
            documented.unwrap_or_default()
        ))
    }

    /// The health services that answer in a release, by role, and whether SERVING means ready.
    pub(crate) fn health_of(&self, release: Release) -> IndexMap<&str, (&str, bool)> {
        let answers = |health: &Health| health.since.is_none_or(|since| release.minor >= since);
        self.health
            .iter()
            .filter(|(_, health)| answers(health))
            .map(|(role, health)| {
                let ready = health
                    .ready
                    .or(health.since)
                    .is_some_and(|ready| release.minor >= ready);
                (role.as_str(), (health.service.as_str(), ready))
            })
            .collect()
    }

    /// What schema versions above `from` up to `to` are known to do, in order; None where nothing is known of the store.
    pub(crate) fn steps_between(
        &self,
        store: &str,
        side: Side,
        from: &Version,
        to: &Version,
    ) -> Option<impl Iterator<Item = (&Version, &Step)>> {
        let known = self.steps.get(store)?.get(&side)?;
        Some(known.range::<Version, _>((std::ops::Bound::Excluded(from.min(to)), std::ops::Bound::Included(to))))
    }
}

impl MinorFacts {
    /// What to do before the hop to this minor, with these stores.
    pub(crate) fn actions_for<'a>(&'a self, stores: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a Action)> {
        let applies =
            |action: &Action| action.stores.is_empty() || action.stores.iter().any(|s| stores.contains(&s.as_str()));
        self.actions
            .iter()
            .filter(move |(_, action)| applies(action))
            .map(|(id, action)| (id.as_str(), action))
    }
}

impl Step {
    /// What it does with the files of a release, to a database that is at `from`.
    pub(crate) fn does(&self, release: Release, from: &Version) -> impl Iterator<Item = &Does> {
        self.does
            .iter()
            .filter(move |does| does.with_files_of(release) && does.made.as_ref().is_none_or(|made| from >= made))
    }
}

impl Does {
    fn with_files_of(&self, release: Release) -> bool {
        if !self.since.is_empty() {
            return match self.since.iter().find(|since| since.minor == release.minor) {
                Some(since) => release >= *since,
                None => self.since.iter().max().is_some_and(|last| release > *last),
            };
        }
        if !self.until.is_empty() {
            let last = self.until.iter().find(|until| until.minor == release.minor);
            return last.is_some_and(|last| release <= *last);
        }
        true
    }
}
