//! Something is done with many conversations: one with which it cannot be done does not keep it
//! from the others.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use turnwise::store::Store;
use turnwise::{Error, ErrorKind, Result, Transcript};

/// How many ids are listed at a time.
const PAGE: usize = 100;

/// A conversation with which something could not be done that was done with others: it cannot be
/// read, or not be removed. As JSON its id, and the error as text.
///
/// # Examples
/// ```
/// use turnwise::store::FileStore;
/// use turnwise_store::search::{SearchQuery, scan};
///
/// # let folder = tempfile::TempDir::new()?;
/// std::fs::write(folder.path().join("ann.json"), "{\"messages\": [")?; // cut off
/// # futures_lite::future::block_on(async {
/// let page = scan(&FileStore::open(folder.path())?, &SearchQuery::new("parcel")).await?;
/// for failed in page.failed {
///     println!("{}: {}", failed.id, failed.error);
/// }
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failed {
    /// The id of the conversation.
    pub id: String,
    /// Why, and what can be done about it.
    pub error: Error,
}

impl Failed {
    pub(crate) fn new(id: impl Into<String>, error: Error) -> Self {
        Self { id: id.into(), error }
    }
}

/// Two are equal that say the same.
impl PartialEq for Failed {
    fn eq(&self, other: &Self) -> bool {
        let said = |failed: &Self| (failed.error.kind(), failed.error.to_string());
        self.id == other.id && said(self) == said(other)
    }
}

impl Eq for Failed {}

impl Serialize for Failed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Failed", 2)?;
        object.serialize_field("id", &self.id)?;
        object.serialize_field("error", &self.error.to_string())?;
        object.end()
    }
}

/// The conversations of any store, in the order of their ids.
pub(crate) struct Each<'a> {
    store: &'a dyn Store,
    ids: std::vec::IntoIter<String>,
    after: Option<String>,
    is_over: bool,
}

impl<'a> Each<'a> {
    pub(crate) fn after(store: &'a dyn Store, after: Option<String>) -> Self {
        Self { store, ids: Vec::new().into_iter(), after, is_over: false }
    }

    /// The next id; `None` after the last one.
    pub(crate) async fn next_id(&mut self) -> Result<Option<String>> {
        if self.ids.len() == 0 && !self.is_over {
            let ids = self.store.list(self.after.as_deref(), PAGE).await?;
            self.is_over = ids.len() < PAGE;
            self.after = ids.last().cloned().or(self.after.take());
            self.ids = ids.into_iter();
        }
        Ok(self.ids.next())
    }
}

/// Reads one of many conversations; `None` if it was deleted after it was listed. One that cannot
/// be read is no reason not to go on with the others, and is told as [`Failed`].
///
/// **Provisional**: it may change before 1.0.
///
/// # Errors
/// The outer one is that of a store that fails altogether, or stays busy, so that it is of no use to go on.
///
/// # Examples
/// ```
/// use turnwise::store::{FileStore, Store};
/// use turnwise_store::read;
///
/// # let folder = tempfile::TempDir::new()?;
/// std::fs::write(folder.path().join("ann.json"), "{\"messages\": [")?; // cut off
/// # futures_lite::future::block_on(async {
/// let store = FileStore::open(folder.path())?;
/// for id in store.list(None, 10).await? {
///     match read(&store, &id).await? {
///         Some(Ok(transcript)) => println!("{id}: {} messages", transcript.conversation.path().len()),
///         Some(Err(failed)) => eprintln!("{id}: {}", failed.error),
///         None => {}
///     }
/// }
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn read(store: &dyn Store, id: &str) -> Result<Option<Result<Transcript, Failed>>> {
    let mut loaded = store.load(id).await;
    if matches!(&loaded, Err(error) if error.kind() == ErrorKind::Busy) {
        loaded = store.load(id).await;
    }
    match loaded {
        Ok((transcript, _)) => Ok(Some(Ok(transcript))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::Busy => Err(error),
        Err(error) => {
            check_answers(store, &error).await?;
            Ok(Some(Err(Failed::new(id, error))))
        }
    }
}

/// Asks a store after a failure whether it answers at all. What is wrong with one conversation is
/// told of that one; only a failure to read or write may be one of the store.
async fn check_answers(store: &dyn Store, error: &Error) -> Result<()> {
    if error.kind() == ErrorKind::Io { store.list(None, 1).await.map(drop) } else { Ok(()) }
}

/// What became of many conversations.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) struct Steps<D> {
    pub(crate) done: Vec<D>,
    pub(crate) failed: Vec<Failed>,
}

/// Does something with many conversations, some in each step, which is done whole or not at all. If
/// a step fails, each of its conversations is tried alone.
///
/// # Errors
/// That of a step if, alone, two of its conversations in a row cannot be written, or if the store does not answer any
/// more. The steps before it are done.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) async fn in_steps<T: Clone, D>(
    store: &dyn Store,
    all: &[T],
    id: fn(&T) -> &str,
    step: impl Fn(Vec<T>) -> crate::engine::Answer<Vec<D>>,
) -> Result<Steps<D>> {
    let mut steps = Steps { done: Vec::new(), failed: Vec::new() };
    for batch in all.chunks(crate::deleted::BATCH) {
        if batch.len() > 1
            && let Ok(done) = step(batch.to_vec()).await
        {
            steps.done.extend(done);
            continue;
        }
        // One that is damaged is no reason to give up. That nothing can be written is, and each try may take long.
        let mut unwritten = 0;
        for one in batch {
            match step(vec![one.clone()]).await {
                Ok(done) => {
                    unwritten = 0;
                    steps.done.extend(done);
                }
                Err(error) => {
                    check_answers(store, &error).await?;
                    unwritten = if error.kind() == ErrorKind::Io { unwritten + 1 } else { 0 };
                    if unwritten == 2 {
                        return Err(error);
                    }
                    steps.failed.push(Failed::new(id(one), error));
                }
            }
        }
    }
    Ok(steps)
}
