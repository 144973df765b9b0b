//! Diagnostics as a person reads them.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::excerpt::{Shown, secret_ranges, visible};
use super::{Diagnostic, Diagnostics, Severity, Span};
use crate::secret::Redactor;

/// Lines between two places of one file that are shown rather than left out.
const GAP: usize = 3;

impl Diagnostics {
    /// All of them, sorted by file and place, each with ` --> FILE:LINE:COL`, the source line, a caret and its help
    /// lines; a count at the end. Nothing for none. Known secrets, and values that look like secrets, are hidden.
    pub(crate) fn render(&self, styled: bool, redactor: Option<&Redactor>) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut sorted: Vec<&Diagnostic> = self.iter().collect();
        sorted.sort_by_key(|d| {
            let place = d.at.as_ref().map(|at| (at.source.path.clone(), at.start, at.end));
            (place.is_none(), place)
        });
        let mut page = Page {
            renderer: if styled {
                Renderer::styled().hyperlink(false)
            } else {
                Renderer::plain()
            },
            redactor,
            secrets: HashMap::new(),
        };
        let mut out = String::new();
        for diagnostic in sorted {
            out.push_str(&page.one(diagnostic));
            out.push_str("\n\n");
        }
        out.push_str(&self.counted());
        out.push('\n');
        out
    }

    /// `2 errors, 1 warning`.
    fn counted(&self) -> String {
        let words = [
            (Severity::Error, "error"),
            (Severity::Warning, "warning"),
            (Severity::Note, "note"),
        ];
        let counts: Vec<String> = words
            .into_iter()
            .filter_map(|(severity, word)| {
                let count = self.iter().filter(|d| d.severity == severity).count();
                let plural = if count == 1 { "" } else { "s" };
                (count > 0).then(|| format!("{count} {word}{plural}"))
            })
            .collect();
        counts.join(", ")
    }
}

struct Page<'a> {
    renderer: Renderer,
    redactor: Option<&'a Redactor>,
    /// Ranges that look like secrets, by file and line.
    secrets: HashMap<PathBuf, Vec<Vec<Range<usize>>>>,
}

type Lines = Snippet<'static, Annotation<'static>>;

/// One place on one line.
struct Mark<'a> {
    line: usize,
    /// Bytes of the line.
    range: Range<usize>,
    kind: AnnotationKind,
    span: &'a Span,
    label: String,
}

impl Page<'_> {
    fn clean(&self, text: &str) -> String {
        match self.redactor {
            Some(redactor) => redactor.clean(text),
            None => text.to_owned(),
        }
    }

    fn one(&mut self, diagnostic: &Diagnostic) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let mut group = Group::with_title(level.clone().primary_title(visible(&self.clean(&diagnostic.message))));
        let mut marks = Vec::new();
        if let Some(at) = &diagnostic.at {
            marks.push(self.mark(at, AnnotationKind::Primary, &diagnostic.label));
        }
        for (span, label) in &diagnostic.also {
            marks.push(self.mark(span, AnnotationKind::Context, label));
        }
        let mut columns = Vec::new();
        for part in parts(marks) {
            if let Some((snippet, shown, real)) = self.snippet(&part) {
                group = group.element(snippet);
                columns.push((shown, real));
            }
        }
        for help in &diagnostic.help {
            let help: Vec<String> = self.clean(help).split('\n').map(visible).collect();
            group = group.element(Level::HELP.message(help.join("\n")));
        }
        if columns.is_empty() {
            // Without a source line there is no gutter to hang the help on.
            let help: Vec<String> = diagnostic.help.iter().map(|help| self.clean(help)).collect();
            let title = Group::with_title(level.primary_title(visible(&self.clean(&diagnostic.message))));
            let lines = help.iter().flat_map(|help| help.split('\n').map(visible));
            let text = self.renderer.render(&[title]);
            return lines.fold(text, |text, line| format!("{text}\n  = help: {line}"));
        }
        // Hidden text before a caret moves it on the screen; the place that is named is the one in the file.
        columns
            .into_iter()
            .filter(|(shown, real)| shown != real)
            .fold(self.renderer.render(&[group]), |text, (shown, real)| {
                text.replacen(&shown, &real, 1)
            })
    }

    fn mark<'s>(&self, span: &'s Span, kind: AnnotationKind, label: &str) -> Mark<'s> {
        let text = &span.source.text;
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        // A mapping spans many lines; its first one says where it is.
        let end = span.end.clamp(start, line_end);
        let line = &text[line_start..line_end];
        let end = end.min(line_start + line.trim_end().len()).max(start);
        Mark {
            line: text[..line_start].matches('\n').count(),
            range: start - line_start..end - line_start,
            kind,
            span,
            label: visible(&self.clean(label)),
        }
    }

    /// The lines of the marks, and `FILE:LINE:COL` of the first as the renderer finds it and as it is.
    fn snippet(&mut self, marks: &[Mark<'_>]) -> Option<(Lines, String, String)> {
        let lead = marks
            .iter()
            .find(|mark| mark.kind == AnnotationKind::Primary)
            .or(marks.first())?;
        let source = &lead.span.source;
        let secrets = self
            .secrets
            .entry(source.path.clone())
            .or_insert_with(|| secret_ranges(&source.text));
        let first = marks.iter().map(|mark| mark.line).min().unwrap_or(0);
        let last = marks.iter().map(|mark| mark.line).max().unwrap_or(0);
        let mut text = String::new();
        let mut annotations = Vec::new();
        let mut lead_column = 1;
        for (number, line) in source.text.split('\n').enumerate().skip(first).take(last - first + 1) {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let shown = Shown::new(line, secrets.get(number).map_or(&[], Vec::as_slice), self.redactor);
            for mark in marks.iter().filter(|mark| mark.line == number) {
                let range = shown.range(mark.range.clone());
                if std::ptr::eq(mark, lead) {
                    lead_column = shown.text[..range.start].chars().count() + 1;
                }
                annotations.push(
                    mark.kind
                        .span(text.len() + range.start..text.len() + range.end)
                        .label(mark.label.clone()),
                );
            }
            text.push_str(&shown.text);
            text.push('\n');
        }
        let (line, column) = lead.span.line_column();
        let path = visible(&super::source::from_here(&source.path).display().to_string());
        let snippet = Snippet::source(text)
            .path(path.clone())
            .line_start(first + 1)
            .fold(true)
            .annotations(annotations);
        Some((
            snippet,
            format!("{path}:{line}:{lead_column}"),
            format!("{path}:{line}:{column}"),
        ))
    }
}

/// Marks that stand close together in one file are shown together.
fn parts(marks: Vec<Mark<'_>>) -> Vec<Vec<Mark<'_>>> {
    let mut parts: Vec<Vec<Mark<'_>>> = Vec::new();
    for mark in marks {
        let near = parts.iter_mut().find(|part| {
            part.iter()
                .any(|m| m.span.source.path == mark.span.source.path && m.line.abs_diff(mark.line) <= GAP)
        });
        match near {
            Some(part) => part.push(mark),
            None => parts.push(vec![mark]),
        }
    }
    parts
}
