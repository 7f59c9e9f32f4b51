use super::*;

fn rendered(schema: &str) -> String {
    Parameters::of(Json::parse(schema).as_ref(), Layout::Tools).text
}

/// The lines between the braces of an object with one property `a`.
fn property(property: &str) -> String {
    let text = rendered(&format!(r#"{{"properties":{{"a":{property}}},"required":["a"]}}"#));
    text.trim_start_matches("(_: {").trim_end_matches("})").trim().to_owned()
}

#[test]
fn a_function_without_properties_takes_nothing() {
    for schema in ["{}", r#"{"type":"object","properties":{},"title":"T"}"#, "null", "[1]"] {
        assert_eq!(rendered(schema), "()");
    }
    assert_eq!(Parameters::of(None, Layout::Tools).text, "()");
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
fn descriptions_lose_the_white_space_around_the_whole_and_around_each_line() {
    assert_eq!(
        comment("\n  Look up.\n\n    Args:\n\tcity: where  \n  "),
        "// Look up.\n//\n// Args:\n// city: where\n"
    );
}

#[test]
fn title_and_description_of_the_whole_stand_inside_the_bracket() {
    let schema = r#"{"title":"User","properties":{"name":{"type":"string"}},"required":["name"]}"#;
    assert_eq!(rendered(schema), "(_: // User\n{ name: string })");
    let schema = schema.replacen("User\"", "User\",\"description\":\"A user.\"", 1);
    assert_eq!(rendered(&schema), "(_: // User\n//\n// A user.\n{ name: string })");
}

#[test]
fn a_reference_is_replaced_by_what_it_names() {
    let schema = r##"{"$defs":{"Book":{"title":"Book","type":"object","properties":{"title":{"type":"string"}},
        "required":["title"]}},"properties":{"one":{"$ref":"#/$defs/Book"},"all":{"type":"array","items":{"$ref":
        "#/$defs/Book"}}},"required":["one","all"]}"##;
    assert_eq!(rendered(schema), "(_: {\n// Book\none: { title: string },\nall: { title: string }[],\n})");
}

#[test]
fn references_that_lead_nowhere_or_never_end_are_not_followed() {
    let whole = |schema: &str| Parameters::of(Json::parse(schema).as_ref(), Layout::Tools).is_whole;
    let property = |property: &str| format!(r#"{{"type":"object","properties":{{"a":{property}}}}}"#);
    assert!(whole(&property(r#"{"type":"string"}"#)));
    for reference in ["#/$defs/A", "https://example.com/a", "", "#/properties/a", "#"] {
        assert!(!whole(&property(&format!(r#"{{"$ref":"{reference}"}}"#))), "{reference}");
    }
    // Each definition is two of the next one.
    let doubled = (0..60).map(|number| {
        let next = number + 1;
        format!(
            r##""d{number}":{{"properties":{{"a":{{"$ref":"#/$defs/d{next}"}},"b":{{"$ref":"#/$defs/d{next}"}}}}}}"##
        )
    });
    let doubled: Vec<String> = doubled.collect();
    let schema = format!(r##"{{"properties":{{"a":{{"$ref":"#/$defs/d0"}}}},"$defs":{{{}}}}}"##, doubled.join(","));
    assert!(!whole(&schema));
    assert!(rendered(&schema).len() < 5 * schema.len() + 20_000);
}

#[test]
fn an_item_that_needs_several_lines_stands_in_brackets_below_its_title() {
    let items = r#"{"type":"array","items":{"type":"object","title":"Step","properties":{
        "n":{"type":"integer","description":"Number"}},"required":["n"]}}"#;
    assert_eq!(property(items), "a: (\n// Step\n{\n// Number\nn: number,\n}\n)[],");
    let union = r#"{"type":"array","items":{"type":"string","enum":["x","y"]}}"#;
    assert_eq!(property(union), "a: (\"x\" | \"y\")[]");
}

#[test]
fn alternatives_with_nothing_to_say_share_a_line() {
    assert_eq!(
        property(r#"{"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]}"#),
        "a: string|string[]"
    );
}

#[test]
fn alternatives_with_comments_have_a_line_each() {
    let described = r#"{"description":"Where","anyOf":[{"type":"string","format":"date"},{"type":"null"}]}"#;
    assert_eq!(property(described), "// Where\na:\n | string // format: date\n | null\n,");
    let own = r#"{"anyOf":[{"type":"array","items":{"type":"integer"},"description":"Ids"},{"type":"null"}]}"#;
    assert_eq!(property(own), "a:\n// Ids\n | number[]\n | null\n,");
}

#[test]
fn several_types_are_alternatives_that_share_the_description() {
    let property = property(r#"{"type":["string","null"],"description":"Tool or null"}"#);
    assert_eq!(property, "// Tool or null\na:\n// Tool or null\n | string\n// Tool or null\n | null\n,");
}

#[test]
fn deprecated_functions_are_laid_out_as_in_2023() {
    let schema = r#"{"properties":{"at":{"type":"object","description":"Where","properties":{
        "lat":{"type":"number","description":"north","const":1}}},"n":{"type":"integer"}},"required":["n"]}"#;
    let expected = "(_: {\n// Where\nat?: {\n  lat?: number,\n},\nn: number,\n})";
    assert_eq!(Parameters::of(Json::parse(schema).as_ref(), Layout::Functions).text, expected);
}

#[test]
fn no_text_of_a_schema_is_rendered_for_each_of_many_alternatives() {
    let many = |item: &str| vec![item; 10_000].join(",");
    let deep = (0..60).fold(r#"{"type":"string"}"#.to_owned(), |inner, _| {
        format!(r#"{{"type":[{}],"items":{{}},"properties":{{"a":{inner}}}}}"#, vec![r#""object""#; 50].join(","))
    });
    let text = "x".repeat(10_000);
    for property in [
        format!(r#"{{"description":"{text}","anyOf":[{}]}}"#, many(r#"{"type":"null"}"#)),
        format!(r#"{{"description":"{text}","type":[{}]}}"#, many(r#""null""#)),
        deep,
    ] {
        let schema = format!(r#"{{"properties":{{"a":{property}}}}}"#);
        assert!(rendered(&schema).len() < 2 * schema.len());
    }
}
