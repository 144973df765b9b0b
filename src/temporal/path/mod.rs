//! The path: every hop from one release to a later one, with what each needs.
//!
//! Pure: it reads the catalog and nothing else. First the newest patch of the minor that runs, then the newest good patch
//! of every minor up to the target, none left out.

mod error;
mod page;
#[cfg(test)]
mod tests;

pub(crate) use error::PathError;

use indexmap::IndexMap;
use serde::Serialize;

use super::catalog::{BadKind, Catalog, Effect, Need, Side, Store};
use super::release::{Minor, Release};
use crate::schema::Version;

/// A database of the cluster, as whoever asks names it, and the store that it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Database<'a> {
    /// Its key in `schema` and `needs` of a hop: the name in the playbook's `databases`.
    pub(crate) name: &'a str,
    /// As `pluginName` says it: `postgres12_pgx`, `cassandra`.
    pub(crate) store: &'a str,
    /// What the database says of itself, where it was asked.
    pub(crate) version: Option<&'a str>,
}

/// Both databases of a cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stores<'a> {
    pub(crate) default: Database<'a>,
    pub(crate) visibility: Database<'a>,
}

/// From a running release to a target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Path {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Empty: nothing to do. What a playbook has as `cluster.path`.
    pub(crate) hops: Vec<Hop>,
    /// What to know of the start or the end.
    pub(crate) notes: Vec<String>,
}

/// One upgrade: to a later patch, or from a minor to the next. DB below is the name of a database.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Hop {
    pub(crate) from: String,
    pub(crate) to: String,
    /// What the new binary says of itself.
    pub(crate) reports: String,
    /// DB: its folder of versions below `schema/` of the release.
    pub(crate) schema: IndexMap<String, String>,
    /// DB: the schema version that the new release needs.
    pub(crate) needs: IndexMap<String, String>,
    /// DB: what the old release needs, so what is there at least.
    pub(crate) has: IndexMap<String, String>,
    /// Does any database change?
    pub(crate) changes: bool,
    pub(crate) stores: Vec<StoreStep>,
    /// What to do before it.
    pub(crate) actions: Vec<String>,
    /// What the schema does to tables that exist.
    pub(crate) rewrites: Vec<Rewrite>,
    /// Schema versions that upstream's tool cannot run again after it was cut off, with the reason.
    pub(crate) replays: Vec<String>,
    /// role: the gRPC health service that answers in the new release.
    pub(crate) health: IndexMap<String, String>,
    /// Roles whose SERVING means ready in the new release.
    pub(crate) ready: Vec<String>,
    /// DB: the oldest version of the database that the new release works with.
    pub(crate) minimum: IndexMap<String, String>,
}

/// What happens to one database in a hop.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StoreStep {
    pub(crate) database: String,
    pub(crate) side: Side,
    /// The catalog's name of the store, and its engine.
    pub(crate) store: String,
    pub(crate) engine: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) changes: bool,
    /// How a person brings it up, where Refit does not.
    pub(crate) by_hand: Option<String>,
    /// Does the catalog know what these versions do to tables?
    pub(crate) known: bool,
}

/// What a schema version does to a table that exists. Ask the database for the rows and bytes of `table`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rewrite {
    pub(crate) database: String,
    pub(crate) engine: String,
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) kind: Effect,
    /// Statements that each do it.
    pub(crate) times: u32,
    pub(crate) text: Option<String>,
}

/// Plans the hops. `to` may be a minor: its newest patch.
///
/// # Errors
/// Why there is no path, and the way out.
pub(crate) fn path(catalog: &Catalog, from: &str, to: &str, stores: Stores<'_>) -> Result<Path, PathError> {
    let (from, to) = (source(catalog, from)?, target(catalog, to)?);
    if from == to {
        return Ok(Path {
            from: from.to_string(),
            to: to.to_string(),
            hops: Vec::new(),
            notes: Vec::new(),
        });
    }
    if to < from {
        return Err(PathError::Downgrade { from, to });
    }
    let sides = [
        known_store(catalog, stores.default, Side::Default, from, to)?,
        known_store(catalog, stores.visibility, Side::Visibility, from, to)?,
    ];
    let way = way(catalog, from, to)?;
    let hops = way
        .windows(2)
        .map(|pair| hop(catalog, pair[0], pair[1], &sides))
        .collect::<Result<_, _>>()?;
    Ok(Path {
        from: from.to_string(),
        to: to.to_string(),
        hops,
        notes: notes(catalog, from, to),
    })
}

fn source(catalog: &Catalog, text: &str) -> Result<Release, PathError> {
    let release = Release::parse(text).ok_or_else(|| PathError::NoRelease { text: text.to_owned() })?;
    if release.minor.major == 0 {
        return Err(PathError::TooOld { release });
    }
    known(catalog, release, "running")?;
    Ok(release)
}

