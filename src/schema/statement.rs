//! What a statement is: may it stand in a transaction, what does it touch, how is its effect looked up.

use super::effects::effects;
use super::image::Effect;
use super::split::{Token, TokenKind, tokens};
use crate::database::Engine;

/// A statement of a version.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) text: String,
    pub(super) place: Place,
    /// What it may do to a busy database, for the plan.
    pub(crate) caution: Option<&'static str>,
    /// Tables that it creates, drops or works on, in lower case unless they are quoted.
    pub(super) creates: Option<String>,
    pub(super) drops: Vec<String>,
    pub(super) touches: Option<String>,
    /// MySQL: what it does to the catalogue, nothing for rows that cannot be found again. None: not known.
    pub(super) effects: Option<Vec<Effect>>,
    /// Doing it twice does no harm and brings no error.
    pub(super) repeatable: bool,
    /// MySQL: why MariaDB and early MySQL 8.0 cannot take it.
    pub(super) modern: Option<&'static str>,
}

/// Where a statement may run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    Transaction,
    /// In a transaction, and nothing after it in the same one (a new enum value cannot be used before its commit).
    EndsTransaction,
    /// Alone; the catalogue says whether it is done.
    Alone(Look),
    /// Alone, and nothing says whether it is done.
    Blind,
}

/// What to look for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    /// A valid index of this name; one that is invalid is dropped and built again.
    Index(String),
    /// No index of this name.
    NoIndex(String),
    /// The statement's effects.
    Effects,
}

const COPIES: &str = "copies the table, and nobody writes it meanwhile";
const EXPRESSION_INDEX: &str = "nobody writes the table while it builds";

/// The first words that Temporal's own tool lets through.
pub(super) const PREFIXES: [&str; 5] = ["CREATE", "ALTER", "INSERT", "DROP", "DO"];

impl Statement {
    /// An error says what is wrong with it.
    pub(super) fn read(text: &str, engine: Engine) -> Result<Statement, String> {
        let tokens = tokens(text, engine)?;
        let mut words = Words(&tokens);
        let mut statement = Statement {
            text: text.to_owned(),
            place: Place::Transaction,
            caution: None,
            creates: None,
            drops: Vec::new(),
            touches: None,
            effects: None,
            repeatable: false,
            modern: None,
        };
        if !tokens.first().is_some_and(|first| PREFIXES.contains(&first.text)) {
            let first: String = text.chars().take(40).collect();
            return Err(format!(
                "`{first}`: a statement begins with {} (in capitals)",
                PREFIXES.join(", ")
            ));
        }
        if words.take("CREATE") {
            statement.create(words, engine);
        } else if words.take("DROP") {
            statement.drop(words, engine);
        } else if words.take("ALTER") {
            statement.alter(words, engine);
        } else if words.take("INSERT") && words.take("INTO") {
            statement.touches = words.name();
        }
        if engine == Engine::Mysql {
            statement.mysql(&tokens);
        }
        Ok(statement)
    }

