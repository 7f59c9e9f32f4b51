//! `check`: tries whether a store keeps its promises, for stores of this crate and of others.

use std::time::Duration;

use futures_util::future::join_all;

use super::wait::wait_at_most;
use super::{BoxFuture, Change, MAX_ID, Revision, Store};
use crate::conversation::{Conversation, ItemId};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Message, ToolCall};
use crate::transcript::Transcript;
use crate::violation::Violation;

type Kept<T = ()> = Result<T, Violation>;

/// Tries a store: conversations come back to the byte, through the same handle and another; what is
/// missing is said to be; a writer that has not read the newest revision is refused and changes
/// nothing; of writers that race each loses nothing that was acknowledged; ids that differ are
/// different conversations; one that is begun under the id of a deleted one is another one, with
/// revisions that the deleted one never had; lists are whole and in order.
///
/// `open` opens the same storage again, as another process would. The conversations that are made
/// have ids that begin with `check-`; they are deleted at the end, unless a promise is broken.
///
/// **Provisional**: it may change before 1.0.
///
/// # Errors
/// The first promise that is broken: `blocked thread`, `missing`, `round trip`, `fork`, `conflict`,
/// `changes`, `delete`, `ids`, `list`, `writers` or `fails`.
///
/// # Examples
/// ```
/// use turnwise::store::{FileStore, MemoryStore, check};
///
/// # futures_lite::future::block_on(async {
/// let memory = MemoryStore::new();
/// check(|| memory.clone()).await?;
///
/// # let folder = tempfile::TempDir::new()?;
/// # let folder = folder.path();
/// check(|| FileStore::open(folder).unwrap()).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn check<S: Store>(open: impl Fn() -> S) -> Result<(), Violation> {
    let trial = Trial { store: open(), other: open(), prefix: format!("check-{:08x}", fastrand::u32(..)) };
    trial.waits_for_nobody()?;
    trial.missing().await?;
    trial.round_trip().await?;
    trial.forks().await?;
    trial.conflicts().await?;
    trial.changes().await?;
    trial.ids().await?;
    trial.lists().await?;
    trial.racing_writers().await?;
    trial.patient_writers().await?;
    trial.deletes().await
}

struct Trial<S> {
    store: S,
    /// Another handle on the same storage.
    other: S,
    prefix: String,
}

const LONGEST_WAIT: Duration = Duration::from_secs(10);
const ITEMS: usize = 5;
const WRITERS: usize = 8;
/// How often a writer repeats what was refused: each time another one has succeeded, if the store
/// keeps its promises.
const MOST_REFUSALS: usize = 10 * ITEMS * WRITERS;

