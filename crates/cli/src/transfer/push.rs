//! `turnwise push`: a conversation becomes one of a server.
//!
//! Which conversation of the server it is stands in a file. How far it has come is asked of the
//! server: a create adds its items together or not at all, so the number of items that are there says
//! where to go on.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use turnwise::Transcript;

use super::api::Api;
use super::items::{self, is_same};
use super::{beside, block_on, name_of, replace, store};
use crate::args::Push;
use crate::failure::{self, Failure, Result};
use crate::input;
use crate::output::stdout;
use crate::text::counted;

/// The most items of one create.
const MOST: usize = 20;

/// The conversation of the server.
#[derive(Serialize, Deserialize)]
struct State {
    url: String,
    conversation: String,
}

pub(crate) fn run(args: &Push) -> Result<()> {
    let (file, beside) = read(args)?;
    let state = args.state.clone().unwrap_or(beside);
    let (metadata, items, report) = items::of(file)?;
    for line in report.to_string().lines() {
        failure::warn(&args.source.display().to_string(), line);
    }
    let (id, count) = block_on(send(&args.to, &state, &metadata, &items))?;
    let mut out = stdout(false);
    writeln!(out, "{id}")?;
    out.flush()?;
    let all = counted(items.len(), "item");
    failure::warn(&args.source.display().to_string(), format_args!("{all} on the server, {count} of them sent now"));
    Ok(())
}

/// The conversation, and the file that remembers where it is on the server.
fn read(args: &Push) -> Result<(Transcript, PathBuf)> {
    if args.source.exists() || args.source.to_str() == Some("-") {
        let files = std::slice::from_ref(&args.source);
        let mut all = input::chosen(files, &args.input).map(|(_, loaded)| loaded);
        let first = all.next().ok_or_else(|| Failure::Failed("there is no conversation".into()));
        let first = first.and_then(|first| first)?;
        if all.next().is_some() {
            let message = "it has several conversations; name one with --only";
            return Err(Failure::usage(format!("{}: {message}", args.source.display())));
        }
        let only = args.input.only.as_deref().map(|only| format!(".{}", name_of(only))).unwrap_or_default();
        return Ok((first.file, beside(&args.source, &format!("{only}.push.json"))));
    }
    let id = args.source.to_str().unwrap_or_default();
    let place = store(args.store.as_deref())?;
    let file = place.load(id).map_err(|failure| failure.within(format!("{id}: no such file, and in the store")))?;
    Ok((file, beside(&place.notes()?, &format!(".push-{}.json", name_of(id)))))
}

/// Sends what the server does not have. Returns its conversation's id, and how many items were sent.
async fn send(url: &str, state: &Path, metadata: &Value, items: &[Value]) -> Result<(String, usize)> {
    let api = Api::at(url)?;
    let id = match known(url, state)? {
        Some(id) => id,
        None => begin(&api, url, state, metadata).await?,
    };
    let there = there(&api, &id, state, items).await?;
    for (place, chunk) in items.chunks(MOST).enumerate().skip(there / MOST) {
        // A chunk that grew since the last push is sent from where it was.
        let from = there.saturating_sub(place * MOST).min(chunk.len());
        if from < chunk.len() {
            let key = format!("push {id} {}", place * MOST + from);
            api.add(&id, &chunk[from..], &key).await?;
        }
    }
    let sent = items.len() - there;
    if sent > 0 {
        let now = self::there(&api, &id, state, items).await?;
        if now != items.len() {
            return Err(Failure::Failed(format!(
                "the server lists {now} of {} items; run the command again",
                items.len()
            )));
        }
    }
    Ok((id, sent))
}

/// The conversation that was begun before, if the file knows one.
fn known(url: &str, state: &Path) -> Result<Option<String>> {
    let text = match fs::read_to_string(state) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::Failed(format!("{}: {error}", state.display()))),
    };
    let known: State =
        serde_json::from_str(&text).map_err(|error| Failure::Failed(format!("{}: {error}", state.display())))?;
    if known.url == url {
        return Ok(Some(known.conversation));
    }
    let message = format!("it was pushed to {}; name another file with --state to push it to {url} too", known.url);
    Err(Failure::usage(format!("{}: {message}", state.display())))
}

/// Begins a conversation without items, and remembers it before any is sent.
async fn begin(api: &Api, url: &str, state: &Path, metadata: &Value) -> Result<String> {
    let conversation = api.begin(metadata).await?;
    let text = serde_json::to_string(&State { url: url.to_owned(), conversation: conversation.clone() });
    replace(state, &text.map_err(|error| Failure::Failed(error.to_string()))?)?;
    Ok(conversation)
}

/// How many of the items the server has; a failure if it has others.
async fn there(api: &Api, id: &str, state: &Path, items: &[Value]) -> Result<usize> {
    let Some(listed) = api.all_items(id).await? else {
        let message = format!("the server has no conversation {id} any more; remove {} to push anew", state.display());
        return Err(Failure::Failed(message));
    };
    let differs = listed
        .iter()
        .enumerate()
        .position(|(place, listed)| items.get(place).is_none_or(|sent| !is_same(sent, listed)));
    match differs {
        None => Ok(listed.len()),
        Some(place) => Err(Failure::Failed(format!(
            "item {} of {id} on the server is not that of the file: one of them was changed; remove {} to push anew",
            place + 1,
            state.display()
        ))),
    }
}
