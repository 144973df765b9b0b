use std::sync::Arc;

use super::*;

fn tree(text: &str, rules: Rules) -> Node {
    parse(&Source::new("t.yml", text), rules).unwrap_or_else(|wrong| panic!("{text:?}: {wrong:?}"))
}

fn errors(text: &str, rules: Rules) -> Vec<String> {
    match parse(&Source::new("t.yml", text), rules) {
        Ok(node) => panic!("{text:?} was read as {node:?}"),
        Err(wrong) => wrong
            .iter()
            .map(|d| {
                let at = d.at.as_ref().map(ToString::to_string).unwrap_or_default();
                let also: String = d
                    .also
                    .iter()
                    .map(|(span, label)| format!(" ({label}: {span})"))
                    .collect();
                let help: String = d.help.iter().map(|help| format!(" [{help}]")).collect();
                format!("{at}: {}{also}{help}", d.message)
            })
            .collect(),
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
        value => format!("{}@{}", plain_value(value), covered(&node.span)),
    }
}

fn plain_value(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => format!("{f:?}"),
        Value::Str(s) => format!("{s:?}"),
        Value::Seq(_) | Value::Map(_) => "collection".into(),
    }
}

#[test]
fn spans() {
    for text in [
        "a: 1\n",
        "a: 'x y' # c\nb:\nc: 3\n",
        "a:\n  - x\n  - y: 1\n    z: 2\n\n# end\nb: {k: v, l: [1, 2]}\n",
        "a: |\n  one\n  two\n\nb: >-\n  three\n  four\nc: x\n",
        "\u{feff}a: ü\nb: !unsafe '{{ x }}'\nc: &x [1]\nd: *x\n",
        "- &a {x: 1}\n- <<: *a\n  x: 2\n- plain\n  on two lines\n",
        "",
        "# only a comment\n",
        "---\na: 1\n...\n",
    ] {
        println!("{text:?}\n   {}", outline(&tree(text, Rules::Core)));
    }
}

#[test]
fn wrong() {
    for text in [
        "a: {{ x }}\n",
        "a: {{ x }} y\n",
        "a:\n  - {{ x }}/b\n",
        "a: 1\n\tb: 2\n",
        "a:\n\t- b\n",
        "a: b: c\n",
        "a:b\nc: 1\n",
        "c: 1\na:b\n",
        "a: 'x\nb: 1\n",
        "a: [1, 2\nb: 1\n",
        "a: @x\n",
        "a: *x\n",
        "a: %x\n",
        "a: 1\n---\nb: 1\n",
        "a: 1\na: 2\n",
        "a: 99999999999999999999\n",
        "a: !foo x\n",
        "a: `x`\n",
        "{a: 1}: b\n",
        "a: 1\n b: 2\n",
        "- a\nb: 1\n",
        "a: \"\\q\"\n",
        "a: -\n  b\nc\n",
        "<<: 1\n",
        "a: &a [*a]\n",
        "a: !vault {x: 1}\n",
        "a: \u{0}\n",
        "a: } \n",
        "when: x == \"a\" and b\nx: \"a\" and b\n",
    ] {
        println!("{text:?}");
        for e in errors(text, Rules::Core) {
            println!("     {e}");
        }
    }
}

#[test]
fn rendering() {
    let text = "databases:\n  main: { engine: postgres, password: hunter2, nmae: x }\n\u{1b}[31mkey\u{9b}: \u{202e}abc\nname: canary1 and more\n\ttab: x\nsecrets:\n  db: hunter3\n  - x\n  l:\n    - hunter4\n  ok: { file: a/b }\nlong:\n  a: 1\n";
    let source = Source::new("dir/p.yml", text);
    let at = |needle: &str| {
        let i = text.find(needle).unwrap();
        Span::new(&source, i, i + needle.len())
    };
    let redactor = crate::secret::Redactor::default();
    redactor.add(&crate::secret::Secret::new("canary1"));
    let mut all = Diagnostics::default();
    all.push(Diagnostic::general("nowhere, canary1 and \u{1b}[0m"));
    all.push(Diagnostic::error(&at("nmae"), "unknown key `nmae`").help("did you mean `name`?"));
    all.push(
        Diagnostic::error(&at("hunter2"), "literal")
            .label("here")
            .also(&at("databases"), "in this"),
    );
    all.push(Diagnostic::error(&at("abc"), "bad").help("one\ntwo"));
    all.push(Diagnostic::error(&at("and more"), "bad").severity(Severity::Warning));
    all.push(Diagnostic::error(&at("anary1 a"), "bad").severity(Severity::Warning));
    all.push(Diagnostic::error(&at("tab"), "after a tab"));
    all.push(Diagnostic::error(&at("hunter3"), "no literal").also(&at("long"), "far"));
    all.push(Diagnostic::error(&at("hunter4"), "no literal"));
    all.push(Diagnostic::error(&at("a/b"), "a file"));
    all.push(Diagnostic::error(&at("long:\n  a: 1"), "multi"));
    let end = text.len();
    all.push(Diagnostic::error(&Span::new(&source, end, end), "end"));
    println!("{}", all.render(false, Some(&redactor)));
}
