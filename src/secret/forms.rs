//! The shapes in which a secret turns up in output.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter texts are everywhere; hiding them would hide the output.
const SHORTEST: usize = 4;
/// Of a text of several lines, a line alone is hidden from this length on.
const SHORTEST_LINE: usize = 8;

/// All texts to look for; none for a secret of fewer than four characters.
pub(super) fn forms(secret: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    add(secret, SHORTEST, &mut out);
    let trimmed = secret.trim_end_matches(['\n', '\r']);
    if trimmed != secret {
        add(trimmed, SHORTEST, &mut out);
    }
    if trimmed.contains('\n') {
        for line in trimmed.lines() {
            add(line, SHORTEST_LINE, &mut out);
            add(line.trim(), SHORTEST_LINE, &mut out);
        }
    }
    out
}

fn add(text: &str, shortest: usize, out: &mut BTreeSet<String>) {
    if text.chars().count() < shortest {
        return;
    }
    out.insert(text.to_owned());
    for shift in 0..3 {
        let mut bytes = vec![0_u8; shift];
        bytes.extend(text.as_bytes());
        // Characters that hold bits of a neighbour are not the secret's own.
        let (first, last) = ([0, 2, 3][shift], bytes.len() * 8 / 6);
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            if let Some(part) = encoded.get(first..last).filter(|part| part.len() >= SHORTEST) {
                out.insert(part.to_owned());
            }
        }
    }
    for plus in [false, true] {
        for slash in [false, true] {
            let encoded = percent(text, plus, slash);
            out.insert(lower_escapes(&encoded));
            out.insert(encoded);
        }
    }
    out.insert(json(text, false));
    out.insert(json(text, true));
    // As shells quote it: both ways to write a quote inside quotes.
    out.insert(text.replace('\'', "'\"'\"'"));
    out.insert(text.replace('\'', "'\\''"));
    out.insert(text.replace('\\', "\\\\").replace('\'', "\\'"));
}

fn percent(text: &str, plus: bool, slash: bool) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match byte {
            b' ' if plus => out.push('+'),
            b'/' if slash => out.push('/'),
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(b.into()),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn lower_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let end = (at + 3).min(rest.len());
        out.push_str(&rest[..at]);
        out.push_str(&rest[at..end].to_ascii_lowercase());
        rest = &rest[end..];
    }
    out + rest
}

fn json(text: &str, ascii: bool) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = &quoted[1..quoted.len() - 1];
    if !ascii {
        return inner.to_owned();
    }
    let mut out = String::with_capacity(inner.len());
    for c in inner.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}
