//! Pending, secret, omit, other hosts.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use super::super::scope::{Peers, Pending};
use super::super::{Binding, Layer, Scope, Templates};
use super::{node, scope, templates, text_node, value};
use crate::secret::{Redactor, Secret};

const FIELDS: &[&str] = &["rc", "stdout", "stderr", "stdout_lines"];

fn with_register() -> Scope {
    let pending = |fields| {
        Binding::Pending(Pending {
            name: "r".to_owned(),
            fields,
            known: None,
        })
    };
    let mut layer = Layer::new();
    layer.insert("r".to_owned(), pending(Some(FIELDS)));
    layer.insert(
        "any".to_owned(),
        Binding::Pending(Pending {
            name: "any".to_owned(),
            fields: None,
            known: None,
        }),
    );
    layer.insert(
        "data".to_owned(),
        Binding::Data(json!({"t": "{{ nope }}", "l": ["{{ x }}"], "n": 5})),
    );
    layer.insert("flat".to_owned(), Binding::Data(json!("{{ nope }}")));
    layer.insert("pw".to_owned(), Binding::Secret(Secret::new("hunter22")));
    scope("x: 5\ns: text\nvia: '{{ r.stdout }}-x'\nm: {a: '{{ r.rc }}', b: 2}\nurl: 'db://u:{{ pw }}@h'\n")
        .with(Arc::new(layer))
}

#[test]
fn pending_spreads() {
    let scope = with_register();
    for text in [
        "{{ r }}",
        "{{ r.stdout }}",
        "a {{ r.stdout }} b",
        "{{ r.rc == 0 }}",
        "{{ r.rc + 1 }}",
        "{{ r.stdout | trim }}",
        "{{ r is failed }}",
        "{{ r is defined }}",
        "{{ r.stdout | default('x') }}",
        "{{ r.results[0].item.deep }}",
        "{{ r.stdout.split(',')[0] }}",
        "{{ via }}",
        "{{ m }}",
        "{{ m.a }}",
        "{{ [r.rc, 1] }}",
        "{{ 'a' if r.rc else 'b' }}",
        "{% if r.changed %}{{ nope }}{% endif %}",
        "{% for l in r.stdout_lines | default([]) %}{{ l }}{% endfor %}",
        "{{ not r.failed }}",
        "{{ r.rc and true }}",
        "{{ x in r.results }}",
        "{{ lookup('env', r.stdout) }}",
        "{{ [r] | map(attribute='rc') | list }}",
        "{{ s | replace('t', r.stdout) }}",
        "{{ x | ternary(r.rc, 1) }}",
        "{{ r.stdout[1:] }}",
        "{{ r['rc'] }}",
        "{{ 'v' ~ r.rc }}",
        "{{ r.rc is version('1', '>') }}",
    ] {
        let rendered = value(text, &scope).unwrap_or_else(|d| panic!("{text}: {}", d.message));
        assert_eq!(
            (rendered.value, rendered.pending),
            (json!(null), vec!["r".to_owned()]),
            "{text}"
        );
    }
    assert_eq!(
        value("{{ r.rc }}{{ any.x.y }}", &scope).expect("both").pending,
        ["any", "r"]
    );
}

#[test]
fn what_does_not_touch_it_is_known() {
    let scope = with_register();
    for (text, expected) in [
        ("{{ false and r.rc }}", json!(false)),
        ("{{ true or r.rc }}", json!(true)),
        ("{{ m.b }}", json!(2)),
        ("{{ 1 if true else r.rc }}", json!(1)),
        ("{{ x | default(r.rc) }}", json!(5)),
        ("{{ true | ternary(1, r.rc) }}", json!(1)),
        ("{{ [r.rc, 1] | length }}", json!(2)),
    ] {
        let rendered = value(text, &scope).expect(text);
        assert_eq!((rendered.value, rendered.pending.len()), (expected, 0), "{text}");
    }
}

#[test]
fn a_misspelt_field_is_an_error_now() {
    let scope = with_register();
    for text in ["{{ r.stdot }}", "{{ r['stdot'] }}", "a{{ r.stdot | default('x') }}"] {
        let error = value(text, &scope).expect_err(text);
        assert_eq!(error.message, "the result `r` will have no `stdot`");
        assert_eq!(error.help, ["did you mean `stdout`?"]);
    }
    assert!(value("{{ any.whatever }}", &scope).is_ok());
}

#[test]
fn conditions_with_pending() {
    let scope = with_register();
    let templates = templates();
    let holds = |text: &str| templates.condition(&node(text), &scope).expect(text);
    assert_eq!(holds("r.rc == 0").pending, ["r"]);
    assert_eq!(holds("[r.rc == 0, x == 6]").value, json!(false));
    assert_eq!(holds("[x == 5, r.rc == 0]").pending, ["r"]);
    assert_eq!(holds("[x == 6, r.rc == 0]").value, json!(false));
    assert_eq!(holds("[x == 5, s == 'text']").value, json!(true));
    assert_eq!(holds("true").value, json!(true));
}

