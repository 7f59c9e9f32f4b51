//! What recorded bills have shown of schemas: which members, in which place.
//!
//! A keyword that was seen in one place says nothing about another: a `title` of a property has
//! been a comment in 139 bills, and the one of the whole schema is written elsewhere. So each list
//! names what at least two bills had in that place and none contradicted. Everything else is
//! counted by the nearest rule and marked as an estimate.

use super::json::Json;

/// Where a schema of a tool's parameters is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// All parameters of a function.
    Root,
    /// A definition that references name.
    Named,
    Property,
    /// What a list holds.
    Item,
}

/// Whether bills have shown how every member of a tool's parameters is rendered, each in its place.
pub(super) fn is_familiar_tool(parameters: &Json) -> bool {
    is_familiar(parameters, Place::Root)
}

/// Whether the text of a comment is of a kind that was seen: tabs and carriage returns never were.
pub(super) fn is_familiar_text(text: &str) -> bool {
    !text.contains(['\t', '\r'])
}

fn is_familiar(schema: &Json, place: Place) -> bool {
    let Json::Object(members) = schema else { return false };
    if schema.get("$ref").is_some() {
        return matches!(place, Place::Property | Place::Item) && members.len() == 1;
    }
    has_familiar_type(schema, place)
        && members.iter().all(|(key, value)| match (&**key, place) {
            // The first three are looked at above.
            ("type" | "enum" | "default" | "required", _) | ("$schema", Place::Root) => true,
            ("title", _) | ("description", Place::Property | Place::Named) => is_comment(value),
            ("additionalProperties", _) => value.is_bool(),
            ("properties", Place::Item | Place::Property) => has_familiar_properties(value),
            ("properties", _) => has_familiar_properties(value) || value.members().is_empty(),
            ("items", Place::Property) => is_familiar(value, Place::Item),
            ("$defs", Place::Root) => value.members().iter().all(|(_, named)| is_familiar(named, Place::Named)),

            _ => false,
        })
}

fn is_comment(value: &Json) -> bool {
    value.as_str().is_some_and(is_familiar_text)
}

fn has_familiar_properties(properties: &Json) -> bool {
    let properties = properties.members();
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_familiar = |(name, property): &(Box<str>, Json)| is_name(name) && is_familiar(property, Place::Property);
    !properties.is_empty() && properties.iter().all(is_familiar)
}

/// Whether type, choices and default go together as they did in bills.
fn has_familiar_type(schema: &Json, place: Place) -> bool {
    let default = schema.get("default");
    let choices = schema.get("enum").map_or(&[][..], Json::items);
    if let Some(Json::Array(types)) = schema.get("type") {
        let names: Vec<&str> = types.iter().filter_map(Json::as_str).collect();
        return place == Place::Property
            && names == ["string", "null"]
            && schema.get("enum").is_none()
            && default.is_none()
            && schema.get("description").is_some();
    }
    let is_null = |value: &Json| matches!(value, Json::Plain(word) if &**word == "null");
    let is_number = |value: &Json| matches!(value, Json::Plain(_)) && !value.is_bool() && !is_null(value);
    let type_name = schema.text("type");
    let has_default = |is_seen: &dyn Fn(&Json) -> bool| default.is_none_or(is_seen);
    match (type_name, place) {
        (Some("object"), Place::Root | Place::Named) => true,
        (Some("object"), Place::Property | Place::Item) => schema.get("properties").is_some() && default.is_none(),
        (Some("string"), Place::Property) if !choices.is_empty() => {
            choices.iter().all(|choice| choice.as_str().is_some()) && has_default(&|default| default.as_str().is_some())
        }
        (Some("integer"), Place::Property) if !choices.is_empty() => choices.iter().all(is_number) && default.is_none(),
        (Some("string"), Place::Property) => has_default(&|default| default.as_str().is_some() || is_null(default)),
        (Some("boolean"), Place::Property) => has_default(&Json::is_bool),
        (Some("array"), Place::Property) => schema.get("items").is_some() && has_default(&is_null),
        (Some("integer" | "number"), Place::Property) => default.is_none(),
        (Some("string" | "integer"), Place::Item) => {
            choices.is_empty() && default.is_none() && schema.get("title").is_none()
        }
        _ => false,
    }
}

