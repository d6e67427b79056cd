//! Pages of search results as `Bundle` (R4 section 3.1.1.1).

use serde_json::{Value, json};

use super::parameters::Used;

/// A page of a search.
pub struct Searchset<'a> {
    /// The service base URL.
    pub base: &'a str,
    /// Type of the resources.
    pub kind: &'static str,
    /// Parameters that were used.
    pub used: &'a Used,
    /// Cursor of the next page.
    pub next: Option<String>,
    /// How many there are on all pages, where that is known.
    pub total: Option<usize>,
    /// The resources of this page.
    pub resources: Vec<Value>,
}

impl Searchset<'_> {
    /// The resource.
    pub fn into_bundle(self) -> Value {
        let url = |used: &Used| {
            let query = used.query();
            let mark = if query.is_empty() { "" } else { "?" };
            format!("{}/{}{mark}{query}", self.base, self.kind)
        };
        let mut links = vec![json!({"relation": "self", "url": url(self.used)})];
        if let Some(cursor) = self.next {
            links.push(json!({"relation": "next", "url": url(&self.used.continued(cursor))}));
        }
        let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "link": links});
        if let Some(total) = self.total {
            bundle["total"] = json!(total);
        }
        let entries: Vec<_> = self
            .resources
            .into_iter()
            .map(|resource| {
                let id = resource["id"].as_str().unwrap_or_default();
                json!({
                    "fullUrl": format!("{}/{}/{id}", self.base, self.kind),
                    "resource": resource,
                    "search": {"mode": "match"},
                })
            })
            .collect();
        // An array without items is not FHIR.
        if !entries.is_empty() {
            bundle["entry"] = Value::Array(entries);
        }
        bundle
    }
}
