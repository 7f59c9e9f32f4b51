//! Renders a function's parameters as the TypeScript-like text that the model reads.
//!
//! The rules were found by fitting 83 recorded bills (GPT-3.5 on Azure, GPT-4, GPT-4o, GPT-4.1).
//! Where those say nothing, they follow the open renderer of the same family, `openai/harmony`'s
//! `json_schema_to_typescript`.

use std::collections::HashSet;

use super::json::{Json, Style};

/// JSON Schema has seven types.
const MOST_TYPES: usize = 7;

/// The layout of definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// That of `tools`: no indentation, and an object without comments inside is written on one
    /// line.
    Tools,
    /// That of the deprecated `functions`, at a depth: a line for each property, indented by two
    /// spaces per depth, and no comments or `const` below the first. All 21 recorded bills with
    /// `functions` follow it; 20 of them are of 2023.
    Functions { depth: usize },
}

impl Layout {
    fn inner(self) -> Self {
        match self {
            Self::Tools => self,
            Self::Functions { depth } => Self::Functions { depth: depth + 1 },
        }
    }

    fn indent(self) -> String {
        match self {
            Self::Tools => String::new(),
            Self::Functions { depth } => "  ".repeat(depth),
        }
    }

    fn has_comments(self) -> bool {
        matches!(self, Self::Tools | Self::Functions { depth: 0 })
    }
}

/// The text between `type name = ` and ` => any;`.
pub(super) fn parameters(schema: Option<&Json>, layout: Layout) -> String {
    match schema {
        Some(schema) if has_properties(schema) => format!("(_: {})", object(schema, layout)),
        _ => "()".to_owned(),
    }
}

/// A comment: one line for each line of the text.
pub(super) fn comment(text: &str) -> String {
    text.split('\n').fold(String::new(), |all, line| match line {
        "" => all + "//\n",
        _ => all + "// " + line + "\n",
    })
}

/// Whether recorded bills have shown how every keyword of a schema is rendered.
pub(super) fn is_familiar(schema: &Json) -> bool {
    let is_familiar_member = |(key, value): &(Box<str>, Json)| match &**key {
        "type" | "title" | "description" => matches!(value, Json::String(_)),
        "required" => true,
        "additionalProperties" => value.is_bool(),
        "enum" => value.items().iter().all(|choice| choice.as_str().is_some()),
        "items" => is_familiar(value) && !has_properties(value),
        "properties" => value.members().iter().all(|(_, property)| is_familiar(property)),
        _ => false,
    };
    matches!(schema, Json::Object(_)) && schema.members().iter().all(is_familiar_member)
}

fn has_properties(schema: &Json) -> bool {
    schema.get("properties").is_some_and(|properties| !properties.members().is_empty())
}

fn object(schema: &Json, layout: Layout) -> String {
    let required = schema.get("required").map_or(&[][..], Json::items);
    let required: HashSet<&str> = required.iter().filter_map(Json::as_str).collect();
    let properties = schema.get("properties").map_or(&[][..], Json::members);
    let properties: Vec<Property> = properties
        .iter()
        .map(|(name, property)| Property::new(name, property, required.contains(&**name), layout))
        .collect();
    if layout == Layout::Tools && properties.iter().all(Property::is_bare) {
        let all: Vec<&str> = properties.iter().map(|property| &*property.declaration).collect();
        return format!("{{ {} }}", all.join(", "));
    }
    let indent = layout.indent();
    let line = |Property { above, declaration, behind }: &Property| format!("{above}{indent}{declaration},{behind}\n");
    format!("{{\n{}}}", properties.iter().map(line).collect::<String>())
}

struct Property {
    /// Comment lines before the property.
    above: String,
    declaration: String,
    /// A comment on the same line, after the property.
    behind: String,
}

impl Property {
    fn new(name: &str, property: &Json, is_required: bool, layout: Layout) -> Self {
        let optional = if is_required { "" } else { "?" };
        let declaration = format!("{name}{optional}: {}", type_of(property, layout));
        if !layout.has_comments() {
            return Self { above: String::new(), declaration, behind: String::new() };
        }
        let title = property.text("title").filter(|title| !title.is_empty()).map(comment);
        let description = property.text("description").filter(|text| !text.is_empty());
        let mut above = match (title, description) {
            (Some(title), Some(text)) => format!("{title}//\n{}", comment(text)),
            (title, text) => title.or(text.map(comment)).unwrap_or_default(),
        };
        above.push_str(&examples_of(property));
        // From one recorded bill, which it does not match to the token.
        let again = description.filter(|_| layout == Layout::Tools && variants(property).is_some());
        let again = again.map(|text| format!(" // {text}")).unwrap_or_default();
        Self { above, declaration, behind: again + &default_of(property) }
    }

    fn is_bare(&self) -> bool {
        self.above.is_empty() && self.behind.is_empty() && !self.declaration.contains('\n')
    }
}

fn variants(schema: &Json) -> Option<&[Json]> {
    ["anyOf", "oneOf"].into_iter().find_map(|key| schema.get(key)).map(Json::items)
}

