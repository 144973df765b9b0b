//! Laziness, cycles, types, files.

use std::sync::Arc;

use serde_json::json;

use super::super::{Binding, Layer, Templates};
use super::{node, scope, templates, text_node, value};
use crate::secret::Redactor;
use crate::yaml::{Source, Span};

#[test]
fn only_what_is_reached() {
    let scope = scope("d: {a: '{{ nope }}', b: 1, c: '{{ d.b }}'}\nl: ['{{ nope }}', 2]\nbad: '{{ x | nofilter }}'\n");
    assert_eq!(
        value("{{ d.b }}{{ d.c }}{{ l[1] }}{{ l | length }}", &scope)
            .expect("reached")
            .value,
        json!("1122")
    );
    assert_eq!(
        value("{{ d.a is defined }}", &scope).expect("defined").value,
        json!(false)
    );
    assert!(value("{{ d }}", &scope).is_err());
    assert!(value("{{ bad is defined }}", &scope).is_err());
    assert_eq!(
        value("{{ l[0] | default('x') }}", &scope).expect("default").value,
        json!("x")
    );
}

#[test]
fn later_layers_win_for_what_is_below_too() {
    let low = scope("base: /srv\npath: '{{ base }}/app'\n");
    let mut layer = Layer::new();
    layer.insert("base".to_owned(), Binding::Data(json!("/opt")));
    let scope = low.with(Arc::new(layer));
    assert_eq!(value("{{ path }}", &scope).expect("path").value, json!("/opt/app"));
}

#[test]
fn cycles_are_named_with_their_places() {
    let scope = scope("a: '{{ b }}'\nb: '{{ c.x }}'\nc: {x: '{{ a }}', y: 1}\nfine: '{{ c.y }}'\n");
    let error = value("{{ a }}", &scope).expect_err("a cycle");
    assert_eq!(error.message, "these variables need each other: a → b → c.x → a");
    let places: Vec<String> = error
        .also
        .iter()
        .map(|(span, label)| format!("{span} {label}"))
        .collect();
    assert!(places[0].starts_with("vars.yml:1:4 `a` is set here"), "{places:?}");
    assert!(places[1].starts_with("vars.yml:2:4 `b` is set here"), "{places:?}");
    assert!(places[2].starts_with("vars.yml:3:8 `c.x` is set here"), "{places:?}");
    assert_eq!(value("{{ fine }}", &scope).expect("no cycle").value, json!(1));
    assert!(value("{{ a is defined }}", &scope).is_err());
}

#[test]
fn a_chain_of_sixty_variables_works_and_an_endless_one_ends() {
    let mut text = "v0: 1\n".to_owned();
    for i in 1..60 {
        text.push_str(&format!("v{i}: '{{{{ v{} + 1 }}}}'\n", i - 1));
    }
    assert_eq!(value("{{ v59 }}", &scope(&text)).expect("a chain").value, json!(60));
    for i in 60..2000 {
        text.push_str(&format!("v{i}: '{{{{ v{} + 1 }}}}'\n", i - 1));
    }
    let error = value("{{ v1999 }}", &scope(&text)).expect_err("too deep");
    assert_eq!(error.message, "the template is nested too deeply");
}

#[test]
fn a_variable_is_rendered_once_per_call() {
    // 2^30 evaluations if each use rendered again.
    let mut text = "v0: 1\n".to_owned();
    for i in 1..30 {
        text.push_str(&format!("v{i}: '{{{{ v{0} + v{0} }}}}'\n", i - 1));
    }
    assert_eq!(
        value("{{ v29 }}", &scope(&text)).expect("a sum").value,
        json!(1_i64 << 29)
    );
}

#[test]
fn runaway_templates_end() {
    let scope = scope("x: 1\n");
    for text in [
        "{% for a in range(10000) %}{% for b in range(10000) %}{{ a }}{% endfor %}{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{{ range(1000000000) | list }}",
        "{{ 2 ** 100000 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set l = [] %}{% for i in range(3) %}{{ l.append(l) }}{% endfor %}{{ l }}",
        "{{ '%1000000000d' % 1 }}{{ '{:1000000000}'.format(1) | length * 0 / 0 }}",
        "{{ [1] * 100000000 }}",
    ] {
        assert!(value(text, &scope).is_err(), "{text}");
    }
}

