//! A whole store out and in.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_lite::future::block_on;
use tempfile::TempDir;
use turnwise::backend::Usage;
use turnwise::spending::{Call, Purpose};
use turnwise::store::{FileStore, MemoryStore, Store};
use turnwise::{Conversation, ErrorKind, Message, Result, ToolCall, Transcript};
use turnwise_store::SqliteStore;
use turnwise_store::export::{Existing, Exporter, Imported, import};

/// A conversation with something of everything.
fn talk(number: usize) -> Transcript {
    let mut talk = Conversation::from_messages([Message::system("Be brief."), Message::user(format!("Q {number}"))]);
    let asked = talk.path().item(0).unwrap().id();
    talk.push(Message::calls([ToolCall::function("c", "look", "{\"at\": \"é\\n\"}")]));
    talk.push(Message::tool("c", "line 1\nline 2\u{2028}"));
    talk.edit(asked, format!("Q {number}, again")).unwrap();
    talk.pin(asked).unwrap();
    talk.metadata_mut().set("title", format!("Talk {number}")).unwrap();
    let mut transcript = Transcript::new(talk);
    transcript.model = Some("gpt-4o-mini".to_owned());
    transcript.spending.add(&Call::new(Purpose::Reply, "gpt-4o-mini").usage(&Usage::new(10, number as u64)));
    transcript.calibration.learn_limit("model", "server", 7);
    transcript
}

fn fill(store: &dyn Store, count: usize) {
    for number in 0..count {
        block_on(store.save(&format!("talk/{number}"), &talk(number), None)).unwrap();
    }
}

fn export(store: &dyn Store) -> Vec<u8> {
    let mut out = Exporter::new(Vec::new()).unwrap();
    block_on(out.add(None, store)).unwrap();
    out.finish().unwrap()
}

