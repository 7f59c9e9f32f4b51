//! Pictures and other files in messages.

use turnwise::message::{Part, RawJson};

/// Bytes in base64 as the address of a picture.
pub(crate) fn data_url(kind: &str, base64: &str) -> String {
    format!("data:{kind};base64,{base64}")
}

/// The type and the base64 text of a `data:` address.
pub(crate) fn split(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}

/// Bytes in base64 as a part: a picture, or a file.
pub(crate) fn part(kind: &str, base64: &str, name: Option<&str>) -> Part {
    let url = data_url(kind, base64);
    if kind.starts_with("image/") { Part::image(&url) } else { file(&url, name) }
}

/// A file by its `data:` address.
pub(crate) fn file(url: &str, name: Option<&str>) -> Part {
    let name = name.map(|name| ("filename", RawJson::from(name)));
    Part::new("file", RawJson::object(name.into_iter().chain([("file_data", RawJson::from(url))])))
}
