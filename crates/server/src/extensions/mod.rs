//! What `OpenAI`'s API does not have, under a path of its own, `/v1/turnwise`: lists of
//! conversations, search, deleted conversations and their restoring, forks, and edits of items.
//!
//! Lists by time, metadata and text, search and deleted conversations are those of a database
//! ([`Catalog`]); the rest goes over every store. Keys, tenants, limits and `Idempotency-Key` are as
//! for the other routes.

mod changes;
mod lists;
mod query;

use axum::Router;
use axum::routing::{get, post};
use turnwise::{Error, ErrorKind};
use turnwise_conversations::ApiError;
use turnwise_store::Catalog;

use crate::server::App;

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/v1/turnwise/conversations", get(lists::conversations))
        .route("/v1/turnwise/search", get(lists::search))
        .route("/v1/turnwise/deleted", get(lists::deleted))
        .route("/v1/turnwise/conversations/{id}/fork", post(changes::fork))
        .route("/v1/turnwise/conversations/{id}/restore", post(changes::restore))
        .route("/v1/turnwise/conversations/{id}/items/{item}/edit", post(changes::edit))
}

/// What the database of a tenant has beside its conversations.
fn catalog(app: &App) -> Result<&dyn Catalog, ApiError> {
    app.catalog.as_deref().ok_or_else(|| {
        let message = "The store of this server is no database: it has no index for lists and search, and keeps no \
                       deleted conversation. Serve a database, such as `turnwise serve --store sqlite:FILE`.";
        refused("no_database", message.to_owned())
    })
}

fn refused(code: &'static str, message: String) -> ApiError {
    let mut error = ApiError::invalid_request(message);
    error.code = Some(code);
    error
}

/// The refusal for what a database says of a list or a search.
fn not_found_by(error: &Error) -> ApiError {
    match error.kind() {
        ErrorKind::NotFound => {
            refused("no_search", format!("The store of this server cannot be searched: {}.", error.detail()))
        }
        ErrorKind::InvalidParam => refused("invalid_value", sentence(error)),
        ErrorKind::Busy => {
            let mut error = refused("no_search_yet", sentence(error));
            (error.status, error.kind) = (503, "server_error");
            error
        }
        _ => ApiError::of_store(error, ""),
    }
}

/// What a database says, as a sentence.
fn sentence(error: &Error) -> String {
    let detail = error.detail();
    let mut letters = detail.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).chain(['.']).collect()
}
