//! Items as callers give them: checked, and completed to the form in which they are listed.

use turnwise::message::RawJson;

use crate::choices::{KINDS, Kind, MOST_ITEMS, Need, PARTS, REFERENCE, STATUSES, kind_of};
use crate::error::ApiError;
use crate::fields::{Fields, list, text, type_of};
use crate::record::ListedItem;

/// Roles of the contract.
const ROLES: &[&str] = &["user", "assistant", "system", "developer", "tool", "critic", "discriminator", "unknown"];

/// An item that was checked, and completed to the form in which it is listed; or a reference.
#[derive(Clone, Debug)]
pub struct InputItem(pub(crate) Fields);

impl InputItem {
    /// Whether it is a reference to an item that was listed before.
    pub fn is_reference(&self) -> bool {
        self.reference().is_some()
    }

    /// The id of the item that it refers to.
    pub fn reference(&self) -> Option<String> {
        reference(&self.0)
    }
}

impl From<&ListedItem> for InputItem {
    /// A copy of an item that is listed, which gets an id of its own where it is added.
    fn from(item: &ListedItem) -> Self {
        Self(Fields::of(&item.json).unwrap_or_default())
    }
}

/// The items of a request, which are the value of `items`.
pub(crate) fn read(items: &RawJson) -> Result<Vec<InputItem>, ApiError> {
    let count = list(items).map_or(0, |items| items.len());
    if count > MOST_ITEMS {
        let message = format!(
            "Invalid 'items': array too long. Expected an array with maximum length {MOST_ITEMS}, but got an array with \
             length {count} instead."
        );
        return Err(ApiError::invalid(Some("array_above_max_length"), "items", message));
    }
    read_items(items, "items")
}

/// Any number of items, the value of the parameter `param` of a request. References are not resolved.
///
/// # Errors
/// 400 for a value that is not a list of items.
pub fn read_items(items: &RawJson, param: &str) -> Result<Vec<InputItem>, ApiError> {
    let items = list(items).ok_or_else(|| ApiError::wrong_type(param, "an array", type_of(items)))?;
    let read = |(place, item)| read_one(item, &format!("{param}[{place}]")).map(InputItem);
    items.iter().enumerate().map(read).collect()
}

fn read_one(item: &RawJson, param: &str) -> Result<Fields, ApiError> {
    let mut item = Fields::of(item).ok_or_else(|| ApiError::wrong_type(param, "an object", type_of(item)))?;
    if is_reference(&item) {
        require(&item, param, "id", Need::Text)?;
        item.set("type", REFERENCE);
        return Ok(item);
    }
    let kind = kind_in(&item, param)?;
    for (key, need) in kind.required {
        require(&item, param, key, *need)?;
    }
    if kind.name == "message" {
        one_of(&item, param, "role", ROLES)?;
    }
    if matches!(kind.name, "message" | "function_call" | "function_call_output") {
        one_of(&item, param, "status", STATUSES)?;
    }
    complete(&mut item);
    Ok(item)
}

/// Refuses an item without a member that it must have.
fn require(item: &Fields, param: &str, key: &str, need: Need) -> Result<(), ApiError> {
    let param = format!("{param}.{key}");
    let Some(value) = item.get(key) else {
        return if need == Need::There && item.has(key) { Ok(()) } else { Err(ApiError::missing(&param)) };
    };
    match need {
        Need::Text if text(value).is_none() => Err(ApiError::wrong_type(&param, "a string", type_of(value))),
        Need::Content => check_content(value, &param),
        Need::Text | Need::NotNull | Need::There => Ok(()),
    }
}

/// Refuses a member that is there with another value than these.
fn one_of(item: &Fields, param: &str, key: &str, allowed: &[&str]) -> Result<(), ApiError> {
    let Some(value) = item.get(key) else { return Ok(()) };
    let param = format!("{param}.{key}");
    let found = text(value).ok_or_else(|| ApiError::wrong_type(&param, "a string", type_of(value)))?;
    if allowed.contains(&&*found) { Ok(()) } else { Err(ApiError::wrong_value(&param, &found, allowed)) }
}

/// Whether an item is a reference. Its type may be left out.
fn is_reference(item: &Fields) -> bool {
    match item.text("type") {
        Some(kind) => kind == REFERENCE,
        None => item.get("type").is_none() && item.get("role").is_none() && item.get("id").is_some(),
    }
}

/// The id that an item refers to, if it is a reference.
pub(crate) fn reference(item: &Fields) -> Option<String> {
    item.text("type").filter(|kind| kind == REFERENCE).and_then(|_| item.text("id"))
}

fn kind_in(item: &Fields, param: &str) -> Result<&'static Kind, ApiError> {
    let name = match item.get("type") {
        Some(kind) => {
            text(kind).ok_or_else(|| ApiError::wrong_type(&format!("{param}.type"), "a string", type_of(kind)))?
        }
        None if item.get("role").is_some() => "message".to_owned(),
        None => return Err(ApiError::missing(&format!("{param}.type"))),
    };
    kind_of(&name).ok_or_else(|| {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).chain([REFERENCE]).collect();
        ApiError::wrong_value(param, &name, &names)
    })
}

fn check_content(content: &RawJson, param: &str) -> Result<(), ApiError> {
    if text(content).is_some() {
        return Ok(());
    }
    let expected = "a string or an array of content parts";
    let parts = list(content).ok_or_else(|| ApiError::wrong_type(param, expected, type_of(content)))?;
    for (place, part) in parts.iter().enumerate() {
        let param = format!("{param}[{place}]");
        let part = Fields::of(part).ok_or_else(|| ApiError::wrong_type(&param, "an object", type_of(part)))?;
        require(&part, &param, "type", Need::Text)?;
        let name = part.text("type").unwrap_or_default();
        let Some((_, text)) = PARTS.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
            return Err(ApiError::wrong_value(&param, &name, &names));
        };
        if let Some(key) = text {
            require(&part, &param, key, Need::Text)?;
        }
    }
    Ok(())
}

/// Adds to an item what the API lists and callers may leave out.
pub(crate) fn complete(item: &mut Fields) {
    item.set_missing("type", "message");
    let name = item.text("type").unwrap_or_default();
    if kind_of(&name).is_some_and(|kind| kind.has_status) {
        item.set_missing("status", "completed");
    }
    if name == "message" {
        let role = item.text("role").unwrap_or_default();
        if let Some(content) = item.get("content").and_then(|content| parts(content, &role)) {
            item.set("content", content);
        }
    }
}

/// Content as parts.
fn parts(content: &RawJson, role: &str) -> Option<RawJson> {
    let of_model = role == "assistant";
    let usual = if of_model { "output_text" } else { "input_text" };
    if let Some(said) = text(content) {
        let part = RawJson::object([("type", usual.into()), ("text", said.into())]);
        return Some(vec![complete_part(&part, of_model)].into());
    }
    Some(list(content)?.iter().map(|part| complete_part(part, of_model)).collect::<Vec<_>>().into())
}

fn complete_part(part: &RawJson, of_model: bool) -> RawJson {
    let Some(mut fields) = Fields::of(part) else { return part.clone() };
    match fields.text("type").as_deref() {
        Some("input_text") if of_model => fields.set("type", "output_text"),
        Some("input_image") => fields.set_missing("detail", "auto"),
        _ => {}
    }
    if fields.text("type").as_deref() == Some("output_text") {
        fields.set_missing("annotations", Vec::<RawJson>::new());
        fields.set_missing("logprobs", Vec::<RawJson>::new());
    }
    fields.json()
}
