//! `turnwise chat` and the live replay against a server of each test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "openai")]

#[path = "chat/commands.rs"]
mod commands;
#[path = "chat/interrupts.rs"]
mod interrupts;
#[path = "chat/live.rs"]
mod live;
#[path = "chat/run.rs"]
mod run;
#[path = "chat/secure.rs"]
mod secure;
#[path = "chat/servers.rs"]
mod servers;
#[path = "chat/settings.rs"]
mod settings;
#[path = "chat/streams.rs"]
mod streams;
#[path = "../../../tests/support/stub.rs"]
mod stub;
#[path = "chat/talks.rs"]
mod talks;
#[path = "chat/texts.rs"]
mod texts;
#[path = "chat/two_chats.rs"]
mod two_chats;