/// Whether bills have shown how every member of a reply's schema is written.
pub(super) fn is_familiar_reply(schema: &Json) -> bool {
    let Json::Object(members) = schema else { return false };
    members.iter().all(|(key, value)| match &**key {
        "type" | "title" | "description" | "$ref" => value.as_str().is_some(),
        "additionalProperties" => value.is_bool(),
        "items" => is_familiar_reply(value),
        "anyOf" => value.items().iter().all(is_familiar_reply),
        "properties" | "$defs" => value.members().iter().all(|(_, schema)| is_familiar_reply(schema)),
        "required" | "const" | "default" | "minimum" | "maximum" | "maxItems" => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_familiar_property(property: &str) -> bool {
        let schema = format!(r#"{{"type":"object","properties":{{"a":{property}}}}}"#);
        is_familiar_tool(&Json::parse(&schema).unwrap())
    }

    #[test]
    fn what_bills_have_shown_in_a_place_is_familiar_there() {
        for property in [
            r#"{"type":"array","items":{"type":"string"},"default":null}"#,
            r#"{"type":"array","items":{"type":"object","title":"T","properties":{"a":{"type":"integer"}}}}"#,
            r##"{"type":"array","items":{"$ref":"#/$defs/A"}}"##,
            r#"{"type":["string","null"],"description":"x"}"#,
            r#"{"type":"string","enum":["a"],"default":"a"}"#,
            r#"{"type":"boolean","default":false,"title":"T"}"#,
        ] {
            assert!(is_familiar_property(property), "{property}");
        }
        let root = r#"{"type":"object","title":"T","$schema":"x","properties":{},"additionalProperties":false}"#;
        assert!(is_familiar_tool(&Json::parse(root).unwrap()));
    }

    #[test]
    fn the_same_keyword_in_another_place_is_not() {
        for property in [
            "true",
            r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
            r##"{"$ref":"#/$defs/A","description":"x"}"##,
            r#"{"type":["string","null"]}"#,
            r#"{"type":["integer","null"],"description":"x"}"#,
            r#"{"type":"integer","default":5}"#,
            r#"{"type":"object"}"#,
            r#"{"type":"array"}"#,
            r#"{"type":"array","items":{"type":"string","enum":["a"]}}"#,
            r#"{"type":"array","items":{"type":"string","description":"x"}}"#,
            r#"{"type":"array","items":{"type":"array","items":{"type":"string"}}}"#,
            r#"{"type":"string","format":"date"}"#,
            r#"{"type":"string","description":"a\tb"}"#,
            r#"{"description":"no type"}"#,
        ] {
            assert!(!is_familiar_property(property), "{property}");
        }
        let root = r#"{"type":"object","description":"x","properties":{"a":{"type":"string"}}}"#;
        assert!(!is_familiar_tool(&Json::parse(root).unwrap()));
        let name = r#"{"type":"object","properties":{"content-type":{"type":"string"}}}"#;
        assert!(!is_familiar_tool(&Json::parse(name).unwrap()));
    }

    #[test]
    fn a_reply_may_have_what_bills_have_shown() {
        let familiar = r##"{"type":"object","title":"T","$defs":{"A":{"type":"object","properties":{}}},"properties":{
            "a":{"anyOf":[{"$ref":"#/$defs/A"},{"type":"null"}],"default":null},"b":{"type":"number","minimum":0}}}"##;
        assert!(is_familiar_reply(&Json::parse(familiar).unwrap()));
        for member in [r#""enum":["x"]"#, r#""format":"date""#, r#""type":["string","null"]"#, r#""$schema":"x""#] {
            let schema = format!(r#"{{"properties":{{"a":{{{member}}}}}}}"#);
            assert!(!is_familiar_reply(&Json::parse(&schema).unwrap()), "{member}");
        }
    }
}
