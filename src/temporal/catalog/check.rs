//! What a catalog may not say, whoever wrote it.

use std::collections::BTreeMap;

use super::read::no_store;
use super::{Catalog, Need, Side};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) fn check(catalog: &Catalog, found: &mut Diagnostics) {
    stores(catalog, found);
    releases(catalog, found);
    served(catalog, found);
    forwards(catalog, found);
}

fn stores(catalog: &Catalog, found: &mut Diagnostics) {
    for (name, store) in &catalog.stores {
        if let Some(to) = store.leave.as_ref().and_then(|leave| leave.to.as_ref())
            && !catalog.stores.contains_key(to)
        {
            found.push(no_store(&store.at, to, catalog).label(format!("`{name}` moves to it")));
        }
    }
    for facts in catalog.minors.values() {
        let named = facts.schema.iter().chain(facts.before.values().flatten());
        for (store, needs) in named {
            if !catalog.stores.contains_key(store)
                && let Some(need) = needs.values().next()
            {
                found.push(no_store(&need.at, store, catalog));
            }
        }
        for action in facts.actions.values() {
            for store in action.stores.iter().filter(|s| !catalog.stores.contains_key(*s)) {
                found.push(no_store(&action.stores_at, store, catalog));
            }
        }
    }
}

/// Names of releases fit together: a minor's newest is of that minor, and good.
fn releases(catalog: &Catalog, found: &mut Diagnostics) {
    for (minor, facts) in &catalog.minors {
        for below in facts.before.keys().filter(|below| below.minor != *minor) {
            found.push(Diagnostic::error(
                &facts.at,
                format!("`before` of {minor} names {below}, a release of another minor"),
            ));
        }
        let Some((newest, at)) = &facts.newest else { continue };
        if newest.minor != *minor {
            found.push(Diagnostic::error(at, format!("{newest} is no release of {minor}")));
        } else if let Some(bad) = catalog.bad.get(newest) {
            found.push(
                Diagnostic::error(
                    at,
                    format!("{newest} is {} and cannot be the newest of {minor}", bad.kind.as_str()),
                )
                .also(&bad.at, bad.kind.as_str())
                .help("name a good patch"),
            );
        } else if newest.fourth != 0 {
            found.push(
                Diagnostic::error(
                    at,
                    format!("{newest} has four parts and cannot be the newest of {minor}"),
                )
                .help("its binary says three; name a release of three"),
            );
        }
        for below in facts.before.keys().filter(|below| *below > newest) {
            found.push(Diagnostic::error(
                at,
                format!("`before` of {minor} names {below}, which is above {newest}"),
            ));
        }
    }
}

/// A store has a schema in exactly the minors that serve it.
fn served(catalog: &Catalog, found: &mut Diagnostics) {
    for (minor, facts) in &catalog.minors {
        for (name, needs) in &facts.schema {
            let Some(store) = catalog.stores.get(name) else {
                continue;
            };
            for (side, need) in needs {
                let gone = store.dropped.get(side).filter(|dropped| *minor >= **dropped);
                if let Some(dropped) = gone {
                    let message = format!("{minor} has no {} in {name}: {dropped} dropped it", side.as_str());
                    found.push(Diagnostic::error(&need.at, message));
                } else if store.since.is_some_and(|since| *minor < since) {
                    found.push(Diagnostic::error(&need.at, format!("{minor} does not know {name} yet")));
                }
            }
        }
        for (name, store) in &catalog.stores {
            let known = store.since.is_none_or(|since| *minor >= since);
            // Elasticsearch's templates begin late, PostgreSQL's versions after 1.0.
            let first = catalog.minors.values().find(|facts| facts.schema.contains_key(name));
            let begun =
                first.is_some_and(|first| catalog.minors.iter().any(|(m, f)| std::ptr::eq(f, first) && m <= minor));
            for side in store.directories.keys() {
                let gone = store.dropped.get(side).is_some_and(|dropped| minor >= dropped);
                let needed = known && begun && !gone;
                let given = facts.schema.get(name).is_some_and(|needs| needs.contains_key(side));
                if needed && !given {
                    let message = format!("{minor} names no schema for the {} of {name}", side.as_str());
                    found.push(Diagnostic::error(&facts.at, message).help(format!(
                        "add `schema: {{ {name}: {{ {}: \"…\" }} }}` to the minor",
                        side.as_str()
                    )));
                }
            }
        }
    }
}

/// From release to release a schema never goes backwards.
fn forwards(catalog: &Catalog, found: &mut Diagnostics) {
    let mut last: BTreeMap<(&str, Side), (&Need, String)> = BTreeMap::new();
    for (minor, facts) in &catalog.minors {
        let patches = facts
            .before
            .iter()
            .map(|(below, needs)| (needs, format!("below {below}")));
        for (needs, named) in patches.chain([(&facts.schema, format!("at {minor}"))]) {
            for (store, sides) in needs {
                for (side, need) in sides {
                    let known = last.insert((store, *side), (need, named.clone()));
                    if let Some((earlier, at)) = known
                        && earlier.version > need.version
                    {
                        let message = format!(
                            "the schema goes backwards: {store} {} needs {} {at} and {} {named}",
                            side.as_str(),
                            earlier.text,
                            need.text
                        );
                        found.push(
                            Diagnostic::error(&need.at, message)
                                .also(&earlier.at, "the earlier one")
                                .help("1.10 is newer than 1.9"),
                        );
                    }
                }
            }
        }
    }
}
