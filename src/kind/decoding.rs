//! Tests of `params`: every type, and the exact words where a value is wrong.

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::{Action, Context, Given, Kind, Mode, Param, Params, Ty};
use crate::template::Rendered;
use crate::yaml::{Diagnostic, Diagnostics, Node, Rules, Source, parse, parse_duration};

struct Sample;
static SAMPLE: Sample = Sample;

const PARAMS: &[Param] = &[
    Param::new("text", Ty::Text, "a text"),
    Param::new("path", Ty::Path, "a path"),
    Param::new("file", Ty::File, "a file"),
    Param::new("bool", Ty::Bool, "a bool"),
    Param::new("int", Ty::Int, "an int"),
    Param::new("duration", Ty::Duration, "a duration"),
    Param::new("version", Ty::Version, "a version"),
    Param::new("mode", Ty::Mode, "a mode"),
    Param::new("regex", Ty::Regex, "a regex"),
    Param::new("texts", Ty::TextList, "texts"),
    Param::new("list", Ty::Any, "a list"),
    Param::new("map", Ty::Map, "a map"),
    Param::new("choice", Ty::Choice(&["started", "stopped"]), "a choice"),
    Param::new("that", Ty::Expressions, "expressions"),
    Param::new("any", Ty::Any, "anything"),
];

impl Kind for Sample {
    fn name(&self) -> &'static str {
        "sample"
    }
    fn manual(&self) -> &'static str {
        ""
    }
    fn params(&self) -> &'static [Param] {
        PARAMS
    }
    fn results(&self) -> &'static [&'static str] {
        &[]
    }
    fn later(&self) -> &'static [&'static str] {
        &["backup"]
    }
    fn lint(&self, _: &Params, _: &Context<'_>) -> Diagnostics {
        Diagnostics::default()
    }
    fn action(&self, params: &Params, _: &Context<'_>) -> Result<Action, Diagnostics> {
        Err(params.error("text", "not run").into())
    }
}

fn json_of(node: &Node) -> Json {
    use crate::yaml::Value;
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(known) => json!(known),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Str(text) => json!(text),
        Value::Seq(items) => items.iter().map(json_of).collect(),
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(k, v)| (k.text.clone().unwrap_or_default(), json_of(v)));
            Json::Object(entries.collect())
        }
    }
}

/// Decodes a mapping. A text `{{ NAME }}` stands for `variable`; `secret` and `pending` say what it is.
fn with(text: &str, variable: Rendered) -> Result<Params, Diagnostics> {
    let source = Source::new("play.yml", text);
    let root = parse(&source, Rules::Core).expect("yaml");
    Params::render(&SAMPLE, &root.span, &root, |node| match node.as_str() {
        Some(text) if text.starts_with("{{") => Ok(variable.clone()),
        _ => Ok(known(json_of(node))),
    })
}

fn known(value: Json) -> Rendered {
    Rendered {
        value,
        secret: false,
        pending: Vec::new(),
        omit: false,
    }
}

fn decode(text: &str) -> Result<Params, Diagnostics> {
    with(text, known(Json::Null))
}

fn ok(text: &str) -> Params {
    decode(text).unwrap_or_else(|found| panic!("{text}: {:?}", shown(&found)))
}

fn variable(name: &str, value: Json) -> Result<Params, Diagnostics> {
    with(&format!("{name}: '{{{{ v }}}}'"), known(value))
}

fn shown(found: &Diagnostics) -> Vec<String> {
    let line = |one: &Diagnostic| {
        let at = one.at.as_ref().map(ToString::to_string).unwrap_or_default();
        let help: String = one.help.iter().map(|help| format!(" | {help}")).collect();
        format!("{}: {}{help}", at.trim_start_matches("play.yml:"), one.message)
    };
    found.iter().map(line).collect()
}

#[track_caller]
fn wrong(result: Result<Params, Diagnostics>, wanted: &[&str]) {
    match result {
        Ok(_) => panic!("taken, wanted {wanted:?}"),
        Err(found) => assert_eq!(shown(&found), wanted),
    }
}

#[test]
fn text() {
    assert_eq!(ok("text: a b").text("text").as_deref(), Some("a b"));
    assert_eq!(ok("text: 1.10").text("text").as_deref(), Some("1.10"));
    assert_eq!(ok("text: 0o17").text("text").as_deref(), Some("0o17"));
    assert_eq!(ok("text: true").text("text").as_deref(), Some("true"));
    assert_eq!(ok("{}").text("text"), None);
    let printed = |value| variable("text", value).expect("text").text("text");
    assert_eq!(printed(json!(true)).as_deref(), Some("True"));
    assert_eq!(printed(json!(5432)).as_deref(), Some("5432"));
    wrong(decode("text: [a]"), &["1:7: `text` must be text, found a list"]);
    wrong(decode("text:"), &["1:5: `text` must be text, found nothing"]);
    wrong(
        variable("text", json!({"a": 1})),
        &["1:7: `text` must be text, found a mapping"],
    );
}

