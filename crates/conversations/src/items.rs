//! `Items`: the items of one conversation.

use serde::Deserialize;
use turnwise::Transcript;
use turnwise::message::RawJson;

use crate::choices::{INCLUDES, MAX_PAGE, PAGE};
use crate::conversations::Conversations;
use crate::error::ApiError;
use crate::input;
use crate::objects::{ConversationObject, ItemList};
use crate::record::{ListedItem, Record};

/// The items of one conversation, from [`Conversations::items`]. That the conversation exists is
/// checked by each call.
#[derive(Debug)]
pub struct Items<'a> {
    api: &'a Conversations,
    pub(crate) conversation: String,
}

/// Which items are listed. It can be read from the query of a request.
///
/// # Examples
/// ```
/// use turnwise_conversations::{List, Order};
///
/// let list = List { order: Order::Asc, ..List::default() };
/// assert_eq!(list.limit, 20);
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct List {
    /// The id of an item: those after it are listed. Default: from the first on.
    pub after: Option<String>,
    /// How many: 0 to 100, default 20.
    pub limit: i64,
    /// Default: newest first.
    pub order: Order,
    /// Additional data to include, by the API's names. The names are checked and change nothing: an
    /// item is always returned with all the data that it was created with.
    pub include: Vec<String>,
}

impl Default for List {
    fn default() -> Self {
        Self { after: None, limit: PAGE, order: Order::Desc, include: Vec::new() }
    }
}

impl List {
    /// The page of a record's items. It costs what its items do, wherever it is in the record.
    ///
    /// # Errors
    /// 400 for a limit or an `include` that is not allowed, 404 if there is no item `after`.
    pub fn page(&self, record: &Record<'_>) -> Result<ItemList, ApiError> {
        let (limit, newest_first) = (self.checked_limit()?, self.order == Order::Desc);
        let Some(after) = &self.after else { return Ok(page_of(record.items(newest_first), limit)) };
        let items = record.after(after, newest_first).ok_or_else(|| ApiError::no_item(after))?;
        Ok(page_of(items, limit))
    }

    /// The page of some of a record's items, whose ids are in the order of the record.
    ///
    /// # Errors
    /// As for [`page`](Self::page).
    pub fn page_with_ids(&self, record: &Record<'_>, ids: &[String]) -> Result<ItemList, ApiError> {
        let (limit, newest_first) = (self.checked_limit()?, self.order == Order::Desc);
        let left = match &self.after {
            None => ids,
            Some(after) => {
                let place = ids.iter().position(|id| id == after).filter(|_| record.find(after).is_some());
                let (before, from) = ids.split_at(place.ok_or_else(|| ApiError::no_item(after))?);
                if newest_first { before } else { &from[1..] }
            }
        };
        Ok(page_of(record.with_ids_in_order(left, newest_first), limit))
    }

    /// The limit, if it and every name of `include` are allowed.
    fn checked_limit(&self) -> Result<usize, ApiError> {
        check_include(&self.include)?;
        check_limit(self.limit, 0)
    }
}

/// The order of a list. As text `asc` or `desc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    #[default]
    Desc,
}

impl std::str::FromStr for Order {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        match text {
            "asc" => Ok(Self::Asc),
            "desc" => Ok(Self::Desc),
            _ => Err(ApiError::wrong_value("order", text, &["asc", "desc"])),
        }
    }
}

/// What tells items that were added before, and is written with them.
pub trait AddedOnce: Sync {
    /// The ids of the items, if they were added before.
    ///
    /// # Errors
    /// What a server refuses, such as other items with the same key.
    fn find(&self, file: &Transcript) -> Result<Option<Vec<String>>, ApiError>;

    /// Remembers in the conversation that they are added.
    fn put(&self, file: &mut Transcript, ids: Vec<String>);
}

impl<'a> Items<'a> {
    pub(crate) fn new(api: &'a Conversations, conversation: &str) -> Self {
        Self { api, conversation: conversation.to_owned() }
    }

    /// Checks the names of data that a request asks to be included. They change nothing else: see
    /// [`List::include`].
    ///
    /// # Errors
    /// 400 for a name that the API does not know.
    pub fn including(self, include: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, ApiError> {
        check_include(include)?;
        Ok(self)
    }

    /// Adds at most 20 items, the value of `items` of a request, and returns the added ones in their
    /// order.
    ///
    /// # Errors
    /// 400 for items that the API refuses, with the place of the first; 404 for an unknown
    /// conversation.
    ///
    /// # Examples
    /// ```
    /// use turnwise::message::RawJson;
    /// use turnwise::store::MemoryStore;
    /// use turnwise_conversations::{Conversations, Create};
    ///
    /// # futures_lite::future::block_on(async {
    /// let api = Conversations::new(MemoryStore::new());
    /// let id = api.create(Create::default()).await?.id;
    /// let refused = api.items(&id).create(&RawJson::new(r#"[{"role": "user"}]"#)?).await.unwrap_err();
    /// assert_eq!(refused.param.as_deref(), Some("items[0].content"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn create(&self, items: &RawJson) -> Result<ItemList, ApiError> {
        let items = input::read(items)?;
        let (added, _) = self.change(None, |record| record.add(&items)).await?;
        Ok(added)
    }