impl<S: Store> Trial<S> {
    fn id(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A manager blocks its thread while it waits, as this does.
    fn waits_for_nobody(&self) -> Kept {
        let id = self.id("blocked");
        let empty = Transcript::default();
        let done = wait_at_most(LONGEST_WAIT, async {
            self.store.save(&id, &empty, None).await?;
            self.other.load(&id).await?;
            self.store.delete(&id).await
        });
        match done {
            Some(done) => fails(done),
            None => broken(
                "blocked thread",
                format!("a call is not done after {LONGEST_WAIT:?} while its caller's thread is blocked"),
            ),
        }
    }

    async fn missing(&self) -> Kept {
        let id = self.id("missing");
        let is_missing = |doing: &str, kind: ErrorKind| {
            let found =
                format!("{doing} a conversation that is not there gives {kind:?}, and not {:?}", ErrorKind::NotFound);
            if kind == ErrorKind::NotFound { Ok(()) } else { broken("missing", found) }
        };
        is_missing("loading", refusal("missing", self.store.load(&id)).await?)?;
        is_missing("asking the revision of", refusal("missing", self.store.revision(&id)).await?)?;
        is_missing("forking", refusal("missing", self.store.fork(&id, &self.id("copy"))).await?)?;
        is_missing("deleting", refusal("missing", self.store.delete(&id)).await?)?;
        let unknown = Revision::new("never");
        conflict("appending to a conversation that is not there", self.store.append(&id, &[], &unknown)).await?;
        let empty = Transcript::default();
        conflict("saving over a conversation that is not there", self.store.save(&id, &empty, Some(&unknown))).await
    }

    async fn round_trip(&self) -> Kept {
        let (id, whole) = (self.id("whole"), whole());
        let saved = fails(self.store.save(&id, &whole, None).await)?;
        for store in [&self.store, &self.other, &self.store] {
            let (loaded, revision) = fails(store.load(&id).await)?;
            if loaded.to_json() != whole.to_json() {
                return broken("round trip", "what was saved does not come back to the byte");
            }
            if revision != saved {
                return broken("round trip", format!("it was saved as revision {saved} and is loaded as {revision}"));
            }
            let asked = fails(store.revision(&id).await)?;
            if asked != saved {
                return broken("round trip", format!("it was saved as revision {saved}, and {asked} is stated"));
            }
        }
        Ok(())
    }

    async fn forks(&self) -> Kept {
        let (id, fork) = (self.id("whole"), self.id("fork"));
        let before = fails(self.store.revision(&id).await)?;
        let forked = fails(self.other.fork(&id, &fork).await)?;
        let (mut copy, revision) = fails(self.store.load(&fork).await)?;
        if copy.conversation.id() != fork || revision != forked {
            return broken("fork", format!("the fork is {} at {revision}", copy.conversation.id()));
        }
        let (original, _) = fails(self.store.load(&id).await)?;
        if texts(&copy) != texts(&original) {
            return broken("fork", "the fork has other messages than the original");
        }
        conflict("forking to an id that is there", self.store.fork(&id, &fork)).await?;
        let saved = copy.clone();
        copy.conversation.push("only in the fork");
        fails(self.store.append(&fork, &copy.changes_since(&saved), &forked).await)?;
        self.holds(&fork, &copy).await?;
        self.holds(&id, &original).await?;
        if fails(self.other.revision(&id).await)? != before {
            return broken("fork", "a change of the fork has changed the original");
        }
        fails(self.store.delete(&id).await)?;
        self.holds(&fork, &copy).await?;
        fails(self.store.save(&id, &original, None).await).map(drop)
    }

    async fn conflicts(&self) -> Kept {
        let id = self.id("conflict");
        let (first, mut second) = (whole(), whole());
        second.conversation.push("what another writer has said");
        let read = fails(self.store.save(&id, &first, None).await)?;
        conflict("beginning a conversation that is there", self.other.save(&id, &second, None)).await?;
        self.holds(&id, &first).await?;
        let written = fails(self.other.save(&id, &second, Some(&read)).await)?;
        if written == read {
            return broken("conflict", "two states of a conversation have one revision");
        }
        let changes = first.changes_since(&first.clone());
        conflict("saving over a newer revision", self.store.save(&id, &first, Some(&read))).await?;
        conflict("appending to a newer revision", self.store.append(&id, &changes, &read)).await?;
        self.holds(&id, &second).await?;
        fails(self.store.save(&id, &first, Some(&written)).await)?;
        self.holds(&id, &first).await
    }

    async fn changes(&self) -> Kept {
        let id = self.id("changes");
        let mut file = Transcript::default();
        let mut revision = fails(self.store.save(&id, &file, None).await)?;
        for (number, change) in CHANGES.iter().enumerate() {
            let before = file.clone();
            fails(change(&mut file.conversation))?;
            let store = if number % 2 == 0 { &self.store } else { &self.other };
            let appended = fails(store.append(&id, &file.changes_since(&before), &revision).await)?;
            let (loaded, now) = fails(self.store.load(&id).await)?;
            if now != appended || loaded.to_json() != file.to_json() {
                return broken("changes", format!("after change {number} the conversation is not what was appended"));
            }
            revision = appended;
        }
        let unfit = [Change::Unpinned { item: ItemId(0) }, Change::Pinned { item: ItemId(99) }];
        match refusal("changes", self.store.append(&id, &unfit, &revision)).await? {
            ErrorKind::Damaged => self.holds(&id, &file).await,
            kind => {
                broken("changes", format!("changes that do not fit give {kind:?}, and not {:?}", ErrorKind::Damaged))
            }
        }
    }

    async fn ids(&self) -> Kept {
        let ids = ["A", "a", "/../a", "\\a", ".json", " ", "ü", "u\u{308}", "%61", "'; --"].map(|name| self.id(name));
        for id in &ids {
            fails(self.store.save(id, &named(id), None).await)?;
        }
        let longest = format!("{:x<MAX_ID$}", self.id("-"));
        fails(self.store.save(&longest, &named(&longest), None).await)?;
        for id in ids.iter().chain([&longest]) {
            self.holds_named(id).await?;
        }
        for wrong in [String::new(), format!("{longest}x")] {
            let empty = Transcript::default();
            for kind in [
                refusal("ids", self.store.load(&wrong)).await?,
                refusal("ids", self.store.save(&wrong, &empty, None)).await?,
                refusal("ids", self.store.delete(&wrong)).await?,
            ] {
                if kind != ErrorKind::Limit {
                    return broken("ids", format!("an id of {} bytes gives {kind:?}", wrong.len()));
                }
            }
        }
        Ok(())
    }

    /// Every id that was made so far, page by page.
    async fn lists(&self) -> Kept {
        let (all, paged) = (self.listed(1_000).await?, self.listed(3).await?);
        if all != paged {
            return broken(
                "list",
                format!("{} conversations in large pages and {} in small ones", all.len(), paged.len()),
            );
        }
        if !all.is_sorted_by(|one, next| one < next) {
            return broken("list", format!("the ids are not in the order of their bytes: {all:?}"));
        }
        // Those of `round_trip`, `forks`, `conflicts` and `changes`, ten ids and the longest one.
        if all.len() == 15 { Ok(()) } else { broken("list", format!("{} of 15 conversations are listed", all.len())) }
    }

    async fn listed(&self, limit: usize) -> Kept<Vec<String>> {
        let mut ids = Vec::new();
        let mut after = Some(self.prefix.clone());
        loop {
            let page = fails(self.other.list(after.as_deref(), limit).await)?;
            if page.len() > limit {
                return broken("list", format!("a page of {}, and at most {limit} were asked for", page.len()));
            }
            if let Some((first, after)) = page.first().zip(after).filter(|(first, after)| *first <= after) {
                return broken("list", format!("the page after {after:?} begins with {first:?}"));
            }
            let own = page.iter().take_while(|id| id.starts_with(&self.prefix)).cloned();
            let before = ids.len();
            ids.extend(own);
            if ids.len() - before < limit {
                return Ok(ids);
            }
            after = page.last().cloned();
        }
    }

    /// Of writers that have read one revision and write at once, one succeeds.
    async fn racing_writers(&self) -> Kept {
        let id = self.id("race");
        let before = Transcript::default();
        let revision = fails(self.store.save(&id, &before, None).await)?;
        let states = (0..WRITERS).map(|writer| {
            let mut after = before.clone();
            after.conversation.push(format!("writer {writer}"));
            after
        });
        let states: Vec<Transcript> = states.collect();
        let changes: Vec<Vec<Change>> = states.iter().map(|after| after.changes_since(&before)).collect();
        let writes = changes.iter().enumerate().map(|(writer, changes)| {
            let store = if writer % 2 == 0 { &self.store } else { &self.other };
            store.append(&id, changes, &revision)
        });
        let mut winners = Vec::new();
        for (writer, written) in join_all(writes).await.into_iter().enumerate() {
            match written {
                Ok(_) => winners.push(writer),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return fails(Err(error)),
            }
        }
        match winners[..] {
            [winner] => self.holds(&id, &states[winner]).await,
            _ => {
                broken("writers", format!("of {WRITERS} that write to one revision at once, {} succeed", winners.len()))
            }
        }
    }

    /// Writers that repeat what was refused lose nothing.
    async fn patient_writers(&self) -> Kept {
        let id = self.id("patience");
        fails(self.store.save(&id, &Transcript::default(), None).await)?;
        for written in join_all((0..WRITERS).map(|writer| self.write_all(&id, writer))).await {
            written?;
        }
        let (all, _) = fails(self.store.load(&id).await)?;
        let mut texts = texts(&all);
        texts.sort_unstable();
        texts.dedup();
        let written = WRITERS * ITEMS;
        if texts.len() == written && all.conversation.path().len() == written {
            return Ok(());
        }
        broken("writers", format!("{} of {written} messages that were acknowledged are there", texts.len()))
    }

    async fn write_all(&self, id: &str, writer: usize) -> Kept {
        let store = if writer.is_multiple_of(2) { &self.store } else { &self.other };
        for number in 0..ITEMS {
            let mut refusals = 0;
            loop {
                let (mut file, revision) = fails(store.load(id).await)?;
                let before = file.clone();
                file.conversation.push(format!("message {number} of writer {writer}"));
                match store.append(id, &file.changes_since(&before), &revision).await {
                    Ok(_) => break,
                    Err(error) if error.kind() == ErrorKind::Conflict && refusals < MOST_REFUSALS => refusals += 1,
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        let found = format!("a writer that loads and appends again is refused {refusals} times");
                        return broken("writers", found);
                    }
                    Err(error) => return fails(Err(error)),
                }
            }
        }
        Ok(())
    }

