//! Stores: `turnwise conversations`, and a store in the place of a file.

use turnwise::Transcript;

use super::harness::{Files, Run, turnwise};

const ANN: &str =
    r#"{"messages":[{"role":"user","content":"Where is my parcel?"},{"role":"assistant","content":"In Bremen."}]}"#;
const BOB: &str = r#"{"messages":[{"role":"user","content":"When do you open?"}]}"#;

/// A store with the conversations `ann` and `bob`.
fn files() -> Files {
    let files = Files::new();
    std::fs::create_dir(files.path().join("chats")).unwrap();
    files.with("chats/ann.json", ANN).with("chats/bob.json", BOB)
}

fn run(files: &Files, line: &str) -> Run {
    turnwise(line).inside(files.path())
}

#[test]
fn conversations_are_listed_forked_renamed_and_deleted() {
    let files = files();
    let listed = run(&files, "conversations list --store dir:chats --json").json();
    assert_eq!((listed.len(), &listed[0]["id"], &listed[0]["messages"]), (2, &"ann".into(), &2.into()));
    assert_eq!(listed[1]["title"], "When do you open?");
    assert_eq!(run(&files, "conversations fork ann cat --store dir:chats").out(), "cat\n");
    assert_eq!(run(&files, "conversations rename cat Parcel --store dir:chats").out(), "");
    let table = run(&files, "conversations list --store dir:chats --limit 3").out();
    assert!(table.contains("cat         2  Parcel"), "{table}");
    let path = run(&files, "conversations path cat --store dir:chats").out();
    assert_eq!(Transcript::load(path.trim()).unwrap().conversation.id(), "cat");
    assert!(run(&files, "conversations show cat --store dir:chats").out().contains("In Bremen."));
    assert_eq!(run(&files, "conversations delete cat --store dir:chats").out(), "deleted cat\n");
    let error = run(&files, "conversations show cat --store dir:chats").fails(1);
    assert!(error.contains("no conversation has the id `cat`"), "{error}");
    let error = run(&files, "conversations restore cat --store dir:chats").fails(2);
    assert!(error.contains("in a folder, `delete` removes the file at once"), "{error}");
}

#[test]
fn a_store_is_read_in_the_place_of_a_file() {
    let files = files();
    let shown = run(&files, "show dir:chats --only bob").out();
    assert!(shown.contains("When do you open?") && !shown.contains("Bremen"), "{shown}");
    assert_eq!(run(&files, "count dir:chats --json").json().len(), 2);
    let sent = run(&files, "trim dir:chats --only ann --budget 1000").out();
    assert!(sent.contains("Where is my parcel?"), "{sent}");
    let converted = run(&files, "convert dir:chats all.jsonl").run();
    assert!(converted.err.contains("all.jsonl: turnwise transcript, 2 conversations"), "{}", converted.err);
    assert_eq!(run(&files, "count all.jsonl --json").json().len(), 2);
    let error = run(&files, "show dir:chats --only eve").fails(2);
    assert!(error.contains("no conversation has the number, id or title `eve`; the numbers are 1 to 2"), "{error}");
}

#[test]
fn a_url_that_is_none_is_refused() {
    let files = files();
    for url in ["chats", "dir:", "http://example.com"] {
        let error = run(&files, "conversations list --store").arg(url).fails(2);
        assert!(error.contains("write dir:FOLDER, sqlite:FILE or postgres://"), "{error}");
    }
}

