//! `turnwise push`: a conversation becomes one of a server.
//!
//! Which conversation of the server it is stands in a file. How far it has come is asked of the
//! server: a create adds its items together or not at all, so the number of items that are there says
//! where to go on. The file also says how many were there when a push was complete: if there are fewer
//! later, they were deleted there, and are not sent again.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use turnwise::Transcript;
use turnwise::message::RawJson;
use turnwise::store::wait;

use super::api::{Api, base_of, id_of};
use super::items::{self, is_same};
use super::{alone, beside, block_on, name_of, replace, store};
use crate::args::Push;
use crate::failure::{self, Failure, Result};
use crate::input;
use crate::output::stdout;
use crate::stores::{Place, is_url};
use crate::text::counted;

/// The most items of one create.
const MOST: usize = 20;
/// The most bytes of the items of one create, unless one item has more: servers limit bodies.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The conversation of the server.
#[derive(Serialize, Deserialize)]
struct State {
    url: String,
    conversation: String,
    /// How many items it had when the last push was complete.
    #[serde(default)]
    items: usize,
}

/// What of the items the server has.
#[derive(Default)]
struct There {
    count: usize,
    /// The id of the last one.
    last: Option<String>,
}

pub(crate) fn run(args: &Push) -> Result<()> {
    let source = Source::of(args)?;
    let state = args.state.clone().map_or_else(|| source.state(args), Ok)?;
    let _alone = alone(&state)?;
    let (metadata, items, report) = items::of(source.read(args)?)?;
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

/// Where the conversation is on this machine.
enum Source<'a> {
    File,
    Stored(Place, &'a str),
}

impl<'a> Source<'a> {
    fn of(args: &'a Push) -> Result<Self> {
        if args.source.exists() || args.source.to_str() == Some("-") {
            return Ok(Self::File);
        }
        if is_url(&args.source) {
            let Some(id) = args.input.only.as_deref() else {
                let message = "it is a store; name one of its conversations with --only ID";
                return Err(Failure::usage(format!("{}: {message}", args.source.display())));
            };
            return Self::stored(Place::open(args.source.to_str())?, id);
        }
        let id = args.source.to_str().unwrap_or_default();
        Self::stored(store(args.store.as_deref())?, id)
            .map_err(|failure| failure.within(format!("{id}: no such file, and in the store")))
    }

    /// A conversation that a store has.
    fn stored(place: Place, id: &'a str) -> Result<Self> {
        wait(place.store().revision(id))?;
        Ok(Self::Stored(place, id))
    }

    /// The file that remembers where the conversation is on the server.
    fn state(&self, args: &Push) -> Result<PathBuf> {
        Ok(match self {
            Self::File => {
                let only = args.input.only.as_deref().map(|only| format!(".{}", name_of(only))).unwrap_or_default();
                beside(&args.source, &format!("{only}.push.json"))
            }
            Self::Stored(place, id) => beside(&place.notes()?, &format!(".push-{}.json", name_of(id))),
        })
    }

    /// The conversation as it is now.
    fn read(&self, args: &Push) -> Result<Transcript> {
        if let Self::Stored(place, id) = self {
            return place.load(id);
        }
        let files = std::slice::from_ref(&args.source);
        let mut all = input::chosen(files, &args.input).map(|(_, loaded)| loaded);
        let first = all.next().ok_or_else(|| Failure::Failed("there is no conversation".into()));
        let first = first.and_then(|first| first)?;
        if all.next().is_some() {
            let message = "it has several conversations; name one with --only";
            return Err(Failure::usage(format!("{}: {message}", args.source.display())));
        }
        Ok(first.file)
    }
}

/// Sends what the server does not have. Returns its conversation's id, and how many items were sent.
async fn send(url: &str, file: &Path, metadata: &Value, items: &[RawJson]) -> Result<(String, usize)> {
    let api = Api::at(url)?;
    let mut state = match known(url, file)? {
        Some(state) => state,
        None => begin(&api, url, file, metadata).await?,
    };
    let id = state.conversation.clone();
    let there = compare(&api, &id, file, items, There::default()).await?;
    if there.count < state.items {
        return Err(Failure::Failed(format!(
            "the server lists {} of the {} items that were pushed to {id}: the others were deleted there, and are not \
             sent again; remove {} to push anew",
            there.count,
            state.items,
            file.display()
        )));
    }
    let sent = items.len() - there.count;
    let mut from = there.count;
    while from < items.len() {
        let to = from + together(&items[from..]);
        let added = api.add(&id, &items[from..to], &format!("push {id} {from}")).await;
        added.map_err(|failure| failure.within(format!("items {} to {to}", from + 1)))?;
        from = to;
    }
    if sent > 0 {
        // Where the last one has no id, all are listed again.
        let known = if there.last.is_some() { there } else { There::default() };
        let now = compare(&api, &id, file, items, known).await?.count;
        if now != items.len() {
            let all = items.len();
            return Err(Failure::Failed(format!("the server lists {now} of {all} items; run the command again")));
        }
    }
    if state.items != items.len() {
        state.items = items.len();
        remember(file, &state)?;
    }
    Ok((id, sent))
}

/// How many of the items one create adds.
fn together(items: &[RawJson]) -> usize {
    let mut bytes = 0;
    let fitting = items.iter().take(MOST).take_while(|item| {
        bytes += item.as_str().len();
        bytes <= MOST_BYTES
    });
    fitting.count().max(1)
}

/// The conversation that was begun before, if the file knows one.
fn known(url: &str, file: &Path) -> Result<Option<State>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::Failed(format!("{}: {error}", file.display()))),
    };
    let known: State =
        serde_json::from_str(&text).map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?;
    if base_of(&known.url) == base_of(url) {
        return Ok(Some(known));
    }
    let message = format!("it was pushed to {}; name another file with --state to push it to {url} too", known.url);
    Err(Failure::usage(format!("{}: {message}", file.display())))
}

