use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::secret::{Redactor, Secret};

fn tree(text: &str, rules: Rules) -> Node {
    parse(&Source::new("t.yml", text), rules).unwrap_or_else(|wrong| panic!("{text:?}: {wrong:?}"))
}

fn shown(text: &str) -> String {
    match parse(&Source::new("t.yml", text), Rules::Core) {
        Ok(node) => panic!("{text:?} was read as {node:?}"),
        Err(wrong) => wrong.render(false, None),
    }
}

/// Values and the text that their spans cover.
fn outline(node: &Node) -> String {
    let covered = |span: &Span| format!("{:?}", &span.source.text[span.start..span.end]);
    match &node.value {
        Value::Seq(items) => {
            let items: Vec<String> = items.iter().map(outline).collect();
            format!("[{}]@{}", items.join(", "), covered(&node.span))
        }
        Value::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{} = {}", covered(&key.span), outline(value)))
                .collect();
            format!("{{{}}}@{}", entries.join(", "), covered(&node.span))
        }
        value => format!("{}@{}", plain(value), covered(&node.span)),
    }
}

/// A value as the tables write it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => format!("{f:?}"),
        Value::Str(s) => format!("{s:?}"),
        Value::Seq(items) => format!(
            "[{}]",
            items.iter().map(|i| plain(&i.value)).collect::<Vec<_>>().join(", ")
        ),
        Value::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(k, v)| format!("{}: {}", k.text.as_deref().unwrap_or("?"), plain(&v.value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn scalar_of(text: &str, rules: Rules) -> String {
    match parse(&Source::new("t.yml", format!("k: {text}\n")), rules) {
        Ok(node) => plain(&node.get("k").expect("the key is there").value),
        Err(_) => "error".into(),
    }
}

/// The table is what PyYAML 6.0.3 says (integers beyond 64 bits, which it reads, are errors here).
#[test]
fn yaml11_scalars_are_those_of_pyyaml() {
    for line in include_str!("yaml11.tsv").lines() {
        let (text, wanted) = line.split_once('\t').expect("two columns");
        assert_eq!(scalar_of(text, Rules::Yaml11), wanted, "{text}");
    }
}

#[test]
fn core_scalars() {
    for (text, wanted) in [
        ("", "null"),
        ("~", "null"),
        ("Null", "null"),
        ("nULL", "\"nULL\""),
        ("true", "true"),
        ("FALSE", "false"),
        ("yes", "\"yes\""),
        ("NO", "\"NO\""),
        ("on", "\"on\""),
        ("0644", "644"),
        ("0o644", "420"),
        ("-0o7", "\"-0o7\""),
        ("0x1F", "31"),
        ("+12", "12"),
        ("-12", "-12"),
        ("1_000", "\"1_000\""),
        ("12:30", "\"12:30\""),
        ("0b11", "\"0b11\""),
        ("1.10", "1.1"),
        ("1e3", "1000.0"),
        ("-.5", "-0.5"),
        ("1.", "1.0"),
        ("1.2.3", "\"1.2.3\""),
        (".inf", "inf"),
        ("-.INF", "-inf"),
        (".nan", "NaN"),
        (".Nan", "\".Nan\""),
        (".", "\".\""),
        ("2024-01-02", "\"2024-01-02\""),
        ("=", "\"=\""),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "error"),
        ("0xffffffffffffffff", "error"),
        ("'0644'", "\"0644\""),
        ("\"true\"", "\"true\""),
        ("!!str 0644", "\"0644\""),
        ("!!int '12'", "12"),
        ("!!float 3", "3.0"),
        ("!!int abc", "error"),
        ("!!bool yes", "error"),
        ("!!binary aGk=", "error"),
        ("! 12", "\"12\""),
        ("!unsafe 12", "\"12\""),
    ] {
        assert_eq!(scalar_of(text, Rules::Core), wanted, "{text}");
    }
}

#[test]
fn text_style_and_tag_are_kept() {
    let node = tree("a: 1.10\nb: '1.10'\nc: !unsafe \"{{ x }}\"\nd: |\n  1\n", Rules::Core);
    let seen: Vec<_> = node
        .as_map()
        .into_iter()
        .flatten()
        .map(|(_, v)| (v.text.as_deref().unwrap_or(""), v.style, v.tag.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("1.10", Style::Plain, None),
            ("1.10", Style::SingleQuoted, None),
            ("{{ x }}", Style::DoubleQuoted, Some("!unsafe")),
            ("1\n", Style::Block, None),
        ]
    );
}

#[test]
fn keys_of_yaml11_are_what_ansible_makes_of_them() {
    let node = tree(
        "7: a\ntrue: b\n~: c\n1.50: d\n0x10: e\n12:30: f\n2024-01-02: g\n1.0e+16: h\n'01': i\n",
        Rules::Yaml11,
    );
    let keys: Vec<_> = node
        .as_map()
        .into_iter()
        .flatten()
        .filter_map(|(k, _)| k.text.clone())
        .collect();
    assert_eq!(
        keys,
        ["7", "true", "null", "1.5", "16", "750", "2024-01-02", "1e+16", "01"]
    );
}

#[test]
fn spans_cover_what_was_written() {
    for (text, wanted) in [
        (
            "a: 'x y' # c\nb:\nc: 3\n",
            r#"{"a" = "x y"@"'x y'", "b" = null@"", "c" = 3@"3"}@"a: 'x y' # c\nb:\nc: 3""#,
        ),
        (
            "a:\n  - x\n  - y: 1\n    z: 2\n\n# end\nb: {k: v, l: [1, 2]}\n",
            r#"{"a" = ["x"@"x", {"y" = 1@"1", "z" = 2@"2"}@"y: 1\n    z: 2"]@"- x\n  - y: 1\n    z: 2", "b" = {"k" = "v"@"v", "l" = [1@"1", 2@"2"]@"[1, 2]"}@"{k: v, l: [1, 2]}"}@"a:\n  - x\n  - y: 1\n    z: 2\n\n# end\nb: {k: v, l: [1, 2]}""#,
        ),
        (
            "a: |\n  one\n  two\n\nc: x\n",
            r#"{"a" = "one\ntwo\n"@"one\n  two", "c" = "x"@"x"}@"a: |\n  one\n  two\n\nc: x""#,
        ),
        (
            "\u{feff}a: ü\nc: &x [1]\nd: *x\n",
            r#"{"a" = "ü"@"ü", "c" = [1@"1"]@"[1]", "d" = [1@"1"]@"[1]"}@"a: ü\nc: &x [1]\nd: *x""#,
        ),
        ("# only a comment\n", r#"null@"""#),
        ("---\na: 1\n...\n", r#"{"a" = 1@"1"}@"a: 1""#),
    ] {
        assert_eq!(outline(&tree(text, Rules::Core)), wanted);
    }
}

#[test]
fn an_empty_document_is_nothing() {
    for text in ["", "\n\n", "# c\n", "---\n", "\u{feff}"] {
        assert!(matches!(tree(text, Rules::Core).value, Value::Null), "{text:?}");
    }
}

#[test]
fn places_count_characters_and_no_byte_order_mark() {
    let node = tree("\u{feff}ü: x\n", Rules::Core);
    let (key, value) = &node.as_map().expect("a mapping")[0];
    assert_eq!((key.span.line_column(), value.span.line_column()), ((1, 1), (1, 4)));
}

#[test]
fn merge_keys_fill_in_and_are_no_duplicates() {
    for (text, wanted) in [
        ("b: &b {x: 1, y: 2}\nm:\n  <<: *b\n  x: 9\n", "{y: 2, x: 9}"),
        ("b: &b {x: 1, y: 2}\nm:\n  x: 9\n  <<: *b\n", "{x: 9, y: 2}"),
        ("a: &a {x: 1}\nb: &b {x: 2, y: 3}\nm:\n  <<: [*a, *b]\n", "{x: 1, y: 3}"),
        ("m:\n  '<<': 1\n", "{<<: 1}"),
    ] {
        for rules in [Rules::Core, Rules::Yaml11] {
            assert_eq!(plain(&tree(text, rules).get("m").expect("m").value), wanted, "{text}");
        }
    }
}

#[test]
fn equal_keys_of_python_collide_in_yaml11_only() {
    assert_eq!(scalar_of("{1: a, yes: b}", Rules::Yaml11), "error");
    assert_eq!(scalar_of("{1: a, yes: b}", Rules::Core), "{1: \"a\", yes: \"b\"}");
    assert_eq!(scalar_of("{1: a, '1': b}", Rules::Core), "{1: \"a\", 1: \"b\"}");
}

#[test]
fn bombs_end_in_an_error() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let before = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs.push_str(&format!("a{i}: &a{i} [{before}]\n"));
    }
    assert!(shown(&laughs).contains("aliases make this file too large"));

    let mut nest = String::from("- &a0 [x]\n");
    for i in 1..200 {
        nest.push_str(&format!("- &a{i} [*a{}]\n", i - 1));
    }
    assert!(shown(&nest).contains("nested more than 64 levels deep"));

    for open in ["[", "{a: ", "- "] {
        let text = format!("k:\n  {}", open.repeat(5_000));
        assert!(parse(&Source::new("t.yml", text), Rules::Core).is_err());
    }
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
    assert!(shown(&long).contains("aliases make this file too large"));
}

#[test]
fn a_file_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bytes.yml");
    std::fs::write(&path, b"a: 1\nb: \xff\n").expect("written");
    assert!(
        read(&path)
            .expect_err("bytes")
            .message
            .ends_with("is not UTF-8 text: byte 9 in line 2")
    );
    assert!(
        read(folder.path())
            .expect_err("a folder")
            .message
            .ends_with("is a folder, not a file")
    );
    assert!(
        read(&folder.path().join("none"))
            .expect_err("missing")
            .message
            .starts_with("no such file")
    );
}

