//! `turnwise push` and `pull` against `turnwise serve`, also when they are killed in the middle.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Files, turnwise};
use super::serving::Server;

fn talk(count: usize) -> Value {
    let one = |number| {
        let role = if number % 2 == 0 { "user" } else { "assistant" };
        json!({"role": role, "content": format!("Message {number} of the talk.")})
    };
    let mut messages: Vec<Value> = (0..count).map(one).collect();
    let call = json!({"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}});
    messages.push(json!({"role": "user", "content": "What time is it?"}));
    messages.push(json!({"role": "assistant", "tool_calls": [call]}));
    messages.push(json!({"role": "tool", "tool_call_id": "c1", "content": "Noon."}));
    messages.push(json!({"role": "assistant", "content": "It is noon."}));
    json!({"metadata": {"topic": "numbers"}, "messages": messages})
}

/// The messages of a file, without what says where they come from.
fn messages(file: &Path) -> Vec<Value> {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let plain = |message: &Value| {
        let content = match &message["content"] {
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<String>().into(),
            other => other.clone(),
        };
        json!([message["role"], content, message["tool_calls"], message["tool_call_id"]])
    };
    file["messages"].as_array().unwrap().iter().map(plain).collect()
}

#[test]
fn what_is_pushed_and_pulled_is_the_same_and_only_what_is_new_is_sent_again() {
    let files = Files::new().with("talk.json", talk(41).to_string());
    let server = Server::over(files.path(), "dir:server");
    let push = || turnwise(&format!("push talk.json --to {}", server.url)).inside(files.path()).run();
    let first = push();
    assert_eq!(first.code, Some(0), "{}", first.err);
    assert!(
        first.out.starts_with("conv_") && first.err.contains("45 items on the server, 45 of them"),
        "{}",
        first.err
    );
    assert!(push().err.contains("45 items on the server, 0 of them"));
    let mut longer = talk(41);
    longer["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": "Thanks!"}));
    std::fs::write(files.path().join("talk.json"), longer.to_string()).unwrap();
    assert!(push().err.contains("46 items on the server, 1 of them"));
    let id = first.out.trim();
    let pull = |to: &str| turnwise(&format!("pull {id} {to} --from {}", server.url)).inside(files.path()).run();
    assert_eq!(pull("back.json").code, Some(0));
    assert_eq!(messages(&files.path().join("back.json")), messages(&files.path().join("talk.json")));
    assert!(!files.path().join("back.json.pull.jsonl").exists());
    assert_eq!(pull("--store dir:chats").out, first.out);
    let back = turnwise(&format!("push {id} --store dir:chats --to {}", server.url)).inside(files.path()).run();
    assert!(back.out.starts_with("conv_") && back.out != first.out, "{}", back.err);
    assert!(pull("--store dir:chats").err.contains("the store has a conversation with this id"));
}

/// A file to which something is added while another push runs.
#[test]
fn a_push_reads_its_conversation_when_no_other_push_runs() {
    let files = Files::new().with("talk.json", talk(1).to_string());
    let server = Server::over(files.path(), "dir:server");
    let lock = std::fs::File::create(files.path().join(".talk.json.push.json.lock")).unwrap();
    lock.lock().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
    command.args(["push", "talk.json", "--to", &server.url]).current_dir(files.path());
    let push = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // One that reads first has read by then.
    std::thread::sleep(Duration::from_millis(500));
    std::fs::write(files.path().join("talk.json"), talk(2).to_string()).unwrap();
    lock.unlock().unwrap();
    let said = push.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("6 items on the server, 6 of them"), "{said}");
}

