//! Text of hosts, made harmless: whatever could control a terminal, or turn the order of what is read, is made visible.

use std::fmt::Write;

/// One line of foreign text. What is left holds no control character at all.
pub(crate) fn one_line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => clean.push_str("    "),
            '\u{7f}' => clean.push('\u{2421}'),
            '\0'..='\u{1f}' => clean.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
            c if c.is_control() || unseen(c) => {
                let _ = write!(clean, "\\u{{{:x}}}", c as u32);
            }
            c => clean.push(c),
        }
    }
    clean
}

/// Not a control character, and yet it turns text around, breaks the line, or hides.
fn unseen(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Lines of foreign text, `\r\n` too, without the empty ones at the end.
pub(super) fn lines(text: &str) -> Vec<&str> {
    text.trim_end_matches(['\n', '\r', ' ', '\t']).lines().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_is_visible() {
        assert_eq!(one_line("\x1b[31mred\x1b]0;title\x07"), "␛[31mred␛]0;title␇");
        assert_eq!(one_line("\u{9b}2J"), "\\u{9b}2J");
        assert_eq!(one_line("a\rb\nc\td\x7f"), "a␍b␊c    d␡");
        assert_eq!(one_line("exe.\u{202e}txt"), "exe.\\u{202e}txt");
        assert_eq!(one_line("grün 日本"), "grün 日本");
        assert_eq!(lines("a\r\nb\n\n"), ["a", "b"]);
        assert!(lines("\n").is_empty());
    }
}
