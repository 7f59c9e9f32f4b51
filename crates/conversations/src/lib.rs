//! The semantics of `OpenAI`'s Conversations API as library calls, over any
//! [`Store`](turnwise::store::Store).
//!
//! [`Conversations`] creates, retrieves, updates and deletes conversations; [`Items`] are those of one
//! conversation. Answers are [`ConversationObject`], [`ItemList`] and [`Deleted`], which serialize as
//! the API's objects. Forks and edits, which the API does not have, are methods of the same two.
//! [`Record`] is the view of a conversation as items, for a server that makes
//! responses; refusals are [`ApiError`]s with the API's status, code, parameter and message.

mod choices;
mod conversations;
mod error;
mod extensions;
mod fields;
mod ids;
mod input;
mod items;
mod metadata;
mod objects;
mod record;

pub use conversations::{Conversations, Create, check_id};
pub use error::ApiError;
pub use extensions::Fork;
pub use ids::tag_of;
pub use input::{InputItem, read_items};
pub use items::{AddedOnce, Items, List, Order, check_include, check_limit};
pub use metadata::check as check_metadata;
pub use objects::{ConversationObject, Deleted, ItemList};
pub use record::{ListedItem, Record, SealedItem};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