    /// Each DDL statement commits by itself.
    fn mysql(&mut self, tokens: &[Token<'_>]) {
        let known = effects(&self.text, tokens);
        let rows = tokens.first().is_some_and(|t| t.is("INSERT") || t.is("DO"));
        self.place = match (rows, &known) {
            (true, _) => Place::Transaction,
            (false, Some(_)) => Place::Alone(Look::Effects),
            (false, None) => {
                self.blind();
                Place::Blind
            }
        };
        match known {
            Some((effects, repeatable)) => {
                self.effects = Some(effects);
                self.repeatable = repeatable;
            }
            None if rows => self.effects = Some(Vec::new()),
            None => {}
        }
        let signs = |a: &Token<'_>, b: &Token<'_>, text: &str| {
            a.start + 1 == b.start && text == format!("{}{}", a.text, b.text)
        };
        let words = Words(tokens);
        self.modern = if tokens.windows(2).any(|two| signs(&two[0], &two[1], "->")) {
            Some("JSON paths by `->`")
        } else if words.has(&["ARRAY", ")"]) {
            Some("an index on the values of a JSON array")
        } else if words.has(&["INDEX"]) && self.caution == Some(EXPRESSION_INDEX) {
            Some("an index on an expression")
        } else {
            None
        };
    }

    fn create(&mut self, mut words: Words<'_>, engine: Engine) {
        let fulltext = words.at("FULLTEXT");
        let before = [
            "UNLOGGED",
            "TEMP",
            "TEMPORARY",
            "GLOBAL",
            "LOCAL",
            "VIRTUAL",
            "UNIQUE",
            "FULLTEXT",
            "SPATIAL",
        ];
        while before.iter().any(|word| words.take(word)) {}
        if words.take("TABLE") {
            words.if_exists();
            self.creates = words.name();
        } else if words.take("INDEX") {
            let concurrently = engine == Engine::Postgres && words.take("CONCURRENTLY");
            words.if_exists();
            let name = match words.at("ON") {
                true => None,
                false => words.name(),
            };
            words.take("ON");
            words.take("ONLY");
            self.touches = words.name();
            match (concurrently, name) {
                (false, _) if engine == Engine::Mysql => {
                    let expression = words.has(&["(", "("]) || words.has(&[",", "("]);
                    self.caution = Some(match (words.has(&["ARRAY", ")"]), expression) {
                        (true, _) => COPIES,
                        (false, true) => EXPRESSION_INDEX,
                        (false, false) if fulltext => "rebuilds the table, and nobody writes it meanwhile",
                        (false, false) => "builds beside readers and writers; needs the table for itself at its end",
                    });
                }
                (false, _) => self.caution = Some("blocks writes to the table while it builds"),
                (true, Some(name)) => {
                    self.place = Place::Alone(Look::Index(name));
                    self.caution = Some("outside a transaction; does not block, waits for older transactions");
                }
                (true, None) => self.blind(),
            }
        } else if ["DATABASE", "TABLESPACE", "SUBSCRIPTION"]
            .iter()
            .any(|word| words.at(word))
        {
            self.blind();
        }
    }

    fn drop(&mut self, mut words: Words<'_>, engine: Engine) {
        if words.take("TABLE") {
            words.if_exists();
            while let Some(name) = words.name() {
                self.drops.push(name);
                if !words.take(",") {
                    break;
                }
            }
            self.caution = Some("deletes the table's data");
        } else if words.take("INDEX") {
            let concurrently = engine == Engine::Postgres && words.take("CONCURRENTLY");
            words.if_exists();
            match (concurrently, words.name()) {
                (true, Some(name)) => self.place = Place::Alone(Look::NoIndex(name)),
                (true, None) => self.blind(),
                (false, _) if engine == Engine::Mysql && words.take("ON") => self.touches = words.name(),
                (false, _) => {}
            }
        } else if ["DATABASE", "TABLESPACE", "SUBSCRIPTION"]
            .iter()
            .any(|word| words.at(word))
        {
            self.blind();
        }
    }

    fn alter(&mut self, mut words: Words<'_>, engine: Engine) {
        if words.take("TYPE") {
            if words.has(&["ADD", "VALUE"]) {
                self.place = Place::EndsTransaction;
            }
        } else if words.take("TABLE") {
            words.if_exists();
            words.take("ONLY");
            self.touches = words.name();
            if engine == Engine::Sqlite {
                return;
            }
            if engine == Engine::Mysql {
                let forms = ["MODIFY", "CHANGE", "STORED", "CONVERT", "ENGINE"];
                self.caution = Some(if forms.iter().any(|word| words.has(&[word])) {
                    COPIES
                } else if words.has(&["AS", "("]) {
                    "copies the table where it has indexes on expressions, and nobody writes it meanwhile"
                } else if words.has(&["ADD"]) || words.has(&["DROP"]) {
                    "changes the catalogue only, or rebuilds the table where the server cannot"
                } else {
                    "locks the table for a moment"
                });
                return;
            }
            if words.has(&["DETACH"]) && words.has(&["CONCURRENTLY"]) {
                self.blind();
            } else if words.has(&["ADD"]) && words.has(&["STORED"]) {
                self.caution = Some("rewrites the table, and nobody reads or writes it meanwhile");
            } else if words.has(&["TYPE"]) {
                self.caution = Some("may rewrite the table, and nobody reads or writes it meanwhile");
            } else if words.has(&["SET", "NOT", "NULL"]) || words.has(&["CONSTRAINT"]) || words.has(&["CHECK"]) {
                self.caution = Some("may scan the table, and nobody writes it meanwhile");
            } else {
                self.caution = Some("locks the table for a moment");
            }
        } else if words.at("SYSTEM") || words.at("DATABASE") {
            self.blind();
        }
    }

    fn blind(&mut self) {
        self.place = Place::Blind;
        self.caution = Some("outside a transaction; if it is interrupted, a person must look whether it is done");
    }
}

pub(super) struct Words<'a>(pub(super) &'a [Token<'a>]);

impl Words<'_> {
    pub(super) fn at(&self, word: &str) -> bool {
        self.0.first().is_some_and(|token| token.is(word))
    }

    pub(super) fn take(&mut self, word: &str) -> bool {
        let found = self.at(word);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    /// Passes over `IF EXISTS` and `IF NOT EXISTS`.
    pub(super) fn if_exists(&mut self) {
        if self.take("IF") {
            self.take("NOT");
            self.take("EXISTS");
        }
    }

    /// A name, the last part of a qualified one, as the catalogue spells it.
    pub(super) fn name(&mut self) -> Option<String> {
        let (first, mut rest) = self.0.split_first()?;
        let mut last = match first.kind {
            TokenKind::Word | TokenKind::Name => first,
            _ => return None,
        };
        while let [dot, part, more @ ..] = rest {
            if !dot.is(".") {
                break;
            }
            last = part;
            rest = more;
        }
        self.0 = rest;
        Some(match last.kind {
            // MySQL, whose quotes these are, takes the names of columns and indexes in any case.
            TokenKind::Name if last.text.starts_with('`') => {
                last.text[1..last.text.len() - 1].replace("``", "`").to_lowercase()
            }
            TokenKind::Name => {
                let inner = &last.text[1..last.text.len() - 1];
                inner.replace("\"\"", "\"")
            }
            _ => last.text.to_lowercase(),
        })
    }

    /// These words in a row, anywhere.
    pub(super) fn has(&self, row: &[&str]) -> bool {
        self.0
            .windows(row.len())
            .any(|window| window.iter().zip(row).all(|(token, word)| token.is(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Statement {
        Statement::read(text, Engine::Postgres).unwrap()
    }

    #[test]
    fn places() {
        let index = |name: &str| Place::Alone(Look::Index(name.into()));
        let none = |name: &str| Place::Alone(Look::NoIndex(name.into()));
        for (text, place) in [
            ("CREATE TABLE a(i int)", Place::Transaction),
            ("CREATE INDEX i ON a(concurrently)", Place::Transaction),
            ("CREATE INDEX CONCURRENTLY IF NOT EXISTS By_X ON a(b)", index("by_x")),
            (
                "CREATE UNIQUE INDEX CONCURRENTLY \"By_X\" ON public.a(b)",
                index("By_X"),
            ),
            ("CREATE INDEX CONCURRENTLY ON a(b)", Place::Blind),
            ("DROP INDEX CONCURRENTLY IF EXISTS s.i", none("i")),
            ("DROP INDEX i", Place::Transaction),
            ("ALTER TYPE mood ADD VALUE 'x'", Place::EndsTransaction),
            ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", Place::Blind),
            ("ALTER SYSTEM SET x=1", Place::Blind),
            ("CREATE DATABASE x", Place::Blind),
            ("DO $$ CREATE INDEX CONCURRENTLY $$", Place::Transaction),
        ] {
            assert_eq!(read(text).place, place, "{text}");
        }
    }

    #[test]
    fn tables_and_cautions() {
        assert_eq!(
            read("CREATE TABLE IF NOT EXISTS Public.Jobs(i int)").creates.as_deref(),
            Some("jobs")
        );
        assert_eq!(read("DROP TABLE IF EXISTS a, \"B\" CASCADE").drops, ["a", "B"]);
        let stored = read("ALTER TABLE ONLY ev ADD COLUMN IF NOT EXISTS x int GENERATED ALWAYS AS (1) STORED");
        assert_eq!(stored.touches.as_deref(), Some("ev"));
        assert!(stored.caution.unwrap().contains("rewrites"));
        assert!(
            read("CREATE INDEX i ON ev(x)")
                .caution
                .unwrap()
                .contains("blocks writes")
        );
        assert_eq!(read("INSERT INTO ev VALUES (1)").touches.as_deref(), Some("ev"));
    }

    #[test]
    fn other_statements_are_refused() {
        for text in ["create table a(i int)", "UPDATE a SET b=1", "COMMIT", "\\copy a"] {
            let error = Statement::read(text, Engine::Postgres).unwrap_err();
            assert!(error.contains("CREATE, ALTER, INSERT, DROP, DO"), "{error}");
        }
    }
}
