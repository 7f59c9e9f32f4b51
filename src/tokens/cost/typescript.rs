//! Renders a function's parameters as the TypeScript-like text that the model reads.
//!
//! The rules were found by fitting recorded bills: 83 of them at first, and the tools of 190 more
//! definitions later (GPT-3.5, GPT-4, GPT-4o, GPT-4.1, GPT-5). Where those say nothing, the rules
//! follow the open renderer of the same family, `openai/harmony`'s `json_schema_to_typescript`, and
//! the count is marked as an estimate by [`familiar`].
//!
//! [`familiar`]: super::familiar

use std::collections::HashSet;

use super::json::{Json, Style};
use super::schema::{Resolver, Schema};

/// JSON Schema has seven types.
const MOST_TYPES: usize = 7;

/// The layout of definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// That of `tools`: no indentation, and an object without comments inside is written on one
    /// line.
    Tools,
    /// Those of the deprecated `functions`: a line for each property, indented by two spaces a
    /// depth, and no comments or `const` below the first. All 21 recorded bills with `functions`
    /// follow it; 20 of them are of 2023.
    Functions,
}

/// What stands between `type name = ` and ` => any;`.
pub(super) struct Parameters {
    pub(super) text: String,
    /// Whether every reference was resolved.
    pub(super) is_whole: bool,
}

impl Parameters {
    pub(super) fn of(schema: Option<&Json>, layout: Layout) -> Self {
        let Some(root) = schema else { return Self { text: "()".to_owned(), is_whole: true } };
        let renderer = Renderer { resolver: Resolver::new(root), layout };
        let schema = renderer.schema(root, 0);
        let text = if schema.has_properties() {
            // The title and description of the whole stand inside the bracket (8 bills of 4 sets of
            // tools).
            let about = if layout == Layout::Tools { about(schema) } else { String::new() };
            format!("(_: {about}{})", renderer.object(schema, 0))
        } else {
            "()".to_owned()
        };
        Self { text, is_whole: !renderer.resolver.has_refused() }
    }
}

/// A comment: one line for each line of the text. White space around the text and around each of
/// its lines is dropped; empty lines are kept (28 of 28 bills of 14 sets of tools with indented
/// descriptions).
pub(super) fn comment(text: &str) -> String {
    text.trim().lines().map(str::trim).fold(String::new(), |all, line| match line {
        "" => all + "//\n",
        _ => all + "// " + line + "\n",
    })
}

/// Title and description as comments, with an empty one between them.
fn about(schema: Schema<'_>) -> String {
    let title = schema.text("title").map(comment);
    let description = schema.text("description").map(comment);
    match (title, description) {
        (Some(title), Some(description)) => format!("{title}//\n{description}"),
        (title, description) => title.or(description).unwrap_or_default(),
    }
}

struct Renderer<'a> {
    resolver: Resolver<'a>,
    layout: Layout,
}

impl<'a> Renderer<'a> {
    fn schema(&self, own: &'a Json, depth: usize) -> Schema<'a> {
        match self.layout {
            Layout::Tools => self.resolver.schema(own, depth),
            Layout::Functions => Schema::without_reference(own),
        }
    }

    /// The depth of what stands within a list or a union. Deprecated functions are not indented for
    /// those.
    fn within(&self, depth: usize) -> usize {
        depth + usize::from(self.layout == Layout::Tools)
    }

    fn object(&self, schema: Schema<'a>, depth: usize) -> String {
        let required: HashSet<&str> = schema.items("required").iter().filter_map(Json::as_str).collect();
        let properties = schema.properties().iter();
        let properties: Vec<Property> = properties
            .map(|(name, property)| self.property(name, property, required.contains(&**name), depth))
            .collect();
        if self.layout == Layout::Tools && properties.iter().all(Property::is_bare) {
            let all: Vec<&str> = properties.iter().map(|property| &*property.declaration).collect();
            return format!("{{ {} }}", all.join(", "));
        }
        let indent = match self.layout {
            Layout::Tools => String::new(),
            Layout::Functions => "  ".repeat(depth),
        };
        let line =
            |Property { above, declaration, behind }: &Property| format!("{above}{indent}{declaration},{behind}\n");
        format!("{{\n{}}}", properties.iter().map(line).collect::<String>())
    }

    fn property(&self, name: &str, json: &'a Json, is_required: bool, depth: usize) -> Property {
        let property = self.schema(json, depth);
        let optional = if is_required { "" } else { "?" };
        let has_comments = self.layout == Layout::Tools || depth == 0;
        let above = if has_comments { about(property) + &examples_of(property) } else { String::new() };
        let behind = if has_comments { default_of(property) } else { String::new() };
        let is_bare = above.is_empty() && behind.is_empty();
        let kind = match self.alternatives(property, depth) {
            Some(all) if self.layout == Layout::Tools => union_of(&all, is_bare),
            _ => format!(" {}", self.type_of(property, depth)),
        };
        Property { above, declaration: format!("{name}{optional}:{kind}"), behind }
    }

    /// What a property may be, where that is more than one thing: `anyOf`, or several types.
    fn alternatives(&self, property: Schema<'a>, depth: usize) -> Option<Vec<Alternative>> {
        if !property.items("enum").is_empty() {
            return None;
        }
        if let Some(variants) = property.variants() {
            let depth = self.within(depth);
            let alternative = |variant: &'a Json| {
                let variant = self.schema(variant, depth);
                let format = variant.text("format").map(|format| format!(" // format: {format}"));
                Alternative {
                    above: variant.text("description").map(comment).unwrap_or_default(),
                    name: self.type_of(variant, depth),
                    behind: format.unwrap_or_default(),
                }
            };
            return Some(variants.iter().map(alternative).collect());
        }
        let types = property.get("type").map_or(&[][..], Json::items);
        let above = property.text("description").map(comment).unwrap_or_default();
        let alternative = |name: &str| Alternative {
            above: above.clone(),
            name: self.named(name, property, depth),
            behind: String::new(),
        };
        let all: Vec<_> = each_once(types).into_iter().map(alternative).collect();
        (!all.is_empty()).then_some(all)
    }

