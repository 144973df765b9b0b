//! Names of stages and steps in units: short, lower case, unique among their siblings.

use std::collections::HashSet;

/// `Hop to {{ hop.to }}` is `hop-to`; empty where the name has no letter and no digit outside its templates.
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in without_templates(name).chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

fn without_templates(name: &str) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let Some((start, close)) = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
        .into_iter()
        .filter_map(|(open, close)| rest.find(open).map(|at| (at, close)))
        .min()
    {
        text.push_str(&rest[..start]);
        text.push(' ');
        rest = rest[start..].find(close).map_or("", |at| &rest[start + at + 2..]);
    }
    text.push_str(rest);
    text
}

/// Gives each sibling its id.
#[derive(Default)]
pub(super) struct Ids {
    taken: HashSet<String>,
}

impl Ids {
    /// False where a sibling has it already. Ids that are written come first, so that no slug takes one of them.
    pub(super) fn reserve(&mut self, id: &str) -> bool {
        self.taken.insert(id.to_owned())
    }

    /// The slug, or with -2, -3 …
    pub(super) fn unique(&mut self, slug: &str) -> String {
        let mut id = slug.to_owned();
        let mut count = 1;
        while !self.taken.insert(id.clone()) {
            count += 1;
            id = format!("{slug}-{count}");
        }
        id
    }
}