    async fn deletes(&self) -> Kept {
        for id in self.listed(1_000).await? {
            let (file, revision) = fails(self.store.load(&id).await)?;
            fails(self.store.delete(&id).await)?;
            match refusal("delete", self.other.load(&id)).await? {
                ErrorKind::NotFound => {}
                kind => return broken("delete", format!("loading what was deleted gives {kind:?}")),
            }
            conflict("saving over what was deleted", self.other.save(&id, &file, Some(&revision))).await?;
            conflict("appending to what was deleted", self.other.append(&id, &[], &revision)).await?;
        }
        self.begins_again().await?;
        match self.listed(1_000).await?.len() {
            0 => Ok(()),
            left => broken("delete", format!("{left} conversations that were deleted are still listed")),
        }
    }

    /// A conversation that is begun under the id of one that was deleted is another one: its
    /// revisions are new, and who has read the old one is refused.
    async fn begins_again(&self) -> Kept {
        let id = self.id("again");
        let mut old: Vec<(Transcript, Revision)> = Vec::new();
        for text in ["one", "two", "six"] {
            let mut file = named(text);
            let mut revision = fails(self.store.save(&id, &file, None).await)?;
            let mut states = Vec::new();
            for number in 0..3 {
                if let Some((before, _)) = old.iter().find(|(_, before)| *before == revision) {
                    let found = format!(
                        "the revision {revision} of a conversation that was deleted is used again for another one with \
                         its id, after {} and {} messages",
                        before.conversation.path().len(),
                        file.conversation.path().len()
                    );
                    return broken("delete", found);
                }
                for (before, known) in &old {
                    conflict("saving over one that was begun again", self.other.save(&id, before, Some(known))).await?;
                    conflict("appending to one that was begun again", self.other.append(&id, &[], known)).await?;
                }
                self.holds(&id, &file).await?;
                states.push((file.clone(), revision.clone()));
                let before = file.clone();
                file.conversation.push(format!("{text} {number}"));
                revision = fails(self.store.append(&id, &file.changes_since(&before), &revision).await)?;
            }
            old.append(&mut states);
            fails(self.other.delete(&id).await)?;
        }
        Ok(())
    }

