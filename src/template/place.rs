//! From an offset in a template to the byte in the file, and the name that was probably meant.

use std::cell::{Cell, OnceCell};
use std::ops::Range;
use std::sync::Arc;

use crate::yaml::{Node, Source, Span, Style};

/// Where a template stands.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Node(&'a Node),
    File(&'a Arc<Source>),
    /// An expression from the command line.
    Typed(&'a str),
}

impl<'a> Place<'a> {
    pub(super) fn text(&self) -> &'a str {
        match self {
            Place::Node(node) => node.as_str().or(node.text.as_deref()).unwrap_or_default(),
            Place::File(source) => &source.text,
            Place::Typed(text) => text,
        }
    }

    pub(super) fn slice(&self, range: &Range<usize>) -> &'a str {
        let text = self.text();
        let start = char_boundary(text, range.start);
        text[start..char_boundary(text, range.end).max(start)].trim()
    }

    pub(super) fn span(&self, range: &Range<usize>) -> Option<Span> {
        match self {
            Place::Node(node) => Some(locate(node, range)),
            Place::File(source) => Some(Span::new(source, range.start, range.end)),
            Place::Typed(_) => None,
        }
    }
}

/// The next character boundary at or before `at`.
pub(super) fn char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The bytes of the file that a range of a scalar's text was decoded from; the whole scalar where that is not clear.
fn locate(node: &Node, range: &Range<usize>) -> Span {
    let whole = node.span.clone();
    let source = &whole.source;
    let Some(raw) = source.text.get(whole.start..whole.end) else {
        return whole;
    };
    let text = node.as_str().or(node.text.as_deref()).unwrap_or_default();
    let inner = Range {
        start: range.start + text[char_boundary(text, range.start)..].len()
            - text[char_boundary(text, range.start)..].trim_start().len(),
        end: text[..char_boundary(text, range.end)].trim_end().len(),
    };
    let inner = if inner.start < inner.end { inner } else { range.clone() };
    match align(text, raw, node.style, &inner) {
        Some(found) => Span::new(source, whole.start + found.start, whole.start + found.end),
        None => whole,
    }
}

/// Walks decoded and written text side by side; both have the same characters but for white space and escapes.
fn align(text: &str, raw: &str, style: Style, range: &Range<usize>) -> Option<Range<usize>> {
    let bytes = raw.as_bytes();
    let mut at = match (style, bytes.first()) {
        (Style::Block, Some(b'|' | b'>')) => raw.find('\n')? + 1,
        (Style::SingleQuoted, Some(b'\'')) | (Style::DoubleQuoted, Some(b'"')) => 1,
        _ => 0,
    };
    let mut start = None;
    for (offset, wanted) in text.char_indices() {
        if offset >= range.end {
            break;
        }
        if wanted.is_whitespace() {
            continue;
        }
        let from;
        loop {
            let (next, length) = written(&raw[at..], style)?;
            if next.is_none_or(char::is_whitespace) {
                at += length;
                continue;
            }
            if next != Some(wanted) {
                return None;
            }
            from = at;
            at += length;
            break;
        }
        if offset >= range.start && start.is_none() {
            start = Some(from);
        }
    }
    let end = at;
    start.map(|start| start..end)
}

/// The next character as the style writes it, and its length in bytes; no character for a line that goes on.
fn written(raw: &str, style: Style) -> Option<(Option<char>, usize)> {
    let first = raw.chars().next()?;
    match style {
        Style::SingleQuoted if first == '\'' => Some((Some('\''), if raw.starts_with("''") { 2 } else { 1 })),
        Style::DoubleQuoted if first == '\\' => {
            let code = raw[1..].chars().next()?;
            let digits = match code {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            if digits > 0 {
                let hex = raw.get(2..2 + digits)?;
                let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?;
                return Some((Some(c), 2 + digits));
            }
            let c = match code {
                '0' => Some('\0'),
                'a' => Some('\u{7}'),
                'b' => Some('\u{8}'),
                'e' => Some('\u{1b}'),
                'n' | 't' | 'r' | 'v' | 'f' | ' ' | 'N' | '_' | 'L' | 'P' | '\n' => None,
                other => Some(other),
            };
            Some((c, 1 + code.len_utf8()))
        }
        _ => Some((Some(first), first.len_utf8())),
    }
}

/// Owned things that live as long as an evaluation: buckets of 1, 2, 4 … cells that never move.
pub(super) struct Arena<T> {
    buckets: [OnceCell<Box<[OnceCell<T>]>>; 32],
    len: Cell<usize>,
}

impl<T> Arena<T> {
    pub(super) fn new() -> Arena<T> {
        Arena {
            buckets: [const { OnceCell::new() }; 32],
            len: Cell::new(0),
        }
    }

    pub(super) fn add(&self, value: T) -> &T {
        let position = self.len.get() + 1;
        self.len.set(position);
        let bucket = position.ilog2();
        let cells =
            self.buckets[bucket as usize].get_or_init(|| (0..1_usize << bucket).map(|_| OnceCell::new()).collect());
        cells[position - (1 << bucket)].get_or_init(|| value)
    }
}