#[test]
fn types_of_nodes_pass() {
    let scope = scope("x: 5\n");
    let mixed = node("a: 1\nb: 1.5\nc: true\nd: null\ne: '{{ x }}'\nf: ['{{ x }}', 'v{{ x }}']\n'{{ x }}': key\n");
    assert_eq!(
        templates().value(&mixed, &scope).expect("mixed").value,
        json!({"a": 1, "b": 1.5, "c": true, "d": null, "e": 5, "f": [5, "v5"], "{{ x }}": "key"})
    );
}

#[test]
fn files_and_includes() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    };
    let path = write(
        "templates/a.conf.j2",
        "# {{ name }}\n{% if on %}\nport={{ port }}\n{% endif %}\n{% include 'b.j2' %}\n{{ 'a\\tb' }}\n\n",
    );
    write("templates/b.j2", "{% for h in hosts %}\n{{ h }};\n{% endfor %}");
    write("files/note", "text {{ x }}\n\n");
    let templates = Templates::new(folder.path(), Redactor::default());
    let scope = scope("name: n\non: true\nport: 80\nhosts: [a, b]\n");
    let source = Source::new("playbook.yml", "src: templates/a.conf.j2\n");
    let at = Span::new(&source, 5, 24);
    let rendered = templates.file(&path, &at, &scope).expect("rendered");
    assert_eq!(rendered.value, json!("# n\nport=80\na;\nb;\na\tb\n\n"));
    let note = templates
        .value(&text_node("{{ lookup('file', 'note') }}"), &scope)
        .expect("read");
    assert_eq!(note.value, json!("text {{ x }}"));

    let crlf = write("templates/d.j2", "{% if on %}\r\na\r\n{% endif %}\r\nb\r\n");
    assert_eq!(
        templates.file(&crlf, &at, &scope).expect("rendered").value,
        json!("a\nb\n")
    );
    let options = write("templates/e.j2", "#jinja2: trim_blocks: false\na\n");
    assert!(
        templates
            .file(&options, &at, &scope)
            .expect_err("refused")
            .message
            .contains("not built yet")
    );

    let broken = write("templates/c.j2", "ok\nx = {{ prot }}\n");
    let error = templates.file(&broken, &at, &scope).expect_err("undefined");
    let place = error.at.as_ref().expect("a place");
    assert!(place.to_string().ends_with("c.j2:2:8"), "{place}");
    assert_eq!(error.help, ["did you mean `port`?"]);
    assert_eq!(
        error.also.last().expect("where it is used").0.to_string(),
        "playbook.yml:1:6"
    );
    let missing = templates
        .file(&folder.path().join("no.j2"), &at, &scope)
        .expect_err("missing");
    assert_eq!(missing.at.expect("a place").to_string(), "playbook.yml:1:6");
}

#[test]
fn names_that_a_template_reads() {
    let templates = templates();
    let node = node(
        "a: '{{ x.y }} {% for i in items %}{{ i }}{{ loop.index }}{% endfor %}{% set z = q %}{{ z }}'\nb: ['{{ lookup(\"vars\", \"viavars\") }}']\nc: !unsafe '{{ no }}'\nd: \"{{ hostvars['h'].addr }}\"\n",
    );
    let names: Vec<String> = templates.names(&node).into_iter().collect();
    assert_eq!(names, ["addr", "hostvars", "items", "lookup", "q", "viavars", "x"]);
    let condition = super::node("[a == 1, b is defined and c.d]");
    assert_eq!(
        templates.condition_names(&condition).into_iter().collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    assert_eq!(
        templates
            .file_names("{{ f }}{% include g %}")
            .into_iter()
            .collect::<Vec<_>>(),
        ["f", "g"]
    );
}

#[test]
fn expressions_from_the_command_line() {
    let scope = scope("list: [1, 2]\n");
    assert_eq!(
        templates().expression("list | sum", &scope).expect("a sum").value,
        json!(3)
    );
    let error = templates().expression("lst | sum", &scope).expect_err("undefined");
    assert_eq!(
        (error.at.is_none(), error.help.as_slice()),
        (true, &["did you mean `list`?".to_owned()][..])
    );
}

/// The engine is shared by all hosts of a run.
#[test]
fn shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let templates = templates();
    shared(&templates);
    let scope = scope("x: 1\ny: '{{ x + 1 }}'\n");
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..100 {
                    let rendered = templates.value(&text_node("{{ y }}"), &scope).expect("rendered");
                    assert_eq!(rendered.value, json!(2));
                }
            });
        }
    });
}