#[test]
fn a_pull_overwrites_nothing_that_came_while_it_waited() {
    let files = Files::new().with("talk.json", talk(1).to_string());
    let server = Server::over(files.path(), "dir:server");
    let pushed = turnwise(&format!("push talk.json --to {}", server.url)).inside(files.path()).run();
    let lock = std::fs::File::create(files.path().join(".back.json.pull.jsonl.lock")).unwrap();
    lock.lock().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
    command.args(["pull", pushed.out.trim(), "back.json", "--from", &server.url]).current_dir(files.path());
    let pull = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    std::fs::write(files.path().join("back.json"), "mine").unwrap();
    lock.unlock().unwrap();
    let said = pull.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("it exists; --force replaces it"), "{said}");
    assert_eq!(std::fs::read_to_string(files.path().join("back.json")).unwrap(), "mine");
}

#[test]
fn a_push_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let files = Files::new().with("talk.json", talk(396).to_string());
    let server = Server::over(files.path(), "dir:server");
    let mut kills = 0;
    for round in 0..60 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
        command.args(["push", "talk.json", "--to", &server.url]).current_dir(files.path());
        let mut push = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + 13 * (round % 17)));
        let is_done = push.try_wait().unwrap().is_some_and(|status| status.success());
        let _ = push.kill();
        let _ = push.wait();
        if is_done {
            break;
        }
        kills += 1;
    }
    let last = turnwise(&format!("push talk.json --to {}", server.url)).inside(files.path()).run();
    assert!(last.code == Some(0) && kills > 0, "{kills} kills: {}", last.err);
    let id = last.out.trim();
    // The pull is killed too.
    for round in 0..10 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
        command.args(["pull", id, "back.json", "--from", &server.url]).current_dir(files.path());
        let mut pull = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + 9 * round));
        let _ = pull.kill();
        let _ = pull.wait();
    }
    let back = turnwise(&format!("pull {id} back.json --force --from {}", server.url)).inside(files.path()).run();
    assert_eq!(back.code, Some(0), "{}", back.err);
    assert_eq!(messages(&files.path().join("back.json")), messages(&files.path().join("talk.json")));
}

#[test]
fn a_conversation_that_differs_or_is_gone_is_not_pushed_over() {
    let files = Files::new().with("talk.json", talk(2).to_string());
    let server = Server::over(files.path(), "dir:server");
    let push = |more: &str| turnwise(&format!("push talk.json --to {} {more}", server.url)).inside(files.path()).run();
    assert_eq!(push("").code, Some(0));
    std::fs::write(files.path().join("talk.json"), talk(3).to_string()).unwrap();
    let changed = push("");
    assert!(changed.code == Some(1) && changed.err.contains("item 3 of conv_"), "{}", changed.err);
    assert_eq!(push("--state other.json").code, Some(0));
    let other = turnwise("push talk.json --to http://127.0.0.1:9/v1 --state other.json").inside(files.path()).run();
    assert!(other.code == Some(2) && other.err.contains("name another file with --state"), "{}", other.err);
    let nobody = turnwise("push talk.json --to http://127.0.0.1:9/v1 --state third.json").inside(files.path()).run();
    assert!(nobody.code == Some(1) && nobody.err.contains("no answer"), "{}", nobody.err);
    let none = turnwise(&format!("pull conv_0 x.json --from {}", server.url)).inside(files.path()).run();
    assert!(none.code == Some(1) && none.err.contains("there is no conversation conv_0"), "{}", none.err);
}

/// A server whose list of items is always this page. It answers until the test ends.
fn listing(page: &Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let page = page.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            stream.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
            let conversation = r#"{"id": "conv_1", "object": "conversation", "created_at": 0, "metadata": {}}"#;
            let body = if head.lines().next().unwrap().contains("/items") { &*page } else { conversation };
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        }
    });
    url
}

