//! `Client`: sends turns to any of the servers until each is answered; and requests over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::talks::Talks;
use crate::{PATIENCE, model};

/// A server that says nothing for so long is asked no further.
const SILENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client<'a> {
    pub(crate) number: usize,
    /// How many of its turns were answered.
    pub(crate) answered: usize,
    /// The last response that the server was asked to store.
    pub(crate) stored: Option<String>,
    talks: &'a Talks,
    ports: &'a [u16],
}

impl<'a> Client<'a> {
    pub(crate) fn new(number: usize, talks: &'a Talks, ports: &'a [u16]) -> Self {
        Self { number, answered: 0, stored: None, talks, ports }
    }

    pub(crate) fn talk_until(&mut self, is_over: &AtomicBool, answered: &AtomicUsize) {
        while !is_over.load(Ordering::SeqCst) {
            self.turn();
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn turn(&mut self) {
        let asked = format!("turn {} of client {}", self.answered, self.number);
        let conversation = self.talks.for_turn(self.number, self.answered, self.ports);
        let is_stored = self.answered.is_multiple_of(4);
        let body = json!({
            "model": "gpt-4o-mini", "conversation": conversation, "input": asked, "store": is_stored,
        });
        let (begun, mut refusals) = (Instant::now(), Vec::new());
        let answer = loop {
            let port = self.ports[fastrand::usize(..self.ports.len())];
            match post(port, "/v1/responses", Some(&asked), &body) {
                Some((200, answer)) => break answer,
                Some((status, answer)) => {
                    let is_locked = answer["error"]["code"] == "conversation_locked";
                    assert!(status >= 500 || is_locked, "{status} for {asked}: {answer}");
                    refusals.push(format!("{status} {}", answer["error"]["message"]));
                }
                None => refusals.push("no whole answer".to_owned()),
            }
            let last = &refusals[refusals.len().saturating_sub(8)..];
            let count = refusals.len();
            assert!(begun.elapsed() < PATIENCE, "no answer to {asked}, {count} refusals, at last {last:?}");
            std::thread::sleep(Duration::from_millis(fastrand::u64(5..50)));
        };
        assert_eq!(answer["output"][0]["content"][0]["text"], model::answer(&asked), "{answer}");
        self.answered += 1;
        if is_stored {
            self.stored = answer["id"].as_str().map(str::to_owned);
        }
    }
}

/// The texts of all items of a conversation.
pub(crate) fn items(port: u16, conversation: &str) -> Vec<String> {
    let (mut texts, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/conversations/{conversation}/items?order=asc&limit=100{after}");
        let (status, page) = get(port, &path).unwrap();
        assert_eq!(status, 200, "{page}");
        let data = page["data"].as_array().unwrap();
        texts.extend(data.iter().map(|item| item["content"][0]["text"].as_str().unwrap().to_owned()));
        if page["has_more"] == false {
            return texts;
        }
        after = format!("&after={}", page["last_id"].as_str().unwrap());
    }
}

pub(crate) fn get(port: u16, path: &str) -> Option<(u16, Value)> {
    request(port, &format!("GET {path}"), None, "")
}

pub(crate) fn post(port: u16, path: &str, key: Option<&str>, body: &Value) -> Option<(u16, Value)> {
    request(port, &format!("POST {path}"), key, &body.to_string())
}

/// The status and the answer; none if there is no whole one.
fn request(port: u16, line: &str, key: Option<&str>, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(SILENCE)).ok()?;
    let key = key.map_or_else(String::new, |key| format!("idempotency-key: {key}\r\n"));
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{key}\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}
