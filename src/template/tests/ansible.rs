//! What ansible-core 2.19 gives for the same templates and variables.

use super::{scope, templates, text_node};

const CASES: &str = include_str!("ansible.tsv");
const VARS: &str = include_str!("vars.json");

#[test]
fn as_ansible() {
    let scope = scope(VARS);
    let templates = templates();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for line in CASES.lines() {
        let [kind, template, expected] = line.splitn(3, '\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}");
        };
        let text: String = serde_json::from_str(template).expect("the template is JSON");
        let node = text_node(&text);
        let result = match kind {
            "c" => templates.condition(&node, &scope),
            _ => templates.value(&node, &scope),
        };
        seen += 1;
        let found = match &result {
            Ok(rendered) if rendered.omit => "OMIT".to_owned(),
            Ok(rendered) => rendered.value.to_string(),
            Err(diagnostic) => format!("ERROR {}", diagnostic.message),
        };
        let same = match expected {
            "ERROR" => result.is_err(),
            "OMIT" => found == "OMIT",
            expected => {
                let expected: serde_json::Value = serde_json::from_str(expected).expect("the result is JSON");
                result.is_ok_and(|r| !r.omit && r.pending.is_empty() && r.value == expected)
            }
        };
        if !same {
            wrong.push(format!("{template}\n  Ansible: {expected}\n  Refit:   {found}"));
        }
    }
    assert!(seen > 600, "{seen} cases");
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
}