/// The default is the same in every build, so that nobody's conversations seem to be gone.
#[test]
fn without_a_url_the_database_of_the_system_is_meant() {
    let files = files();
    let line = || run(&files, "conversations list").env("XDG_DATA_HOME", files.path().to_str().unwrap());
    if cfg!(feature = "sqlite") {
        assert!(line().out().starts_with("id"));
        assert!(cfg!(not(target_os = "linux")) || files.path().join("turnwise/chats.db").exists());
    } else {
        let error = line().fails(2);
        assert!(
            error.contains("chats.db: this program was built without SQLite") && error.contains("--features full"),
            "{error}"
        );
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn in_a_database_what_was_deleted_is_restored_or_purged() {
    let files = Files::new();
    let database = turnwise_store::SqliteStore::open(files.path().join("chats.db")).unwrap();
    let ann = Transcript::from_json(ANN).unwrap();
    turnwise::store::wait(turnwise::store::Store::save(&database, "ann", &ann, None)).unwrap();
    let run = |line: &str| run(&files, line).args("--store sqlite:chats.db");
    assert!(run("conversations delete ann").out().contains("`restore ann` brings it back"));
    assert_eq!(run("conversations list --deleted").out(), "ann\n");
    let error = run("conversations list --deleted --since 90d").fails(2);
    assert!(error.contains("cannot be used with"), "{error}");
    assert_eq!(run("conversations list --json").json().len(), 0);
    run("conversations restore ann").out();
    assert_eq!(run("conversations list --json").json().len(), 1);
    run("conversations delete ann").out();
    run("conversations purge ann").out();
    let error = run("conversations restore ann").fails(1);
    assert!(error.contains("no deleted conversation") || error.contains("not found"), "{error}");
    assert_eq!(run("conversations purge --expired").out(), "0 conversations purged\n");
}

/// A store as the program is given it, with the conversation `ann` and a fork of it, `cat`.
fn redacts_and_compacts(files: &Files, url: &str) {
    let run = |line: &str| run(files, &line.replace("URL", url));
    run("conversations fork ann cat --store URL").out();
    let tried = run("redact URL --only ann --text parcel --dry-run").out();
    assert_eq!(tried, "ann: 1 text would be changed\n");
    assert!(run("show URL --only ann").out().contains("my parcel?"));
    assert_eq!(run("redact URL --only ann --text parcel --with letter").out(), "ann: 1 text changed\n");
    assert!(run("show URL --only ann").out().contains("my letter?"));
    assert!(run("show URL --only cat").out().contains("my parcel?"), "a fork is a conversation of its own");
    assert_eq!(run("redact URL --only cat --text parcel").out(), "cat: 1 text changed\n");
    let error = run("redact URL --text a").fails(2);
    assert!(
        error.contains("is a store, of which one conversation is changed at a time; name it with --only"),
        "{error}"
    );
    let error = run("redact URL --only eve --text a").fails(1);
    assert!(error.contains("no conversation has the id `eve`"), "{error}");
    let error = run("compact URL").fails(2);
    assert!(error.contains("name it with --only"), "{error}");
    let error = run("blobs URL").fails(2);
    assert!(error.contains(&format!("`turnwise convert {url} ONE.json --only ID` takes one out")), "{error}");
}

#[test]
fn a_conversation_of_a_folder_is_redacted_and_compacted() {
    let files = files();
    redacts_and_compacts(&files, "dir:chats");
    for entry in std::fs::read_dir(files.path().join("chats")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("parcel"), "{text}");
    }
    let done = run(&files, "compact dir:chats --only cat").out();
    assert!(done.contains("cat.jsonl: ") && done.contains(" bytes before, "), "{done}");
    let error = run(&files, "compact dir:chats --only ann").fails(2);
    assert!(error.contains("ann.json: only a journal (.jsonl) grows"), "{error}");
    let error = run(&files, "redact chats/ann.json --only ann --text a").fails(2);
    assert!(error.contains("--only names a conversation of a store"), "{error}");
}

#[cfg(feature = "sqlite")]
#[test]
fn a_conversation_of_a_database_is_redacted_and_nothing_of_the_text_is_left() {
    use turnwise::store::{Store, wait};

    let files = Files::new();
    let database = turnwise_store::SqliteStore::open(files.path().join("chats.db")).unwrap();
    wait(database.save("ann", &Transcript::from_json(ANN).unwrap(), None)).unwrap();
    let is_there = || {
        let bytes = ["chats.db", "chats.db-wal"].map(|name| std::fs::read(files.path().join(name)).unwrap_or_default());
        bytes.concat().windows(6).any(|part| part == b"parcel")
    };
    assert!(is_there());
    redacts_and_compacts(&files, "sqlite:chats.db");
    assert!(!is_there(), "the text is overwritten, while the database is open elsewhere too");

    let stated_anew = |number: usize| {
        let (mut file, revision) = wait(database.load("ann")).unwrap();
        let before = file.clone();
        file.conversation.metadata_mut().set("title", format!("title {number}")).unwrap();
        wait(database.append("ann", &file.changes_since(&before), &revision)).unwrap();
    };
    (0..5).for_each(stated_anew);
    let done = run(&files, "compact sqlite:chats.db --only ann").out();
    assert!(done.starts_with("ann: written anew"), "{done}");
    let (file, revision) = wait(database.load("ann")).unwrap();
    assert_eq!(file.conversation.metadata().get("title"), Some("title 4"));
    let rows: usize = revision.as_str().rsplit('.').next().unwrap().parse().unwrap();
    assert_eq!(rows, file.changes().len(), "nothing that later changes have replaced is left");
}

/// Over the server that `TURNWISE_TEST_POSTGRES` names.
#[cfg(feature = "postgres")]
#[test]
fn a_postgresql_database_is_a_store_like_the_others_and_its_password_is_never_shown() {
    use std::io::Write;

    use turnwise::store::{Store, wait};

    let Ok(url) = std::env::var("TURNWISE_TEST_POSTGRES") else {
        let skipped = "SKIPPED over PostgreSQL: TURNWISE_TEST_POSTGRES names no server\n";
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return;
    };
    let files = Files::new();
    let id = format!("cli-{:08x}", fastrand::u32(..));
    let database = turnwise_store::PostgresStore::open(&url).unwrap();
    wait(database.save(&id, &Transcript::from_json(ANN).unwrap(), None)).unwrap();
    let run = |line: &str| run(&files, &line.replace("ID", &id)).arg("--store").arg(&url);
    assert!(run("conversations list").out().contains(&id));
    assert!(run("conversations delete ID").out().contains("brings it back"));
    assert!(run("conversations list --deleted").out().contains(&id));
    run("conversations restore ID").out();
    run("conversations rename ID Rivers").out();
    assert!(run("conversations list").out().contains("Rivers"));
    let error = run("conversations path ID").fails(2);
    assert!(error.contains("keeps conversations in no file"), "{error}");
    let tenant = format!("--tenant {id}");
    let hers = database.tenant(&id).unwrap();
    wait(hers.save("ann", &Transcript::from_json(ANN).unwrap(), None)).unwrap();
    let say = |line: &str| run(&format!("conversations {line} {tenant}"));
    say("index").run();
    let found = say("search PARC --json").json();
    assert_eq!((found.len(), &found[0]["conversation"]), (1, &"ann".into()));
    say("rename ann Rivers").out();
    assert_eq!(say("list --metadata title=Rivers --text parcel --json").json()[0]["id"], "ann");
    assert_eq!(say("redact --text parcel").out(), "1 text in 1 conversation changed\n");
    assert_eq!(say("search parcel --json").json().len(), 0);
    assert!(say("stats").out().starts_with("1 conversation\n"));
    assert!(say("expire --keep-last 0 --dry-run").out().contains("1 conversation would be deleted"));
    assert_eq!(say("expire --keep-last 0 --for-good").out(), "1 conversation purged\n");
    assert!(say("index --off").run().err.contains("removed"));

    run("conversations delete ID").out();
    run("conversations purge ID").out();
    let error = run("conversations restore ID").fails(1);
    assert!(error.contains("can be restored"), "{error}");
    let (_, host) = url.split_once('@').unwrap();
    let wrong = format!("postgres://nobody:my-secret@{host}");
    let error = self::run(&files, "conversations list --store").arg(&wrong).fails(1);
    assert!(error.contains("connecting to postgres://") && !error.contains("my-secret"), "{error}");
    let error = self::run(&files, "redact --text x").arg(&wrong).fails(2);
    assert!(error.contains("is a store") && error.contains("nobody:…@") && !error.contains("my-secret"), "{error}");
}

#[cfg(feature = "sqlite")]
#[test]
fn a_store_goes_out_and_in_with_its_tenants_and_a_database_is_copied() {
    let files = files();
    let say = |line: &str| run(&files, &format!("conversations {line}")).run().err;
    assert!(say("export --store dir:chats all.jsonl").contains("all.jsonl: 2 conversations"));
    assert!(say("export --store dir:chats all.jsonl --resume").contains("complete already"));
    let error = run(&files, "conversations export --store dir:chats all.jsonl").fails(2);
    assert!(error.contains("--resume goes on"), "{error}");

    assert!(say("import --store sqlite:a.db all.jsonl").contains("2 conversations added"));
    assert!(say("import --store sqlite:a.db all.jsonl").contains("0 conversations added, 2 the same"));
    run(&files, "conversations fork ann eve --store sqlite:a.db").out();
    let hers = run(&files, "conversations export - --store sqlite:a.db").out();
    let hers =
        hers.replace("{\"conversation\":{\"id\":\"eve\"", "{\"conversation\":{\"tenant\":\"red\",\"id\":\"eve\"");
    let files = files.with("red.jsonl", &hers);
    let say = |line: &str| run(&files, &format!("conversations {line}")).run().err;
    say("import --store sqlite:b.db red.jsonl");
    let listed = |line: &str| run(&files, &format!("conversations list --json {line}")).json().len();
    assert_eq!((listed("--store sqlite:b.db"), listed("--store sqlite:b.db --tenant red")), (2, 1));
    say("export --store sqlite:b.db again.jsonl");
    assert_eq!(std::fs::read_to_string(files.path().join("again.jsonl")).unwrap(), hers);
    say("import --store dir:c again.jsonl");
    assert_eq!((listed("--store dir:c"), listed("--store dir:c --tenant red")), (2, 1));
    assert_eq!(run(&files, "conversations export - --store dir:c").out(), hers);

    say("backup --store sqlite:b.db copy.db");
    assert_eq!(listed("--store sqlite:copy.db --tenant red"), 1);
    let cut = &hers[..hers.len() / 2];
    let files = files.with("cut.jsonl", cut);
    let error = run(&files, "conversations import --store sqlite:d.db cut.jsonl").fails(1);
    assert!(error.contains("ends early"), "{error}");
}

#[cfg(feature = "sqlite")]
#[test]
fn conversations_are_searched_redacted_added_up_and_expired() {
    use turnwise::store::{Store, wait};

    let files = files();
    let say = |line: &str| run(&files, &format!("conversations {line} --store sqlite:a.db"));
    run(&files, "conversations export --store dir:chats all.jsonl").run();
    assert!(say("import all.jsonl").run().err.contains("2 conversations added"));
    let scanned = say("search parcel --json").run();
    assert!(scanned.err.contains("no index, so everything was read"), "{}", scanned.err);
    say("index").run();
    let found = say("search PARC --json").json();
    assert_eq!((found.len(), &found[0]["conversation"], &found[0]["item"]), (1, &"ann".into(), &0.into()));
    assert!(say("search parcel").out().contains("Where is my parcel?"));
    let dir = run(&files, "conversations search parcel --store dir:chats --json").json();
    assert_eq!((&dir[0]["conversation"], &dir[0]["snippet"]["text"]), (&"ann".into(), &found[0]["snippet"]["text"]));
    let page = say("search e --limit 1").run();
    assert!(page.out.is_empty(), "a letter is a word of its own: {}", page.out);
    let page = say("list --recent --limit 1").run();
    assert!(page.err.contains("there is more: --after "), "{}", page.err);
    say("rename bob Hours").out();
    assert_eq!(say("list --metadata title=Hours --json").json()[0]["id"], "bob");
    assert_eq!(say("list --text open --since 1d --json").json().len(), 1);
    assert!(say("list --since yesterday").fails(2).contains("2026-03-31"));
    assert!(say("list --metadata title").fails(2).contains("KEY=VALUE"));

    assert_eq!(say("redact --text parcel --dry-run").out(), "1 text in 1 conversation would be changed\n");
    assert_eq!(say("redact --text parcel").out(), "1 text in 1 conversation changed\n");
    assert_eq!(say("search parcel --json").json().len(), 0);
    assert_eq!(say("search redacted --json").json().len(), 1);
    assert!(say("stats").out().starts_with("2 conversations\nin all: 0 calls"));
    let database = turnwise_store::SqliteStore::open(files.path().join("a.db")).unwrap();
    let of_server = format!("resp_{}", "0".repeat(50));
    wait(database.save(&of_server, &Transcript::from_json(ANN).unwrap(), None)).unwrap();
    let stats = "2 conversations\nresponses and completions that a server has stored: 1\nin all: 0 calls";
    assert!(say("stats").out().starts_with(stats), "{}", say("stats").out());
    wait(database.delete(&of_server)).unwrap();
    wait(database.purge(&of_server)).unwrap();

    assert!(say("expire").fails(2).contains("--keep-last"));
    assert!(say("expire --keep-last 1 --dry-run").out().contains("1 conversation would be deleted"));
    assert_eq!(say("expire --unused-for 1d").out(), "0 conversations deleted\n");
    assert_eq!(say("expire --keep-last 0 --for-good").out(), "2 conversations purged\n");
    assert_eq!(say("search redacted --json").json().len(), 0);
    assert!(say("index --off").run().err.contains("removed"));
}

#[cfg(feature = "sqlite")]
#[test]
fn a_purge_scrubs_the_database_when_it_is_asked_to() {
    let files = files();
    run(&files, "conversations export all.jsonl --store dir:chats").run();
    run(&files, "conversations import all.jsonl --store sqlite:kept/chats.db").run();
    let kept = || std::fs::read(files.path().join("kept/chats.db")).unwrap().windows(6).any(|w| w == b"Bremen");
    run(&files, "conversations delete ann --store sqlite:kept/chats.db").out();
    assert!(kept());
    assert_eq!(run(&files, "conversations purge ann --scrub --store sqlite:kept/chats.db").out(), "");
    assert!(!kept());
    assert_eq!(run(&files, "conversations purge --scrub --store sqlite:kept/chats.db").out(), "");
    let error = run(&files, "conversations purge --scrub --store dir:chats").fails(2);
    assert!(error.contains("in a folder"), "{error}");
    run(&files, "conversations purge --store sqlite:kept/chats.db").fails(2);
}

#[cfg(all(feature = "sqlite", feature = "encryption"))]
#[test]
fn with_keys_a_database_is_sealed_and_without_them_its_key_is_named() {
    let files = files();
    run(&files, "conversations export all.jsonl --store dir:chats").run();
    let (old, new) = ("ab".repeat(32), "cd".repeat(32));
    let keyed = |line: &str, keys: &str| run(&files, line).env("TURNWISE_STORE_KEYS", keys);
    keyed("conversations import all.jsonl --store sqlite:kept/chats.db", &old).run();
    let show = "conversations show ann --store sqlite:kept/chats.db";
    assert!(keyed(show, &old).out().contains("In Bremen."));
    let in_files = |text: &[u8]| {
        let mut entries = std::fs::read_dir(files.path().join("kept")).unwrap();
        entries.any(|entry| std::fs::read(entry.unwrap().path()).unwrap().windows(text.len()).any(|part| part == text))
    };
    assert!(!in_files(b"Bremen"));
    let found = keyed("conversations search parcel --store sqlite:kept/chats.db", &old).run();
    assert!(found.out.contains("ann") && found.err.contains("sealed conversations have no index"), "{}", found.err);
    for error in [run(&files, show).fails(1), keyed(show, &new).fails(1)] {
        assert!(error.contains("`ann`") && error.contains("sealed with the key"), "{error}");
        assert!(!error.contains(&old));
    }
    // It could answer nothing, and without a key it would write in plain text.
    #[cfg(feature = "serve")]
    for key in ["", &new] {
        let error = keyed("serve --store sqlite:kept/chats.db --listen 192.0.2.1:9", key).fails(2);
        assert!(error.contains("not started") && error.contains("sealed with the key"), "{error}");
        // So it is where only another tenant has conversations.
        let all = std::fs::read_to_string(files.path().join("all.jsonl")).unwrap();
        let of_team = all.replace("{\"conversation\":{", "{\"conversation\":{\"tenant\":\"team\",");
        std::fs::write(files.path().join("team.jsonl"), of_team).unwrap();
        keyed("conversations import team.jsonl --store sqlite:team.db", &old).run();
        let error = keyed("serve --store sqlite:team.db --listen 192.0.2.1:9", key).fails(2);
        assert!(error.contains("not started"), "{error}");
    }
    std::fs::write(files.path().join("keys"), format!("{new}\n{old}\n")).unwrap();
    let sealed = keyed("conversations rekey --store sqlite:kept/chats.db", "file:keys").out();
    assert!(sealed.contains("rows sealed"), "{sealed}");
    assert!(keyed(show, &new).out().contains("In Bremen."));
    for (line, keys, says) in [
        ("conversations list --store dir:chats", new.as_str(), "plain text"),
        (show, "too short", "key 1"),
        (show, "file:none", "none"),
        ("conversations rekey --store sqlite:kept/chats.db", "", "TURNWISE_STORE_KEYS"),
    ] {
        let error = keyed(line, keys).fails(2);
        assert!(error.contains(says), "{error}");
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn an_export_of_one_tenant_is_not_resumed_as_one_of_all() {
    let files = files();
    let all = run(&files, "conversations export - --store dir:chats").out();
    let of_b = all.replace("{\"conversation\":{", "{\"conversation\":{\"tenant\":\"b\",");
    let files = files.with("all.jsonl", &all).with("b.jsonl", &of_b);
    for file in ["all.jsonl", "b.jsonl"] {
        run(&files, &format!("conversations import {file} --store sqlite:kept/chats.db")).run();
    }
    std::fs::remove_file(files.path().join("b.jsonl")).unwrap();
    run(&files, "conversations export b.jsonl --store sqlite:kept/chats.db --tenant b").run();
    let whole = std::fs::read(files.path().join("b.jsonl")).unwrap();
    std::fs::write(files.path().join("b.jsonl"), &whole[..whole.len() - 5]).unwrap();
    let error = run(&files, "conversations export b.jsonl --resume --store sqlite:kept/chats.db").fails(1);
    assert!(error.contains("--tenant b"), "{error}");
    run(&files, "conversations export b.jsonl --resume --store sqlite:kept/chats.db --tenant b").run();
    assert!(std::fs::read(files.path().join("b.jsonl")).unwrap() == whole);
}

#[test]
fn a_conversation_that_cannot_be_read_is_a_row_of_the_list() {
    let talk = r#"{"messages": [{"role": "user", "content": "Hi there"}]}"#;
    let files = Files::new().with("a.json", talk).with("b.json", "{\"messages\": [{]}").with("c.json", talk);
    let run = |line: &str| turnwise(&format!("conversations {line} --store dir:.")).inside(files.path()).run();
    let list = run("list");
    assert_eq!(list.code, Some(1));
    assert!(list.err.contains("b: damaged file"), "{}", list.err);
    let rows: Vec<&str> = list.out.lines().skip(1).collect();
    assert!(rows[0].ends_with("Hi there") && rows[1].ends_with("-  (it cannot be read)"), "{}", list.out);
    assert!(rows[2].ends_with("Hi there"), "{}", list.out);
    let json = run("list --json");
    assert!(json.out.contains(r#"{"id":"b","error":"it cannot be read"}"#) && json.out.lines().count() == 3);
}

#[test]
fn a_list_that_is_cut_says_that_there_is_more() {
    let files = files();
    let cut = run(&files, "conversations list --store dir:chats --limit 1 --json").run();
    assert_eq!((cut.code, cut.out.lines().count()), (Some(0), 1));
    assert!(cut.err.contains("there are more than these 1; --limit N"), "{}", cut.err);
    assert!(run(&files, "conversations list --store dir:chats --limit 2").out().contains("bob"));
}

#[test]
fn text_is_replaced_in_all_conversations_though_one_cannot_be_read() {
    let files = files().with("chats/a.json", "{").with("chats/b.json", "[1]");
    let ran = run(&files, "conversations redact --text parcel --store dir:chats").run();
    assert_eq!((ran.code, &*ran.out), (Some(1), "1 text in 1 conversation changed\n"), "{}", ran.err);
    for told in ["turnwise: a: ", "turnwise: b: ", "2 conversations could not be changed"] {
        assert!(ran.err.contains(told), "{told}: {}", ran.err);
    }
    let help = run(&files, "conversations expire --help").out();
    assert!(help.contains("--tenant, or the one without a name"), "{help}");
}