    fn type_of(&self, schema: Schema<'a>, depth: usize) -> String {
        let choices = schema.items("enum");
        if !choices.is_empty() {
            return union(choices.iter().map(|choice| choice.written(Style::Compact)));
        }
        if let Some(only) = schema.get("const").filter(|_| self.layout == Layout::Tools) {
            return only.written(Style::Compact);
        }
        if let Some(variants) = schema.variants() {
            let depth = self.within(depth);
            let variants = variants.iter().map(|variant| self.schema(variant, depth));
            return union(variants.map(|variant| self.type_of(variant, depth)));
        }
        match schema.get("type") {
            Some(Json::Array(types)) => union(each_once(types).into_iter().map(|name| self.named(name, schema, depth))),
            Some(Json::String(name)) => self.named(name, schema, depth),
            _ if schema.has_properties() => self.object(schema, depth + 1),
            _ => "any".to_owned(),
        }
    }

    fn named(&self, name: &str, schema: Schema<'a>, depth: usize) -> String {
        match name {
            "object" if schema.has_properties() => self.object(schema, depth + 1),
            "array" => schema.get("items").map_or_else(|| "any[]".to_owned(), |item| self.list(item, depth)),
            "integer" => "number".to_owned(),
            _ => name.to_owned(),
        }
    }

    /// A list. An item that needs several lines stands in brackets on lines of its own, below its
    /// title (16 bills of 4 sets of tools); so does a union, on one line.
    fn list(&self, item: &'a Json, depth: usize) -> String {
        let depth = self.within(depth);
        let item = self.schema(item, depth);
        let name = self.type_of(item, depth);
        if self.layout == Layout::Tools && name.contains('\n') {
            format!("(\n{}{name}\n)[]", about(item))
        } else if name.contains(" | ") && !name.starts_with('{') {
            format!("({name})[]")
        } else {
            name + "[]"
        }
    }
}

struct Property {
    /// Comment lines before the property.
    above: String,
    declaration: String,
    /// A comment on the same line, after the property.
    behind: String,
}

impl Property {
    fn is_bare(&self) -> bool {
        self.above.is_empty() && self.behind.is_empty() && !self.declaration.contains('\n')
    }
}

/// One of the things that a property may be.
struct Alternative {
    /// Comment lines.
    above: String,
    name: String,
    /// A comment on the same line.
    behind: String,
}

/// What follows the colon of a property that may be several things: a line for each, below its own
/// comments, or all on one line if there is nothing to say about any of them (17 bills of 5 sets of
/// tools; eight layouts were tried).
fn union_of(all: &[Alternative], is_bare: bool) -> String {
    let is_short = |one: &Alternative| one.above.is_empty() && one.behind.is_empty() && !one.name.contains('\n');
    if is_bare && all.iter().all(is_short) {
        let names: Vec<&str> = all.iter().map(|one| &*one.name).collect();
        return format!(" {}", names.join("|"));
    }
    let line = |Alternative { above, name, behind }: &Alternative| format!("{above} | {name}{behind}\n");
    format!("\n{}", all.iter().map(line).collect::<String>())
}

/// The names of types, each once: one that stands there a thousand times would be rendered as
/// often, at each depth.
fn each_once(types: &[Json]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in types.iter().filter_map(Json::as_str).take(MOST_TYPES) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn union(types: impl Iterator<Item = String>) -> String {
    types.collect::<Vec<_>>().join(" | ")
}

fn default_of(property: Schema<'_>) -> String {
    match property.get("default") {
        None => String::new(),
        Some(Json::String(choice)) if property.get("enum").is_some() => format!(" // default: {choice}"),
        Some(default) => format!(" // default: {}", default.written(Style::Compact)),
    }
}

fn examples_of(property: Schema<'_>) -> String {
    let examples = property.items("examples");
    let lines = examples.iter().map(|example| format!("// - {}\n", example.written(Style::Compact)));
    if examples.is_empty() { String::new() } else { ["// Examples:\n".to_owned()].into_iter().chain(lines).collect() }
}

#[cfg(test)]
#[path = "typescript_tests.rs"]
mod tests;
