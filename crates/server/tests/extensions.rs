//! What the server has beside `OpenAI`'s contract: lists, search, forks, edits, deleted conversations.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use axum::Router;
use serde_json::{Value, json};
use support::{Echo, ask, building, conversation, full, items, respond, said};
use tempfile::TempDir;
use turnwise::store::{FileStore, MemoryStore, Store};
use turnwise::{Conversation, Message, Transcript};
use turnwise_server::{Keys, Server};
use turnwise_store::{Catalog, SqliteStore};

mod support;

const CONVERSATIONS: &str = "/v1/turnwise/conversations";

fn with_catalog(server: Server, store: &SqliteStore) -> Server {
    let store = store.clone();
    server.catalog(move |tenant| {
        let store = tenant.map_or_else(|| Ok(store.clone()), |tenant| store.tenant(tenant))?;
        Ok(Some(Arc::new(store) as Arc<dyn Catalog>))
    })
}

fn database(folder: &TempDir) -> (SqliteStore, Router) {
    let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
    let app = with_catalog(building(Echo, store.clone()), &store).router();
    (store, app)
}

async fn create(app: &Router, metadata: Value, texts: &[&str]) -> String {
    let items: Vec<Value> = texts.iter().map(|text| json!({"role": "user", "content": text})).collect();
    let body = json!({"metadata": metadata, "items": items});
    let (status, made) = ask(app, "POST", "/v1/conversations", Some(body)).await;
    assert_eq!(status, 200, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

async fn get(app: &Router, path: &str) -> Value {
    let (status, answer) = ask(app, "GET", path, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

async fn refused(app: &Router, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let (status, answer) = ask(app, method, path, body).await;
    assert!(status >= 400, "{path}: {answer}");
    (status, answer["error"].clone())
}

/// The ids of a list that is read in pages.
async fn all(app: &Router, path: &str, limit: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(app, &format!("{path}limit={limit}{after}")).await;
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit);
        ids.extend(data.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        assert_eq!(page["has_more"].as_bool().unwrap(), !page["next"].is_null());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn conversations_are_listed_by_their_ids_over_every_store() {
    let app = support::echo();
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(create(&app, json!({"title": format!("Talk {number}")}), &["Hi"]).await);
    }
    respond(&app, json!({"input": "Not a conversation"})).await;
    made.sort();
    assert_eq!(all(&app, &format!("{CONVERSATIONS}?"), 3).await, made);
    let page = get(&app, &format!("{CONVERSATIONS}?limit=1")).await;
    let first = &page["data"][0];
    assert!(first["title"].as_str().unwrap().starts_with("Talk ") && first["used_at"].as_i64().unwrap() > 0, "{page}");
    for path in ["?text=Hi", "?order=used", "?since=5", "?metadata[title]=x"] {
        let (status, error) = refused(&app, "GET", &format!("{CONVERSATIONS}{path}"), None).await;
        assert_eq!((status, &error["code"]), (400, &json!("no_database")), "{error}");
    }
    let (_, error) = refused(&app, "GET", "/v1/turnwise/deleted", None).await;
    assert!(error["message"].as_str().unwrap().contains("turnwise serve --store sqlite:FILE"), "{error}");
}

#[tokio::test]
async fn a_conversation_that_cannot_be_read_is_an_entry_that_says_so() {
    let folder = TempDir::new().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let app = building(Echo, store.clone()).router();
    let (one, other) = (conversation(&app).await, conversation(&app).await);
    std::fs::write(store.path(&one).unwrap(), "{\"turnwise\": 1, \"messages\": [{]}").unwrap();
    let page = get(&app, CONVERSATIONS).await;
    let entry = |id: &str| page["data"].as_array().unwrap().iter().find(|entry| entry["id"] == id).unwrap().clone();
    assert!(entry(&one)["error"].as_str().unwrap().contains("cannot be read"), "{page}");
    assert!(entry(&other)["error"].is_null(), "{page}");
}

#[tokio::test]
async fn what_a_query_cannot_mean_is_refused() {
    let folder = TempDir::new().unwrap();
    let (_, app) = database(&folder);
    for (path, code, message) in [
        ("/v1/turnwise/conversations?untill=5", "unknown_parameter", "Did you mean 'until'?"),
        ("/v1/turnwise/conversations?limit=0", "integer_below_min_value", "Expected a value >= 1, but got 0"),
        ("/v1/turnwise/conversations?limit=101", "integer_above_max_value", "Expected a value <= 100"),
        ("/v1/turnwise/conversations?since=yesterday", "invalid_type", "'since': expected an integer"),
        ("/v1/turnwise/conversations?order=best", "invalid_value", "'id' and 'used'"),
        ("/v1/turnwise/conversations?order=id&text=x", "invalid_value", "have the order 'used'"),
        ("/v1/turnwise/search", "missing_required_parameter", "'query'"),
        ("/v1/turnwise/search?query=x", "no_search", "`turnwise conversations index`"),
        ("/v1/turnwise/conversations?text=x", "no_search", "`turnwise conversations index`"),
    ] {
        let (status, error) = refused(&app, "GET", path, None).await;
        assert_eq!((status, error["code"].as_str()), (400, Some(code)), "{path}: {error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{path}: {error}");
    }
}

#[tokio::test]
async fn sealed_conversations_are_not_searched() {
    let folder = TempDir::new().unwrap();
    let keys = "ab".repeat(32).parse().unwrap();
    let store = SqliteStore::open_sealed(folder.path().join("chats.db"), keys).unwrap();
    let app = with_catalog(building(Echo, store.clone()), &store).router();
    let id = create(&app, json!({}), &["A parcel"]).await;
    assert_eq!(all(&app, &format!("{CONVERSATIONS}?"), 3).await, [id]);
    for path in ["/v1/turnwise/search?query=parcel", "/v1/turnwise/conversations?text=parcel"] {
        let (status, error) = refused(&app, "GET", path, None).await;
        assert_eq!((status, error["code"].as_str()), (400, Some("no_search")));
        assert!(error["message"].as_str().unwrap().contains("sealed"), "{error}");
        assert!(error["message"].as_str().unwrap().contains("`turnwise conversations search`"), "{error}");
    }
}

#[tokio::test]
async fn conversations_are_found_by_text_time_and_metadata() {
    let folder = TempDir::new().unwrap();
    let (store, app) = database(&folder);
    store.enable_search().await.unwrap();
    let parcel = create(&app, json!({"team": "a b", "title": "Mail"}), &["Where is my früher parcel?", "Hello"]).await;
    let river = create(&app, json!({"team": "geo"}), &["A parcel on a river"]).await;
    let response = respond(&app, json!({"input": "A parcel of no conversation"})).await;
    let path = format!("/v1/turnwise/search?query=parcel&conversation={}", response["id"].as_str().unwrap());
    assert_eq!(refused(&app, "GET", &path, None).await.0, 404);
    let page = get(&app, "/v1/turnwise/search?query=parcel").await;
    let hits = page["data"].as_array().unwrap();
    assert_eq!((hits.len(), &page["has_more"]), (2, &json!(false)), "{page}");
    let hit = hits.iter().find(|hit| hit["conversation"] == *parcel).unwrap();
    assert_eq!(hit["items"], json!([items(&app, &parcel).await[0]["id"]]));
    assert_eq!((&hit["role"], &hit["snippet"]["text"]), (&json!("user"), &json!("Where is my früher parcel?")));
    // In characters, not in bytes.
    assert_eq!(hit["snippet"]["matches"], json!([{"start": 19, "end": 25}]));
    let one = get(&app, &format!("/v1/turnwise/search?query=parcel&conversation={river}")).await;
    assert_eq!(one["data"].as_array().unwrap().len(), 1, "{one}");

    assert_eq!(all(&app, &format!("{CONVERSATIONS}?order=used&"), 1).await, [river.clone(), parcel.clone()]);
    assert_eq!(all(&app, &format!("{CONVERSATIONS}?text=parcel&"), 1).await, [river.clone(), parcel.clone()]);
    assert_eq!(all(&app, &format!("{CONVERSATIONS}?metadata[team]=a+b&"), 5).await, [&*parcel]);
    assert_eq!(all(&app, &format!("{CONVERSATIONS}?since=4000000000&"), 5).await, [""; 0]);
    assert_eq!(all(&app, &format!("{CONVERSATIONS}?until=4000000000&"), 5).await.len(), 2);
    let listed = get(&app, &format!("{CONVERSATIONS}?text=hello")).await;
    assert_eq!(listed["data"][0]["title"], json!("Mail"));
    assert_eq!(listed["data"][0]["hit"]["items"], json!([items(&app, &parcel).await[1]["id"]]));
    let (status, error) = refused(&app, "GET", "/v1/turnwise/search?query=parcel&after=x", None).await;
    assert_eq!((status, error["code"].as_str()), (400, Some("invalid_value")), "{error}");
    let (status, error) = refused(&app, "GET", "/v1/turnwise/search?query=...", None).await;
    assert_eq!(status, 400, "{error}");
}

#[tokio::test]
async fn a_hit_on_a_branch_that_was_left_names_no_item() {
    let folder = TempDir::new().unwrap();
    let (store, app) = database(&folder);
    store.enable_search().await.unwrap();
    let id = create(&app, json!({}), &["A parcel"]).await;
    let item = items(&app, &id).await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("{CONVERSATIONS}/{id}/items/{item}/edit");
    ask(&app, "POST", &path, Some(json!({"items": [{"role": "user", "content": "A letter"}]}))).await;
    let page = get(&app, "/v1/turnwise/search?query=parcel").await;
    assert_eq!(page["data"][0]["items"], json!([]), "{page}");
    let page = get(&app, "/v1/turnwise/search?query=letter").await;
    assert_eq!(page["data"][0]["items"], json!([items(&app, &id).await[0]["id"]]), "{page}");
}

#[tokio::test]
async fn a_fork_has_the_items_up_to_one_and_is_begun_once_by_one_key() {
    for folder in [None, Some(TempDir::new().unwrap())] {
        let app = folder.as_ref().map_or_else(support::echo, |folder| database(folder).1);
        let id = create(&app, json!({"topic": "rivers"}), &["One", "Two", "Three"]).await;
        let of = items(&app, &id).await;
        let path = format!("{CONVERSATIONS}/{id}/fork");
        let (status, whole) = ask(&app, "POST", &path, None).await;
        assert_eq!(
            (status, &whole["object"], &whole["metadata"]["topic"]),
            (200, &json!("conversation"), &json!("rivers"))
        );
        let whole = whole["id"].as_str().unwrap();
        assert!(whole.starts_with("conv_") && whole != id && items(&app, whole).await.len() == 3);

        let key = [("idempotency-key", "key 1")];
        let body = json!({"last": of[1]["id"]});
        let again = || async { full(&app, "POST", &path, &key, Some(body.clone())).await };
        let ((status, headers, one), (_, replayed, two)) = (again().await, again().await);
        assert_eq!((status, &one), (200, &two));
        assert!(!headers.contains_key("idempotent-replayed") && replayed.contains_key("idempotent-replayed"));
        let made: Value = serde_json::from_str(&one).unwrap();
        let fork = made["id"].as_str().unwrap();
        assert_eq!(items(&app, fork).await.len(), 2);
        let (status, _, other) = full(&app, "POST", &path, &key, Some(json!({"last": of[0]["id"]}))).await;
        assert!(status == 400 && other.contains("idempotency_key_in_use"), "{other}");

        let answer = respond(&app, json!({"conversation": fork, "input": "Four"})).await;
        assert_eq!(said(&answer), "u:One|u:Two|u:Four");
        assert_eq!(items(&app, &id).await, of);
        let (status, error) = refused(&app, "POST", &path, Some(json!({"last": "msg_1"}))).await;
        assert_eq!((status, error["message"].as_str()), (404, Some("Item with id 'msg_1' not found in conversation.")));
        assert_eq!(refused(&app, "POST", &path, Some(json!({"lats": "msg_1"}))).await.0, 400);
    }
}

#[tokio::test]
async fn a_fork_that_is_asked_for_again_much_later_keeps_what_was_said_in_it() {
    let app = support::echo();
    let id = create(&app, json!({}), &["One", "Two"]).await;
    let body = json!({"last": items(&app, &id).await[0]["id"]});
    let path = format!("{CONVERSATIONS}/{id}/fork");
    let again = || async { full(&app, "POST", &path, &[("idempotency-key", "key 1")], Some(body.clone())).await };
    let made: Value = serde_json::from_str(&again().await.2).unwrap();
    let fork = made["id"].as_str().unwrap();
    // More requests than a conversation remembers.
    for number in 0..70 {
        let key = format!("item {number}");
        let item = json!({"items": [{"role": "user", "content": key}]});
        let path = format!("/v1/conversations/{fork}/items");
        assert_eq!(full(&app, "POST", &path, &[("idempotency-key", key.as_str())], Some(item)).await.0, 200);
    }
    let (status, headers, _) = again().await;
    assert!(status == 200 && headers.contains_key("idempotent-replayed"));
    let (_, page) = ask(&app, "GET", &format!("/v1/conversations/{fork}/items?limit=100"), None).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 71);
}

#[tokio::test]
async fn a_fork_does_not_know_the_requests_of_what_it_is_of() {
    let app = support::echo();
    let id = conversation(&app).await;
    let body = json!({"items": [{"role": "user", "content": "One"}]});
    let key = [("idempotency-key", "key 1")];
    full(&app, "POST", &format!("/v1/conversations/{id}/items"), &key, Some(body.clone())).await;
    let (_, fork) = ask(&app, "POST", &format!("{CONVERSATIONS}/{id}/fork"), Some(json!({}))).await;
    let fork = fork["id"].as_str().unwrap();
    full(&app, "POST", &format!("/v1/conversations/{fork}/items"), &key, Some(body)).await;
    assert_eq!(items(&app, fork).await.len(), 2);
}

#[tokio::test]
async fn an_edited_item_is_a_sibling_after_which_the_conversation_goes_on() {
    let store = MemoryStore::new();
    let app = support::server(Echo, &store);
    let id = create(&app, json!({}), &["One", "Two"]).await;
    respond(&app, json!({"conversation": id, "input": "Three"})).await;
    let of = items(&app, &id).await;
    let path = format!("{CONVERSATIONS}/{id}/items/{}/edit", of[1]["id"].as_str().unwrap());
    let body = json!({"items": [{"role": "user", "content": "Zwei"}]});
    let key = [("idempotency-key", "key 1")];
    let again = || async { full(&app, "POST", &path, &key, Some(body.clone())).await };
    let ((status, _, one), (_, replayed, two)) = (again().await, again().await);
    assert_eq!((status, &one), (200, &two));
    assert!(replayed.contains_key("idempotent-replayed"));
    let edited: Value = serde_json::from_str(&one).unwrap();
    let now = items(&app, &id).await;
    assert_eq!((now.len(), &now[0], &now[1]), (2, &of[0], &edited["data"][0]));
    let answer = respond(&app, json!({"conversation": id, "input": "Drei"})).await;
    assert_eq!(said(&answer), "u:One|u:Zwei|u:Drei");
    // What was there is still in the record.
    let (file, _) = store.load(&id).await.unwrap();
    let texts: Vec<String> = file.conversation.items().map(|item| item.message().text().into_owned()).collect();
    assert!(texts.contains(&"Two".to_owned()) && texts.contains(&"u:One|u:Two|u:Three".to_owned()), "{texts:?}");
    let (status, error) = refused(&app, "POST", &path, Some(json!({"items": []}))).await;
    assert_eq!((status, &error["param"]), (400, &json!("items")), "{error}");
}

#[tokio::test]
async fn a_deleted_conversation_is_listed_and_comes_back() {
    let folder = TempDir::new().unwrap();
    let (store, app) = database(&folder);
    let response = respond(&app, json!({"input": "Hi"})).await;
    ask(&app, "DELETE", &format!("/v1/responses/{}", response["id"].as_str().unwrap()), None).await;
    let mut gone = Vec::new();
    for _ in 0..3 {
        let id = create(&app, json!({}), &["One"]).await;
        ask(&app, "DELETE", &format!("/v1/conversations/{id}"), None).await;
        gone.push(id);
    }
    gone.sort();
    assert_eq!(all(&app, "/v1/turnwise/deleted?", 2).await, gone);
    let restore = |id: &str| format!("{CONVERSATIONS}/{id}/restore");
    for _ in 0..2 {
        let (status, back) = ask(&app, "POST", &restore(&gone[0]), None).await;
        assert_eq!((status, back["id"].as_str()), (200, Some(&*gone[0])));
    }
    assert_eq!(items(&app, &gone[0]).await.len(), 1);
    assert_eq!(all(&app, "/v1/turnwise/deleted?", 5).await, gone[1..]);
    let new = Transcript::new(Conversation::from_messages([Message::user("New")]));
    store.save(&gone[1], &new, None).await.unwrap();
    let (status, error) = refused(&app, "POST", &restore(&gone[1]), None).await;
    assert_eq!((status, error["code"].as_str()), (400, Some("conversation_exists")), "{error}");
    assert_eq!(refused(&app, "POST", &restore("conv_1"), None).await.0, 404);
    assert_eq!(refused(&app, "POST", &restore(response["id"].as_str().unwrap()), None).await.0, 404);
}

#[tokio::test]
async fn what_another_tenant_has_is_answered_as_what_is_not_there() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path().join("chats.db")).unwrap();
    store.enable_search().await.unwrap();
    let keys = Keys::at(folder.path().join("keys.json"));
    let (ann, bob) = (keys.add("ann", "ann").unwrap(), keys.add("bob", "bob").unwrap());
    let tenants = store.clone();
    let server = building(Echo, store.clone()).keys(keys, move |tenant| Ok(Arc::new(tenants.tenant(tenant)?)));
    let app = with_catalog(server, &store).router();
    let ask_as = async |key: &str, method: &str, path: &str, body: Option<Value>| {
        let (status, _, text) = full(&app, method, path, &[("authorization", &format!("Bearer {key}"))], body).await;
        (status, text)
    };
    let body = json!({"items": [{"role": "user", "content": "A parcel"}]});
    let mut made = Vec::new();
    for _ in 0..2 {
        let (_, text) = ask_as(&ann, "POST", "/v1/conversations", Some(body.clone())).await;
        made.push(serde_json::from_str::<Value>(&text).unwrap()["id"].as_str().unwrap().to_owned());
    }
    let (id, gone) = (&made[0], &made[1]);
    ask_as(&ann, "DELETE", &format!("/v1/conversations/{gone}"), None).await;
    let (_, text) = ask_as(&ann, "GET", &format!("/v1/conversations/{id}/items"), None).await;
    let item = serde_json::from_str::<Value>(&text).unwrap()["first_id"].as_str().unwrap().to_owned();
    let edit = json!({"items": [{"role": "user", "content": "x"}]});
    for (method, path, body) in [
        ("POST", "/v1/turnwise/conversations/ID/fork".to_owned(), Some(json!({}))),
        ("POST", "/v1/turnwise/conversations/ID/fork".to_owned(), Some(json!({"last": item}))),
        ("POST", format!("/v1/turnwise/conversations/ID/items/{item}/edit"), Some(edit)),
        ("POST", "/v1/turnwise/conversations/ID/restore".to_owned(), None),
        ("GET", "/v1/turnwise/search?query=parcel&conversation=ID".to_owned(), None),
        ("GET", "/v1/turnwise/conversations?after=ID".to_owned(), None),
        ("GET", "/v1/turnwise/deleted?after=ID".to_owned(), None),
    ] {
        for of_ann in [id, gone] {
            let other = format!("conv_{}", "0".repeat(48));
            let of = async |id: &str| {
                let (status, text) = ask_as(&bob, method, &path.replace("ID", id), body.clone()).await;
                (status, text.replace(id, "ID"))
            };
            assert_eq!(of(of_ann).await, of(&other).await, "{method} {path}");
        }
    }
    for path in ["/v1/turnwise/search?query=parcel", "/v1/turnwise/conversations?text=parcel", CONVERSATIONS] {
        for (key, count) in [(&ann, 1), (&bob, 0)] {
            let (status, text) = ask_as(key, "GET", path, None).await;
            let page: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((status, page["data"].as_array().unwrap().len()), (200, count), "{path}: {page}");
        }
    }
    assert_eq!(ask_as(&ann, "POST", &format!("{CONVERSATIONS}/{gone}/restore"), None).await.0, 200);
    assert_eq!(ask_as("wrong", "GET", CONVERSATIONS, None).await.0, 401);
}
