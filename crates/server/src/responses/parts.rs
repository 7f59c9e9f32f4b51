//! Parts of an input that no request of chat completions can hold.

use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise_conversations::ApiError;

/// Refuses an image or a file that the model would not see.
///
/// # Errors
/// 400 for the first one.
pub(super) fn check(input: &RawJson) -> Result<(), ApiError> {
    let items: Vec<RawJson> = input.parse().unwrap_or_default();
    for (place, item) in items.iter().enumerate() {
        let Ok(item) = item.parse::<Object<'_>>() else { continue };
        for list in ["content", "output"] {
            for (at, part) in item.objects(list).enumerate() {
                check_part(&part, &format!("input[{place}].{list}[{at}]"))?;
            }
        }
    }
    Ok(())
}

fn check_part(part: &Object<'_>, param: &str) -> Result<(), ApiError> {
    let has = |names: &[&str]| names.iter().any(|name| part.text(name).is_some());
    let refused = |member: &str, why: &str| {
        let why = format!("is not supported by this server, because chat completions do not have it: {why}");
        Err(ApiError::unsupported(&format!("{param}.{member}"), &why))
    };
    if part.is_one_of("type", &["input_image"]) && !has(&["image_url"]) && has(&["file_id"]) {
        return refused("file_id", "send the image as its 'image_url', which may be a data URL");
    }
    if part.is_one_of("type", &["input_file"]) && !has(&["file_data", "file_id"]) && has(&["file_url"]) {
        return refused("file_url", "send the file as its 'file_data'");
    }
    Ok(())
}
