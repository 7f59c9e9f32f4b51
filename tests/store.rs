//! The stores keep what a store promises, and the check finds those that do not.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_lite::future::block_on;
use tempfile::TempDir;
use turnwise::backend::Scripted;
use turnwise::store::{self, BoxFuture, Change, FileStore, MemoryStore, Revision, Store};
use turnwise::{Conversation, ConversationManager, ErrorKind, Message, Result, Transcript};

fn talk(text: &str) -> Transcript {
    Transcript::new(Conversation::from_messages([Message::user(text)]))
}

#[test]
fn a_memory_store_keeps_its_promises() {
    let store = MemoryStore::new();
    block_on(store::check(|| store.clone())).unwrap();
}

#[test]
fn a_file_store_keeps_its_promises_and_leaves_only_locks() {
    let folder = TempDir::new().unwrap();
    block_on(store::check(|| FileStore::open(folder.path()).unwrap())).unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    block_on(store::check(|| store.clone())).unwrap();
    for left in fs::read_dir(folder.path()).unwrap() {
        let name = left.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with('.') && name.contains(".lock"), "{name}");
    }
}

/// What is wrong with the middle of a file is found by who reads it. Neither a load nor an append
/// does, if by all that the system says of the file nothing was written since the same store was
/// there last.
#[test]
fn a_file_that_has_not_changed_is_not_read_again() {
    let folder = TempDir::new().unwrap();
    let open = || FileStore::open(folder.path()).unwrap();
    let (store, other) = (open(), open());
    let add = |store: &FileStore, text: &str| {
        let (before, revision) = block_on(store.load("ann"))?;
        let mut after = before.clone();
        after.conversation.push(text);
        block_on(store.append("ann", &after.changes_since(&before), &revision))
    };
    block_on(store.save("ann", &talk("first"), None)).unwrap();
    add(&store, "second").unwrap();
    add(&other, "third").unwrap();
    assert_eq!(block_on(store.load("ann")).unwrap().0.conversation.path().len(), 3, "another's write is read");
    let path = store.path("ann").unwrap();
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("first", "other")).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    let revision = add(&store, "fourth").unwrap();
    assert_eq!(block_on(store.revision("ann")).unwrap(), revision);
    let (kept, _) = block_on(store.clone().load("ann")).unwrap();
    assert_eq!(kept.conversation.path().messages().next().unwrap().text(), "first");
    assert_eq!(block_on(other.load("ann")).unwrap_err().kind(), ErrorKind::Damaged);
    block_on(store.delete("ann")).unwrap();
    assert_eq!(block_on(store.load("ann")).unwrap_err().kind(), ErrorKind::NotFound);
}

/// The revision of a journal is that of its end.
#[test]
fn a_change_in_the_middle_of_a_file_is_seen_and_nothing_is_added_to_it() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let add = |text: &str| {
        let (before, revision) = block_on(store.load("ann"))?;
        let mut after = before.clone();
        after.conversation.push(text);
        block_on(store.append("ann", &after.changes_since(&before), &revision)).map(|_| after)
    };
    block_on(store.save("ann", &talk("first"), None)).unwrap();
    add("second").unwrap();
    let before = add("third").unwrap();
    let revision = block_on(store.revision("ann")).unwrap();
    let path = store.path("ann").unwrap();
    let changed = fs::read_to_string(&path).unwrap().replace("first", "other");
    fs::write(&path, &changed).unwrap();
    // Also where the clock of the disk is coarse.
    let later = SystemTime::now() + Duration::from_secs(1);
    fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_eq!(block_on(store.load("ann")).unwrap_err().kind(), ErrorKind::Damaged);
    let mut after = before.clone();
    after.conversation.push("fourth");
    let added = block_on(store.append("ann", &after.changes_since(&before), &revision));
    assert_eq!(added.unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(fs::read_to_string(&path).unwrap(), changed);
}

