use super::*;
use crate::yaml::Source;

/// The value as JSON, strings quoted.
fn shown(text: &str) -> String {
    fn json(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Float(f) => format!("{f:?}"),
            Value::Str(text) => format!("{text:?}"),
            Value::Seq(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
            Value::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(k, v)| format!("{}: {}", k.text.as_deref().unwrap_or("?"), json(v)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }
    let source = Source::new("hosts", text);
    match value(text, &Span::new(&source, 0, text.len())) {
        Ok(node) => json(&node),
        Err(bad) => format!("error: {bad}"),
    }
}

#[test]
fn literals_and_what_is_text() {
    for (text, expected) in [
        ("80", "80"),
        ("'80'", "\"80\""),
        ("True", "true"),
        ("true", "\"true\""),
        ("FALSE", "\"FALSE\""),
        ("None", "null"),
        ("[1,2]", "[1, 2]"),
        ("{'a': 1}", "{a: 1}"),
        ("1, 2", "[1, 2]"),
        ("(1,2)", "[1, 2]"),
        ("1,", "[1]"),
        ("()", "[]"),
        ("(1)", "1"),
        (",", "\",\""),
        ("{1, 2, 1.0}", "[1, 2]"),
        ("{1, 5, 3}", "[1, 3, 5]"),
        ("{9, 1, 17, 8}", "[8, 9, 1, 17]"),
        ("{30, 11, 2, 70, 41, 22, -1}", "[2, 70, 41, 11, 22, -1, 30]"),
        ("set()", "[]"),
        ("{a:1}", "\"{a:1}\""),
        ("0x1f", "31"),
        ("0o17", "15"),
        ("0b11", "3"),
        ("0x_ff", "255"),
        ("0x", "\"0x\""),
        ("0b12", "\"0b12\""),
        ("1_000", "1000"),
        ("1__0", "\"1__0\""),
        ("1_", "\"1_\""),
        ("1e3", "1000.0"),
        ("1.", "1.0"),
        (".5", "0.5"),
        ("1._5", "\"1._5\""),
        (".", "\".\""),
        ("1e", "\"1e\""),
        ("010", "\"010\""),
        ("08", "\"08\""),
        ("08.5", "8.5"),
        ("00", "0"),
        ("0_0", "0"),
        ("+5", "5"),
        ("-3", "-3"),
        ("- 3", "-3"),
        ("--3", "\"--3\""),
        ("-True", "\"-True\""),
        ("1.5", "1.5"),
        (" 5", "5"),
        ("5 ", "5"),
        ("5 # x", "5"),
        ("text # x", "\"text # x\""),
        ("# x", "\"# x\""),
        ("yes", "\"yes\""),
        ("~", "\"~\""),
        ("2024-01-01", "\"2024-01-01\""),
        ("1+1", "\"1+1\""),
        ("1+2j", "\"(1+2j)\""),
        ("-1-2.5j", "\"(-1-2.5j)\""),
        ("3j", "\"3j\""),
        ("-3j", "\"(-0-3j)\""),
        ("...", "\"...\""),
        ("", "\"\""),
        ("\"quoted\"", "\"quoted\""),
        ("'a' 'b'", "\"ab\""),
        ("'a' b'b'", "\"'a' b'b'\""),
        ("r'a\\n'", "\"a\\\\n\""),
        ("u'x' r'y'", "\"xy\""),
        ("b'x'", "\"x\""),
        ("f'x'", "\"f'x'\""),
        (r"'\x41\101\u00e9\d'", "\"AAé\\\\d\""),
        (r"'\xZ'", "\"'\\\\xZ'\""),
        ("'''a'b'''", "\"a'b\""),
        ("'open", "\"'open\""),
        ("{{ foo }}", "\"{{ foo }}\""),
        ("{'a': [1, (2, None)], 2: {}, }", "{a: [1, [2, null]], 2: {}}"),
        ("{'a': 1, 'a': 2, True: 3, 1: 4}", "{a: 2, true: 4}"),
        ("[1, # x", "\"[1, # x\""),
        ("[1] # x", "[1]"),
        ("[1, 2", "\"[1, 2\""),
        ("[,]", "\"[,]\""),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "error: the integer does not fit into 64 bits"),
        (
            "{[1]: 2}",
            "error: Python reads this as a mapping, in which no list, set or mapping can be a key",
        ),
        (
            "{{ [1] }}",
            "error: Python reads this as a set, in which no list, set or mapping can be",
        ),
        ("{{ [1] | first }}", "\"{{ [1] | first }}\""),
        ("{(1, 2): 2}", "error: this key cannot be written as text"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}