    async fn holds(&self, id: &str, expected: &Transcript) -> Kept {
        let (found, _) = fails(self.store.load(id).await)?;
        if found.to_json() == expected.to_json() {
            Ok(())
        } else {
            broken("conflict", "a write that was refused, or an older one, has changed the conversation")
        }
    }

    async fn holds_named(&self, id: &str) -> Kept {
        let (found, _) = fails(self.other.load(id).await)?;
        let name = found.conversation.metadata().get("name").map(str::to_owned);
        if name.as_deref() == Some(id) {
            return Ok(());
        }
        broken("ids", format!("under the id {id:?} is what was saved as {name:?}"))
    }
}

/// The texts of the current branch.
fn texts(file: &Transcript) -> Vec<String> {
    file.conversation.path().messages().map(|message| message.text().into_owned()).collect()
}

/// A conversation with something of everything.
fn whole() -> Transcript {
    let mut file = Transcript::default();
    file.model = Some("a model".to_owned());
    for change in CHANGES {
        // Each fits after those before it; a round trip would tell.
        let _ = change(&mut file.conversation);
    }
    file
}

fn named(name: &str) -> Transcript {
    let mut file = Transcript::default();
    // An id is shorter than a value may be.
    let _ = file.conversation.metadata_mut().set("name", name);
    file
}