/// Two owners' conversations with one id are two, also where they are kept in one memory.
#[test]
fn stores_that_share_their_memory_are_apart() {
    let folder = TempDir::new().unwrap();
    let one = FileStore::open(folder.path().join("one")).unwrap();
    let two = FileStore::with_memory_of(&one, folder.path().join("two")).unwrap();
    for (store, text) in [(&one, "first"), (&two, "second")] {
        block_on(store.save("ann", &talk(text), None)).unwrap();
    }
    for (store, text) in [(&one, "first"), (&two, "second")] {
        let (file, _) = block_on(store.load("ann")).unwrap();
        assert_eq!(file.conversation.path().messages().next().unwrap().text(), text);
    }
    block_on(two.delete("ann")).unwrap();
    assert_eq!(block_on(two.load("ann")).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(block_on(one.load("ann")).is_ok());
}

/// A folder that was moved, with a link in its place.
#[cfg(unix)]
#[test]
fn a_folder_that_is_reached_by_another_way_is_written_to() {
    let parent = TempDir::new().unwrap();
    let [folder, moved] = ["talks", "moved"].map(|name| parent.path().join(name));
    let store = FileStore::open(&folder).unwrap();
    let revision = block_on(store.save("ann", &talk("first"), None)).unwrap();
    let (before, _) = block_on(store.load("ann")).unwrap();
    fs::rename(&folder, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &folder).unwrap();
    let mut after = before.clone();
    after.conversation.push("second");
    block_on(store.append("ann", &after.changes_since(&before), &revision)).unwrap();
    assert_eq!(block_on(store.load("ann")).unwrap().0.conversation.path().len(), 2);
}

#[test]
fn a_store_behind_a_pointer_keeps_its_promises() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    block_on(store::check(|| Box::new(Arc::clone(&store)))).unwrap();
}

/// A store that breaks one promise.
#[derive(Clone)]
struct Broken {
    store: MemoryStore,
    how: &'static str,
}

impl Broken {
    /// Of a store whose revisions count the changes of a conversation: the revision of the memory
    /// store that is meant.
    async fn meant(&self, id: &str, counted: Option<&Revision>) -> Result<Option<Revision>> {
        let Some(counted) = counted else { return Ok(None) };
        let (file, newest) = self.store.load(id).await.map_err(|_| store::conflict(id))?;
        if count(&file) == *counted { Ok(Some(newest)) } else { Err(store::conflict(id)) }
    }
}

fn count(file: &Transcript) -> Revision {
    Revision::new(file.changes().len().to_string())
}

impl Store for Broken {
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(Transcript, Revision)>> {
        if self.how == "counts anew" {
            return Box::pin(async move {
                let (file, _) = self.store.load(id).await?;
                let counted = count(&file);
                Ok((file, counted))
            });
        }
        if self.how == "two cases of one letter are one id" {
            return Box::pin(async move { self.store.load(&id.to_lowercase()).await });
        }
        if self.how == "makes what is missing" {
            return Box::pin(async move {
                let found = self.store.load(id).await;
                Ok(found.unwrap_or_else(|_| (Transcript::default(), Revision::new("none"))))
            });
        }
        if self.how == "waits for its caller" {
            return Box::pin(std::future::pending());
        }
        self.store.load(id)
    }

