//! The body of a request, read whole before a route sees it: within a time, a size and a depth, and
//! decompressed.

use std::io::Read;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use turnwise_conversations::ApiError;

use crate::body::NO_JSON;
use crate::limits::Limits;

/// Reads a body.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, ApiError> {
    let all = async {
        let mut all = Vec::new();
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let broken = |_| ApiError::invalid_request("The body of the request broke off.".to_owned());
            let piece = piece.map_err(broken)?;
            if all.len() + piece.len() > limits.body {
                return Err(too_large(limits));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    };
    let in_time = tokio::time::timeout(limits.body_time, all).await;
    let all = in_time.map_err(|_| {
        let seconds = limits.body_time.as_secs();
        let mut error =
            ApiError::invalid_request(format!("The body of the request was not complete after {seconds} seconds."));
        error.status = 408;
        error
    })??;
    let all = match headers.get(header::CONTENT_ENCODING).map(|coding| coding.to_str().unwrap_or("?")) {
        None | Some("identity" | "") => all,
        Some("zstd") => decompress(all, limits).await?,
        Some(other) => {
            let message =
                format!("Bodies with the content encoding '{other}' are not read. Supported: 'zstd' and 'identity'.");
            let mut error = ApiError::invalid_request(message);
            error.status = 415;
            return Err(error);
        }
    };
    check_depth(&all, limits)?;
    Ok(all.into())
}

/// Refuses JSON that is nested too deep.
pub(crate) fn check_depth(json: &[u8], limits: &Limits) -> Result<(), ApiError> {
    let most = limits.nesting;
    if is_deeper(json, most) {
        return Err(ApiError::invalid_request(format!("The JSON body is nested deeper than {most} levels.")));
    }
    Ok(())
}

fn too_large(limits: &Limits) -> ApiError {
    let most = limits.body;
    let mut error = ApiError::invalid_request(format!(
        "The body of the request is too large: length limit exceeded, {most} bytes."
    ));
    error.status = 413;
    error
}

async fn decompress(bytes: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, ApiError> {
    let most = limits.body;
    let read = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        let decoder = ruzstd::decoding::StreamingDecoder::new(&*bytes).ok()?;
        decoder.take(most as u64 + 1).read_to_end(&mut all).ok()?;
        Some(all)
    });
    let broken = || ApiError::invalid_request("The body of the request is no valid zstd.".to_owned());
    let all = read.await.ok().flatten().ok_or_else(broken)?;
    if all.len() > most { Err(too_large(limits)) } else { Ok(all) }
}

/// Whether JSON is nested deeper than so many levels. What is no JSON is for its reader to refuse.
fn is_deeper(json: &[u8], most: usize) -> bool {
    let mut depth = 0_usize;
    let mut is_text = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_text = !is_text,
            b'\\' if is_text => drop(bytes.next()),
            b'[' | b'{' if !is_text => depth += 1,
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}

/// The text of a body that is JSON.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, ApiError> {
    std::str::from_utf8(bytes).map_err(|_| ApiError::invalid_request(NO_JSON.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        assert!(!is_deeper(br#"{"a": [1, [2]], "b": [[]]}"#, 3));
        assert!(is_deeper(br#"{"a": [1, [2]]}"#, 2));
        assert!(!is_deeper(br#"["[[[[\"[[[["]"#, 1));
        assert!(!is_deeper(b"]]]]", 0));
    }
}