#[test]
fn path() {
    assert_eq!(ok("path: /a b").path("path").as_deref(), Some("/a b"));
    assert_eq!(ok("path: ~/x").path("path").as_deref(), Some("~/x"));
    wrong(
        decode("path: etc/x"),
        &["1:7: `path` must be an absolute path on the host, found \"etc/x\" | begin it with `/` or `~/`"],
    );
    wrong(
        decode("path: ~root/x"),
        &["1:7: `path` must be an absolute path on the host, found \"~root/x\" | begin it with `/` or `~/`"],
    );
    wrong(decode("path: \"/a\\0b\""), &["1:7: `path` holds a NUL character"]);
    let secret = Rendered {
        secret: true,
        ..known(json!("hunter2"))
    };
    wrong(
        with("path: '{{ v }}'", secret),
        &["1:7: `path` must be an absolute path on the host, found \"<secret>\" | begin it with `/` or `~/`"],
    );
}

#[test]
fn file() {
    let folder = std::path::Path::new("/play");
    assert_eq!(ok("file: a/b").file("file", folder), Some("/play/a/b".into()));
    assert_eq!(ok("file: /a/b").file("file", folder), Some("/a/b".into()));
    wrong(decode("file: ''"), &["1:7: `file` must be a file, found \"\""]);
}

#[test]
fn booleans() {
    for (text, wanted) in [
        ("true", true),
        ("'yes'", true),
        ("yes", true),
        ("off", false),
        ("'False'", false),
        ("1", true),
    ] {
        assert_eq!(ok(&format!("bool: {text}")).bool("bool"), Some(wanted), "{text}");
    }
    wrong(
        decode("bool: maybe"),
        &["1:7: `bool` must be true or false, found \"maybe\""],
    );
    wrong(
        decode("bool: 2"),
        &["1:7: `bool` must be true or false, found an integer"],
    );
}

#[test]
fn integers() {
    assert_eq!(ok("int: -3").int("int"), Some(-3));
    assert_eq!(ok("int: '42'").int("int"), Some(42));
    wrong(decode("int: 1.5"), &["1:6: `int` must be an integer, found a number"]);
    wrong(decode("int: five"), &["1:6: `int` must be an integer, found \"five\""]);
}

#[test]
fn durations() {
    let seconds = Duration::from_secs;
    for (text, wanted) in [
        ("30s", seconds(30)),
        ("5m", seconds(300)),
        ("2h", seconds(7200)),
        ("1m30s", seconds(90)),
        ("1d", seconds(86400)),
        ("500ms", Duration::from_millis(500)),
        ("45", seconds(45)),
        ("0", seconds(0)),
    ] {
        assert_eq!(
            ok(&format!("duration: {text}")).duration("duration"),
            Some(wanted),
            "{text}"
        );
    }
    assert_eq!(
        ok("duration: 0.25").duration("duration"),
        Some(Duration::from_millis(250))
    );
    let help = "write `30s`, `5m`, `2h`, `1m30s`, or a number of seconds";
    for bad in ["30 s", "5x", "s", "1s1m", "-5", "1m1m", "99999999999999999999s"] {
        assert!(parse_duration(bad).is_err(), "{bad}");
    }
    wrong(
        decode("duration: 5x"),
        &[&format!("1:11: `duration` must be a duration, found \"5x\" | {help}")],
    );
    wrong(
        decode("duration: -5"),
        &[&format!(
            "1:11: `duration` must be a duration, found an integer | {help}"
        )],
    );
}

#[test]
fn versions() {
    assert_eq!(ok("version: 1.10").version("version").as_deref(), Some("1.10"));
    assert_eq!(ok("version: '1.10'").version("version").as_deref(), Some("1.10"));
    assert_eq!(ok("version: 1.30.6").version("version").as_deref(), Some("1.30.6"));
    assert_eq!(ok("version: 2").version("version").as_deref(), Some("2"));
    let quoted = variable("version", json!("1.10")).expect("version");
    assert_eq!(quoted.version("version").as_deref(), Some("1.10"));
    wrong(
        variable("version", json!(1.1)),
        &[
            "1:10: `version` must be a version, found the number 1.1 | a number has no text (1.10 would be 1.1): quote it where it is set",
        ],
    );
    wrong(
        decode("version: true"),
        &["1:10: `version` must be a version, found a boolean"],
    );
    wrong(
        decode("version: ''"),
        &["1:10: `version` must be a version, found \"\""],
    );
}