#[test]
fn syntax_errors_say_what_to_do() {
    let mut all = String::new();
    for text in [
        "a: {{ x }}/b\n",
        "a:\n  - {{ x }}\n",
        "a: 1\n\tb: 2\n",
        "a: b: c\n",
        "a:b\nc: 1\n",
        "a: 'x\nb: 1\n",
        "a: [1, 2\nb: 1\n",
        "a: @x\n",
        "a: *x\n",
        "a: 1\n---\nb: 1\n",
        "a: 1\nb: 2\na: 3\n",
        "a: !unsave x\n",
        "{a: 1}: b\n",
        "a: 1\n b: 2\n",
        "<<: 1\n",
        "a: &a [*a]\n",
        "a: 99999999999999999999\nb: 0xfffffffffffffffff\n",
    ] {
        all.push_str(&shown(text));
        all.push('\n');
    }
    insta::assert_snapshot!(all, @r#"
    error: a value that begins with `{{` must be quoted
     --> t.yml:1:4
      |
    1 | a: {{ x }}/b
      |    ^^^^^^^ YAML reads this as a mapping
      |
      = help: quote it: "{{ x }}…"

    1 error

    error: a value that begins with `{{` must be quoted
     --> t.yml:2:5
      |
    2 |   - {{ x }}
      |     ^^^^^^^ YAML reads this as a mapping
      |
      = help: quote it: "{{ x }}"

    1 error

    error: a tab where YAML wants spaces
     --> t.yml:2:1
      |
    2 |     b: 2
      | ^^^^ this is a tab
      |
      = help: indent with spaces

    1 error

    error: YAML: mapping values are not allowed in this context
     --> t.yml:1:5
      |
    1 | a: b: c
      |     ^
      |
      = help: quote a value that holds `: `: `a: "…"`

    1 error

    error: YAML: mapping values are not allowed in this context
     --> t.yml:2:2
      |
    1 | a:b
      |  - no space after this colon?
    2 | c: 1
      |  ^
      |
      = help: write a space after the colon: `a: …`

    1 error

    error: YAML: unclosed quote
     --> t.yml:1:4
      |
    1 | a: 'x
      |    ^
      |
      = help: is a closing ' missing?

    1 error

    error: YAML: illegal placement of ':' indicator
     --> t.yml:2:2
      |
    2 | b: 1
      |  ^
      |
      = help: is a closing `]` missing?

    1 error

    error: YAML: unexpected character: `@'
     --> t.yml:1:4
      |
    1 | a: @x
      |    ^
      |
      = help: quote a value that begins with `@`

    1 error

    error: YAML: while parsing node, found unknown anchor
     --> t.yml:1:4
      |
    1 | a: *x
      |    ^
      |
      = help: set the anchor before it is used, or quote a value that begins with `*`

    1 error

    error: a second document in one file
     --> t.yml:2:1
      |
    2 | ---
      | ^^^ it begins here
      |
      = help: one file holds one document: remove the `---` or make two files

    1 error

    error: the key `a` stands twice
     --> t.yml:3:1
      |
    1 | a: 1
      | - first here
    2 | b: 2
    3 | a: 3
      | ^ here again

    1 error

    error: unknown tag `!unsave`
     --> t.yml:1:4
      |
    1 | a: !unsave x
      |    ^^^^^^^
      |
      = help: did you mean `!unsafe`?

    1 error

    error: a key must be text, found a mapping
     --> t.yml:1:1
      |
    1 | {a: 1}: b
      | ^^^^^^
      |
      = help: quote the key if it is text

    1 error

    error: YAML: mapping values are not allowed in this context
     --> t.yml:2:3
      |
    2 |  b: 2
      |   ^
      |
      = help: keys of one mapping stand in one column: is the indentation right?

    1 error

    error: `<<` takes a mapping or a list of mappings
     --> t.yml:1:1
      |
    1 | <<: 1
      | ^^ merged here
      |
      = help: write `<<: *anchor`

    1 error

    error: an alias inside the value that it names
     --> t.yml:1:8
      |
    1 | a: &a [*a]
      |        ^^

    1 error

    error: the integer does not fit into 64 bits
     --> t.yml:1:4
      |
    1 | a: 99999999999999999999
      |    ^^^^^^^^^^^^^^^^^^^^
      |
      = help: quote it if it is text

    error: the integer does not fit into 64 bits
     --> t.yml:2:4
      |
    2 | b: 0xfffffffffffffffff
      |    ^^^^^^^^^^^^^^^^^^^
      |
      = help: quote it if it is text

    2 errors
    "#);
}

#[test]
fn nothing_secret_and_no_control_character_is_shown() {
    let text = "databases:\n  main: { engine: postgres, password: hunter2 hunter2, nmae: x }\n\u{1b}[31mkey\u{9b}: \u{202e}abc\nname: canary1 and more\nsecrets:\n  db: hunter2\n  l:\n    - hunter2\n  ok: { file: a/b }\nansible_become_pass: hunter2 # c\nb: [{ token: 'a, hunter2', 'pass': \"hunter2\" }, x]\nexport PGPASSWORD=hunter2\nh1 ansible_password=hunter2 x=1\napi_token: |\n  hunter2\n  hunter2\nrun: tool --password hunter2 --user x\npassword_file: a/b\npassword: \"{{ pw }}\"\nlong:\n  a: 1\n";
    let source = Source::new("dir/p.yml", text);
    let all_lines = {
        let mut at = 0;
        let mut all = Diagnostics::default();
        for line in text.split_inclusive('\n') {
            let end = at + line.trim_end().len();
            all.push(Diagnostic::error(&Span::new(&source, at, end), "line"));
            at += line.len();
        }
        let nmae = text.find("nmae").expect("it is there");
        all.push(Diagnostic::error(&Span::new(&source, nmae, nmae + 4), "unknown key").help("did you mean `name`?"));
        all.push(Diagnostic::general("nowhere: canary1 \u{1b}[0m\nerror: forged"));
        all.push(
            Diagnostic::error(&Span::new(&source, text.len(), text.len()), "at the end").severity(Severity::Warning),
        );
        all
    };
    let redactor = Redactor::default();
    redactor.add(&Secret::new("canary1"));
    let page = all_lines.render(false, Some(&redactor));
    assert!(!page.contains("hunter2") && !page.contains("canary1"), "{page}");
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
    insta::assert_snapshot!(page, @r#"
    error: line
     --> dir/p.yml:1:1
      |
    1 | databases:
      | ^^^^^^^^^^

    error: line
     --> dir/p.yml:2:1
      |
    2 |   main: { engine: postgres, password: <secret>, nmae: x }
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: unknown key
     --> dir/p.yml:2:56
      |
    2 |   main: { engine: postgres, password: <secret>, nmae: x }
      |                                                 ^^^^
      |
      = help: did you mean `name`?

    error: line
     --> dir/p.yml:3:1
      |
    3 | ␛[31mkey\u{9b}: \u{202e}abc
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: line
     --> dir/p.yml:4:1
      |
    4 | name: <secret> and more
      | ^^^^^^^^^^^^^^^^^^^^^^^

    error: line
     --> dir/p.yml:5:1
      |
    5 | secrets:
      | ^^^^^^^^

    error: line
     --> dir/p.yml:6:1
      |
    6 |   db: <secret>
      | ^^^^^^^^^^^^^^

    error: line
     --> dir/p.yml:7:1
      |
    7 |   l:
      | ^^^^

    error: line
     --> dir/p.yml:8:1
      |
    8 |     - <secret>
      | ^^^^^^^^^^^^^^

    error: line
     --> dir/p.yml:9:1
      |
    9 |   ok: { file: a/b }
      | ^^^^^^^^^^^^^^^^^^^

    error: line
      --> dir/p.yml:10:1
       |
    10 | ansible_become_pass: <secret>
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: line
      --> dir/p.yml:11:1
       |
    11 | b: [{ token: <secret>, 'pass': <secret> }, x]
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: line
      --> dir/p.yml:12:1
       |
    12 | export PGPASSWORD=<secret>
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: line
      --> dir/p.yml:13:1
       |
    13 | h1 ansible_password=<secret> x=1
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: line
      --> dir/p.yml:14:1
       |
    14 | api_token: |
       | ^^^^^^^^^^^^

    error: line
      --> dir/p.yml:15:1
       |
    15 |   <secret>
       | ^^^^^^^^^^

    error: line
      --> dir/p.yml:16:1
       |
    16 |   <secret>
       | ^^^^^^^^^^

    error: line
      --> dir/p.yml:17:1
       |
    17 | run: tool --password <secret> --user x
       | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    error: line
      --> dir/p.yml:18:1
       |
    18 | password_file: a/b
       | ^^^^^^^^^^^^^^^^^^

    error: line
      --> dir/p.yml:19:1
       |
    19 | password: "{{ pw }}"
       | ^^^^^^^^^^^^^^^^^^^^

    error: line
      --> dir/p.yml:20:1
       |
    20 | long:
       | ^^^^^

    error: line
      --> dir/p.yml:21:1
       |
    21 |   a: 1
       | ^^^^^^

    warning: at the end
      --> dir/p.yml:22:1
       |
    22 |
       | ^

    error: nowhere: <secret> ␛[0m␊error: forged

    23 errors, 1 warning
    "#);
}

#[test]
fn two_places_far_apart_are_both_shown() {
    let text = format!("a: 1\n{}a: 2\n", "# filler\n".repeat(20));
    insta::assert_snapshot!(shown(&text), @r#"
    error: the key `a` stands twice
      --> t.yml:22:1
       |
    22 | a: 2
       | ^ here again
       |
      ::: t.yml:1:1
       |
     1 | a: 1
       | - first here

    1 error
    "#);
}

#[test]
fn durations() {
    for (text, wanted) in [
        ("30s", Some(30_000)),
        ("5m", Some(300_000)),
        ("2h", Some(7_200_000)),
        ("1d", Some(86_400_000)),
        ("1m30s", Some(90_000)),
        ("1h0m5s", Some(3_605_000)),
        ("500ms", Some(500)),
        ("90", Some(90_000)),
        ("1.5", Some(1_500)),
        ("0", Some(0)),
        ("", None),
        ("s", None),
        ("5", Some(5_000)),
        ("5x", None),
        ("5m5", None),
        ("30s1m", None),
        ("1m1m", None),
        ("-5s", None),
        ("1.5h", None),
        ("5 m", None),
        ("99999999999999999999d", None),
        ("999999999999999999d", None),
    ] {
        assert_eq!(parse_duration(text).ok(), wanted.map(Duration::from_millis), "{text}");
    }
}

#[test]
fn suggestions() {
    for (word, wanted) in [
        ("nmae", Some("name")),
        ("whenn", Some("when")),
        ("run-once", Some("run_once")),
        ("Register", Some("register")),
        ("max_fials", Some("max_fail")),
        ("if", None),
        ("zzzz", None),
    ] {
        let known = ["name", "when", "run_once", "register", "max_fail", "id"];
        assert_eq!(did_you_mean(word, known), wanted, "{word}");
    }
}

/// Text that looks like YAML more often than chance would have it.
fn yamlish() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("a".to_owned()),
        Just("key: ".to_owned()),
        Just("- ".to_owned()),
        Just("\n".to_owned()),
        Just("  ".to_owned()),
        Just("\t".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("{{ x }}".to_owned()),
        Just(", ".to_owned()),
        Just("&a ".to_owned()),
        Just("*a".to_owned()),
        Just("<<: *a\n".to_owned()),
        Just("!vault ".to_owned()),
        Just("!!int ".to_owned()),
        Just("|\n".to_owned()),
        Just(">-\n".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("# c\n".to_owned()),
        Just("---\n".to_owned()),
        Just("? ".to_owned()),
        Just("password: ".to_owned()),
        Just("ü\u{1b}\u{feff}".to_owned()),
        Just("12:30".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("\r\n".to_owned()),
        "\\PC{0,4}",
    ];
    proptest::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

fn spans_are_sound(node: &Node) {
    let text = &node.span.source.text;
    assert!(node.span.start <= node.span.end && text.get(node.span.start..node.span.end).is_some());
    match &node.value {
        Value::Seq(items) => items.iter().for_each(spans_are_sound),
        Value::Map(entries) => entries.iter().for_each(|(k, v)| {
            spans_are_sound(k);
            spans_are_sound(v);
        }),
        _ => {}
    }
}

fn reads_or_complains(text: String) {
    let source: Arc<Source> = Source::new("t.yml", text);
    for rules in [Rules::Core, Rules::Yaml11] {
        match parse(&source, rules) {
            Ok(node) => spans_are_sound(&node),
            Err(wrong) => {
                let page = wrong.render(false, None);
                assert!(page.contains("error: "));
                assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*|[ -~\\n\\t]*") {
        reads_or_complains(text);
    }

    #[test]
    fn no_yaml_makes_it_panic(text in yamlish()) {
        reads_or_complains(text);
    }
}
