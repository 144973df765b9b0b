//! The path for a person: an overview, then each hop.

use super::{Hop, Path, Rewrite, StoreStep};
use crate::temporal::catalog::Effect;
use crate::temporal::page::{table, wrap};

impl Path {
    /// Plain text of fixed width. `as_of`: the day of the catalog.
    pub(crate) fn page(&self, as_of: &str) -> String {
        if self.hops.is_empty() {
            return format!("Temporal Server {}: nothing to do\n", self.to);
        }
        let count = self.hops.len();
        let hops = if count == 1 { "hop" } else { "hops" };
        let mut page = format!(
            "Temporal Server {} to {}: {count} {hops} (catalog of {as_of})\n\n",
            self.from, self.to
        );
        page += &table(&self.overview());
        for (at, hop) in self.hops.iter().enumerate() {
            page += &format!("\nHop {}: {} to {}\n", at + 1, hop.from, hop.to);
            page += &hop.page();
        }
        page += "\nAfter every hop: all frontends say the new version, the rings are whole, and history has loaded\n";
        page += "every shard (Temporal's guide: about 10 minutes) before the next hop begins.\n";
        if !self.notes.is_empty() {
            page += "\nNotes\n";
            self.notes.iter().for_each(|note| page += &wrap("  - ", note));
        }
        page
    }

    fn overview(&self) -> Vec<Vec<String>> {
        let mut heads = vec!["hop".to_owned(), "from".to_owned(), "to".to_owned()];
        let first = self.hops.iter().flat_map(|hop| &hop.stores).take(2);
        heads.extend(first.map(|step| format!("{} ({})", step.database, step.store)));
        heads.push("tables read or written whole".to_owned());
        let row = |(at, hop): (usize, &Hop)| {
            let mut row = vec![format!("{:>3}", at + 1), hop.from.clone(), hop.to.clone()];
            row.extend(hop.stores.iter().map(StoreStep::cell));
            row.push(hop.whole_tables());
            row
        };
        std::iter::once(heads)
            .chain(self.hops.iter().enumerate().map(row))
            .collect()
    }
}

impl StoreStep {
    fn cell(&self) -> String {
        match self.changes {
            true => format!("{} -> {}", self.from, self.to),
            false => format!("{} no change", self.to),
        }
    }
}

impl Hop {
    fn whole_tables(&self) -> String {
        let whole = self.rewrites.iter().filter(|rewrite| rewrite.kind.reads_all());
        let mut named = indexmap::IndexMap::<&str, u32>::new();
        for rewrite in whole {
            *named.entry(&rewrite.table).or_default() += if rewrite.kind.writes_all() { rewrite.times } else { 0 };
        }
        let unknown = self.stores.iter().any(|step| !step.known);
        let cells = named.into_iter().map(|(table, times)| match times {
            0 => table.to_owned(),
            times => format!("{table} ({times} x written)"),
        });
        let cells: Vec<String> = cells.chain(unknown.then(|| "not known".to_owned())).collect();
        match cells.is_empty() {
            true => "none".to_owned(),
            false => cells.join(", "),
        }
    }

    fn page(&self) -> String {
        let mut page = String::new();
        let mut part = |head: &str, texts: &mut dyn Iterator<Item = String>| {
            for (at, text) in texts.enumerate() {
                page += &wrap(&format!("  {:<8} - ", if at == 0 { head } else { "" }), &text);
            }
        };
        part("before", &mut self.actions.iter().cloned());
        let steps = self.stores.iter().map(|step| match (step.changes, step.known) {
            (true, _) => {
                let folder = self.schema.get(&step.database).map(|folder| format!(", {folder}"));
                format!(
                    "{}: {} to {}{}",
                    step.database,
                    step.from,
                    step.to,
                    folder.unwrap_or_default()
                )
            }
            (false, _) => format!("{}: {}, no schema change", step.database, step.to),
        });
        part("schema", &mut steps.collect::<Vec<_>>().into_iter());
        let unknown = self.stores.iter().filter(|step| !step.known).map(|step| {
            format!(
                "{}: what these versions do to tables of {} is not in the catalog",
                step.database, step.store
            )
        });
        part("tables", &mut self.rewrites.iter().map(Rewrite::line).chain(unknown));
        part("cut off", &mut self.replays.iter().cloned());
        if self.reports != self.to {
            part(
                "version",
                &mut std::iter::once(format!("the new binary says {}", self.reports)),
            );
        }
        page
    }
}

impl Rewrite {
    fn line(&self) -> String {
        let what = match self.kind {
            Effect::Rewrite => "is written anew (nobody reads or writes it meanwhile; room for it once more)",
            Effect::Copy => "is copied (writers wait; room for it once more)",
            Effect::Index => "gets an index (writers wait)",
            Effect::Online => "gets an index while it is in use",
            Effect::Drop => "loses data",
        };
        let times = match self.times {
            1 => String::new(),
            times => format!(", {times} times"),
        };
        let text = self.text.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        format!("{} {}: {} {what}{times}{text}", self.database, self.schema, self.table)
    }
}
