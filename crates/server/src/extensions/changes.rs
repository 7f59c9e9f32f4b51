//! Forks of conversations, edits of items, and conversations that come back.

use axum::extract::{Extension, Path};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use turnwise::message::RawJson;
use turnwise::{ErrorKind, Transcript};
use turnwise_conversations::{AddedOnce, ApiError, Fork, check_id};

use super::{catalog, refused};
use crate::answer::json;
use crate::body::Body;
use crate::once::{self, Once, replayed};
use crate::routes::{Answer, Api, ReadBody};

/// How many digits an id of a conversation has.
const DIGITS: usize = 48;

/// Begins a conversation that has all of another one, or its items up to `last`.
pub(super) async fn fork(Extension(app): Api, Path(id): Path<String>, headers: HeaderMap, body: ReadBody) -> Answer {
    let once = Once::of_sent(&headers, &format!("fork {id}"), &body)?;
    let body = Body::read(body, &["last"])?;
    let last = body.text("last")?;
    // A fork that is asked for again is found by its id.
    let new = once.as_ref().and_then(|once| once.digits().get(..DIGITS)).map(|digits| format!("conv_{digits}"));
    let begun = Begun(once);
    let fork = Fork { id: new.as_deref(), last: last.as_deref(), once: Some(&begun) };
    let (made, is_known) = app.api.fork(&id, fork).await?;
    let answer = json(&made);
    Ok(if is_known { replayed(answer) } else { answer })
}

/// The member of a fork's file with the request that it was begun by. It is not one of those that a
/// conversation remembers for some time: however late that request is sent again, it must not cut the fork
/// again.
const MEMBER: &str = "turnwise_fork";

/// What a fork keeps of the request that it was begun by.
#[derive(Serialize, Deserialize)]
struct BegunBy {
    key: String,
    body: String,
}

/// The request that a fork is begun by. Those of the conversation that it is of are none of its own.
struct Begun(Option<Once>);

impl AddedOnce for Begun {
    fn find(&self, file: &Transcript) -> Result<Option<Vec<String>>, ApiError> {
        let Some(once) = &self.0 else { return Ok(None) };
        let kept = file.extra.iter().find(|(key, _)| key == MEMBER);
        let by: Option<BegunBy> = kept.and_then(|(_, kept)| kept.parse().ok());
        match by.filter(|by| by.key == once.digits()) {
            Some(by) => once.check(&by.body).map(|()| Some(Vec::new())),
            None => Ok(None),
        }
    }

    fn put(&self, file: &mut Transcript, _: Vec<String>) {
        once::remove(file);
        file.extra.retain(|(key, _)| key != MEMBER);
        let by = self.0.as_ref().map(|once| BegunBy { key: once.digits().to_owned(), body: once.body.clone() });
        let json = by.and_then(|by| serde_json::to_value(by).ok()).map(RawJson::from);
        file.extra.extend(json.map(|json| (MEMBER.to_owned(), json)));
    }
}

/// Records other items in the place of one.
pub(super) async fn edit(
    Extension(app): Api,
    Path((id, item)): Path<(String, String)>,
    headers: HeaderMap,
    body: ReadBody,
) -> Answer {
    let once = Once::of_sent(&headers, &format!("edit {item}"), &body)?;
    let body = Body::read(body, &["items"])?;
    let once = once.as_ref().map(|once| once as &dyn AddedOnce);
    let (edited, is_known) = app.items_to_change(&id)?.edit(&item, &body.need("items")?, once).await?;
    let answer = json(&edited);
    Ok(if is_known { replayed(answer) } else { answer })
}

/// Brings a deleted conversation back. One that is there is answered as it is, so the request can be sent
/// again.
pub(super) async fn restore(Extension(app): Api, Path(id): Path<String>, body: ReadBody) -> Answer {
    Body::read(body, &[])?;
    check_id(&id)?;
    match catalog(&app)?.restore(&id).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) if error.kind() == ErrorKind::Conflict => {
            let message = format!(
                "There is a conversation with id '{id}' again. Fork that one and delete it, to restore the one that was deleted."
            );
            return Err(refused("conversation_exists", message).into());
        }
        Err(error) => return Err(ApiError::of_store(&error, &id).into()),
    }
    Ok(json(&app.api.retrieve(&id).await?))
}
