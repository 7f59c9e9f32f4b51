//! Finds the server's own explanation in the body of an error answer.
//!
//! There is no common form. These are known: the bodies of `OpenAI`, Google (a list), Ollama
//! (`{"error": "…"}`), `FastAPI` and pydantic (`{"detail": …}`), vLLM (`{"message": …}`), problem
//! details (`{"title": …, "detail": …}`), Anthropic, Cohere and AWS (`{"Message": …}`), lists of
//! errors, a JSON string, plain text and HTML. `OpenRouter` passes on the answer of its upstream
//! server (`metadata.raw`).

use serde_json::{Map, Value};

/// The longest body that is parsed as JSON or HTML, in bytes. An error answer of a megabyte is not
/// an explanation.
const LONGEST_BODY: usize = 1024 * 1024;
/// How many levels of nested objects are searched.
const DEEPEST: usize = 16;
/// How many errors of a list are reported.
const MOST_ERRORS: usize = 3;

/// The members that hold a message, in lower case; the first one found is used.
const MESSAGES: [&str; 19] = [
    "error",
    "message",
    "msg",
    "title",
    "detail",
    "errors",
    "error_message",
    "error_msg",
    "errormessage",
    "error_description",
    "reason",
    "description",
    "status_msg",
    "base_resp",
    "fault",
    "faultstring",
    "exception",
    "response",
    "details",
];

/// Members that say more than the one that was found: `{"error": "Unauthorized", "message": "the
/// key has expired"}`.
const MORE: [&str; 5] = ["message", "msg", "detail", "error_description", "reason"];

/// The explanation in the body of an error answer; `None` if it has none.
pub(super) fn words(body: &str) -> Option<String> {
    let text = body.trim();
    if text.len() > LONGEST_BODY {
        return said(text);
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) => of_value(&value, 0).or_else(|| rest_of(&value)),
        Err(_) if text.starts_with('<') => said(&of_html(text)),
        Err(_) => said(text),
    }
}

/// What a model wrote instead of a valid tool call: text, even if it is JSON.
pub(super) fn generation(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => said(text),
        other => said(&other.to_string()),
    }
}

/// The explanation in an answer that should have been a chat completion: an error or a page of a
/// gateway, but nothing that may be a reply.
pub(super) fn words_beside_a_reply(body: &str) -> Option<String> {
    let text = body.trim();
    if text.len() > LONGEST_BODY {
        return None;
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(members)) if has_choices(&members) => None,
        Ok(value) => of_value(&value, 0),
        Err(_) if text.starts_with(['{', '[', '"']) => None,
        Err(_) => words(text),
    }
}

fn has_choices(members: &Map<String, Value>) -> bool {
    let is_reply = |value: &Value| value.as_array().is_some_and(|choices| !choices.is_empty());
    ["choices", "delta", "content"]
        .iter()
        .any(|name| members.get(*name).is_some_and(|value| is_reply(value) || value.is_string()))
}

fn of_value(value: &Value, depth: usize) -> Option<String> {
    if depth > DEEPEST {
        return None;
    }
    match value {
        Value::String(text) => of_text(text, depth),
        Value::Array(list) => {
            let told: Vec<String> = list.iter().filter_map(|one| of_value(one, depth + 1)).take(MOST_ERRORS).collect();
            (!told.is_empty()).then(|| told.join("; "))
        }
        Value::Object(members) => of_members(members, depth),
        _ => None,
    }
}

/// A text; or, if it is JSON itself, the explanation in it: some servers embed one answer in
/// another.
fn of_text(text: &str, depth: usize) -> Option<String> {
    let inner = text.trim();
    let is_object = inner.starts_with('{') || inner.starts_with("[{");
    let parsed = is_object.then(|| serde_json::from_str::<Value>(inner).ok()).flatten();
    parsed.and_then(|value| of_value(&value, depth + 1)).or_else(|| said(inner))
}

