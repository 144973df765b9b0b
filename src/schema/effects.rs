//! What a statement of MySQL does to the catalogue: the closed list of what can be looked up.

use std::collections::BTreeSet;

use super::image::{Column, Def, Effect, Expression, Index, IndexPart, Key, PRIMARY};
use super::split::{Token, TokenKind, tokens};
use super::statement::Words;
use crate::database::Engine;

type Tokens<'a> = &'a [Token<'a>];

/// None: the statement is outside the list. The flag: doing it twice does no harm and brings no error.
pub(super) fn effects(text: &str, all: Tokens<'_>) -> Option<(Vec<Effect>, bool)> {
    // Comments that the server executes.
    if text.contains("/*!") || text.contains("/*M!") {
        return None;
    }
    let mut words = Words(all);
    let tolerant = all
        .windows(2)
        .take(6)
        .any(|two| two[0].is("IF") && (two[1].is("NOT") || two[1].is("EXISTS")));
    if words.take("CREATE") {
        if words.take("TABLE") {
            return Some((create_table(words)?, tolerant));
        }
        let unique = words.take("UNIQUE");
        let fulltext = words.take("FULLTEXT");
        if words.take("INDEX") {
            words.if_exists();
            let name = words.name()?;
            using(&mut words);
            words.take("ON").then_some(())?;
            let table = words.name()?;
            let index = index(unique, fulltext, &mut words)?;
            return Some((vec![Effect::Make(Key::Index(table, name), index)], tolerant));
        }
    } else if words.take("DROP") {
        if words.take("TABLE") {
            words.if_exists();
            let mut dropped = Vec::new();
            loop {
                dropped.push(Effect::Drop(Key::Table(words.name()?)));
                if !words.take(",") {
                    break;
                }
            }
            return Some((dropped, tolerant));
        }
        if words.take("INDEX") {
            words.if_exists();
            let name = words.name()?;
            words.take("ON").then_some(())?;
            return Some((vec![Effect::Drop(Key::Index(words.name()?, name))], tolerant));
        }
    } else if words.take("ALTER") {
        if words.take("TABLE") {
            words.if_exists();
            let table = words.name()?;
            return alter(&table, words.0);
        }
    } else if words.take("INSERT") && words.take("INTO") {
        return Some((vec![insert(words)?], false));
    }
    None
}

fn create_table(mut words: Words<'_>) -> Option<Vec<Effect>> {
    words.if_exists();
    let table = words.name()?;
    let mut made = vec![Effect::Make(Key::Table(table.clone()), Def::Any)];
    let Some((inner, _)) = group(words.0) else {
        return Some(made);
    };
    let items = commas(inner);
    let keyword = |item: Tokens<'_>| {
        let kinds = [
            "PRIMARY",
            "KEY",
            "INDEX",
            "UNIQUE",
            "FULLTEXT",
            "SPATIAL",
            "CONSTRAINT",
            "FOREIGN",
            "CHECK",
        ];
        item.first()
            .is_some_and(|first| kinds.iter().any(|kind| first.is(kind)))
    };
    for item in items
        .iter()
        .filter(|item| item.first().is_some_and(|t| t.is("PRIMARY")))
    {
        let mut words = Words(item.get(2..)?);
        using(&mut words);
        let primary = index(true, false, &mut words)?;
        made.push(Effect::Make(Key::Index(table.clone(), PRIMARY.into()), primary));
    }
    for item in items.iter().filter(|item| !keyword(item)) {
        let (name, rest) = item.split_first()?;
        let (name, column) = (name_of(name), column(rest)?);
        made.push(Effect::Make(Key::Column(table.clone(), name), Def::Column(column)));
    }
    Some(made)
}

