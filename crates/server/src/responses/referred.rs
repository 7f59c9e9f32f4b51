//! References to items of stored responses: a client that keeps a history sends the ids of what was stored,
//! and not the items again.

use std::collections::{HashMap, HashSet};

use turnwise::ErrorKind;
use turnwise::store::Store;
use turnwise_conversations::{ApiError, InputItem, Record};

use super::stored::{self, PREFIX, TAG};

/// In how many responses of one conversation an item is looked for, if the conversation itself is gone.
const MOST_RESPONSES: usize = 100;
/// How many ids are listed for that, with those of deleted responses.
const MOST_LISTED: usize = 1_000;

/// The input with a copy of each item that it refers to and that the record does not have.
///
/// # Errors
/// 404 for the first item that is not stored.
pub(super) async fn resolved(
    store: &dyn Store,
    record: &Record<'_>,
    input: &[InputItem],
) -> Result<Vec<InputItem>, ApiError> {
    let wanted: HashSet<String> =
        input.iter().filter_map(InputItem::reference).filter(|id| !record.can_refer_to(id)).collect();
    let mut found: HashMap<String, InputItem> = HashMap::new();
    let mut resolved = Vec::with_capacity(input.len());
    for item in input {
        let Some(id) = item.reference().filter(|id| wanted.contains(id)) else {
            resolved.push(item.clone());
            continue;
        };
        if !found.contains_key(&id) {
            look_for(store, &id, &wanted, &mut found).await?;
        }
        resolved.push(found.get(&id).cloned().ok_or_else(|| not_stored(&id))?);
    }
    Ok(resolved)
}

/// What the id of an item has in common with that of its response.
fn tag(item: &str) -> Option<&str> {
    item.rsplit_once('_')?.1.get(..TAG).filter(|tag| tag.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Looks for an item in the conversation of the responses whose ids begin as its own, and in these; and for
/// all others that are there and wanted.
async fn look_for(
    store: &dyn Store,
    id: &str,
    wanted: &HashSet<String>,
    found: &mut HashMap<String, InputItem>,
) -> Result<(), ApiError> {
    let Some(prefix) = tag(id).map(|tag| format!("{PREFIX}{tag}")) else { return Ok(()) };
    let listed = store.list(Some(&prefix), MOST_LISTED).await.map_err(|error| ApiError::of_store(&error, &prefix))?;
    let mut looked_in: Option<String> = None;
    let mut read = 0;
    for response in listed.iter().take_while(|response| response.starts_with(&prefix)) {
        // Others were deleted.
        let Some((mut file, kept)) = stored::find(store, response).await? else { continue };
        read += 1;
        if kept.of != stored::owner_of(response) && looked_in.as_ref() != Some(&kept.of) {
            match store.load(&kept.of).await {
                Ok((mut file, _)) => take(&Record::of(&kept.of, &mut file), wanted, found),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Limit) => {}
                Err(error) => return Err(ApiError::of_store(&error, &kept.of)),
            }
            looked_in = Some(kept.of.clone());
        }
        take(&Record::of(&kept.of, &mut file), wanted, found);
        if found.contains_key(id) || read == MOST_RESPONSES {
            break;
        }
    }
    Ok(())
}

/// Takes a copy of each item that is wanted and was not found yet.
fn take(record: &Record<'_>, wanted: &HashSet<String>, found: &mut HashMap<String, InputItem>) {
    let missing: Vec<String> = wanted.iter().filter(|id| !found.contains_key(*id)).cloned().collect();
    found.extend(record.with_ids(&missing, true).map(|item| (item.id.clone(), InputItem::from(&item))));
}

fn not_stored(id: &str) -> ApiError {
    let mut error = ApiError::invalid_request(format!(
        "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with `store` set \
         to true, or remove this item from your input."
    ));
    (error.status, error.param) = (404, Some("input".to_owned()));
    error
}