    fn fork<'a>(&'a self, id: &'a str, fork: &'a str) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(async move {
            match self.how {
                "forks under the old id" => {
                    let (file, _) = self.store.load(id).await?;
                    self.store.save(fork, &file, None).await
                }
                "counts anew" => {
                    self.store.fork(id, fork).await?;
                    Ok(self.load(fork).await?.1)
                }
                _ => self.store.fork(id, fork).await,
            }
        })
    }

    fn save<'a>(
        &'a self,
        id: &'a str,
        transcript: &'a Transcript,
        expected: Option<&'a Revision>,
    ) -> BoxFuture<'a, Result<Revision>> {
        if self.how == "two cases of one letter are one id" {
            return Box::pin(async move { self.store.save(&id.to_lowercase(), transcript, expected).await });
        }
        if self.how == "counts anew" {
            return Box::pin(async move {
                let meant = self.meant(id, expected).await?;
                self.store.save(id, transcript, meant.as_ref()).await?;
                Ok(count(transcript))
            });
        }
        self.store.save(id, transcript, expected)
    }

    fn append<'a>(
        &'a self,
        id: &'a str,
        changes: &'a [Change],
        expected: &'a Revision,
    ) -> BoxFuture<'a, Result<Revision>> {
        Box::pin(async move {
            match self.how {
                "the last writer wins" => {
                    let (_, newest) = self.store.load(id).await.map_err(|_| store::conflict(id))?;
                    self.store.append(id, changes, &newest).await
                }
                "forgets pins" => {
                    let kept: Vec<Change> = changes.iter().filter(|one| one.kind() != "pinned").cloned().collect();
                    self.store.append(id, &kept, expected).await
                }
                "looks before it waits" => {
                    let (mut file, newest) = self.store.load(id).await.map_err(|_| store::conflict(id))?;
                    if newest != *expected {
                        return Err(store::conflict(id));
                    }
                    file.apply(changes.to_vec())?;
                    futures_lite::future::yield_now().await;
                    let (_, newest) = self.store.load(id).await?;
                    self.store.save(id, &file, Some(&newest)).await
                }
                "counts anew" => {
                    let meant = self.meant(id, Some(expected)).await?.unwrap();
                    self.store.append(id, changes, &meant).await?;
                    Ok(self.load(id).await?.1)
                }
                "refuses every append" if id.ends_with("patience") => Err(store::conflict(id)),
                _ => self.store.append(id, changes, expected).await,
            }
        })
    }

    fn list<'a>(&'a self, after: Option<&'a str>, limit: usize) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let mut ids = self.store.list(after, limit).await?;
            match self.how {
                "lists from the first on" => ids = self.store.list(None, limit).await?,
                "lists all at once" => ids = self.store.list(after, usize::MAX).await?,
                "lists in reverse" => ids.reverse(),
                _ => {}
            }
            Ok(ids)
        })
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<()>> {
        if self.how == "deletes nothing" { Box::pin(async { Ok(()) }) } else { self.store.delete(id) }
    }
}

#[test]
fn the_check_finds_a_store_that_breaks_a_promise() {
    let ways = [
        ("waits for its caller", "blocked thread"),
        ("makes what is missing", "missing"),
        ("forks under the old id", "fork"),
        ("the last writer wins", "conflict"),
        ("forgets pins", "changes"),
        ("looks before it waits", "writers"),
        ("two cases of one letter are one id", "fails"),
        ("lists all at once", "list"),
        ("lists in reverse", "list"),
        ("lists from the first on", "list"),
        ("refuses every append", "writers"),
        ("deletes nothing", "missing"),
        ("counts anew", "delete"),
    ];
    for (how, promise) in ways {
        let broken = Broken { store: MemoryStore::new(), how };
        let found = block_on(store::check(|| broken.clone())).unwrap_err();
        assert_eq!(found.promise, promise, "a store that {how}: {found}");
    }
}

#[test]
fn a_store_gives_and_takes_copies() {
    let store = MemoryStore::new();
    block_on(async {
        let file = talk("a");
        store.save("one", &file, None).await.unwrap();
        file.calibration.learn_limit("model", "server", 99);
        let (loaded, _) = store.load("one").await.unwrap();
        assert!(loaded.calibration.is_empty(), "what bills teach is shared by clones, and not with a store");
    });
}

#[test]
fn files_of_a_store_are_transcripts_that_managers_go_on_with() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path().join("chats")).unwrap();
    block_on(async {
        let chat = ConversationManager::builder("gpt-4o-mini").backend(Scripted::new(["one", "two"]));
        let chat = chat.resume(store.path("Ann").unwrap()).unwrap();
        chat.send("a").await.unwrap();
        assert_eq!(store.list(None, 9).await.unwrap(), ["Ann"]);
        let (mut file, revision) = store.load("Ann").await.unwrap();
        assert_eq!(file.conversation.id(), chat.snapshot().id());
        let before = file.clone();
        file.conversation.push("said through the store");
        store.append("Ann", &file.changes_since(&before), &revision).await.unwrap();
        let unsaved = chat.send("b").await.unwrap().report.unsaved.unwrap();
        assert_eq!(unsaved.kind(), ErrorKind::Conflict);
    });
}

