//! Answers that were stored by themselves and deleted. Where their request had a key, a mark stays
//! under the id: the request may be sent again, and must not bring back what was deleted.

use std::borrow::Cow;

use turnwise::message::RawJson;
use turnwise::store::Store;
use turnwise::transcript::formats::Object;
use turnwise::{Conversation, ErrorKind, Transcript};
use turnwise_conversations::ApiError;

/// The member of the file that is a mark: the id, since a fork of the file has another one, and a hash of the body
/// that the answer was made for.
const MEMBER: &str = "turnwise_deleted";

/// How often an answer is deleted again that its request has stored again meanwhile.
const MOST: usize = 8;

/// Deletes an answer, and leaves a mark if `body`, the hash of its request's body, is there.
///
/// # Errors
/// 404 if there is none. If the mark cannot be written, the answer is deleted all the same.
pub(crate) async fn delete(store: &dyn Store, id: &str, body: Option<&str>) -> Result<(), ApiError> {
    let failed = |error| ApiError::of_store(&error, id);
    store.delete(id).await.map_err(failed)?;
    let Some(body) = body else { return Ok(()) };
    let mut mark = Transcript::new(Conversation::new());
    mark.conversation.begin_again(id);
    mark.extra.push((MEMBER.to_owned(), RawJson::object([("id", id.into()), ("body", body.into())])));
    for _ in 0..MOST {
        match store.save(id, &mark, None).await {
            Err(error) if error.kind() == ErrorKind::Conflict => match store.delete(id).await {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            },
            saved => return saved.map(drop).map_err(failed),
        }
    }
    Err(ApiError::conversation_locked())
}

/// The hash of the request's body, if the file under an id is a mark.
pub(crate) fn mark(file: &Transcript, id: &str) -> Option<String> {
    let mark: Object<'_> = file.extra.iter().find(|(key, _)| key == MEMBER)?.1.parse().ok()?;
    if mark.text("id")? != id {
        return None;
    }
    mark.text("body").map(Cow::into_owned)
}

/// The refusal of a request whose answer was deleted and cannot be given again.
pub(crate) fn gone() -> ApiError {
    let message = "The response to this request was deleted, and with this 'Idempotency-Key' it is not made again. To ask \
                   again, send a new key.";
    let mut error = ApiError::invalid_request(message.to_owned());
    (error.kind, error.code) = ("idempotency_error", Some("response_deleted"));
    error
}