#[test]
fn modes() {
    for text in ["'0644'", "'644'", "\"0o644\""] {
        assert_eq!(ok(&format!("mode: {text}")).mode("mode"), Some(Mode(0o644)), "{text}");
    }
    assert_eq!(ok("mode: '1777'").mode("mode"), Some(Mode(0o1777)));
    assert_eq!(
        variable("mode", json!(420)).expect("mode").mode("mode"),
        Some(Mode(0o644))
    );
    assert_eq!(
        variable("mode", json!("0644")).expect("mode").mode("mode"),
        Some(Mode(0o644))
    );
    assert_eq!(Mode(0o4711).to_string(), "4711");
    assert_eq!(Mode(0o44).to_string(), "0044");
    wrong(
        decode("mode: 0644"),
        &[
            "1:7: `mode: 0644` is an integer, and its base is not clear | write `\"0644\"` if these are the octal digits",
        ],
    );
    wrong(
        decode("mode: 644"),
        &[
            "1:7: `mode: 644` is an integer, and its base is not clear | write `\"0644\"` if these are the octal digits | write `\"1204\"` if it is the number 644",
        ],
    );
    wrong(
        decode("mode: 420"),
        &[
            "1:7: `mode: 420` is an integer, and its base is not clear | write `\"0420\"` if these are the octal digits | write `\"0644\"` if it is the number 420",
        ],
    );
    wrong(
        decode("mode: 493"),
        &["1:7: `mode: 493` is an integer, and its base is not clear | write `\"0755\"` if it is the number 493"],
    );
    wrong(
        variable("mode", json!(99999)),
        &["1:7: `mode` must be a mode, found the number 99999 | the largest mode is 0o7777, which is 4095"],
    );
    wrong(
        decode("mode: u+x"),
        &["1:7: `mode: u+x` is known, not built yet | write octal digits: `\"0644\"`"],
    );
    wrong(
        decode("mode: '0888'"),
        &["1:7: `mode` must be a mode, found \"0888\" | write octal digits: `\"0644\"`"],
    );
    wrong(
        decode("mode: '77777'"),
        &["1:7: `mode` must be a mode, found \"77777\" | write octal digits: `\"0644\"`"],
    );
    wrong(
        decode("mode: [1]"),
        &["1:7: `mode` must be a mode, found a list | write octal digits: `\"0644\"`"],
    );
}

#[test]
fn regular_expressions() {
    assert!(ok("regex: '^a.c$'").regex("regex").expect("regex").is_match("abc"));
    wrong(
        decode("regex: 'a('"),
        &["1:8: `regex` is no regular expression: unclosed group"],
    );
}

#[test]
fn lists_of_text() {
    let list = |text: &str| ok(text).text_list("texts").expect("list");
    assert_eq!(list("texts: a b"), ["a b"]);
    assert_eq!(list("texts: [a, 1.10, true]"), ["a", "1.10", "true"]);
    assert_eq!(list("texts: []"), Vec::<String>::new());
    let variable = variable("texts", json!(["a", 5, true])).expect("list");
    assert_eq!(variable.text_list("texts").expect("list"), ["a", "5", "True"]);
    wrong(
        decode("texts: [a, [b]]"),
        &["1:12: item 2 of `texts` must be text, found a list"],
    );
    wrong(
        decode("texts: {a: b}"),
        &["1:8: `texts` must be a list of text, found a mapping"],
    );
}

#[test]
fn mappings() {
    assert_eq!(ok("map: {a: 1}").map("map").expect("map")["a"], json!(1));
    wrong(decode("map: [a]"), &["1:6: `map` must be a mapping, found a list"]);
    assert_eq!(ok("any: ").value("any"), None);
}

#[test]
fn choices() {
    assert_eq!(ok("choice: stopped").choice("choice").as_deref(), Some("stopped"));
    wrong(
        decode("choice: stoped"),
        &["1:9: `choice` cannot be `stoped` | one of started, stopped"],
    );
}

