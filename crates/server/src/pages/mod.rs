//! Pages for people: the conversations of the tenant, and one of them with what each request held.
//! They are made here from the templates beside this file, and have no script.

use axum::Router;
use axum::extract::{Extension, Path, RawQuery};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context};
use turnwise_conversations::{ApiError, List, Order};

use crate::listing;
use crate::query;
use crate::responses::of_conversation;
use crate::routes::Api;
use crate::server::App;
use view::{Item, Row};

mod view;

/// How many conversations a page has.
const PAGE: usize = 25;
/// How many items a page has.
const ITEMS: i64 = 100;
/// How many responses of a conversation are shown.
const RESPONSES: usize = 100;
const STYLE: &str = include_str!("style.css");
/// Nothing is loaded but the style, nothing runs, and no other page may show these.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router {
    Router::new().route("/", get(list)).route("/style.css", get(style)).route("/conversations/{id}", get(conversation))
}

/// Whether a request is for a page, and so may come from a browser with a password.
pub(crate) fn is_page(method: &Method, path: &str) -> bool {
    method == Method::GET && (matches!(path, "/" | "/style.css") || path.starts_with("/conversations/"))
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

async fn list(Extension(app): Api, RawQuery(query): RawQuery) -> Response {
    match listed(&app, query.as_deref()).await {
        Ok(page) => page,
        Err(error) => failed(error),
    }
}

/// The conversations after one, in the order of their ids.
async fn listed(app: &App, query: Option<&str>) -> Result<Response, ApiError> {
    let page = listing::conversations(&*app.store, query::read(query)?.after, PAGE, Row::of).await?;
    let next = page.next.map(|last| format!("/?after={}", view::in_url(&last)));
    Ok(render("list.html", StatusCode::OK, context! { rows => Value::from(Serde(page.rows)), next }))
}

async fn conversation(Extension(app): Api, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    match shown(&app, &id, query.as_deref()).await {
        Ok(page) => page,
        Err(error) => failed(error),
    }
}

/// A conversation with its items after one, and its responses.
async fn shown(app: &App, id: &str, query: Option<&str>) -> Result<Response, ApiError> {
    let after = query::read(query)?.after;
    let is_first = after.is_none();
    let wanted = List { after, limit: ITEMS, order: Order::Asc, ..List::default() };
    let about = app.api.retrieve(id).await?;
    let page = app.api.items(id).list(wanted).await?;
    let here = format!("/conversations/{}", view::in_url(id));
    let last = page.last_id.as_deref().filter(|_| page.has_more);
    let next = last.map(|last| format!("{here}?after={}", view::in_url(last)));
    let items: Vec<Item> = page.data.iter().map(Item::of).collect();
    let (responses, has_more_responses) =
        if is_first { of_conversation(&*app.store, id, RESPONSES).await? } else { Default::default() };
    let context = context! {
        id,
        metadata => Value::from(Serde(&about.metadata)),
        items => Value::from(Serde(items)),
        responses => Value::from(Serde(responses)),
        has_more_responses,
        next,
        is_first,
    };
    Ok(render("conversation.html", StatusCode::OK, context))
}

fn failed(error: ApiError) -> Response {
    let error = crate::request_id::shown(error);
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    render("error.html", status, context! { message => error.message })
}

fn render(name: &str, status: StatusCode, context: Value) -> Response {
    let rendered = templates().and_then(|templates| templates.get_template(name)?.render(context));
    let Ok(text) = rendered else {
        tracing::error!(target: "turnwise_server", page = name, "a page could not be made");
        return (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made.").into_response();
    };
    let mut response = (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// All that conversations have in them is escaped.
fn templates() -> Result<Environment<'static>, minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.add_template("base.html", include_str!("base.html"))?;
    templates.add_template("list.html", include_str!("list.html"))?;
    templates.add_template("conversation.html", include_str!("conversation.html"))?;
    templates.add_template("error.html", include_str!("error.html"))?;
    Ok(templates)
}