/// Changes of every kind that a program makes, each after those before it.
const CHANGES: &[fn(&mut Conversation) -> Result<()>] = &[
    |talk| talk.set_head([Message::system("Be brief."), Message::developer("Ünïcode, 日本, 🙂, \"quotes\"\n")]),
    |talk| {
        talk.push("Name a river.");
        talk.push(Message::calls([ToolCall::function("call_1", "rivers", "{\"in\": \"Europe\"}")]));
        talk.push(Message::tool("call_1", "[\"Elbe\", \"Oder\"]"));
        talk.push(Message::assistant("The Elbe."));
        Ok(())
    },
    |talk| talk.leaf().map_or(Ok(()), |leaf| talk.pin(leaf)),
    |talk| talk.leaf().map_or(Ok(()), |leaf| talk.edit(leaf, Message::assistant("The Oder.")).map(drop)),
    |talk| {
        let ends = talk.path().item(0).zip(talk.path().item(3)).map(|(first, last)| (first.id(), last.id()));
        ends.map_or(Ok(()), |(first, last)| talk.attach(first, last, "It was about rivers.", Some("a model")).map(drop))
    },
    |talk| talk.metadata_mut().set("topic", "rivers"),
    |talk| {
        talk.constrain("In French.");
        Ok(())
    },
    |talk| {
        talk.undo();
        Ok(())
    },
    |talk| {
        talk.purge_branches();
        talk.push("Name a lake.");
        Ok(())
    },
];

fn broken<T>(promise: &'static str, found: impl Into<String>) -> Kept<T> {
    Err(Violation::new(promise, found))
}

fn fails<T>(done: Result<T>) -> Kept<T> {
    done.or_else(|error: Error| broken("fails", error.to_string()))
}

/// The kind of the error that must come.
async fn refusal<T>(promise: &'static str, refused: BoxFuture<'_, Result<T>>) -> Kept<ErrorKind> {
    match refused.await {
        Ok(_) => broken(promise, "something succeeds that must be refused"),
        Err(error) => Ok(error.kind()),
    }
}

async fn conflict<T>(doing: &str, refused: BoxFuture<'_, Result<T>>) -> Kept {
    match refused.await {
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        Err(error) => {
            broken("conflict", format!("{doing} gives {:?}, and not {:?}", error.kind(), ErrorKind::Conflict))
        }
        Ok(_) => broken("conflict", format!("{doing} succeeds")),
    }
}
