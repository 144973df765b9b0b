//! The catalog for a person, and as JSON.

use serde_json::{Value, json};

use super::{Catalog, MinorFacts, Needs, Side};
use crate::temporal::page::{table, wrap};
use crate::temporal::release::{Minor, Release};

impl Catalog {
    /// One row a minor, and one for patches that need less; what to do before each; marks.
    pub(crate) fn page(&self) -> String {
        let stores: Vec<&str> = self
            .stores
            .keys()
            .map(String::as_str)
            .filter(|store| self.minors.values().any(|facts| facts.schema.contains_key(*store)))
            .collect();
        let heads = ["minor", "newest"]
            .into_iter()
            .chain(stores.iter().copied())
            .chain(["not to take"]);
        let mut rows = vec![heads.map(str::to_owned).collect::<Vec<_>>()];
        for (minor, facts) in &self.minors {
            for (below, needs) in &facts.before {
                rows.push(self.row(String::new(), format!("< {below}"), needs, &stores, String::new()));
            }
            let newest = facts
                .newest
                .as_ref()
                .map_or_else(|| "not known".to_owned(), |(newest, _)| newest.to_string());
            rows.push(self.row(minor.to_string(), newest, &facts.schema, &stores, self.marks(*minor)));
        }
        let mut page = format!(
            "Temporal Server, catalog of {}: schema of the default / visibility store\n\n",
            self.as_of
        );
        page += &table(&rows);
        page += "\nBefore the hop to\n";
        for (minor, facts) in &self.minors {
            for (_, action) in &facts.actions {
                let only = match action.stores.is_empty() {
                    true => String::new(),
                    false => format!(" [{}]", action.stores.join(", ")),
                };
                page += &wrap(&format!("  {minor:<5} "), &format!("{}{only}", action.text));
            }
        }
        let others: Vec<String> = self
            .reports
            .iter()
            .map(|(tag, says)| format!("{tag} says {says}"))
            .collect();
        if !others.is_empty() {
            page += "\nBinaries that say another version than their tag\n";
            page += &wrap("  ", &others.join(", "));
        }
        page
    }

    fn row(&self, minor: String, newest: String, needs: &Needs, stores: &[&str], marks: String) -> Vec<String> {
        let cell = |store: &&str| match needs.get(*store) {
            None => "-".to_owned(),
            Some(sides) => {
                let of = |side| sides.get(&side).map_or("-", |need| need.text.as_str());
                let one = self
                    .stores
                    .get(*store)
                    .is_some_and(|store| store.directories.is_empty());
                match one {
                    true => of(Side::Visibility).to_owned(),
                    false => format!("{}/{}", of(Side::Default), of(Side::Visibility)),
                }
            }
        };
        [minor, newest]
            .into_iter()
            .chain(stores.iter().map(cell))
            .chain([marks])
            .collect()
    }

    fn marks(&self, minor: Minor) -> String {
        let of = self.bad.iter().filter(|(tag, _)| tag.minor == minor);
        of.map(|(tag, bad)| format!("{tag} {}", bad.kind.as_str()))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// `{as_of, newest, minors: [{minor, newest, schema, before, actions}], bad, reports, stores, health}`.
    pub(crate) fn json(&self) -> Value {
        let minor = |(minor, facts): (&Minor, &MinorFacts)| {
            let before = facts
                .before
                .iter()
                .map(|(below, needs)| json!({ "below": below, "schema": schema(needs) }));
            let actions = facts.actions.iter().map(
                |(id, action)| json!({ "id": id, "text": action.text, "stores": action.stores, "keys": action.keys, "gone": action.gone }),
            );
            json!({
                "minor": minor,
                "newest": facts.newest.as_ref().map(|(release, _)| release),
                "schema": schema(&facts.schema),
                "before": before.collect::<Vec<_>>(),
                "actions": actions.collect::<Vec<_>>(),
            })
        };
        let sides = |sides: &std::collections::BTreeMap<Side, Minor>| -> Value {
            sides
                .iter()
                .map(|(side, minor)| (side.as_str().to_owned(), json!(minor)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let store = |(name, store): (&String, &super::Store)| {
            json!({
                "store": name, "engine": store.engine, "plugins": store.plugins, "minimum": store.minimum,
                "documented": store.documented, "since": store.since, "dropped": sides(&store.dropped),
                "unsupported": store.unsupported,
            })
        };
        json!({
            "as_of": self.as_of,
            "newest": self.newest(),
            "minors": self.minors.iter().map(minor).collect::<Vec<_>>(),
            "bad": self.bad.iter().map(|(tag, bad)| json!({ "release": tag, "kind": bad.kind, "why": bad.why })).collect::<Vec<_>>(),
            "reports": self.reports.iter().map(|(tag, says): (&Release, &Release)| json!({ "release": tag, "reports": says })).collect::<Vec<_>>(),
            "stores": self.stores.iter().map(store).collect::<Vec<_>>(),
            "health": self.health.iter().map(|(role, health)| {
                json!({ "role": role, "service": health.service, "since": health.since, "ready": health.ready })
            }).collect::<Vec<_>>(),
        })
    }
}

fn schema(needs: &Needs) -> Value {
    let of = |sides: &std::collections::BTreeMap<Side, super::Need>| -> Value {
        let texts = sides
            .iter()
            .map(|(side, need)| (side.as_str().to_owned(), json!(need.text)));
        texts.collect::<serde_json::Map<_, _>>().into()
    };
    let stores = needs.iter().map(|(store, sides)| (store.clone(), of(sides)));
    stores.collect::<serde_json::Map<_, _>>().into()
}
