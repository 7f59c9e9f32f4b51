//! The cost of a `response_format`: the schema of the answer, which becomes JSON in the
//! instructions.

use super::familiar::is_familiar_reply;
use super::json::{Json, Style};

/// Around the name of a schema where it is repeated: at the reply, if there are no tools, and at
/// each reply in the history that has no calls (fitted on 26 recorded bills with one or both; all
/// 128 bills with a schema follow it).
pub(super) const AROUND_FORMAT_NAME: u64 = 2;
/// What a server drops from a schema (each of them in 2 to 119 recorded bills).
const DROPPED: [&str; 7] = ["required", "additionalProperties", "$schema", "default", "minimum", "maximum", "maxItems"];

/// The section of a `json_schema` response format.
pub(super) struct Format {
    pub(super) name: Box<str>,
    pub(super) text: String,
    /// Whether recorded bills have shown how every keyword of the schema is written.
    pub(super) is_familiar: bool,
}

impl Format {
    /// `None` for formats that cost nothing: `text` and `json_object` (6 of 6 recorded bills).
    pub(super) fn of(response_format: &Json) -> Option<Self> {
        let format = response_format.get("json_schema")?;
        let name = format.text("name").unwrap_or("");
        let description = format.text("description").filter(|text| !text.trim().is_empty());
        let comment = description.map(super::typescript::comment).unwrap_or_default();
        let schema = format.get("schema");
        let body = schema.map(pruned).map_or_else(|| "{}".to_owned(), |schema| schema.written(Style::CompactAscii));
        let is_familiar =
            schema.is_some_and(is_familiar_reply) && description.is_none_or(super::familiar::is_familiar_text);
        Some(Self {
            name: name.into(),
            text: format!("# Response Formats\n\n## {name}\n\n{comment}{body}"),
            is_familiar,
        })
    }
}

/// The schema without what is dropped, at all depths.
fn pruned(schema: &Json) -> Json {
    match schema {
        Json::Object(members) => {
            let kept = members.iter().filter(|(key, _)| !DROPPED.contains(&&**key));
            let pruned_member = |(key, value): &(Box<str>, Json)| match (&**key, value) {
                // The keys of these objects are names, not keywords.
                ("properties" | "$defs" | "definitions", Json::Object(named)) => {
                    let named = named.iter().map(|(name, schema)| (name.clone(), pruned(schema)));
                    (key.clone(), Json::Object(named.collect()))
                }
                ("enum" | "const" | "examples", _) => (key.clone(), value.clone()),
                _ => (key.clone(), pruned(value)),
            };
            Json::Object(kept.map(pruned_member).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(pruned).collect()),
        Json::Plain(_) | Json::String(_) => schema.clone(),
    }
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
    fn a_schema_is_escaped_and_loses_its_limits_but_not_properties_of_their_names() {
        let schema = r#"{"$schema":"x","properties":{"default":{"type":"number","minimum":0,"maximum":1,"default":0},
            "b":{"const":{"default":1},"description":"é","maxItems":3}}}"#;
        let format = format!(r#"{{"json_schema":{{"name":"a","schema":{schema}}}}}"#);
        let format = Format::of(&Json::parse(&format).unwrap()).unwrap();
        let expected =
            r#"{"properties":{"default":{"type":"number"},"b":{"const":{"default":1},"description":"\u00e9"}}}"#;
        assert!(format.text.ends_with(expected), "{}", format.text);
    }

    #[test]
    fn other_formats_cost_nothing() {
        for format in [r#"{"type":"text"}"#, r#"{"type":"json_object"}"#, "null", "5"] {
            assert!(Format::of(&Json::parse(format).unwrap()).is_none());
        }
    }
}
