//! SQL text to statements: quotes, dollar quoting, comments and blocks are seen through; nothing is changed in them.

use crate::database::Engine;

/// A word or a sign of a statement, outside of comments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) kind: TokenKind,
    pub(super) start: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A keyword, a name or a number.
    Word,
    /// A quoted name.
    Name,
    /// A string of any spelling.
    Text,
    Sign,
}

impl Token<'_> {
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind != TokenKind::Name && self.kind != TokenKind::Text && self.text.eq_ignore_ascii_case(word)
    }
}

fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

/// The end of what opens at `start`, one past its closing sign.
fn closing(text: &str, start: usize, sign: u8, backslash: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut i = start;
    while i < bytes.len() {
        if backslash && bytes[i] == b'\\' {
            i += 2;
        } else if bytes[i] == sign {
            // Doubled, it stands for itself.
            if bytes.get(i + 1) != Some(&sign) {
                return Some(i + 1);
            }
            i += 2;
        } else {
            i += 1;
        }
    }
    None
}

/// `$tag$` at the start of `text`.
fn dollar(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut end = 1;
    while bytes.get(end).is_some_and(|b| word(*b)) {
        end += 1;
    }
    let numbered = bytes.get(1).is_some_and(u8::is_ascii_digit);
    (bytes.get(end) == Some(&b'$') && !numbered).then(|| &text[..=end])
}

/// All tokens of a text. An error names what is not closed, and where.
pub(super) fn tokens(text: &str, engine: Engine) -> Result<Vec<Token<'_>>, String> {
    let bytes = text.as_bytes();
    let line = |at: usize| bytes[..at].iter().filter(|b| **b == b'\n').count() + 1;
    let open = |what: &str, at: usize| format!("line {}: {what} is not closed", line(at));
    let mut found = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let start = i;
        let rest = &text[i..];
        let (end, kind) = match bytes[i] {
            b if b.is_ascii_whitespace() => {
                i += 1;
                continue;
            }
            b'-' if rest.starts_with("--") => {
                i = rest.find('\n').map_or(bytes.len(), |n| i + n);
                continue;
            }
            b'/' if rest.starts_with("/*") => {
                i = comment(text, i, engine).ok_or_else(|| open("a comment", start))?;
                continue;
            }
            b'\'' => {
                let previous = found.last();
                let escapes = engine == Engine::Postgres
                    && previous.is_some_and(|t: &Token<'_>| t.is("E") && t.start + 1 == start);
                let end = closing(text, i + 1, b'\'', escapes).ok_or_else(|| open("a string", start))?;
                (end, TokenKind::Text)
            }
            b'"' => {
                let end = closing(text, i + 1, b'"', false).ok_or_else(|| open("a quoted name", start))?;
                (end, TokenKind::Name)
            }
            b'`' if engine == Engine::Sqlite => {
                let end = closing(text, i + 1, b'`', false).ok_or_else(|| open("a quoted name", start))?;
                (end, TokenKind::Name)
            }
            b'[' if engine == Engine::Sqlite => {
                let end = rest.find(']').ok_or_else(|| open("a quoted name", start))?;
                (i + end + 1, TokenKind::Name)
            }
            b'$' if engine == Engine::Postgres && dollar(rest).is_some() => {
                let tag = dollar(rest).unwrap_or_default();
                let body = i + tag.len();
                let end = text[body..].find(tag).ok_or_else(|| open(&format!("`{tag}`"), start))?;
                (body + end + tag.len(), TokenKind::Text)
            }
            b if word(b) => {
                let mut end = i + 1;
                // A name may hold `$`, so that `a$b$c` opens nothing.
                while bytes.get(end).is_some_and(|b| word(*b) || *b == b'$') {
                    end += 1;
                }
                (end, TokenKind::Word)
            }
            _ => (i + 1, TokenKind::Sign),
        };
        found.push(Token {
            text: &text[start..end],
            kind,
            start,
        });
        i = end;
    }
    Ok(found)
}

/// PostgreSQL's comments hold comments; SQLite's do not, and the end of the text closes one.
fn comment(text: &str, start: usize, engine: Engine) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut i) = (1, start + 2);
    while i < bytes.len() {
        if bytes[i..].starts_with(b"*/") {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return Some(i);
            }
        } else if engine == Engine::Postgres && bytes[i..].starts_with(b"/*") {
            depth += 1;
            i += 2;
        } else {
            i += 1;
        }
    }
    None
}