fn import_into(store: &(impl Store + Clone + 'static), file: &[u8], existing: Existing) -> Result<Imported> {
    block_on(import(file, |_| Ok(Some(Arc::new(store.clone()))), existing))
}

fn lines(transcript: &Transcript) -> Vec<String> {
    transcript.changes().iter().map(|change| serde_json::to_string(change).unwrap()).collect()
}

fn assert_equal(one: &dyn Store, other: &dyn Store) {
    let ids = block_on(one.list(None, 10_000)).unwrap();
    assert_eq!(block_on(other.list(None, 10_000)).unwrap(), ids);
    for id in ids {
        let (one, other) = (block_on(one.load(&id)).unwrap().0, block_on(other.load(&id)).unwrap().0);
        assert_eq!(lines(&one), lines(&other));
        assert_eq!(one.to_json(), other.to_json());
    }
}

#[test]
fn a_store_is_the_same_after_it_went_through_every_kind_of_store() {
    let folder = TempDir::new().unwrap();
    let first = MemoryStore::new();
    fill(&first, 250);
    let file = export(&first);
    let sqlite = SqliteStore::open(folder.path().join("chats.db")).unwrap();
    assert_eq!(import_into(&sqlite, &file, Existing::Refuse).unwrap().added, 250);
    let files = FileStore::open(folder.path().join("files")).unwrap();
    assert_eq!(import_into(&files, &export(&sqlite), Existing::Refuse).unwrap().added, 250);
    let last = MemoryStore::new();
    assert_eq!(import_into(&last, &export(&files), Existing::Refuse).unwrap().added, 250);
    for store in [&sqlite as &dyn Store, &files, &last] {
        assert_equal(&first, store);
        assert!(export(store) == file);
    }
}

#[test]
fn tenants_and_forks_are_written_and_each_goes_to_its_own_tenant() {
    let folder = TempDir::new().unwrap();
    let open = |name: &str| SqliteStore::open(folder.path().join(name)).unwrap();
    let of = |store: &SqliteStore, tenant: Option<&str>| match tenant {
        Some(name) => store.tenant(name).unwrap(),
        None => store.clone(),
    };
    let (store, other) = (open("a.db"), open("b.db"));
    let all = [None, Some("ann"), Some("bob")];
    let mut out = Exporter::new(Vec::new()).unwrap();
    for (number, tenant) in all.into_iter().enumerate() {
        fill(&of(&store, tenant), number + 1);
        block_on(of(&store, tenant).fork("talk/0", "a fork")).unwrap();
        block_on(out.add(tenant, &of(&store, tenant))).unwrap();
    }
    assert_eq!(block_on(store.tenants(None, 10)).unwrap(), ["ann", "bob"]);
    assert_eq!(block_on(store.tenants(Some("ann"), 1)).unwrap(), ["bob"]);
    let file = out.finish().unwrap();
    let stores = |tenant: Option<&str>| Ok(Some(Arc::new(of(&other, tenant)) as Arc<dyn Store>));
    block_on(import(&file[..], stores, Existing::Refuse)).unwrap();
    for tenant in all {
        assert_equal(&of(&store, tenant), &of(&other, tenant));
    }
    // Only some of them.
    let ann = MemoryStore::new();
    let only = |tenant: Option<&str>| Ok((tenant == Some("ann")).then(|| Arc::new(ann.clone()) as Arc<dyn Store>));
    let imported = block_on(import(&file[..], only, Existing::Refuse)).unwrap();
    assert_eq!((imported.added, imported.skipped), (3, 6));
    assert_equal(&ann, &of(&store, Some("ann")));
}

#[cfg(feature = "postgres")]
#[path = "common/postgres.rs"]
mod server;

#[cfg(feature = "postgres")]
#[test]
fn a_store_with_tenants_is_the_same_after_it_went_through_postgresql() {
    use turnwise_store::PostgresStore;

    let Some(url) = server::new_database() else { return };
    let folder = TempDir::new().unwrap();
    let sqlite = SqliteStore::open(folder.path().join("chats.db")).unwrap();
    let postgres = PostgresStore::open(&url).unwrap();
    fill(&sqlite, 250);
    fill(&sqlite.tenant("ann\u{1}").unwrap(), 3);
    block_on(sqlite.fork("talk/0", "a fork")).unwrap();
    block_on(sqlite.save("nul\0", &talk(7), None)).unwrap();
    let whole = |default: &dyn Store, ann: &dyn Store| {
        let mut out = Exporter::new(Vec::new()).unwrap();
        block_on(out.add(None, default)).unwrap();
        block_on(out.add(Some("ann\u{1}"), ann)).unwrap();
        out.finish().unwrap()
    };
    let file = whole(&sqlite, &sqlite.tenant("ann\u{1}").unwrap());
    let of = |tenant: Option<&str>| match tenant {
        Some(name) => postgres.tenant(name).unwrap(),
        None => postgres.clone(),
    };
    let stores = |tenant: Option<&str>| Ok(Some(Arc::new(of(tenant)) as Arc<dyn Store>));
    assert_eq!(block_on(import(&file[..], stores, Existing::Refuse)).unwrap().added, 255);
    assert_equal(&sqlite, &of(None));
    assert!(whole(&of(None), &of(Some("ann\u{1}"))) == file);
}

#[test]
fn an_export_that_was_cut_anywhere_is_resumed_to_the_same_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.jsonl");
    let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
    fill(&store, 3);
    fill(&store.tenant("ann").unwrap(), 2);
    let write = |mut out: Exporter<_>| {
        block_on(out.add(None, &store)).unwrap();
        block_on(out.add(Some("ann"), &store.tenant("ann").unwrap())).unwrap();
        out.finish().unwrap();
    };
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
    write(Exporter::resume(open()).unwrap());
    let whole = fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(7).chain([whole.len() - 1, whole.len()]) {
        fs::write(&path, &whole[..cut]).unwrap();
        let out = Exporter::resume(open()).unwrap();
        assert_eq!(out.is_complete(), cut == whole.len());
        write(out);
        assert!(fs::read(&path).unwrap() == whole, "cut at {cut}");
    }
}

#[test]
fn a_tenant_that_is_added_out_of_its_order_or_twice_is_refused() {
    let store = MemoryStore::new();
    fill(&store, 2);
    let mut out = Exporter::new(Vec::new()).unwrap();
    block_on(out.add(Some("b"), &store)).unwrap();
    for early in [Some("a"), None, Some("b")] {
        let refused = block_on(out.add(early, &store)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidParam);
        assert!(refused.detail().contains("after the tenant `b`"), "{refused}");
    }
    block_on(out.add(Some("c"), &store)).unwrap();
    assert_eq!(out.conversations(), 4);
}

