//! The table for people, in Markdown.

use super::{Field, Relation, Rule, TABLE};

/// The whole document with a final line break, as it is checked in as `docs/security/authorisation.md`.
pub fn document() -> String {
    let mut text = String::from(include_str!("document.md"));
    text.push_str(
        "| role | resource | operation | relation to the object | fields |\n|---|---|---|---|---|\n",
    );
    text.extend(TABLE.iter().map(|rule| row(rule) + "\n"));
    text
}

fn row(rule: &Rule) -> String {
    let actions: Vec<_> = rule.actions.iter().map(|action| action.as_str()).collect();
    let relations: Vec<_> = rule.relations.iter().map(|relation| relation.as_str()).collect();
    let relations = if relations.len() == Relation::ALL.len() {
        "any".to_owned()
    } else {
        relations.join(", ")
    };
    let absent: Vec<_> = Field::ALL
        .into_iter()
        .filter(|field| !rule.fields.contains(field))
        .map(Field::member)
        .collect();
    let fields = match (rule.fields, absent.as_slice()) {
        ([], _) => "–".to_owned(),
        (_, []) => "all".to_owned(),
        (_, absent) => format!("all but {}", absent.join(", ")),
    };
    format!(
        "| {} | {} | {} | {relations} | {fields} |",
        rule.role.as_str(),
        rule.resource.as_str(),
        actions.join(", ")
    )
}