fn alter(table: &str, clauses: Tokens<'_>) -> Option<(Vec<Effect>, bool)> {
    let mut effects = Vec::new();
    let mut repeatable = true;
    let column_key = |name: String| Key::Column(table.to_owned(), name);
    let index_key = |name: String| Key::Index(table.to_owned(), name);
    for clause in commas(clauses) {
        let mut words = Words(clause);
        if ["ALGORITHM", "LOCK"].iter().any(|word| words.at(word)) {
            continue;
        }
        if words.take("ADD") {
            let unique = words.take("UNIQUE");
            let fulltext = words.take("FULLTEXT");
            if unique || fulltext || words.at("INDEX") || words.at("KEY") {
                let _ = words.take("INDEX") || words.take("KEY");
                let name = words.name()?;
                using(&mut words);
                effects.push(Effect::Make(index_key(name), index(unique, fulltext, &mut words)?));
                repeatable = false;
                continue;
            }
            let other = [
                "PRIMARY",
                "CONSTRAINT",
                "FOREIGN",
                "CHECK",
                "SPATIAL",
                "PARTITION",
                "PERIOD",
                "SYSTEM",
            ];
            if other.iter().any(|word| words.at(word)) {
                return None;
            }
            words.take("COLUMN");
            let tolerant = words.at("IF");
            words.if_exists();
            let made = column_key(words.name()?);
            effects.push(Effect::Make(made, Def::Column(column(words.0)?)));
            repeatable &= tolerant;
        } else if words.take("DROP") {
            repeatable = false;
            let other = [
                "PRIMARY",
                "CONSTRAINT",
                "FOREIGN",
                "CHECK",
                "PARTITION",
                "PERIOD",
                "SYSTEM",
            ];
            if other.iter().any(|word| words.at(word)) {
                return None;
            }
            let index = words.take("INDEX") || words.take("KEY");
            words.take("COLUMN");
            words.if_exists();
            let name = words.name()?;
            effects.push(Effect::Drop(if index { index_key(name) } else { column_key(name) }));
        } else if words.take("MODIFY") {
            words.take("COLUMN");
            let name = words.name()?;
            effects.push(Effect::Change(column_key(name), Def::Column(column(words.0)?)));
        } else if words.take("CHANGE") {
            words.take("COLUMN");
            let (old, new) = (words.name()?, words.name()?);
            let def = Def::Column(column(words.0)?);
            if old == new {
                effects.push(Effect::Change(column_key(new), def));
            } else {
                effects.push(Effect::Drop(column_key(old)));
                effects.push(Effect::Make(column_key(new), def));
                repeatable = false;
            }
        } else if words.take("RENAME") {
            repeatable = false;
            let index = words.take("INDEX") || words.take("KEY");
            if !index && !words.take("COLUMN") {
                return None;
            }
            let old = words.name()?;
            words.take("TO").then_some(())?;
            let new = words.name()?;
            let key = |name| if index { index_key(name) } else { column_key(name) };
            effects.push(Effect::Drop(key(old)));
            effects.push(Effect::Make(key(new), Def::Any));
        } else if words.take("ALTER") {
            if words.at("INDEX") || words.at("CHECK") || words.at("CONSTRAINT") {
                return None;
            }
            words.take("COLUMN");
            let name = words.name()?;
            let default = if words.take("DROP") {
                None
            } else {
                (words.take("SET") && words.take("DEFAULT")).then_some(())?;
                default(words.0)?
            };
            effects.push(Effect::Default(column_key(name), default));
        } else {
            return None;
        }
    }
    (!effects.is_empty()).then_some((effects, repeatable))
}