fn type_of(schema: &Json, layout: Layout) -> String {
    let choices = schema.get("enum").map_or(&[][..], Json::items);
    if !choices.is_empty() {
        return union(choices.iter().map(|choice| choice.written(Style::Compact)));
    }
    if let Some(only) = schema.get("const").filter(|_| layout == Layout::Tools) {
        return only.written(Style::Compact);
    }
    if let Some(variants) = variants(schema) {
        return union(variants.iter().map(|variant| type_of(variant, layout)));
    }
    match schema.get("type") {
        Some(Json::Array(types)) => {
            let mut names: Vec<&str> = Vec::new();
            // Each only once: a type repeated a thousand times would be rendered as often, at each
            // depth.
            for name in types.iter().filter_map(Json::as_str).take(MOST_TYPES) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            union(names.into_iter().map(|name| named(name, schema, layout)))
        }
        Some(Json::String(name)) => named(name, schema, layout),
        _ if has_properties(schema) => object(schema, layout.inner()),
        _ => "any".to_owned(),
    }
}

fn named(name: &str, schema: &Json, layout: Layout) -> String {
    match name {
        "object" if has_properties(schema) => object(schema, layout.inner()),
        "array" => {
            let item = schema.get("items").map_or_else(|| "any".to_owned(), |item| type_of(item, layout));
            // A union inside a list needs parentheses; braces already enclose one inside an
            // object's properties.
            if item.contains(" | ") && !item.starts_with('{') { format!("({item})[]") } else { item + "[]" }
        }
        "integer" => "number".to_owned(),
        _ => name.to_owned(),
    }
}

fn union(types: impl Iterator<Item = String>) -> String {
    types.collect::<Vec<_>>().join(" | ")
}

fn default_of(property: &Json) -> String {
    match property.get("default") {
        None => String::new(),
        Some(Json::String(choice)) if property.get("enum").is_some() => format!(" // default: {choice}"),
        Some(default) => format!(" // default: {}", default.written(Style::Compact)),
    }
}

fn examples_of(property: &Json) -> String {
    let examples = property.get("examples").map_or(&[][..], Json::items);
    let lines = examples.iter().map(|example| format!("// - {}\n", example.written(Style::Compact)));
    if examples.is_empty() { String::new() } else { ["// Examples:\n".to_owned()].into_iter().chain(lines).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(schema: &str) -> String {
        parameters(Json::parse(schema).as_ref(), Layout::Tools)
    }

    #[test]
    fn a_function_without_properties_takes_nothing() {
        for schema in ["{}", r#"{"type":"object","properties":{}}"#, "null", "[1]"] {
            assert_eq!(rendered(schema), "()");
        }
        assert_eq!(parameters(None, Layout::Tools), "()");
    }

    #[test]
    fn an_object_without_comments_is_one_line() {
        let schema = r#"{"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"array","items":
            {"type":"object","properties":{"x":{"enum":["p","q"]}}}}},"required":["b"]}"#;
        assert_eq!(rendered(schema), r#"(_: { b: number, a?: { x?: "p" | "q" }[] })"#);
    }

    #[test]
    fn a_comment_anywhere_gives_each_property_a_line() {
        let schema = r#"{"properties":{
            "place":{"type":"string","title":"Place","description":"City,\nor state"},
            "unit":{"type":"string","enum":["c","f"],"default":"c"},
            "days":{"type":"integer","title":"Days"},
            "at":{"type":"object","properties":{"lat":{"type":"number"}}},
            "note":{"type":"string","description":""}},"required":["place"]}"#;
        let expected = "(_: {\n// Place\n//\n// City,\n// or state\nplace: string,\nunit?: \"c\" | \"f\", // default: c\n\
            // Days\ndays?: number,\nat?: { lat?: number },\nnote?: string,\n})";
        assert_eq!(rendered(schema), expected);
    }

    #[test]
    fn what_was_never_seen_in_a_bill_is_not_familiar() {
        let familiar = r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"string","enum":["x"]}}},
            "required":["a"],"additionalProperties":false,"title":"T"}"#;
        assert!(is_familiar(&Json::parse(familiar).unwrap()));
        for property in [r#"{"type":["string","null"]}"#, r##"{"$ref":"#/$defs/A"}"##, r#"{"anyOf":[]}"#, "true"] {
            let schema = format!(r#"{{"properties":{{"a":{property}}}}}"#);
            assert!(!is_familiar(&Json::parse(&schema).unwrap()), "{property}");
        }
    }

    #[test]
    fn deprecated_functions_are_laid_out_as_in_2023() {
        let schema = r#"{"properties":{"at":{"type":"object","description":"Where","properties":{
            "lat":{"type":"number","description":"north","const":1}}},"n":{"type":"integer"}},"required":["n"]}"#;
        let expected = "(_: {\n// Where\nat?: {\n  lat?: number,\n},\nn: number,\n})";
        assert_eq!(parameters(Json::parse(schema).as_ref(), Layout::Functions { depth: 0 }), expected);
    }

    #[test]
    fn no_text_of_a_schema_is_rendered_more_than_twice() {
        let many = |item: &str| vec![item; 10_000].join(",");
        let deep = (0..60).fold(r#"{"type":"string"}"#.to_owned(), |inner, _| {
            format!(r#"{{"type":[{}],"items":{{}},"properties":{{"a":{inner}}}}}"#, vec![r#""object""#; 50].join(","))
        });
        let text = "x".repeat(10_000);
        for property in [format!(r#"{{"description":"{text}","anyOf":[{}]}}"#, many(r#"{"type":"null"}"#)), deep] {
            let schema = format!(r#"{{"properties":{{"a":{property}}}}}"#);
            assert!(rendered(&schema).len() < 2 * schema.len());
        }
    }
}
