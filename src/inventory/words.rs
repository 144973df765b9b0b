//! POSIX words as Python's `shlex.split(line, comments=True)` makes them, each character with its place.

/// One word of a line.
#[derive(Debug, PartialEq)]
pub(super) struct Word {
    pub(super) text: String,
    /// For each byte of `text`, the byte of the line that it comes from.
    offsets: Vec<usize>,
    /// Where the word begins and ends in the line, quotes included.
    pub(super) start: usize,
    pub(super) end: usize,
    /// A `#` that ended the word from the inside: its byte in the line.
    pub(super) cut: Option<usize>,
}

impl Word {
    /// The place in the line of a byte of the word; its end for the byte after the last.
    pub(super) fn place(&self, byte: usize) -> usize {
        self.offsets.get(byte).copied().unwrap_or(self.end)
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Unfinished {
    #[error("a quote is not closed")]
    Quote { at: usize },
    #[error("a backslash at the end of the line escapes nothing")]
    Escape { at: usize },
}

impl Unfinished {
    pub(super) fn at(&self) -> usize {
        match self {
            Unfinished::Quote { at } | Unfinished::Escape { at } => *at,
        }
    }
}

pub(super) fn split(line: &str) -> Result<Vec<Word>, Unfinished> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        if let Some((open, opened)) = quote {
            let open_word = word.as_mut().expect("a quote begins a word");
            if c == open {
                quote = None;
            } else if c == '\\' && open == '"' {
                let Some((next_at, next)) = chars.next() else {
                    return Err(Unfinished::Quote { at: opened });
                };
                if next != '\\' && next != '"' {
                    open_word.push('\\', at);
                }
                open_word.push(next, next_at);
            } else {
                open_word.push(c, at);
            }
            continue;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take().map(|w| w.ended(at))),
            '#' => {
                if let Some(mut open) = word.take() {
                    open.cut = Some(at);
                    words.push(open.ended(at));
                }
                return Ok(words);
            }
            _ => {
                let open = word.get_or_insert_with(|| Word {
                    text: String::new(),
                    offsets: Vec::new(),
                    start: at,
                    end: at,
                    cut: None,
                });
                match c {
                    '\'' | '"' => quote = Some((c, at)),
                    '\\' => match chars.next() {
                        Some((next_at, next)) => open.push(next, next_at),
                        None => return Err(Unfinished::Escape { at }),
                    },
                    _ => open.push(c, at),
                }
            }
        }
    }
    match quote {
        Some((_, at)) => Err(Unfinished::Quote { at }),
        None => {
            words.extend(word.map(|w| w.ended(line.len())));
            Ok(words)
        }
    }
}

impl Word {
    fn push(&mut self, c: char, at: usize) {
        self.text.push(c);
        self.offsets.extend(std::iter::repeat_n(at, c.len_utf8()));
    }

    fn ended(mut self, end: usize) -> Word {
        self.end = end;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line).unwrap().into_iter().map(|w| w.text).collect()
    }

    #[test]
    fn quotes_escapes_and_comments() {
        for (line, expected) in [
            ("a b=c  d='e f'", vec!["a", "b=c", "d=e f"]),
            (r#"a k="x\"y\\z\n""#, vec!["a", r#"k=x"y\z\n"#]),
            (r"a k='x\y'", vec!["a", r"k=x\y"]),
            (r"a k=a\ b", vec!["a", "k=a b"]),
            ("a pw=ab#cd e=f", vec!["a", "pw=ab"]),
            ("a pw='ab#cd' # e=f", vec!["a", "pw=ab#cd"]),
            ("a ''", vec!["a", ""]),
            ("a x=''y\"\"", vec!["a", "x=y"]),
            ("a;b ;c", vec!["a;b", ";c"]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
        assert_eq!(split("a k='x"), Err(Unfinished::Quote { at: 4 }));
        assert_eq!(split("a k=x\\"), Err(Unfinished::Escape { at: 5 }));
    }

    #[test]
    fn a_word_knows_where_each_byte_was() {
        let words = split("é k='a b' x=y#z").unwrap();
        assert_eq!(words[1].place(2), 6);
        assert_eq!((words[1].start, words[1].end), (3, 10));
        assert_eq!(words[2].cut, Some(14));
    }
}
