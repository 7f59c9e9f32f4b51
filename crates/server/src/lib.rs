//! `OpenAI`'s Conversations and Responses APIs over HTTP.
//!
//! [`Server`] makes an [`axum::Router`] with the API's routes over a
//! [`Store`](turnwise::store::Store). What a route of conversations does is in
//! `turnwise_conversations`; responses are made here, by a manager for each request.

mod access;
mod answer;
mod body;
mod client_stream;
mod completions;
mod deleted;
mod extensions;
mod guard;
mod keys;
mod limits;
mod listing;
mod metrics;
mod once;
#[cfg(feature = "pages")]
mod pages;
mod plain;
mod query;
mod reading;
mod request_id;
mod responses;
mod routes;
mod seal;
mod serve;
mod server;

pub use axum;
pub use completions::Upstream;
pub use keys::{Key, Keys};
pub use limits::Limits;
pub use plain::PlainText;
pub use seal::SealKeys;
pub use server::Server;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