    /// As [`create`](Self::create), once: items that `once` finds in the conversation are returned as
    /// they are listed, and nothing is added. Returns whether that is so, too.
    ///
    /// # Errors
    /// As for [`create`](Self::create), and what `once` refuses.
    pub async fn create_once(&self, items: &RawJson, once: &dyn AddedOnce) -> Result<(ItemList, bool), ApiError> {
        let items = input::read(items)?;
        self.change(Some(once), |record| record.add(&items)).await
    }

    /// Adds items to the record, or finds those that were added by the same request before. Returns them
    /// and whether they were there.
    pub(crate) async fn change(
        &self,
        once: Option<&dyn AddedOnce>,
        add: impl Fn(&mut Record<'_>) -> Result<Vec<ListedItem>, ApiError>,
    ) -> Result<(ItemList, bool), ApiError> {
        let id = &self.conversation;
        let added = self.api.change(id, |file| {
            let known = once.map(|once| once.find(file)).transpose()?.flatten();
            if let Some(ids) = known {
                let record = Record::of(id, file);
                let mut known: Vec<ListedItem> = record.with_ids(&ids, true).collect();
                // If all of them were deleted since, it is no request that is sent again.
                if !known.is_empty() || ids.is_empty() {
                    known.reverse();
                    return Ok((known, true));
                }
            }
            let added = add(&mut Record::of(id, file))?;
            if let Some(once) = once {
                once.put(file, added.iter().map(|item| item.id.clone()).collect());
            }
            Ok((added, false))
        });
        let (items, is_known) = added.await?;
        Ok((page(items, false), is_known))
    }

    /// A page of items.
    ///
    /// # Errors
    /// 400 for a limit or an `include` that is not allowed, 404 for an unknown conversation or item.
    pub async fn list(&self, list: List) -> Result<ItemList, ApiError> {
        // A wrong query is reported as such, even if there is no such conversation.
        list.checked_limit()?;
        let (mut file, _revision) = self.api.load(&self.conversation).await?;
        list.page(&Record::of(&self.conversation, &mut file))
    }

    /// An item.
    ///
    /// # Errors
    /// 404 for an unknown conversation or item.
    pub async fn retrieve(&self, item: &str) -> Result<RawJson, ApiError> {
        let (mut file, _revision) = self.api.load(&self.conversation).await?;
        let found = Record::of(&self.conversation, &mut file).find(item);
        found.map(|found| found.json).ok_or_else(|| ApiError::no_item(item))
    }

    /// Takes an item out of the conversation, and returns the conversation. Its text stays in the
    /// record, on a branch of its own, until
    /// [`purge_branches`](turnwise::Conversation::purge_branches).
    ///
    /// # Errors
    /// 404 for an unknown conversation or item.
    pub async fn delete(&self, item: &str) -> Result<ConversationObject, ApiError> {
        let id = &self.conversation;
        let changed = self.api.change(id, |file| {
            let mut record = Record::of(id, file);
            let found = record.find(item).ok_or_else(|| ApiError::no_item(item))?;
            record.remove(&found);
            Ok(ConversationObject::of(id, &file.conversation))
        });
        changed.await
    }
}

/// A page of so many items, of those that are left.
fn page_of(mut items: impl Iterator<Item = ListedItem>, limit: usize) -> ItemList {
    let of_page: Vec<ListedItem> = items.by_ref().take(limit).collect();
    page(of_page, items.next().is_some())
}

fn page(items: Vec<ListedItem>, has_more: bool) -> ItemList {
    let id = |item: Option<&ListedItem>| item.map(|item| item.id.clone());
    let (first_id, last_id) = (id(items.first()), id(items.last()));
    ItemList { data: items.into_iter().map(|item| item.json).collect(), first_id, last_id, has_more }
}

/// Refuses names of additional data that the API does not know.
///
/// # Errors
/// 400 with the names that it knows.
pub fn check_include(include: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), ApiError> {
    for name in include {
        let name = name.as_ref();
        if !INCLUDES.contains(&name) {
            return Err(ApiError::wrong_value("include", name, INCLUDES));
        }
    }
    Ok(())
}

/// The number of a page's entries, from `least` to 100.
///
/// # Errors
/// 400 for another number.
pub fn check_limit(limit: i64, least: i64) -> Result<usize, ApiError> {
    let refused = |code, side, expected: String| {
        let message =
            format!("Invalid 'limit': integer {side} value. Expected a value {expected}, but got {limit} instead.");
        ApiError::invalid(Some(code), "limit", message)
    };
    if limit > MAX_PAGE {
        return Err(refused("integer_above_max_value", "above maximum", format!("<= {MAX_PAGE}")));
    }
    let checked = usize::try_from(limit).ok().filter(|_| limit >= least);
    checked.ok_or_else(|| refused("integer_below_min_value", "below minimum", format!(">= {least}")))
}
