//! `turnwise serve` while it runs: a server for tests, and what it offers beside the contract.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::harness::Files;

/// A server over a store, until it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn over(folder: &Path, store: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
        command.args(["serve", "--store", store, "--listen", "127.0.0.1:0", "--log", "off"]);
        command.args(["--upstream", "http://127.0.0.1:9/v1"]).current_dir(folder).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned();
        Self { process, url }
    }

    /// The status and the body of an answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> (String, Value) {
        self.ask_text(method, path, &body.to_string())
    }

    /// As [`ask`](Self::ask), with the text of a body.
    pub(crate) fn ask_text(&self, method: &str, path: &str, body: &str) -> (String, Value) {
        let address = self.url.trim_start_matches("http://").trim_end_matches("/v1");
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("{method} /v1{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        let of_body = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all((head + &of_body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].to_owned(), serde_json::from_str(body).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn create(server: &Server) -> String {
    let items = json!([{"role": "user", "content": "Where is my parcel?"}]);
    let (_, made) = server.ask("POST", "/conversations", &json!({ "items": items }));
    made["id"].as_str().unwrap().to_owned()
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn delete_and_restore(server: &Server, id: &str) {
    server.ask("DELETE", &format!("/conversations/{id}"), &json!({}));
    let (_, deleted) = server.ask("GET", "/turnwise/deleted", &json!({}));
    assert!(deleted["data"].as_array().unwrap().iter().any(|one| one["id"] == *id), "{deleted}");
    let (status, back) = server.ask("POST", &format!("/turnwise/conversations/{id}/restore"), &json!({}));
    assert_eq!((status.as_str(), back["id"].as_str()), ("200", Some(id)), "{back}");
}

#[cfg(feature = "sqlite")]
#[test]
fn a_database_is_searched_and_gives_back_what_was_deleted() {
    let files = Files::new();
    let server = Server::over(files.path(), "sqlite:chats.db");
    let id = create(&server);
    let (status, refused) = server.ask("GET", "/turnwise/search?query=parcel", &json!({}));
    assert_eq!((status.as_str(), &refused["error"]["code"]), ("400", &json!("no_search")), "{refused}");
    super::harness::turnwise("conversations index --store sqlite:chats.db").inside(files.path()).run();
    let (_, found) = server.ask("GET", "/turnwise/search?query=parcel", &json!({}));
    assert_eq!(found["data"][0]["conversation"], *id, "{found}");
    delete_and_restore(&server, &id);
}

/// Over the server that `TURNWISE_TEST_POSTGRES` names. Other tests make and remove its index.
#[cfg(feature = "postgres")]
#[test]
fn a_postgresql_database_gives_back_what_was_deleted() {
    let Ok(url) = std::env::var("TURNWISE_TEST_POSTGRES") else {
        std::io::stderr().write_all(b"SKIPPED over PostgreSQL: TURNWISE_TEST_POSTGRES names no server\n").unwrap();
        return;
    };
    let files = Files::new();
    let server = Server::over(files.path(), &url);
    delete_and_restore(&server, &create(&server));
}

#[test]
fn a_folder_has_lists_by_id_and_says_what_it_has_not() {
    let files = Files::new();
    let server = Server::over(files.path(), "dir:server");
    let id = create(&server);
    let (_, list) = server.ask("GET", "/turnwise/conversations", &json!({}));
    assert_eq!(list["data"][0]["id"], *id, "{list}");
    let (status, refused) = server.ask("GET", "/turnwise/deleted", &json!({}));
    assert_eq!((status.as_str(), &refused["error"]["code"]), ("400", &json!("no_database")), "{refused}");
}