#[test]
fn a_server_whose_pages_have_no_end_is_refused_and_what_was_read_is_for_its_owner_only() {
    let part = json!({"type": "input_text", "text": "Message 0 of the talk."});
    let item = json!({"id": "msg_1", "type": "message", "role": "user", "content": [part]});
    let repeating = listing(&json!({"object": "list", "data": [item], "has_more": true}));
    let empty = listing(&json!({"object": "list", "data": [], "has_more": true}));
    for (url, message) in
        [(repeating, "have the item msg_1 twice"), (empty, "there are more items, and not after which")]
    {
        let files = Files::new().with("talk.json", talk(1).to_string());
        let error = turnwise(&format!("pull conv_1 got.json --from {url}")).inside(files.path()).fails(1);
        assert!(error.contains(message), "{error}");
        let error = turnwise(&format!("push talk.json --to {url}")).inside(files.path()).fails(1);
        assert!(error.contains(message), "{error}");
        #[cfg(unix)]
        for name in ["got.json.pull.jsonl", "talk.json.push.json"] {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(files.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}

#[test]
fn pushes_that_begin_at_once_make_one_conversation() {
    let files = Files::new().with("talk.json", talk(60).to_string());
    let server = Server::over(files.path(), "dir:server");
    let begin = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
        command.args(["push", "talk.json", "--to", &server.url]).current_dir(files.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let pushes: Vec<_> = (0..4).map(|_| begin()).collect();
    let ended: Vec<_> = pushes.into_iter().map(|push| push.wait_with_output().unwrap()).collect();
    for push in &ended {
        assert!(push.status.success(), "{}", String::from_utf8_lossy(&push.stderr));
        assert_eq!(push.stdout, ended[0].stdout);
    }
    let (_, all) = server.ask("GET", "/turnwise/conversations", &json!({}));
    assert_eq!(all["data"].as_array().unwrap().len(), 1, "{all}");
}

#[test]
fn what_was_deleted_on_the_server_is_not_sent_again() {
    let files = Files::new().with("talk.json", talk(2).to_string());
    let server = Server::over(files.path(), "dir:server");
    let push = || turnwise(&format!("push talk.json --to {}/", server.url)).inside(files.path()).run();
    let id = push().out.trim().to_owned();
    let (_, newest) = server.ask("GET", &format!("/conversations/{id}/items?limit=1"), &json!({}));
    let item = newest["data"][0]["id"].as_str().unwrap();
    server.ask("DELETE", &format!("/conversations/{id}/items/{item}"), &json!({}));
    let refused = push();
    assert!(refused.code == Some(1) && refused.err.contains("lists 5 of the 6 items"), "{}", refused.err);
    let (_, left) = server.ask("GET", &format!("/conversations/{id}/items"), &json!({}));
    assert_eq!(left["data"].as_array().unwrap().len(), 5);
    // With or without a slash, it is the same server.
    let same = turnwise(&format!("push talk.json --to {}", server.url)).inside(files.path()).fails(1);
    assert!(same.contains("lists 5 of the 6 items"), "{same}");
}

#[test]
fn conversations_of_a_store_are_pushed_by_its_url_and_none_is_taken_for_another() {
    let files = Files::new().with("a.json", talk(0).to_string()).with("b.json", talk(2).to_string());
    let server = Server::over(files.path(), "dir:server");
    std::fs::create_dir(files.path().join("chats")).unwrap();
    // The folder's names of `a b` and `a_b`.
    std::fs::rename(files.path().join("a.json"), files.path().join("chats/a%20b.json")).unwrap();
    std::fs::rename(files.path().join("b.json"), files.path().join("chats/a_b.json")).unwrap();
    let push = |what: &str, id: &str| {
        let line = format!("push {what} --to {}", server.url);
        turnwise(&line).arg("--only").arg(id).inside(files.path()).run()
    };
    let (first, second) = (push("dir:chats", "a b"), push("dir:chats", "a_b"));
    assert!(first.err.contains("4 items on the server, 4 of them"), "{}", first.err);
    assert!(second.err.contains("6 items on the server, 6 of them") && second.out != first.out, "{}", second.err);
    let by_id = turnwise(&format!("push a_b --store dir:chats --to {}", server.url)).inside(files.path()).run();
    assert_eq!(by_id.out, second.out);
    let all = turnwise(&format!("push dir:chats --to {}", server.url)).inside(files.path()).fails(2);
    assert!(all.contains("--only ID"), "{all}");
}

#[test]
fn an_empty_conversation_is_pulled_and_numbers_stay_as_they_are_written() {
    let files = Files::new();
    let server = Server::over(files.path(), "dir:server");
    let (_, empty) = server.ask("POST", "/conversations", &json!({"metadata": {"team": "a"}}));
    let id = empty["id"].as_str().unwrap();
    let pull = |to: &str| turnwise(&format!("pull {id} {to} --from {}", server.url)).inside(files.path()).run();
    assert!(pull("empty.json").err.contains("0 items"), "{}", pull("other.json").err);
    let number = "123456789012345678901234567890";
    let call = format!(r#"{{"type": "web_search_call", "action": {{"type": "search", "n": {number}, "e": 1e2}}}}"#);
    server.ask_text("POST", &format!("/conversations/{id}/items"), &format!(r#"{{"items": [{call}]}}"#));
    assert_eq!(pull("back.json").code, Some(0));
    let pushed = turnwise(&format!("push back.json --to {}", server.url)).inside(files.path()).run();
    let line = format!("pull {} again.json --from {}", pushed.out.trim(), server.url);
    turnwise(&line).inside(files.path()).run();
    for file in ["back.json", "again.json"] {
        let text = std::fs::read_to_string(files.path().join(file)).unwrap();
        assert!(text.contains(number) && text.contains("1e2"), "{file}: {text}");
    }
}

#[test]
fn what_was_read_long_ago_is_read_again() {
    let files = Files::new();
    let server = Server::over(files.path(), "dir:server");
    let one = |text: &str| json!({"role": "user", "content": text});
    let (_, made) = server.ask("POST", "/conversations", &json!({"items": [one("Old."), one("New.")]}));
    let id = made["id"].as_str().unwrap();
    let (_, listed) = server.ask("GET", &format!("/conversations/{id}/items?order=asc"), &json!({}));
    let head = json!({"url": server.url, "id": id, "metadata": {}, "items": []});
    let kept = files.path().join("back.json.pull.jsonl");
    std::fs::write(&kept, format!("{head}\n{}\n", json!({"items": listed["data"]}))).unwrap();
    let old = listed["data"][0]["id"].as_str().unwrap();
    server.ask("DELETE", &format!("/conversations/{id}/items/{old}"), &json!({}));
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    std::fs::File::options().append(true).open(&kept).unwrap().set_modified(long_ago).unwrap();
    turnwise(&format!("pull {id} back.json --from {}", server.url)).inside(files.path()).run();
    assert_eq!(messages(&files.path().join("back.json")).len(), 1);
}

#[test]
fn a_key_or_an_id_that_is_none_is_refused_before_anything_is_sent() {
    let files = Files::new().with("talk.json", talk(1).to_string());
    let push = turnwise("push talk.json --to http://127.0.0.1:9/v1").inside(files.path());
    let error = push.env("OPENAI_API_KEY", "a key\n").fails(2);
    assert!(error.contains("OPENAI_API_KEY") && !error.contains("a key"), "{error}");
    let error = turnwise("pull ../responses x.json --from http://127.0.0.1:9/v1").inside(files.path()).fails(2);
    assert!(error.contains("no id of a conversation"), "{error}");
}

#[test]
fn what_a_pull_that_was_killed_while_it_wrote_has_left_is_removed() {
    let files = Files::new().with(".back.json.1.part", "a conversation").with(".back.json.x.part", "something else");
    let running = files.path().join(".back.json.2.part");
    let of_running = std::fs::File::create(&running).unwrap();
    of_running.lock().unwrap();
    let server = Server::over(files.path(), "dir:server");
    let (_, made) = server.ask("POST", "/conversations", &json!({}));
    let line = format!("pull {} back.json --from {}", made["id"].as_str().unwrap(), server.url);
    turnwise(&line).inside(files.path()).run();
    let is_there = |name: &str| files.path().join(name).exists();
    assert!(is_there("back.json") && !is_there(".back.json.1.part"));
    assert!(is_there(".back.json.x.part") && running.exists());
}
