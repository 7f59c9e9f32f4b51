//! The cost of a `response_format`: the schema of the answer, which becomes JSON in the
//! instructions.

use super::json::{Json, Style};

/// The tokens around the section of a schema, beside the name, which is repeated there (fitted on 7
/// recorded Chat Completions bills, one of them with a system message; the text itself on 23, 16 of
/// them of the Responses API).
pub(super) const AROUND_FORMAT: u64 = 2;

/// The section of a `json_schema` response format.
pub(super) struct Format {
    pub(super) name: Box<str>,
    pub(super) text: String,
    /// Whether recorded bills have shown how every keyword of the schema is rendered.
    pub(super) is_familiar: bool,
}

impl Format {
    /// `None` for formats that cost nothing: `text` and `json_object` (6 of 6 recorded bills).
    pub(super) fn of(response_format: &Json) -> Option<Self> {
        let format = response_format.get("json_schema")?;
        let name = format.text("name").unwrap_or("");
        let description = format.text("description").filter(|text| !text.is_empty());
        let description = description.map(super::typescript::comment).unwrap_or_default();
        let schema = format.get("schema").map(pruned);
        let body = schema.as_ref().map_or_else(|| "{}".to_owned(), |schema| schema.written(Style::Compact));
        Some(Self {
            name: name.into(),
            text: format!("# Response Formats\n\n## {name}\n\n{description}{body}"),
            is_familiar: schema.is_some_and(|schema| is_familiar(&schema)),
        })
    }
}

/// The schema without `required` and `additionalProperties`, at all depths.
fn pruned(schema: &Json) -> Json {
    match schema {
        Json::Object(members) => {
            let kept = members.iter().filter(|(key, _)| !matches!(&**key, "required" | "additionalProperties"));
            let pruned_member = |(key, value): &(Box<str>, Json)| match (&**key, value) {
                // The keys of these objects are names, not keywords.
                ("properties" | "$defs" | "definitions", Json::Object(named)) => {
                    let named = named.iter().map(|(name, schema)| (name.clone(), pruned(schema)));
                    (key.clone(), Json::Object(named.collect()))
                }
                _ => (key.clone(), pruned(value)),
            };
            Json::Object(kept.map(pruned_member).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(pruned).collect()),
        Json::Plain(_) | Json::String(_) => schema.clone(),
    }
}

fn is_familiar(schema: &Json) -> bool {
    schema.members().iter().all(|(key, value)| match &**key {
        "type" | "title" | "description" => value.as_str().is_some(),
        "items" => is_familiar(value),
        "properties" => value.members().iter().all(|(_, property)| is_familiar(property)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_keeps_its_order_titles_and_descriptions() {
        let format = r#"{"type":"json_schema","json_schema":{"name":"Joke","description":"A joke","strict":true,"schema":{
            "title":"Joke","type":"object","properties":{"required":{"type":"string","description":"x"}},
            "required":["required"],"additionalProperties":false}}}"#;
        let format = Format::of(&Json::parse(format).unwrap()).unwrap();
        let schema =
            r#"{"title":"Joke","type":"object","properties":{"required":{"type":"string","description":"x"}}}"#;
        assert_eq!(format.text, format!("# Response Formats\n\n## Joke\n\n// A joke\n{schema}"));
        assert!(format.is_familiar);
    }

    #[test]
    fn other_formats_cost_nothing() {
        for format in [r#"{"type":"text"}"#, r#"{"type":"json_object"}"#, "null", "5"] {
            assert!(Format::of(&Json::parse(format).unwrap()).is_none());
        }
    }
}
