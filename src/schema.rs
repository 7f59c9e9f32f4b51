//! JSON schemas of Rust types, by `schemars`: of a tool's parameters, and of a typed reply.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::json::RawJson;

/// The schema of a tool's parameters; `None` where the type is not written as a JSON object.
pub(crate) fn parameters<T: JsonSchema>() -> Option<RawJson> {
    let mut schema = schema_of::<T>();
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {}
        // `()`: no parameters.
        Some("null") => schema = no_members(),
        _ => return None,
    }
    Some(in_order(&Value::Object(schema)))
}

/// The member `response_format` of a request whose reply is written as this type.
pub(crate) fn response_format<T: JsonSchema>() -> RawJson {
    let schema = schema_of::<T>();
    let mut strict = Value::Object(schema.clone());
    let is_strict = make_strict(&mut strict);
    let schema = if is_strict { strict } else { Value::Object(schema) };
    let is_allowed = |c: &char| c.is_ascii_alphanumeric() || *c == '_' || *c == '-';
    let name: String = T::schema_name().chars().filter(is_allowed).take(64).collect();
    let name = if name.is_empty() { "reply" } else { &name };
    let described = [("name", name.into()), ("strict", is_strict.into()), ("schema", in_order(&schema))];
    RawJson::object([("type", "json_schema".into()), ("json_schema", RawJson::object(described))])
}

/// The schema of a type without references where that is possible, as not all servers follow them.
fn schema_of<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    let schema = std::mem::take(schema.ensure_object());
    schema.into_iter().filter(|(name, _)| name != "title").collect()
}

/// The schema of an object without members, in the form that also strict servers take.
fn no_members() -> Map<String, Value> {
    let members = [
        ("type", Value::from("object")),
        ("properties", Value::Object(Map::new())),
        ("additionalProperties", Value::Bool(false)),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Fits a schema to what `OpenAI` takes as strict: every object states all its members as required
/// and allows no others, and what it does not know is left out. Whether that is possible: a map
/// with any names, or a value of any type, has no strict schema.
fn make_strict(schema: &mut Value) -> bool {
    let Value::Object(members) = schema else { return false };
    for unknown in ["default", "format", "examples"] {
        members.remove(unknown);
    }
    if let Some(one_of) = members.remove("oneOf") {
        members.insert("anyOf".to_owned(), one_of);
    }
    let has_type = ["type", "anyOf", "enum", "const", "$ref"].iter().any(|name| members.contains_key(*name));
    let is_unknown = ["allOf", "prefixItems", "patternProperties"].iter().any(|name| members.contains_key(*name));
    let is_map = members.get("additionalProperties").is_some_and(|others| *others != Value::Bool(false));
    if !has_type || is_unknown || is_map {
        return false;
    }
    if members.get("type").and_then(Value::as_str) == Some("object") {
        let names: Vec<Value> = names_in_order(members).into_iter().map(Value::from).collect();
        members.insert("required".to_owned(), names.into());
        members.insert("additionalProperties".to_owned(), false.into());
    }
    members.iter_mut().all(|(name, value)| match (&**name, value) {
        ("properties" | "$defs", Value::Object(schemas)) => schemas.values_mut().all(make_strict),
        ("anyOf", Value::Array(schemas)) => schemas.iter_mut().all(make_strict),
        ("items", schema) => make_strict(schema),
        _ => true,
    })
}

/// The names of an object's members: the required ones as the type has them, then the others.
fn names_in_order(schema: &Map<String, Value>) -> Vec<String> {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let mut names: Vec<String> = required.filter_map(Value::as_str).map(str::to_owned).collect();
    let all = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let others: Vec<String> = all.filter(|name| !names.contains(name)).cloned().collect();
    names.extend(others);
    names
}

/// A schema as text. `serde_json` sorts the keys of a value, and models write members in the order
/// of the schema, so properties are put into the order of the type's fields.
fn in_order(schema: &Value) -> RawJson {
    match schema {
        Value::Object(members) => RawJson::object(members.iter().map(|(name, value)| {
            let value = match (&**name, value) {
                ("properties", Value::Object(properties)) => {
                    let names = names_in_order(members);
                    let property =
                        |name: &String| Some((&**properties.get_key_value(name)?.0, in_order(&properties[name])));
                    RawJson::object(names.iter().filter_map(property))
                }
                _ => in_order(value),
            };
            (&**name, value)
        })),
        Value::Array(values) => values.iter().map(in_order).collect::<Vec<_>>().into(),
        other => other.clone().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A trip
    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Trip {
        /// Why it is made
        reason: String,
        days: u32,
        by: Vehicle,
        companions: Vec<Person>,
        ends: Option<String>,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is used")]
    enum Vehicle {
        Train,
        Bicycle,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Person {
        name: String,
        age: Option<u8>,
    }

    #[test]
    fn parameters_are_in_the_order_of_the_fields_with_their_descriptions() {
        let text = parameters::<Trip>().unwrap();
        let text = text.as_str();
        let places: Vec<usize> = ["\"reason\":{", "\"days\":{", "\"by\":{", "\"companions\":{", "\"ends\":{"]
            .map(|name| text.find(name).unwrap())
            .into();
        assert!(places.is_sorted(), "{text}");
        assert!(text.contains(r#"{"description":"Why it is made","type":"string"}"#), "{text}");
        assert!(text.contains(r#""enum":["Train","Bicycle"]"#) && !text.contains("$ref"), "{text}");
        assert!(text.contains(r#""required":["reason","days","by","companions"]"#), "{text}");
        assert_eq!(
            parameters::<()>().unwrap().as_str(),
            r#"{"additionalProperties":false,"properties":{},"type":"object"}"#
        );
        assert!(parameters::<String>().is_none() && parameters::<Vec<Trip>>().is_none());
    }

    #[test]
    fn a_reply_has_a_strict_schema_where_there_is_one() {
        let format = response_format::<Trip>();
        let text = format.as_str();
        assert!(
            text.starts_with(r#"{"type":"json_schema","json_schema":{"name":"Trip","strict":true,"schema":{"#),
            "{text}"
        );
        assert!(text.contains(r#""required":["reason","days","by","companions","ends"]"#), "{text}");
        assert_eq!(text.matches(r#""additionalProperties":false"#).count(), 2, "{text}");
        assert!(!text.contains("\"format\""), "{text}");
        assert!(response_format::<BTreeMap<String, u8>>().as_str().contains(r#""strict":false"#));
        assert!(response_format::<Vec<Value>>().as_str().contains(r#""strict":false"#));
    }
}