fn target(catalog: &Catalog, text: &str) -> Result<Release, PathError> {
    let release = match (Release::parse(text), Minor::parse(text)) {
        (Some(release), _) => release,
        (None, Some(minor)) => match catalog.newest_of(minor) {
            Some(newest) => newest,
            None if catalog.minors.contains_key(&minor) => return Err(PathError::newest_unknown(vec![minor], false)),
            None => return Err(PathError::unknown(catalog, minor.to_string(), "target")),
        },
        (None, None) => return Err(PathError::NoRelease { text: text.to_owned() }),
    };
    known(catalog, release, "target")?;
    let way_out = || catalog.newest_of(release.minor);
    if let Some(bad) = catalog.bad.get(&release)
        && bad.kind != BadKind::Banned
    {
        let (kind, why) = (bad.kind, bad.why.clone());
        return Err(PathError::Bad {
            release,
            kind,
            why,
            instead: way_out(),
        });
    }
    if release.fourth != 0 {
        let reports = catalog.reported(release);
        return Err(PathError::FourParts {
            release,
            reports,
            instead: way_out(),
        });
    }
    Ok(release)
}

/// The facts know its minor, and that it has such a patch.
fn known(catalog: &Catalog, release: Release, which: &'static str) -> Result<(), PathError> {
    let listed = catalog.minors.contains_key(&release.minor)
        && catalog.newest_of(release.minor).is_none_or(|newest| release <= newest)
        && (release.fourth == 0 || catalog.reports.contains_key(&release));
    match listed {
        true => Ok(()),
        false => Err(PathError::unknown(catalog, release.to_string(), which)),
    }
}

/// A database with its store looked up.
struct Known<'a> {
    database: Database<'a>,
    side: Side,
    name: &'a str,
    store: &'a Store,
}

fn known_store<'a>(
    catalog: &'a Catalog,
    database: Database<'a>,
    side: Side,
    from: Release,
    to: Release,
) -> Result<Known<'a>, PathError> {
    let Some((name, store)) = catalog.store(database.store) else {
        return Err(PathError::no_store(catalog, database.store));
    };
    if let Some(why) = &store.unsupported {
        let (store, why) = (name.to_owned(), why.clone());
        return Err(PathError::Unsupported { store, why });
    }
    if side == Side::Default && store.engine == "elasticsearch" {
        return Err(PathError::VisibilityOnly { store: name.to_owned() });
    }
    if let Some(since) = store.since.filter(|since| from.minor < *since) {
        let store = name.to_owned();
        return Err(PathError::NotYet { store, since, from });
    }
    if let Some(dropped) = store.dropped.get(&side).copied().filter(|dropped| to.minor >= *dropped) {
        let before = catalog.minors.range(..dropped).next_back();
        let last = before
            .and_then(|(_, facts)| facts.newest.as_ref())
            .map(|(release, _)| *release);
        return Err(PathError::Dropped {
            store: database.store.to_owned(),
            side,
            from,
            dropped,
            last: last.filter(|_| from.minor < dropped),
            leave: store.leave.clone(),
        });
    }
    if let Some(version) = database.version {
        let why = catalog.serves(name, version);
        why.map_err(|why| PathError::NotServed {
            database: database.name.to_owned(),
            why,
            to,
        })?;
    }
    Ok(Known {
        database,
        side,
        name,
        store,
    })
}

/// Every release that will run, the first one included.
fn way(catalog: &Catalog, from: Release, to: Release) -> Result<Vec<Release>, PathError> {
    if from.minor == to.minor {
        return Ok(vec![from, to]);
    }
    let between: Vec<Minor> = (from.minor.minor + 1..to.minor.minor)
        .map(|minor| Minor::new(from.minor.major, minor))
        .collect();
    let missing = between
        .iter()
        .copied()
        .filter(|minor| !catalog.minors.contains_key(minor))
        .collect::<Vec<_>>();
    if from.minor.major != to.minor.major || !missing.is_empty() {
        return Err(PathError::Gap { from, to, missing });
    }
    let mut way = vec![from];
    let mut nameless = Vec::new();
    for minor in std::iter::once(from.minor).chain(between) {
        match catalog.newest_of(minor) {
            Some(newest) if newest > from => way.push(newest),
            Some(_) => {}
            None => nameless.push(minor),
        }
    }
    if !nameless.is_empty() {
        return Err(PathError::newest_unknown(nameless, from.minor < OLD_TOOLS));
    }
    way.push(to);
    Ok(way)
}

/// Schema tools below this one destroy data with `--dryrun`.
const OLD_TOOLS: Minor = Minor::new(1, 8);