#[test]
fn an_export_of_one_tenant_is_resumed_with_that_tenant_only() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.jsonl");
    let (one, other) = (MemoryStore::new(), MemoryStore::new());
    fill(&one, 3);
    fill(&other, 1);
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
    let write = |mut out: Exporter<_>| {
        block_on(out.add(Some("b"), &one)).unwrap();
        out.finish().unwrap();
    };
    write(Exporter::resume_tenant(open(), "b").unwrap());
    let whole = fs::read(&path).unwrap();
    let mut out = Exporter::of_tenant(Vec::new(), "b").unwrap();
    assert!(block_on(out.add(Some("c"), &other)).unwrap_err().detail().contains("tenant `b` only"));
    block_on(out.add(Some("b"), &one)).unwrap();
    assert!(out.finish().unwrap() == whole);
    let into = |_: Option<&str>| Ok(Some(Arc::new(MemoryStore::new()) as Arc<dyn Store>));
    assert_eq!(block_on(import(&whole[..], into, Existing::Refuse)).unwrap().added, 3);

    let only = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
    for cut in [only, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        for refused in [Exporter::resume(open()), Exporter::resume_tenant(open(), "a")] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidParam);
            assert!(refused.detail().contains("--tenant b"), "{refused}");
            assert_eq!(fs::read(&path).unwrap().len(), cut, "nothing was changed");
        }
        write(Exporter::resume_tenant(open(), "b").unwrap());
        assert!(fs::read(&path).unwrap() == whole, "cut at {cut}");
    }
    // What says nothing of its tenants yet is begun anew.
    fs::write(&path, &whole[..only - 4]).unwrap();
    write(Exporter::resume_tenant(open(), "b").unwrap());
    assert!(fs::read(&path).unwrap() == whole);

    let all = export(&one);
    fs::write(&path, &all[..all.len() - 1]).unwrap();
    let refused = Exporter::resume_tenant(open(), "b").unwrap_err();
    assert!(refused.detail().contains("all tenants"), "{refused}");
}

#[test]
fn what_follows_the_end_of_an_export_is_an_error_with_its_line() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.jsonl");
    let store = MemoryStore::new();
    fill(&store, 1);
    let file = export(&store);
    let lines = file.iter().filter(|byte| **byte == b'\n').count();
    for rest in [&file[..], b"\n", b"{\"conv"] {
        let more = [&file, rest].concat();
        let other = MemoryStore::new();
        let error = import_into(&other, &more, Existing::Refuse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.detail().contains(&format!("line {}", lines + 1)), "{error}");
        assert_equal(&store, &other);
        fs::write(&path, &more).unwrap();
        let opened = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert_eq!(Exporter::resume(opened).unwrap_err().kind(), ErrorKind::Damaged);
        assert!(fs::read(&path).unwrap() == more, "nothing was changed");
    }
}

#[test]
fn an_import_that_was_cut_is_finished_by_making_it_again() {
    let first = MemoryStore::new();
    fill(&first, 40);
    let file = export(&first);
    for cut in [60, file.len() / 3, file.len() / 2, file.len() - 2] {
        let second = MemoryStore::new();
        let error = import_into(&second, &file[..cut], Existing::Refuse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.detail().contains("ends early") && error.detail().contains("--resume"), "{error}");
        let there = block_on(second.list(None, 100)).unwrap().len();
        assert!(cut < 100 || there > 0);
        let imported = import_into(&second, &file, Existing::Refuse).unwrap();
        assert_eq!((imported.same, imported.added), (there, 40 - there));
        assert_equal(&first, &second);
    }
}

#[test]
fn a_conversation_that_the_store_has_with_other_content_is_refused_kept_or_replaced() {
    let first = MemoryStore::new();
    fill(&first, 3);
    let file = export(&first);
    let other = |existing| {
        let store = MemoryStore::new();
        block_on(store.save("talk/1", &talk(99), None)).unwrap();
        (import_into(&store, &file, existing), store)
    };
    let (refused, _) = other(Existing::Refuse);
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.detail().contains("`talk/1`"), "{refused}");
    let (kept, store) = other(Existing::Keep);
    assert_eq!((kept.as_ref().unwrap().kept, kept.unwrap().added), (1, 2));
    assert_eq!(lines(&block_on(store.load("talk/1")).unwrap().0).len(), lines(&talk(99)).len());
    let (replaced, store) = other(Existing::Replace);
    assert_eq!(replaced.unwrap().replaced, 1);
    assert_equal(&first, &store);
}