/// The statements of a file, without their semicolons and without what stands around them.
pub(super) fn split(text: &str, engine: Engine) -> Result<Vec<&str>, String> {
    let tokens = tokens(text, engine)?;
    let mut found = Vec::new();
    let (mut first, mut parentheses, mut blocks) = (None, 0usize, 0usize);
    for (i, token) in tokens.iter().enumerate() {
        let begin: usize = *first.get_or_insert(i);
        let statement = &tokens[begin..=i];
        if token.is(";") && parentheses == 0 && blocks == 0 {
            if i > begin {
                let last = &tokens[i - 1];
                found.push(&text[tokens[begin].start..last.start + last.text.len()]);
            }
            first = None;
        } else if token.is("(") {
            parentheses += 1;
        } else if token.is(")") {
            let line = text[..token.start].matches('\n').count() + 1;
            parentheses = parentheses
                .checked_sub(1)
                .ok_or(format!("line {line}: `)` closes nothing"))?;
        } else if blocks > 0 && token.is("CASE") {
            blocks += 1;
        } else if blocks > 0 && token.is("END") {
            blocks -= 1;
        } else if token.is("BEGIN") && opens_block(statement, tokens.get(i + 1), engine) {
            blocks += 1;
        }
    }
    if parentheses > 0 {
        return Err("a `(` is not closed".into());
    }
    if blocks > 0 {
        return Err("a BEGIN has no END".into());
    }
    if let (Some(begin), Some(last)) = (first, tokens.last()) {
        found.push(&text[tokens[begin].start..last.start + last.text.len()]);
    }
    Ok(found)
}

/// Does this BEGIN, the last token of what stands so far, open a body that holds semicolons?
fn opens_block(statement: &[Token<'_>], next: Option<&Token<'_>>, engine: Engine) -> bool {
    let creates = statement.first().is_some_and(|t| t.is("CREATE"));
    match engine {
        Engine::Postgres => creates && next.is_some_and(|t| t.is("ATOMIC")),
        Engine::Cassandra => false,
        Engine::Sqlite => creates && statement.iter().skip(1).take(3).any(|t| t.is("TRIGGER")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pg(text: &str) -> Vec<&str> {
        split(text, Engine::Postgres).unwrap()
    }

    #[test]
    fn postgres() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" ; ;; -- nothing\n/* ; */", &[]),
            (
                "CREATE TABLE a(i int); -- x; y\nDROP TABLE b",
                &["CREATE TABLE a(i int)", "DROP TABLE b"],
            ),
            (
                "-- first\nINSERT INTO a VALUES (';', 'it''s; ok')",
                &["INSERT INTO a VALUES (';', 'it''s; ok')"],
            ),
            (
                r"INSERT INTO a VALUES (E'\';'); DROP TABLE b",
                &[r"INSERT INTO a VALUES (E'\';')", "DROP TABLE b"],
            ),
            (
                r"INSERT INTO a VALUES ('\'); DROP TABLE b",
                &[r"INSERT INTO a VALUES ('\')", "DROP TABLE b"],
            ),
            ("/* a /* ; */ ; */ DROP TABLE b;", &["DROP TABLE b"]),
            (
                "DO $$ BEGIN x; END $$; DROP TABLE b",
                &["DO $$ BEGIN x; END $$", "DROP TABLE b"],
            ),
            (
                "DO $a$ $$;$$ ; $a$ ;DROP TABLE b",
                &["DO $a$ $$;$$ ; $a$", "DROP TABLE b"],
            ),
            (
                "CREATE TABLE a$b(i int); DROP TABLE a$b",
                &["CREATE TABLE a$b(i int)", "DROP TABLE a$b"],
            ),
            ("ALTER TABLE \"a;\"\"b\" DROP c", &["ALTER TABLE \"a;\"\"b\" DROP c"]),
            (
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 2; END; DROP TABLE a",
                &[
                    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 2; END",
                    "DROP TABLE a",
                ],
            ),
            (
                "INSERT INTO ü VALUES ('ä;ö'); DROP TABLE é",
                &["INSERT INTO ü VALUES ('ä;ö')", "DROP TABLE é"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(&pg(text), expected, "{text}");
        }
    }

    #[test]
    fn sqlite() {
        let trigger =
            "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET i=CASE 1 WHEN 1 THEN 2 END; DELETE FROM b; END";
        let text = format!("{trigger}; CREATE TABLE [a;b](i); CREATE TABLE `c;d`(begin);");
        let expected = [trigger, "CREATE TABLE [a;b](i)", "CREATE TABLE `c;d`(begin)"];
        assert_eq!(split(&text, Engine::Sqlite).unwrap(), expected);
    }

    #[test]
    fn what_is_not_closed_is_named() {
        for (text, words) in [
            ("\nINSERT INTO a VALUES ('x", "line 2: a string"),
            ("DO $x$ BEGIN", "`$x$` is not closed"),
            ("CREATE TABLE a(i int", "`(`"),
            ("CREATE TABLE a)", "line 1: `)`"),
            ("/* x", "a comment"),
            ("DROP TABLE \"x", "a quoted name"),
        ] {
            let error = split(text, Engine::Postgres).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