/// One row of literals into named columns.
fn insert(mut words: Words<'_>) -> Option<Effect> {
    let table = words.name()?;
    let (columns, rest) = group(words.0)?;
    words.0 = rest;
    (words.take("VALUES") || words.take("VALUE")).then_some(())?;
    let (values, rest) = group(words.0)?;
    let (columns, values) = (commas(columns), commas(values));
    if !rest.is_empty() || columns.len() != values.len() {
        return None;
    }
    let mut names = BTreeSet::new();
    let mut condition = Vec::new();
    for (column, value) in columns.iter().zip(&values) {
        let [column] = column else { return None };
        let name = name_of(column);
        let number = |t: &Token<'_>| t.text.starts_with(|c: char| c.is_ascii_digit());
        let value = match value {
            [only] if only.kind == TokenKind::Text || number(only) => only.text.to_owned(),
            [sign, only] if sign.is("-") && number(only) => format!("-{}", only.text),
            _ => return None,
        };
        condition.push(format!("`{}`={value}", name.replace('`', "``")));
        names.insert(name);
    }
    Some(Effect::Make(Key::Row(table, condition.join(" AND ")), Def::Row(names)))
}

fn using(words: &mut Words<'_>) {
    if words.take("USING") {
        words.name();
    }
}

fn index(unique: bool, fulltext: bool, words: &mut Words<'_>) -> Option<Def> {
    let (inner, _) = group(words.0)?;
    let mut parts = Vec::new();
    for part in commas(inner) {
        let descending = part.last().is_some_and(|t| t.is("DESC"));
        let what = match group(part) {
            Some((expression, _)) => Err(Expression {
                strings: strings(expression),
                names: all_names(expression),
            }),
            None => Ok(name_of(part.first()?)),
        };
        parts.push(IndexPart { what, descending });
    }
    Some(Def::Index(Index {
        unique,
        fulltext,
        parts,
    }))
}

/// A column, from what follows its name.
fn column(definition: Tokens<'_>) -> Option<Column> {
    let (kind, mut rest) = kind(definition)?;
    let mut column = Column {
        nullable: (kind != "timestamp" && !kind.starts_with("timestamp(")).then_some(true),
        default: Some(None),
        kind,
        ..Column::default()
    };
    while let Some(first) = rest.first() {
        if let Some((_, after)) = group(rest) {
            rest = after;
            continue;
        }
        rest = &rest[1..];
        if first.is("NOT") && rest.first().is_some_and(|t| t.is("NULL")) {
            column.nullable = Some(false);
            rest = &rest[1..];
        } else if first.is("PRIMARY") {
            column.nullable = Some(false);
        } else if first.is("DEFAULT") {
            column.default = default(rest);
            // An expression in parentheses is passed over as such.
            if !rest.first().is_some_and(|t| t.is("(")) {
                rest = rest.get(1..).unwrap_or_default();
            }
        } else if first.is("AS") {
            let (expression, after) = group(rest)?;
            column.expression = Some(Expression {
                strings: strings(expression),
                names: all_names(expression),
            });
            rest = after;
        } else if first.is("STORED") || first.is("PERSISTENT") {
            column.stored = true;
        }
    }
    Some(column)
}

/// What stands after DEFAULT. None: not known. Inner None: NULL.
fn default(rest: Tokens<'_>) -> Option<Option<String>> {
    let first = rest.first()?;
    if first.kind == TokenKind::Text {
        return Some(Some(unquoted(first.text)));
    }
    if first.is("NULL") {
        return Some(None);
    }
    if first.is("TRUE") || first.is("FALSE") {
        return Some(Some(if first.is("TRUE") { "1" } else { "0" }.to_owned()));
    }
    let number = first.text.bytes().all(|b| b.is_ascii_digit());
    // A decimal number or a sign is several tokens.
    let more = rest.get(1).is_some_and(|t| t.is("."));
    (number && !more).then(|| Some(first.text.to_owned()))
}