#[test]
fn expressions() {
    let texts = |params: &Params| -> Vec<String> {
        params
            .expressions("that")
            .iter()
            .filter_map(|node| node.text.clone())
            .collect()
    };
    assert_eq!(texts(&ok("that: a == b")), ["a == b"]);
    assert_eq!(
        texts(&ok("that: [a, true, 'b is defined']")),
        ["a", "true", "b is defined"]
    );
    assert!(texts(&ok("{}")).is_empty());
    wrong(
        decode("that: [a, 5]"),
        &["1:11: `that` must be an expression, found an integer"],
    );
    wrong(decode("that: []"), &["1:7: `that` is empty"]);
}

#[test]
fn names() {
    wrong(
        decode("txet: a"),
        &["1:1: unknown parameter `txet` of `sample` | did you mean `text`?"],
    );
    wrong(
        decode("backup: true"),
        &["1:1: `backup` of `sample` is known, not built yet"],
    );
    wrong(
        decode("txt: a\nint: x\nmode: 1"),
        &[
            "1:1: unknown parameter `txt` of `sample` | did you mean `text`?",
            "2:6: `int` must be an integer, found \"x\"",
            "3:7: `mode: 1` is an integer, and its base is not clear | write `\"0001\"` if these are the octal digits | write `\"0001\"` if it is the number 1",
        ],
    );
}

#[test]
fn pending_omitted_and_secret_values() {
    let pending = Rendered {
        pending: vec!["r".to_owned()],
        ..known(Json::Null)
    };
    let params = with("int: '{{ r.rc }}'\ntext: x", pending).expect("pending");
    assert!(params.pending("int") && params.has("int") && params.int("int").is_none());
    assert!(!params.pending("text"));

    let omitted = Rendered {
        omit: true,
        ..known(json!("__omit__"))
    };
    let params = with("int: '{{ omit }}'", omitted).expect("omitted");
    assert!(!params.has("int"));

    let secret = Rendered {
        secret: true,
        ..known(json!("hunter2"))
    };
    let params = with("text: '{{ s }}'\nint: 1", secret.clone()).expect("secret");
    assert!(params.secret("text") && !params.secret("int"));
    for name in ["int", "bool", "duration", "mode", "choice", "regex", "list", "map"] {
        if let Err(found) = with(&format!("{name}: '{{{{ s }}}}'"), secret.clone()) {
            let shown = shown(&found).concat();
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn required_names_and_failed_templates() {
    let kind = super::find("copy").expect("copy");
    let source = Source::new("play.yml", "content: x\ndest: '{{ none }}'");
    let root = parse(&source, Rules::Core).expect("yaml");
    let result = Params::render(kind, &root.span, &root, |node| match node.as_str() {
        Some(text) if text.starts_with("{{") => Err(Diagnostic::error(&node.span, "`none` is undefined")),
        _ => Ok(known(json_of(node))),
    });
    wrong(result, &["2:7: `none` is undefined"]);

    let given = IndexMap::<String, Given>::new();
    let result = Params::decode(super::find("shell").expect("shell"), &root.span, given);
    wrong(result, &["1:1: `shell` needs `cmd` | the text for the shell"]);
}

#[test]
fn nested_mappings() {
    const NESTED: &[Param] = &[
        Param::required("dest", Ty::Path, "where"),
        Param::new("mode", Ty::Mode, "mode"),
        Param::new("version", Ty::Version, "version"),
    ];
    let params = ok("list: [{dest: /a, mode: '0644', version: 1.10}, {dest: /b}]");
    let nested = params.nested("list", "a file of `sample`", NESTED).expect("nested");
    assert_eq!(nested.len(), 2);
    assert_eq!(nested[0].mode("mode"), Some(Mode(0o644)));
    assert_eq!(nested[0].version("version").as_deref(), Some("1.10"));
    assert_eq!(nested[1].path("dest").as_deref(), Some("/b"));

    let params = ok("list: [{dest: /a, mode: 644, dst: x}, {mode: '0644'}, 5]");
    let found = params.nested("list", "a file of `sample`", NESTED).expect_err("wrong");
    assert_eq!(
        shown(&found),
        [
            "1:25: `mode: 644` is an integer, and its base is not clear | write `\"0644\"` if these are the octal digits | write `\"1204\"` if it is the number 644",
            "1:30: unknown parameter `dst` of a file of `sample` | did you mean `dest`?",
            "1:39: a file of `sample` needs `dest` | where",
            "1:55: `list` must be a list of mappings, found an integer",
        ]
    );
    let params = with("list: '{{ files }}'", known(json!([{"dest": "/a", "mode": 420}]))).expect("list");
    let nested = params.nested("list", "a file", NESTED).expect("nested");
    assert_eq!(nested[0].mode("mode"), Some(Mode(0o644)));
}