#[test]
fn data_is_never_a_template() {
    let scope = with_register();
    assert_eq!(value("{{ data.t }}", &scope).expect("text").value, json!("{{ nope }}"));
    assert_eq!(value("{{ flat }}", &scope).expect("text").value, json!("{{ nope }}"));
    assert_eq!(value("{{ data }}", &scope).expect("map").value["l"], json!(["{{ x }}"]));
    assert_eq!(
        value("{{ data.l[0] ~ data.n }}", &scope).expect("text").value,
        json!("{{ x }}5")
    );
    let raw = node("k: !unsafe '{{ nope }}'\nl: !unsafe ['{{ a }}']\nm: '{{ x }}'\n");
    assert_eq!(
        templates().value(&raw, &scope).expect("unsafe").value,
        json!({"k": "{{ nope }}", "l": ["{{ a }}"], "m": 5})
    );
}

#[test]
fn secrets_flag_the_result_and_never_show_in_errors() {
    let scope = with_register();
    let redactor = Redactor::default();
    let templates = Templates::new(".", redactor.clone());
    let render = |text: &str| templates.value(&text_node(text), &scope);
    let rendered = render("{{ url }}").expect("a url");
    assert_eq!((rendered.value, rendered.secret), (json!("db://u:hunter22@h"), true));
    assert!(!render("{{ x }}").expect("x").secret);
    assert!(!render("{{ pw if false else x }}").expect("x").secret);
    assert_eq!(redactor.clean("hunter22"), "<secret>");
    let error = render("{{ {}[pw] }}").expect_err("no such key");
    assert!(!format!("{error:?}").contains("hunter22"), "{error:?}");
    let error = render("{{ lookup(pw, 'x') }}").expect_err("no such lookup");
    assert!(error.message.contains("<secret>"), "{error:?}");
    let error = render("{{ 'x' | mandatory if false else (nope | mandatory(pw)) }}").expect_err("mandatory");
    assert!(!format!("{error:?}").contains("hunter22"), "{error:?}");
}

#[test]
fn omit_whole_and_inside() {
    let scope = with_register();
    let whole = value("{{ nope | default(omit) }}", &scope).expect("omit");
    assert!(whole.omit && whole.pending.is_empty());
    let inside = node("a: '{{ nope | default(omit) }}'\nb: ['{{ omit }}', 1]\nc: {d: '{{ omit }}'}\n");
    let rendered = templates().value(&inside, &scope).expect("rendered");
    assert_eq!((rendered.value, rendered.omit), (json!({"b": [1], "c": {}}), false));
    assert!(value("a{{ omit ~ 'b' }}", &scope).is_err());
}

struct Others(HashMap<String, Scope>);

impl Peers for Others {
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.keys().cloned().collect();
        names.sort();
        names
    }
    fn scope(&self, host: &str) -> Option<Scope> {
        self.0.get(host).cloned()
    }
    fn select(&self, _: Option<&str>) -> Result<Vec<String>, String> {
        Ok(self.names())
    }
}

#[test]
fn other_hosts() {
    let mut hosts = HashMap::new();
    hosts.insert(
        "db1".to_owned(),
        scope("addr: '10.0.0.{{ n }}'\nn: 7\nport: 5432\nvia: \"{{ lookup('vars', 'n') }}\"\n"),
    );
    hosts.insert("db2".to_owned(), scope("addr: '10.0.0.{{ n }}'\nn: 8\n"));
    let mut scope = scope("n: 1\nall: \"{{ ['db1', 'db2'] | map('extract', hostvars, 'addr') | join(',') }}\"\n");
    scope.peers = Some(Arc::new(Others(hosts)));
    for (text, expected) in [
        ("{{ hostvars['db1'].addr }}", json!("10.0.0.7")),
        ("{{ hostvars.db2['addr'] }}-{{ n }}", json!("10.0.0.8-1")),
        ("{{ all }}", json!("10.0.0.7,10.0.0.8")),
        ("{{ hostvars.db2.port | default(1) }}", json!(1)),
        ("{{ hostvars | length }}", json!(2)),
        ("{{ hostvars.db1.via }}", json!(7)),
        ("{{ 'db1' in hostvars }}{{ 'db3' in hostvars }}", json!("TrueFalse")),
        ("{{ hostvars.values() | map(attribute='n') | sum }}", json!(15)),
        (
            "{% for h in hostvars %}{{ hostvars[h].addr }} {% endfor %}",
            json!("10.0.0.7 10.0.0.8 "),
        ),
        ("{{ hostvars['db3'] is defined }}", json!(false)),
    ] {
        assert_eq!(
            value(text, &scope)
                .unwrap_or_else(|d| panic!("{text}: {}", d.message))
                .value,
            expected,
            "{text}"
        );
    }
    let error = value("{{ hostvars['db3'].addr }}", &scope).expect_err("no such host");
    assert_eq!(
        (error.message.as_str(), error.help.len()),
        ("there is no host `db3`", 1)
    );
    assert!(value("{{ hostvars.db1.adr }}", &scope).is_err());
}