#[test]
fn a_file_store_loses_no_file_that_it_cannot_read() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let torn = store.path("torn").unwrap();
    fs::write(&torn, "{\"messages\": [").unwrap();
    let empty = [store.path("begun").unwrap(), folder.path().join("cut.json")];
    for path in &empty {
        fs::write(path, "").unwrap();
    }
    let log = store.path("log").unwrap();
    fs::write(&log, "{\"role\":\"user\",\"content\":\"a\"}\n{\"role\":\"user\",\"content\":\"b\"}\n").unwrap();
    block_on(async {
        assert_eq!(store.load("torn").await.unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(store.load("log").await.unwrap_err().kind(), ErrorKind::ForeignFormat);
        assert_eq!(store.list(None, 10).await.unwrap(), ["begun", "cut", "log", "torn"]);
        for id in ["begun", "cut"] {
            let error = store.load(id).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged);
            assert!(error.detail().contains("is empty"), "{error}");
            assert_eq!(store.revision(id).await.unwrap_err().kind(), ErrorKind::Damaged);
        }
        // Nothing is lost by beginning a conversation there.
        store.save("begun", &talk("a"), None).await.unwrap();
        assert_eq!(store.load("begun").await.unwrap().0.conversation.path().len(), 1);
        store.delete("cut").await.unwrap();
        assert_eq!(store.load("cut").await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(store.save("torn", &talk("a"), None).await.unwrap_err().kind(), ErrorKind::Conflict);
        for (file, text) in [(&torn, "{\"messages\": ["), (&log, "{\"role\":\"user\",")] {
            assert!(fs::read_to_string(file).unwrap().starts_with(text));
        }
        let error = store.load("nobody").await.unwrap_err();
        assert_eq!(error.to_string(), "not found: no conversation has the id `nobody`");
    });
}

#[test]
fn hostile_ids_stay_inside_the_folder_and_apart() {
    let outside = TempDir::new().unwrap();
    let folder = outside.path().join("store");
    let store = FileStore::open(&folder).unwrap();
    let mut ids =
        ["..", ".", "../x", "/etc/x", "a/b", "a\\b", "CON", "con", "nul.", "\0", "e\u{301}", "é", "a:b", "~", "a\n"];
    block_on(async {
        for id in ids {
            store.save(id, &talk(id), None).await.unwrap();
        }
        for id in ids {
            assert_eq!(store.load(id).await.unwrap().0.conversation.path().messages().next().unwrap().text(), id);
        }
        ids.sort_unstable();
        assert_eq!(store.list(None, 99).await.unwrap(), ids);
        for refused in ["", &"x".repeat(300)] {
            assert_eq!(store.save(refused, &talk("x"), None).await.unwrap_err().kind(), ErrorKind::Limit);
        }
    });
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing is beside the folder");
}

#[test]
fn deleting_leaves_no_text_of_a_writer_that_was_killed() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    block_on(store.save("a", &talk("secret"), None)).unwrap();
    fs::write(folder.path().join(".a.jsonl.turnwise-tmp"), "secret").unwrap();
    fs::write(folder.path().join("a.jsonl.torn"), "secret").unwrap();
    block_on(store.delete("a")).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_new_conversation_is_a_journal_and_a_document_that_is_there_stays_one() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    talk("of an older version").save(folder.path().join("old.json")).unwrap();
    block_on(async {
        store.save("new", &talk("a"), None).await.unwrap();
        for (id, name) in [("new", "new.jsonl"), ("old", "old.json")] {
            let file = folder.path().join(name);
            assert_eq!(store.path(id).unwrap(), file);
            let before = fs::read_to_string(&file).unwrap();
            let (read, at) = store.load(id).await.unwrap();
            let mut changed = read.clone();
            changed.conversation.push("b");
            let revision = store.append(id, &changed.changes_since(&read), &at).await.unwrap();
            let after = fs::read_to_string(&file).unwrap();
            assert_eq!(after.starts_with(&before), id == "new");
            let (there, now) = store.load(id).await.unwrap();
            assert_eq!((there.to_json(), now), (changed.to_json(), revision));
        }
        assert_eq!(store.list(None, 9).await.unwrap(), ["new", "old"]);
        // One that other programs have begun twice is listed once.
        talk("b").save(folder.path().join("new.json")).unwrap();
        assert_eq!(store.list(None, 9).await.unwrap(), ["new", "old"]);
        assert_eq!(store.load("new").await.unwrap().0.conversation.path().len(), 2);
    });
}

#[cfg(unix)]
#[test]
fn a_conversation_behind_a_link_is_listed() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = FileStore::open(folder.path()).unwrap();
    talk("a").save(elsewhere.path().join("real.json")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("real.json"), store.path("a").unwrap()).unwrap();
    block_on(async {
        assert!(store.load("a").await.is_ok());
        assert_eq!(store.list(None, 9).await.unwrap(), ["a"]);
    });
}
