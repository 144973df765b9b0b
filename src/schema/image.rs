//! What a chain of statements makes of a catalogue, and which of its prefixes a real catalogue shows.

use std::collections::{BTreeMap, BTreeSet};

use super::statement::Statement;

/// The name of a primary key's index.
pub(super) const PRIMARY: &str = "primary";

/// Something that a catalogue has or has not. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Table(String),
    Column(String, String),
    Index(String, String),
    /// A row of a table, by the condition that finds it.
    Row(String, String),
}

impl Key {
    pub(super) fn table(&self) -> &str {
        match self {
            Key::Table(table) | Key::Column(table, _) | Key::Index(table, _) | Key::Row(table, _) => table,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Def {
    /// There, in whatever form.
    Any,
    Column(Column),
    Index(Index),
    /// A row, and the columns that its condition names.
    Row(BTreeSet<String>),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Column {
    /// `varchar(255)`, `bigint unsigned`.
    pub(super) kind: String,
    /// None: not known.
    pub(super) nullable: Option<bool>,
    /// None: not known. Inner None: no default, or NULL.
    pub(super) default: Option<Option<String>>,
    pub(super) expression: Option<Expression>,
    pub(super) stored: bool,
}

/// An expression, by what every server spells alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Expression {
    /// Its strings, in their order.
    pub(super) strings: Vec<String>,
    /// Names in it, in lower case; as written, all its words.
    pub(super) names: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    pub(super) unique: bool,
    pub(super) fulltext: bool,
    pub(super) parts: Vec<IndexPart>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct IndexPart {
    pub(super) what: Result<String, Expression>,
    pub(super) descending: bool,
}

impl Def {
    /// Is what a server shows this?
    fn fits(&self, found: &Def) -> bool {
        match (self, found) {
            (Def::Column(wanted), Def::Column(found)) => wanted.fits(found),
            (Def::Index(wanted), Def::Index(found)) => {
                wanted.unique == found.unique
                    && wanted.fulltext == found.fulltext
                    && wanted.parts.len() == found.parts.len()
                    && wanted.parts.iter().zip(&found.parts).all(|(w, f)| w.fits(f))
            }
            _ => true,
        }
    }
}

impl Column {
    fn fits(&self, found: &Column) -> bool {
        // MariaDB's JSON is text.
        let kind = self.kind == found.kind || (self.kind == "json" && found.kind == "longtext");
        let expression = match (&self.expression, &found.expression) {
            (Some(wanted), Some(found)) => wanted.fits(found),
            (None, None) => true,
            _ => false,
        };
        let same_default = match (&self.default, &found.default) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        let same_null = match (self.nullable, found.nullable) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        kind && expression && same_default && same_null && self.stored == found.stored
    }
}

impl Expression {
    fn fits(&self, found: &Expression) -> bool {
        self.strings == found.strings && found.names.is_subset(&self.names)
    }
}

impl IndexPart {
    fn fits(&self, found: &IndexPart) -> bool {
        let same = match (&self.what, &found.what) {
            (Ok(wanted), Ok(found)) => wanted == found,
            (Err(wanted), Err(found)) => wanted.fits(found),
            _ => false,
        };
        same && self.descending == found.descending
    }
}

/// One thing that a statement does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// It was not there.
    Make(Key, Def),
    /// It was there, in another form.
    Change(Key, Def),
    /// A column's default; the rest of it stays.
    Default(Key, Option<String>),
    Drop(Key),
}

impl Effect {
    pub(super) fn key(&self) -> &Key {
        match self {
            Effect::Make(key, _) | Effect::Change(key, _) | Effect::Default(key, _) | Effect::Drop(key) => key,
        }
    }
}

/// What is known of a catalogue: there (Some) or not (None). What is not in it is not known.
#[derive(Clone, Debug, Default)]
pub(super) struct Image(BTreeMap<Key, Option<Def>>);

impl Image {
    /// After these statements.
    pub(super) fn after<'a>(statements: impl Iterator<Item = &'a Statement>) -> Image {
        let mut image = Image::default();
        for statement in statements {
            image.take(statement);
        }
        image
    }

    fn take(&mut self, statement: &Statement) {
        let Some(effects) = &statement.effects else {
            if let Some(table) = &statement.touches {
                self.0.retain(|key, _| key.table() != table);
            }
            return;
        };
        for effect in effects {
            match effect {
                Effect::Make(key, def) | Effect::Change(key, def) => {
                    self.0.insert(key.clone(), Some(self.settled(key, def)));
                }
                Effect::Default(key, default) => {
                    if let Some(Some(Def::Column(column))) = self.0.get_mut(key) {
                        column.default = Some(default.clone());
                    }
                }
                Effect::Drop(Key::Table(table)) => {
                    for (key, def) in &mut self.0 {
                        if key.table() == table {
                            *def = None;
                        }
                    }
                    self.0.insert(Key::Table(table.clone()), None);
                }
                Effect::Drop(key) => {
                    self.0.insert(key.clone(), None);
                }
            }
        }
    }

    /// A column of the primary key takes no NULL, whatever its definition leaves out.
    fn settled(&self, key: &Key, def: &Def) -> Def {
        let mut def = def.clone();
        if let (Key::Column(table, name), Def::Column(column)) = (key, &mut def) {
            let primary = self.0.get(&Key::Index(table.clone(), PRIMARY.into()));
            if let Some(Some(Def::Index(index))) = primary
                && index.parts.iter().any(|part| part.what.as_ref() == Ok(name))
            {
                column.nullable = Some(false);
            }
        }
        def
    }

    /// What the statements need to find, where nothing is known of it.
    fn expect(&mut self, statements: &[&Statement]) {
        let mut met = BTreeSet::new();
        for statement in statements {
            for effect in statement.effects.iter().flatten() {
                let key = effect.key();
                if met.insert(key.clone()) && !self.0.contains_key(key) && !statement.repeatable {
                    let there = !matches!(effect, Effect::Make(..));
                    self.0.insert(key.clone(), there.then_some(Def::Any));
                }
            }
        }
    }

    fn fits(&self, keys: &BTreeSet<Key>, found: &Found, closely: bool) -> bool {
        keys.iter().filter(|key| !found.unknown.contains(key)).all(|key| {
            match (self.0.get(key), found.there.get(key)) {
                (None, _) | (Some(None), None) => true,
                (Some(Some(wanted)), Some(def)) => !closely || wanted.fits(def),
                _ => false,
            }
        })
    }
}

/// What a server's catalogue shows of some keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) there: BTreeMap<Key, Def>,
    /// What no look can tell.
    pub(super) unknown: BTreeSet<Key>,
}

/// All that the statements work on.
pub(super) fn keys(statements: &[&Statement]) -> BTreeSet<Key> {
    let effects = statements.iter().flat_map(|s| s.effects.iter().flatten());
    effects.map(|effect| effect.key().clone()).collect()
}

/// How many of the statements are done, by their effects: every number that the catalogue fits. `before` is what the
/// chain made before them. Forms are compared too; where none fits them, only what is there and what is not.
pub(super) fn standings(before: &Image, statements: &[&Statement], found: &Found) -> Vec<usize> {
    let keys = keys(statements);
    for closely in [true, false] {
        let mut image = before.clone();
        image.expect(statements);
        let mut fitting = Vec::new();
        for done in 0..=statements.len() {
            if done > 0 {
                image.take(statements[done - 1]);
            }
            if image.fits(&keys, found, closely) {
                fitting.push(done);
            }
        }
        if !fitting.is_empty() {
            return fitting;
        }
    }
    Vec::new()
}

/// For each statement by itself: its effect shows (true), it does not, or that cannot be told (None).
pub(super) fn shows(before: &Image, statements: &[&Statement], found: &Found) -> Vec<Option<bool>> {
    let mut image = before.clone();
    statements
        .iter()
        .map(|statement| {
            image.take(statement);
            let keys = keys(&[statement]);
            (!keys.is_empty() && keys.is_disjoint(&found.unknown)).then(|| image.fits(&keys, found, true))
        })
        .collect()
}