fn of_members(members: &Map<String, Value>, depth: usize) -> Option<String> {
    let member = |name: &str| {
        let is_it = |key: &&String| key.eq_ignore_ascii_case(name);
        members.keys().find(is_it).and_then(|key| of_value(&members[key], depth + 1))
    };
    let (name, mut told) = MESSAGES.iter().find_map(|name| Some((*name, member(name)?)))?;
    if let Some(place) = place(members) {
        told = format!("{place}: {told}");
    }
    let short = matches!(name, "error" | "title" | "message") && members_are_flat(members, name);
    let more = MORE.iter().filter(|more| short && **more != name).find_map(|name| member(name));
    if let Some(more) = more.filter(|more| !told.contains(&**more)) {
        told = if more.contains(&told) { more } else { format!("{told}: {more}") };
    }
    let behind = members.get("metadata").and_then(|metadata| of_value(metadata.get("raw")?, depth + 1));
    Some(match behind.filter(|behind| !told.contains(&**behind)) {
        Some(behind) => format!("{told}: {behind}"),
        None => told,
    })
}

/// Whether a member is a text, so that another one may say more.
fn members_are_flat(members: &Map<String, Value>, name: &str) -> bool {
    members.iter().any(|(key, value)| key.eq_ignore_ascii_case(name) && value.is_string())
}

/// The place of an invalid value in the request, as pydantic reports it: `body.messages.1.role`.
fn place(members: &Map<String, Value>) -> Option<String> {
    let part = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let parts: Vec<String> = members.get("loc")?.as_array()?.iter().take(DEEPEST).filter_map(part).collect();
    (!parts.is_empty()).then(|| parts.join("."))
}

/// The JSON of an object whose form is not known.
fn rest_of(value: &Value) -> Option<String> {
    match value {
        Value::Object(members) => {
            let is_something = |value: &Value| match value {
                Value::Null => false,
                Value::Object(inner) => !inner.is_empty(),
                Value::Array(inner) => !inner.is_empty(),
                Value::String(inner) => !inner.trim().is_empty(),
                _ => true,
            };
            members.values().any(is_something).then(|| value.to_string())
        }
        Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A text that is more than braces and white space.
fn said(text: &str) -> Option<String> {
    let text = text.trim();
    text.contains(char::is_alphanumeric).then(|| text.to_owned())
}

/// The text of an HTML page: its title and body, without tags, scripts and styles.
fn of_html(page: &str) -> String {
    let mut title = String::new();
    let mut text = String::new();
    let mut rest = page;
    let mut into_title = false;
    while let Some(start) = rest.find('<') {
        let target = if into_title { &mut title } else { &mut text };
        target.push_str(&rest[..start]);
        target.push(' ');
        rest = &rest[start..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let end = rest.find('>').map_or(rest.len(), |end| end + 1);
        let (tag, behind) = rest.split_at(end);
        rest = behind;
        let name = tag.trim_start_matches('<').split(|c: char| !c.is_ascii_alphanumeric() && c != '/').next();
        match name.unwrap_or_default().to_ascii_lowercase().as_str() {
            "title" => into_title = true,
            "/title" => into_title = false,
            skipped @ ("script" | "style" | "svg" | "noscript") => rest = behind_element(rest, skipped),
            _ => {}
        }
    }
    text.push_str(rest);
    let title = unescaped(&title);
    let text = unescaped(&text);
    match (text.is_empty(), title.is_empty() || text.contains(&title)) {
        (true, _) => title,
        (false, true) => text,
        (false, false) => format!("{title}: {text}"),
    }
}

/// The rest of the page after the end of an element that holds no text.
fn behind_element<'a>(page: &'a str, name: &str) -> &'a str {
    let mut from = 0;
    while let Some(found) = page[from..].find("</") {
        let end = from + found + 2;
        let is_it =
            page.as_bytes()[end..].get(..name.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(name.as_bytes()));
        if is_it {
            return page[end..].find('>').map_or("", |close| &page[end + close + 1..]);
        }
        from = end;
    }
    ""
}

/// A text of HTML with its commonest references resolved and each run of white space as one space.
fn unescaped(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ").replace("&nbsp;", " ").replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&").trim().to_owned()
}

#[cfg(test)]
#[path = "said_tests.rs"]
mod tests;
