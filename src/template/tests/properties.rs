//! No text makes the engine panic, and hosts are cheap.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::super::{Binding, Layer};
use super::{node, scope, templates, text_node};

const VARS: &str = "x: 5\ns: text\nl: [3, 1, 2]\nm: {a: {b: 1}, items: 2}\nt: '{{ x }}'\nn: null\n";

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "{%-",
        "-%}",
        " ",
        "\n",
        "x",
        "s",
        "l",
        "m",
        "n",
        "t",
        "nope",
        ".",
        "a",
        "0",
        "1",
        "-3",
        "2.5",
        "'",
        "\"",
        "'a'",
        "'\\d'",
        "\\",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ":",
        ",",
        "|",
        "~",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "==",
        "!=",
        "<",
        ">",
        "in",
        "not",
        "and",
        "or",
        "is",
        "if",
        "else",
        "endif",
        "for",
        "endfor",
        "set",
        "endset",
        "macro",
        "endmacro",
        "raw",
        "endraw",
        "defined",
        "default",
        "map",
        "select",
        "sort",
        "join",
        "int",
        "combine",
        "regex_replace",
        "to_nice_yaml",
        "from_yaml",
        "random",
        "seed=",
        "attribute=",
        "loop",
        "index",
        "omit",
        "lookup",
        "range",
        "é",
        "😀",
        "\u{10fff0}",
        "=",
        "split",
        "format",
        "indent",
        "batch",
        "version",
        "true",
        "none",
        "append",
        "items",
        "flatten",
        "zip",
        "first",
        "last",
        "length",
        "string",
        "truncate",
        "center",
        "hash",
        "dict",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "\\PC{0,60}") {
        let scope = scope(VARS);
        let _ = templates().value(&text_node(&text), &scope);
        let _ = templates().condition(&text_node(&text), &scope);
        let _ = templates().names(&text_node(&text));
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(piece(), 0..24)) {
        let scope = scope(VARS);
        let text = pieces.concat();
        let _ = templates().value(&text_node(&text), &scope);
        let spaced = format!("{{{{ {} }}}}", pieces.join(" "));
        let _ = templates().value(&text_node(&spaced), &scope);
        let _ = templates().condition(&text_node(&pieces.join(" ")), &scope);
        let _ = templates().file_names(&text);
    }

    /// Text without braces is what it was, and a place in a scalar is inside it.
    #[test]
    fn plain_text_stays(text in "[^{}]{0,40}") {
        let rendered = templates().value(&text_node(&text), &scope(VARS));
        prop_assert_eq!(rendered.map(|r| r.value).ok(), Some(json!(text)));
    }

    #[test]
    fn json_comes_back(value in "[ -~é😀\\n]{0,20}") {
        let mut layer = Layer::new();
        layer.insert("v".to_owned(), Binding::Data(json!({"k": [value, 1, null]})));
        let scope = scope(VARS).with(Arc::new(layer));
        for text in ["{{ v | to_json | from_json }}", "{{ v | to_nice_json | from_json }}", "{{ v | to_nice_yaml | from_yaml }}", "{{ v | to_yaml | from_yaml }}"] {
            let rendered = templates().value(&text_node(text), &scope);
            match rendered {
                Ok(rendered) => prop_assert_eq!(&rendered.value, &json!({"k": [value, 1, null]}), "{}", text),
                Err(error) => prop_assert!(false, "{}: {}", text, error.message),
            }
        }
    }
}

#[test]
fn ten_thousand_hosts_are_quick() {
    let templates = templates();
    let shared =
        scope("base: /srv\nname: 'app-{{ id }}'\npath: '{{ base }}/{{ name }}/{{ version }}'\nversion: '1.30'\n");
    let mut hosts = Vec::new();
    for i in 0..10_000 {
        let mut layer = Layer::new();
        layer.insert("id".to_owned(), Binding::Data(json!(i)));
        hosts.push(shared.with(Arc::new(layer)));
    }
    let params = node("dest: '{{ path }}/bin'\nmode: '0755'\nowner: '{{ owner | default(omit) }}'\n");
    let when = node("version is version('1.29', '>') and id | int >= 0");
    let start = Instant::now();
    for (i, scope) in hosts.iter().enumerate() {
        let rendered = templates.value(&params, scope).expect("params");
        assert_eq!(rendered.value["dest"], json!(format!("/srv/app-{i}/1.30/bin")));
        assert_eq!(templates.condition(&when, scope).expect("when").value, json!(true));
    }
    let took = start.elapsed();
    eprintln!("10,000 hosts: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}