#[test]
fn what_is_no_export_or_a_newer_or_damaged_one_is_refused_with_its_line() {
    let store = MemoryStore::new();
    fill(&store, 1);
    let file = String::from_utf8(export(&store)).unwrap();
    let changed = |from: &str, to: &str| file.replacen(from, to, 1).into_bytes();
    for (file, kind, says) in [
        (b"[1, 2]\n".to_vec(), ErrorKind::ForeignFormat, "no export"),
        (Vec::new(), ErrorKind::ForeignFormat, "no export"),
        (changed("_store\":1", "_store\":2"), ErrorKind::NewerFormat, "version 2"),
        (changed("{\"item\"", "{\"sung\""), ErrorKind::NewerFormat, "sung"),
        (changed("{\"item\":{", "{\"item\":{{"), ErrorKind::Damaged, "line 4"),
        (changed("\"conversations\":1", "\"conversations\":2"), ErrorKind::Damaged, "1 of 2"),
        (changed("{\"end\"", "{\"end\":{\"changes\":0}}\n{\"end\""), ErrorKind::Damaged, "line "),
    ] {
        let error = import_into(&MemoryStore::new(), &file, Existing::Refuse).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.detail().contains(says), "{error}");
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("x");
    // Also a file whose only line has no end.
    for foreign in ["[1, 2]\n", "[1, 2]", "{\"model\": \"gpt-4o\", \"messages\": []}", "\n"] {
        fs::write(&file, foreign).unwrap();
        let opened = OpenOptions::new().read(true).write(true).open(&file).unwrap();
        let refused = Exporter::resume(opened).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ForeignFormat, "{foreign}");
        assert_eq!(fs::read_to_string(&file).unwrap(), foreign, "nothing is lost");
    }
}

#[test]
fn a_backup_that_is_made_while_others_write_has_one_moment_and_opens() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
    fill(&store, 50);
    block_on(store.delete("talk/3")).unwrap();
    block_on(store.tenant("ann").unwrap().save("hers", &talk(1), None)).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1_000.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                block_on(store.save(&format!("talk/{number}"), &talk(number), None)).unwrap();
            }
        });
        for number in 0..5 {
            block_on(store.backup(folder.path().join(format!("copy {number}")))).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    for number in 0..5 {
        let copy = SqliteStore::open(folder.path().join(format!("copy {number}"))).unwrap();
        let ids = block_on(copy.list(None, 10_000)).unwrap();
        assert!(ids.len() >= 49);
        // Those that were written one after the other are there without a gap.
        let later = ids.iter().filter(|id| id.len() > "talk/99".len()).count();
        assert!(later == 0 || ids.contains(&format!("talk/{}", 999 + later)));
        assert_eq!(block_on(copy.load("talk/7")).unwrap().0.to_json(), talk_as_stored(&store));
        block_on(copy.restore("talk/3")).unwrap();
        assert_eq!(block_on(copy.tenants(None, 10)).unwrap(), ["ann"]);
    }
    let exists = block_on(store.backup(folder.path().join("copy 0"))).unwrap_err();
    assert_eq!(exists.kind(), ErrorKind::Conflict);
    assert_no_parts(folder.path());
}

#[test]
fn nobody_who_reads_waits_for_backups() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
    let long = Conversation::from_messages((0..2_000).map(|_| Message::user("x".repeat(20_000))));
    block_on(store.save("long", &Transcript::new(long), None)).unwrap();
    block_on(store.save("short", &talk(0), None)).unwrap();
    // More than there are threads that read.
    let backup = |number| Box::pin(store.backup(folder.path().join(format!("copy {number}"))));
    let mut backups: Vec<_> = (0..6).map(backup).collect();
    for backup in &mut backups {
        assert!(block_on(futures_lite::future::poll_once(backup)).is_none());
    }
    block_on(store.revision("short")).unwrap();
    let done = backups.iter_mut().filter_map(|backup| block_on(futures_lite::future::poll_once(backup))).count();
    assert_eq!(done, 0, "it was read before the first of the backups was finished");
    // What was begun is done.
    drop(backups);
    drop(store);
    assert!((0..6).all(|number| folder.path().join(format!("copy {number}")).exists()));
    assert_no_parts(folder.path());
}

fn talk_as_stored(store: &SqliteStore) -> String {
    block_on(store.load("talk/7")).unwrap().0.to_json()
}

fn assert_no_parts(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        assert!(!entry.unwrap().path().to_string_lossy().ends_with(".part"));
    }
}
