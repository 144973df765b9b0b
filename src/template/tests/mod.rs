mod ansible;
mod lazy;
mod places;
mod properties;
mod unknown;

use std::sync::Arc;

use super::{Binding, Layer, Rendered, Scope, Templates};
use crate::secret::Redactor;
use crate::yaml::{self, Diagnostic, Node, Rules, Source};

/// The variables of a YAML text, each a template.
fn scope(text: &str) -> Scope {
    let node = node(text);
    let entries = node.as_map().unwrap_or_default();
    let layer: Layer = entries
        .iter()
        .map(|(k, v)| {
            (
                k.text.clone().unwrap_or_default(),
                Binding::Template(Arc::new(v.clone())),
            )
        })
        .collect();
    Scope::default().with(Arc::new(layer))
}

fn node(text: &str) -> Node {
    let source = Source::new("vars.yml", text);
    yaml::parse(&source, Rules::Core).unwrap_or_else(|e| panic!("{:?}", e.iter().collect::<Vec<_>>()))
}

fn templates() -> Templates {
    Templates::new(".", Redactor::default())
}

/// A string as it stands, not read as YAML.
fn text_node(text: &str) -> Node {
    let source = Source::new("test.yml", text);
    Node::string(yaml::Span::new(&source, 0, text.len()), text)
}

fn value(text: &str, scope: &Scope) -> Result<Rendered, Diagnostic> {
    templates().value(&text_node(text), scope)
}