/// Begins a conversation without items, and remembers it before any is sent.
async fn begin(api: &Api, url: &str, file: &Path, metadata: &Value) -> Result<State> {
    let state = State { url: base_of(url).to_owned(), conversation: api.begin(metadata).await?, items: 0 };
    remember(file, &state)?;
    Ok(state)
}

fn remember(file: &Path, state: &State) -> Result<()> {
    let text = serde_json::to_string(state).map_err(|error| Failure::Failed(error.to_string()))?;
    replace(file, &text)
}

/// Compares the items that the server lists after those that were compared before with what was sent;
/// a failure if it has others.
async fn compare(api: &Api, id: &str, state: &Path, items: &[RawJson], mut there: There) -> Result<There> {
    let anew = format!("remove {} to push anew", state.display());
    let mut pages = api.pages(id, there.last.clone());
    loop {
        let Some(page) = pages.next().await? else {
            let message =
                format!("the server has no conversation {id} any more, or none that OPENAI_API_KEY may see; {anew}");
            return Err(Failure::Failed(message));
        };
        if page.is_empty() {
            return Ok(there);
        }
        for listed in &page {
            if items.get(there.count).is_none_or(|sent| !is_same(sent, listed)) {
                let number = there.count + 1;
                return Err(Failure::Failed(format!(
                    "item {number} of {id} on the server is not that of the file: one of them was changed; {anew}"
                )));
            }
            there.count += 1;
        }
        there.last = page.last().and_then(id_of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_as_many_items_as_servers_take_and_at_least_one() {
        let of = |bytes: usize, count: usize| vec![RawJson::from(&"x".repeat(bytes)); count];
        assert_eq!(together(&of(10, 25)), MOST);
        assert_eq!(together(&of(10, 3)), 3);
        assert_eq!(together(&of(MOST_BYTES / 3, 5)), 2);
        assert_eq!(together(&of(2 * MOST_BYTES, 2)), 1);
    }
}