fn need<'c>(catalog: &'c Catalog, known: &Known<'_>, release: Release) -> Result<&'c Need, PathError> {
    catalog
        .need(known.name, known.side, release)
        .ok_or_else(|| PathError::NoSchema {
            store: known.name.to_owned(),
            side: known.side,
            release,
        })
}

fn hop(catalog: &Catalog, from: Release, to: Release, sides: &[Known<'_>]) -> Result<Hop, PathError> {
    let names: Vec<&str> = sides.iter().map(|known| known.name).collect();
    let health = catalog.health_of(to);
    let mut hop = Hop {
        from: from.to_string(),
        to: to.to_string(),
        reports: catalog.reported(to).to_string(),
        schema: IndexMap::new(),
        needs: IndexMap::new(),
        has: IndexMap::new(),
        changes: false,
        stores: Vec::new(),
        actions: Vec::new(),
        rewrites: Vec::new(),
        replays: Vec::new(),
        ready: health
            .iter()
            .filter(|(_, (_, ready))| *ready)
            .map(|(role, _)| (*role).to_owned())
            .collect(),
        health: health
            .into_iter()
            .map(|(role, (service, _))| (role.to_owned(), service.to_owned()))
            .collect(),
        minimum: IndexMap::new(),
    };
    if from.minor != to.minor
        && let Some(facts) = catalog.minors.get(&to.minor)
    {
        hop.actions = facts
            .actions_for(&names)
            .map(|(_, action)| action.text.clone())
            .collect();
    }
    for known in sides {
        let (has, needs) = (need(catalog, known, from)?, need(catalog, known, to)?);
        // A team's release may run on a schema that a later one lowers; the database never goes back.
        let changes = needs.version > has.version;
        let name = known.database.name.to_owned();
        match (&known.store.by_hand, changes) {
            (Some(way), true) => hop
                .actions
                .push(format!("{name} goes from {} to {}: {way}", has.text, needs.text)),
            (Some(_), false) => {}
            (None, _) => {
                hop.schema.extend(
                    known
                        .store
                        .directories
                        .get(&known.side)
                        .map(|dir| (name.clone(), dir.clone())),
                );
                hop.needs.insert(name.clone(), needs.text.clone());
                hop.has.insert(name.clone(), has.text.clone());
            }
        }
        hop.minimum.extend(
            known
                .store
                .minimum
                .as_ref()
                .map(|minimum| (name.clone(), minimum.clone())),
        );
        hop.changes |= changes && known.store.by_hand.is_none();
        let whole = effects(catalog, &mut hop, known, to, (&has.version, &needs.version));
        hop.stores.push(StoreStep {
            database: name,
            side: known.side,
            store: known.name.to_owned(),
            engine: known.store.engine.clone(),
            from: has.text.clone(),
            to: needs.text.clone(),
            changes,
            by_hand: known.store.by_hand.clone(),
            known: whole || !changes || known.store.by_hand.is_some(),
        });
    }
    Ok(hop)
}

/// Adds what the versions between do. False where the catalog does not know.
fn effects(catalog: &Catalog, hop: &mut Hop, known: &Known<'_>, to: Release, between: (&Version, &Version)) -> bool {
    let Some(steps) = catalog.steps_between(known.name, known.side, between.0, between.1) else {
        return false;
    };
    for (version, step) in steps {
        let name = known.database.name;
        hop.rewrites.extend(step.does(to, between.0).map(|does| Rewrite {
            database: name.to_owned(),
            engine: known.store.engine.clone(),
            schema: version.to_string(),
            table: does.table.clone(),
            kind: does.kind,
            times: does.times,
            text: does.text.clone(),
        }));
        hop.replays
            .extend(step.replay.as_ref().map(|why| format!("{name} {version}: {why}")));
        if let Some(tool) = step.tool {
            hop.actions.push(format!(
                "{name} {version} needs the schema tool of {tool} or newer, where upstream's is used: take that of {to}"
            ));
        }
    }
    true
}

fn notes(catalog: &Catalog, from: Release, to: Release) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(bad) = catalog.bad.get(&from) {
        notes.push(format!(
            "{from} runs and is {} ({}): leave it soon",
            bad.kind.as_str(),
            bad.why
        ));
    }
    if let Some(bad) = catalog.bad.get(&to) {
        notes.push(format!("{to} is {} ({})", bad.kind.as_str(), bad.why));
    }
    let (patch, newest) = catalog.newer(to);
    notes.extend(patch.map(|patch| format!("{patch} is the newest patch of {}: take it instead of {to}", to.minor)));
    notes.extend(newest.map(|newest| format!("{newest} is the newest release of all (catalog of {})", catalog.as_of)));
    let same = catalog.reported(to);
    if same != to {
        notes.push(format!("the binary of {to} says {same}"));
    }
    notes
}
