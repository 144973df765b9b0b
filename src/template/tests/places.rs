//! Errors stand at the exact place.

use super::{node, scope, templates};
use crate::yaml::Diagnostic;

/// The text that an error points at, where the mapping's value `k` is rendered.
fn error(yaml: &str, vars: &str) -> (String, Diagnostic) {
    let root = node(yaml);
    let value = root.get("k").expect("a key k");
    let error = templates().value(value, &scope(vars)).expect_err(yaml);
    let at = error.at.clone().expect("a place");
    (at.source.text[at.start..at.end].to_owned(), error)
}

#[test]
fn inside_scalars_of_every_style() {
    for yaml in [
        "k: a {{ nope }} b\n",
        "k: '{{ nope }}'\n",
        "k: 'it''s {{ nope }}'\n",
        "k: \"a\\tb \\\"{{ nope }}\\\"\"\n",
        "k: \"{{ x ~ nope }}\"\n",
        "k: |\n  first\n  second {{ nope }}\n",
        "k: >-\n  first\n  second\n\n  third {{ nope }}\n",
        "k: |2-\n    indented\n    {{ nope }}\n",
        "k: plain\n  over lines {{ nope }}\n",
        "k: \"folded\n  over {{ nope }}\"\n",
        "k: 'é😀 {{ nope }}'\n",
        "k: \"{{ '\\\\d' ~ nope }}\"\n",
        "k: [1, 'a {{ nope }}']\n",
        "k: {z: '{{ nope }}'}\n",
    ] {
        let (pointed, error) = error(yaml, "x: 1\nnode: 2\n");
        assert_eq!(pointed, "nope", "{yaml}");
        assert_eq!(error.message, "undefined variable `nope`");
        assert_eq!(error.help, ["did you mean `node`?"]);
        assert!(error.also.is_empty(), "{:?}", error.also);
    }
}

#[test]
fn syntax_names_and_fields() {
    for (text, pointed, message, help) in [
        (
            "{{ x | uper }}",
            "uper",
            "unknown filter `uper`",
            "did you mean `upper`?",
        ),
        (
            "{{ x is definde }}",
            "definde",
            "unknown test `definde`",
            "did you mean `is defined`?",
        ),
        (
            "{{ x | ipaddr }}",
            "ipaddr",
            "the filter `ipaddr`: known, not built yet",
            "",
        ),
        (
            "{{ lookup('pipe', 'ls') }}",
            "lookup('pipe', 'ls')",
            "the lookup `pipe`: known, not built yet",
            "",
        ),
        (
            "{{ lookup('evn', 'A') }}",
            "lookup('evn', 'A')",
            "unknown lookup `evn`",
            "did you mean `env`?",
        ),
        (
            "{{ m.prot }}",
            "m.prot",
            "`m` is a mapping and has no `prot`",
            "did you mean `port`?",
        ),
        (
            "a {{ m.port.y }}",
            "m.port.y",
            "`m.port` is an integer and has no `y`",
            "",
        ),
        ("{{ l[7] }}", "l[7]", "`l` has no element 7", ""),
        (
            "{{ 1 + s }}",
            "1 + s",
            "`+` cannot take an integer and text",
            "`~` joins anything as text",
        ),
        (
            "{{ s > 1 }}",
            "s > 1",
            "text and an integer have no order",
            "make the text a number: `| int` or `| float`",
        ),
        ("{{ s.uper() }}", "s.uper", "`s` is text and has no method `uper`", ""),
        (
            "{{ 5 | random }}",
            "random",
            "`random` without `seed=` gives another value in every run",
            "",
        ),
        (
            "{{ m.items }}",
            "m.items",
            "`items` is a method; it is not called here",
            "call it: `items()`",
        ),
    ] {
        let (found, error) = error(&format!("k: \"{text}\"\n"), "x: a\ns: t\nm: {port: 1}\nl: [1]\n");
        assert_eq!((found.as_str(), error.message.as_str()), (pointed, message), "{text}");
        if !help.is_empty() {
            assert!(error.help.iter().any(|h| h == help), "{text}: {:?}", error.help);
        }
    }
    let (_, error) = error("k: 'a {{ x'\n", "x: 1\n");
    assert!(error.message.starts_with("not a template: "), "{}", error.message);
}

#[test]
fn a_variables_own_place_and_the_use() {
    let vars = "outer: 'pre {{ inner }}'\ninner: '{{ nope }}'\nbroken: '{{ 1 / 0 }}'\n";
    let (pointed, error) = error("k: 'x {{ outer }}'\n", vars);
    assert_eq!(pointed, "nope");
    assert_eq!(error.at.as_ref().expect("a place").to_string(), "vars.yml:2:12");
    let also: Vec<String> = error
        .also
        .iter()
        .map(|(span, label)| format!("{span} {label}"))
        .collect();
    assert_eq!(
        also,
        [
            "vars.yml:1:16 needed for `inner` here",
            "vars.yml:1:10 needed for `outer` here"
        ]
    );
    let (pointed, error) = self::error("k: '{{ broken }}'\n", vars);
    assert_eq!(
        (pointed.as_str(), error.message.as_str()),
        ("1 / 0", "division by zero")
    );
    assert_eq!(error.also.len(), 1);
}

#[test]
fn conditions() {
    let templates = templates();
    let scope = scope("s: text\nn: 5\nl: []\n");
    for (yaml, message, help) in [
        ("s", "the condition gives text, not a boolean", "| bool"),
        ("n", "the condition gives an integer, not a boolean", "!= 0"),
        ("l", "the condition gives a list, not a boolean", "length > 0"),
        (
            "\"{{ n }} == 5\"",
            "a condition is an expression already: no braces",
            "write `n` without the braces",
        ),
        ("5", "a condition is an expression, not an integer", ""),
        ("''", "the condition is empty", ""),
        ("n = 5", "not a template:", ""),
        ("nn == 5", "undefined variable `nn`", ""),
        ("{a: 1}", "a condition is an expression, not a mapping", ""),
    ] {
        let error = templates.condition(&node(yaml), &scope).expect_err(yaml);
        assert!(error.message.starts_with(message), "{yaml}: {}", error.message);
        assert!(error.at.is_some(), "{yaml}");
        assert!(
            help.is_empty() || error.help.iter().any(|h| h.contains(help)),
            "{yaml}: {:?}",
            error.help
        );
    }
    let quoted = templates
        .condition(&node("\"'{{ n }}' == s\""), &scope)
        .expect("text with braces");
    assert_eq!(quoted.value, serde_json::json!(false));
}