/// A type as information_schema spells it, and what follows.
fn kind(tokens: Tokens<'_>) -> Option<(String, Tokens<'_>)> {
    let (first, mut rest) = tokens.split_first()?;
    let written = first.text.to_lowercase();
    if written == "double" && rest.first().is_some_and(|t| t.is("PRECISION")) {
        rest = &rest[1..];
    }
    let mut size = String::new();
    if let Some((inner, after)) = group(rest) {
        size = inner.iter().map(|t| t.text).collect();
        rest = after;
    }
    let base = match written.as_str() {
        "integer" | "int4" => "int",
        "bool" | "boolean" => {
            size = "1".into();
            "tinyint"
        }
        "dec" | "numeric" | "fixed" => "decimal",
        "character" => "char",
        "serial" => return None,
        other => other,
    };
    let size = match (base, size.as_str()) {
        ("tinyint", "1") => "1",
        // A width for display, which newer servers leave out.
        ("tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year", _) => "",
        ("decimal", "") => "10,0",
        ("char" | "binary" | "bit", "") => "1",
        ("datetime" | "timestamp" | "time", "0") => "",
        (_, size) => size,
    };
    let mut kind = match size {
        "" => base.to_owned(),
        size => format!("{base}({size})"),
    };
    while let Some(word) = rest
        .first()
        .filter(|t| t.is("UNSIGNED") || t.is("SIGNED") || t.is("ZEROFILL"))
    {
        if word.is("UNSIGNED") {
            kind += " unsigned";
        }
        rest = &rest[1..];
    }
    Some((kind, rest))
}

/// `COLUMN_TYPE` of information_schema, in the form that [`Column::kind`] has.
pub(super) fn shown_kind(text: &str) -> String {
    let found = tokens(text, Engine::Mysql).ok();
    let kind = found.as_deref().and_then(|tokens| kind(tokens).map(|(kind, _)| kind));
    kind.unwrap_or_else(|| text.to_lowercase())
}

/// `GENERATION_EXPRESSION` or `EXPRESSION` of information_schema, whose names stand in backticks and whose strings may
/// have their quotes escaped.
pub(super) fn shown_expression(text: &str) -> Expression {
    let text = text.replace("\\'", "'");
    let found = tokens(&text, Engine::Mysql).unwrap_or_default();
    let names = found.iter().filter(|t| t.kind == TokenKind::Name);
    Expression {
        names: names.map(name_of).collect(),
        strings: strings(&found),
    }
}

fn strings(tokens: Tokens<'_>) -> Vec<String> {
    let texts = tokens.iter().filter(|t| t.kind == TokenKind::Text);
    texts.map(|t| unquoted(t.text)).collect()
}

fn all_names(tokens: Tokens<'_>) -> BTreeSet<String> {
    let words = tokens
        .iter()
        .filter(|t| matches!(t.kind, TokenKind::Word | TokenKind::Name));
    words.map(name_of).collect()
}

fn name_of(token: &Token<'_>) -> String {
    let text = match token.kind {
        TokenKind::Name => token.text[1..token.text.len() - 1].replace("``", "`"),
        _ => token.text.to_owned(),
    };
    text.to_lowercase()
}

/// What a string says, escapes left as they are.
fn unquoted(text: &str) -> String {
    let quote = &text[..1];
    text[1..text.len() - 1].replace(&quote.repeat(2), quote)
}

/// What stands in the parentheses that `tokens` begin with, and what follows them.
fn group<'a>(tokens: Tokens<'a>) -> Option<(Tokens<'a>, Tokens<'a>)> {
    if !tokens.first()?.is("(") {
        return None;
    }
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate() {
        if token.is("(") {
            depth += 1;
        } else if token.is(")") {
            depth -= 1;
            if depth == 0 {
                return Some((&tokens[1..i], &tokens[i + 1..]));
            }
        }
    }
    None
}

/// Between the commas that stand in no parentheses.
fn commas<'a>(tokens: Tokens<'a>) -> Vec<Tokens<'a>> {
    let mut depth = 0;
    let mut parts = Vec::new();
    let mut start = 0;
    for (i, token) in tokens.iter().enumerate() {
        if token.is("(") {
            depth += 1;
        } else if token.is(")") {
            depth -= 1;
        } else if token.is(",") && depth == 0 {
            parts.push(&tokens[start..i]);
            start = i + 1;
        }
    }
    parts.push(&tokens[start..]);
    parts
}
