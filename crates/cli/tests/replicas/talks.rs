//! `Talks`: the conversations that some clients write together, one after the other, so that none takes long to read.

use std::sync::Mutex;

use serde_json::json;

use crate::client::post;

/// So many clients write one conversation.
pub(crate) const CLIENTS_OF_A_TALK: usize = 4;
/// After so many turns of each of them they begin another one.
pub(crate) const TURNS_OF_A_TALK: usize = 15;

pub(crate) struct Talks(Vec<Mutex<Vec<String>>>);

impl Talks {
    pub(crate) fn new(clients: usize) -> Self {
        Self((0..clients.div_ceil(CLIENTS_OF_A_TALK)).map(|_| Mutex::default()).collect())
    }

    /// The conversation for a client's turn, which is made if it is the first there.
    pub(crate) fn for_turn(&self, client: usize, turn: usize, ports: &[u16]) -> String {
        let mut talks = self.0[client / CLIENTS_OF_A_TALK].lock().unwrap();
        let number = turn / TURNS_OF_A_TALK;
        while talks.len() <= number {
            let port = ports[fastrand::usize(..ports.len())];
            let made = post(port, "/v1/conversations", None, &json!({})).filter(|(status, _)| *status == 200);
            talks.extend(made.map(|(_, made)| made["id"].as_str().unwrap().to_owned()));
        }
        talks[number].clone()
    }

    /// The conversations of a client, in their order.
    pub(crate) fn of(&self, client: usize) -> Vec<String> {
        self.0[client / CLIENTS_OF_A_TALK].lock().unwrap().clone()
    }
}
