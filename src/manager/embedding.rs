//! Vectors of messages: that of the question before a request, those of the history after it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Semaphore;

use super::input::{ExchangeInput, Planned};
use super::summarizing::Patience;
use super::timer::within;
use super::{Builder, ConversationManager, Shared, trace};
use crate::backend::{BackendError, Embedder, Usage, in_millis};
use crate::conversation::{Item, Stamp};
use crate::error::{Error, ErrorKind, Result};
use crate::spending::{Call, Purpose};
use crate::tokens::Model;
use crate::vectors::{Vector, Vectors, text_of};

/// How long a send waits for the vector of its question, unless the builder sets another time.
pub(super) const QUESTION_TIME: Duration = Duration::from_secs(1);

/// What a manager with an embedder keeps beside the vectors.
pub(super) struct Embedding {
    /// One permit, for whoever makes the vectors of the history.
    history: Semaphore,
    memory: Mutex<Memory>,
}

/// How the embedder has answered so far.
#[derive(Default)]
struct Memory {
    /// For the vectors of questions.
    patience: Patience,
    /// Items whose texts it refuses.
    refused: Vec<Stamp>,
}

impl Default for Embedding {
    fn default() -> Self {
        Self { history: Semaphore::new(1), memory: Mutex::default() }
    }
}

impl Embedding {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call of an embedder. `Debug` prints only the length of [`refused`](Self::refused), which may
/// contain a server's words.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EmbeddingCall {
    /// How many texts it was for.
    pub texts: usize,
    /// How many tokens were billed, if the server says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "in_millis")]
    pub elapsed: Duration,
    /// Why there are no vectors; `None` if there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Builder {
    /// The embedder, with which [`Recall`](crate::Recall) finds messages by their meaning too.
    /// Default: none; messages are found by their words.
    ///
    /// The vectors of new messages are made after an exchange, and saved with the conversation. A
    /// request that cannot send everything waits for the vector of its question, no longer than
    /// [`embed_within`](Self::embed_within). A failure is told to observers
    /// ([`Observer::embedded`](crate::Observer::embedded)) and fails no exchange: words are
    /// compared then, and the vectors are made later.
    ///
    /// # Examples
    /// ```
    /// use turnwise::backend::{Scripted, ScriptedEmbedder};
    /// use turnwise::{ConversationManager, Recall, TokenBudget};
    ///
    /// // In a real program: OpenAi::from_env().embedder("text-embedding-3-small")
    /// let embedder = ScriptedEmbedder::new([["kitten", "pets"], ["times", "plus"]]);
    /// let answers = std::iter::repeat_n("Yes, of course, so it is, as far as I know.", 12);
    /// let chat = ConversationManager::builder("gpt-4o-mini")
    ///     .backend(Scripted::new(answers))
    ///     .strategy(Recall::new())
    ///     .embedder(embedder)
    ///     .budget(TokenBudget::limit(150))
    ///     .build()?;
    /// # futures_lite::future::block_on(async {
    /// chat.send("I have a kitten called Minka.").await?;
    /// for n in 1..=10 {
    ///     chat.send(format!("Is {n} times 1 just {n}?")).await?;
    /// }
    /// let reply = chat.send("Do you remember any pets?").await?;
    /// assert!(reply.report.plan.explain().to_string().contains("close to the question in meaning"));
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn embedder(self, embedder: impl Embedder + 'static) -> Self {
        self.set(|setup| setup.embedder = Some(Arc::new(embedder)))
    }

    /// How long a send waits for the vector of its question. Default: one second. A vector that
    /// comes later is left out, and after failures some sends do not ask for one at all.
    pub fn embed_within(self, time: Duration) -> Self {
        self.set(|setup| setup.embed_within = time)
    }
}

impl ExchangeInput {
    /// The same plan, or a better one with the vectors that it requests, if these come in time.
    pub(super) async fn plan_by_meaning(&self, mut planned: Planned) -> Result<Planned> {
        let setup = &self.shared.setup;
        let (Some(embedder), Some(embedding)) = (&setup.embedder, &self.shared.embedding) else { return Ok(planned) };
        if embedder.id() != planned.vectors.by() {
            return Ok(planned);
        }
        let requests = planned.plan.vector_requests().iter();
        let wanted: Vec<Item> = requests.filter_map(|&id| planned.staged.get(id)).cloned().collect();
        if wanted.is_empty() || !embedding.memory().patience.is_over() {
            return Ok(planned);
        }
        let (call, made) = self.shared.embed_items(&**embedder, &wanted, Some(setup.embed_within)).await;
        planned.embeddings.push(call);
        // Vectors of another length cannot be compared with the history's, which are made again.
        let dimensions = planned.vectors.dimensions();
        let made = made.ok().filter(|made| made.iter().all(|vector| vector.dimensions() == dimensions));
        embedding.memory().patience.learn(made.is_some());
        if let Some(made) = made {
            planned.new_vectors = wanted.into_iter().zip(made).collect();
            for (item, vector) in &planned.new_vectors {
                planned.vectors.put(embedder.id(), item, vector.clone());
            }
            planned.plan = self.plan_staged(&planned.staged, &planned.vectors)?;
        }
        Ok(planned)
    }
}

impl ConversationManager {
    /// Makes the vectors of all messages on the path that have none, now, and returns how many were
    /// made; 0 without an [embedder](crate::Builder::embedder). They are saved with the next
    /// exchange or change, or by [`save`](Self::save).
    ///
    /// After every exchange this happens by itself. Call it for a long conversation that was begun
    /// without an embedder, or before a program ends whose last vectors should not be made again.
    ///
    /// # Errors
    /// Those of the embedder, if it fails. What was made until then is kept.
    pub async fn embed_history(&self) -> Result<usize> {
        let shared = Arc::clone(&self.shared);
        let Some(embedding) = &shared.embedding else { return Ok(0) };
        // It is never closed.
        let _alone = embedding.history.acquire().await;
        shared.embed_missing().await
    }
}

impl Shared {
    pub(super) fn vectors(&self) -> Vectors {
        self.state(|state| state.file.vectors.clone())
    }

    /// Makes the vectors that are missing after an exchange: in a task of its own in a tokio
    /// runtime. Elsewhere the exchange waits for it, no longer than for the vector of a question.
    pub(super) async fn embed_after_exchange(self: &Arc<Self>) {
        if self.embedding.is_none() {
            return;
        }
        let shared = Arc::clone(self);
        let work = Box::pin(async move {
            // Whoever is at it already goes on until nothing is missing.
            let alone = shared.embedding.as_ref().and_then(|embedding| embedding.history.try_acquire().ok());
            if alone.is_some() {
                // Observers were told of a failure. The next exchange tries again.
                let _ = shared.embed_missing().await;
            }
        });
        #[cfg(feature = "openai")]
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(work);
            return;
        }
        let _ = within(self.setup.embed_within, work).await;
    }

    /// Makes the vectors of the path that are missing, newest first, until one call fails.
    ///
    /// A text that the server refuses while it takes others is set aside until the manager is built
    /// again, so that it does not stand in the way of those before it.
    async fn embed_missing(&self) -> Result<usize> {
        let Some(embedder) = self.setup.embedder.as_deref() else { return Ok(0) };
        let mut made = 0;
        loop {
            let batch = self.next_batch(embedder);
            if batch.is_empty() {
                return Ok(made);
            }
            let error = match self.embed_items(embedder, &batch, None).await.1 {
                Ok(vectors) => {
                    made += self.keep_vectors(embedder, &batch, vectors, made > 0)?;
                    continue;
                }
                Err(error) => error,
            };
            if !is_refusal(&error) {
                return Err(failed(error));
            }
            for item in batch.chunks(1).filter(|_| batch.len() > 1) {
                match self.embed_items(embedder, item, None).await.1 {
                    Ok(vectors) => made += self.keep_vectors(embedder, item, vectors, made > 0)?,
                    Err(error) if is_refusal(&error) && made > 0 => self.set_aside(item),
                    Err(error) => return Err(failed(error)),
                }
            }
            if batch.len() == 1 {
                if made == 0 {
                    return Err(failed(error));
                }
                self.set_aside(&batch);
            }
        }
    }

    /// The newest items without a vector, as many as one call may have.
    fn next_batch(&self, embedder: &dyn Embedder) -> Vec<Item> {
        let (record, vectors) = self.state(|state| (state.file.conversation.clone(), state.file.vectors.clone()));
        let refused = self.embedding.as_ref().map(|embedding| embedding.memory().refused.clone()).unwrap_or_default();
        let missing = vectors.missing(embedder.id(), record.path()).filter(|item| !refused.contains(&item.stamp()));
        missing.take(embedder.most_texts().max(1)).cloned().collect()
    }

    fn set_aside(&self, items: &[Item]) {
        if let Some(embedding) = &self.embedding {
            embedding.memory().refused.extend(items.iter().map(Item::stamp));
        }
    }

    /// Keeps vectors of items that are still in the record.
    fn keep_vectors(
        &self,
        embedder: &dyn Embedder,
        items: &[Item],
        vectors: Vec<Vector>,
        has_begun: bool,
    ) -> Result<usize> {
        self.state(|state| {
            let known = &mut state.file.vectors;
            let mut made = 0;
            for (item, vector) in items.iter().zip(vectors) {
                if (has_begun || made > 0) && known.dimensions() != vector.dimensions() {
                    let (some, others) = (known.dimensions(), vector.dimensions());
                    let detail = format!("the embedder returned vectors of {some} and of {others} dimensions");
                    return Err(Error::new(ErrorKind::Malformed, detail));
                }
                if state.file.conversation.get(item.id()).is_some_and(|own| own.stamp() == item.stamp()) {
                    known.put(embedder.id(), item, vector);
                }
                made += 1;
            }
            Ok(made)
        })
    }

    /// Makes the vectors of items in one call, which observers are told of.
    async fn embed_items(
        &self,
        embedder: &dyn Embedder,
        items: &[Item],
        limit: Option<Duration>,
    ) -> (EmbeddingCall, Result<Vec<Vector>, BackendError>) {
        let texts: Vec<String> = items.iter().map(|item| text_of(item.message(), embedder.longest_text())).collect();
        let begun = Instant::now();
        let asked = embedder.embed(texts);
        let answer = match limit {
            None => asked.await,
            Some(limit) => match within(limit, asked).await {
                Ok(Some(answer)) => answer,
                Ok(None) => Err(BackendError::timeout(format!("no vector within {} s", limit.as_secs_f32()))),
                Err(error) => Err(BackendError::unavailable("no thread could be started").with_source(error)),
            },
        };
        let tokens = answer.as_ref().ok().and_then(|made| made.tokens);
        let made = answer.and_then(|made| vectors_of(&made.vectors, items.len()));
        let refused = made.as_ref().err().map(ToString::to_string);
        let call = EmbeddingCall { texts: items.len(), tokens, elapsed: begun.elapsed(), refused };
        self.tell_embedded(embedder, &call);
        if let Err(error) = &made {
            trace::unembedded(error);
        }
        (call, made)
    }

    fn tell_embedded(&self, embedder: &dyn Embedder, call: &EmbeddingCall) {
        let model = Model::find(embedder.id());
        let usage = call.tokens.map(|tokens| Usage::new(tokens, 0));
        let paid =
            Call::new(Purpose::Embedding, &*model.name).usage(usage.as_ref()).price(self.setup.prices.of(&model));
        let paid = if call.refused.is_some() { paid.failed() } else { paid };
        let id = self.state(|state| {
            state.file.spending.add(&paid);
            state.file.conversation.id().to_owned()
        });
        self.setup.observers.tell(|observer| observer.embedded(&id, call));
    }
}

fn vectors_of(parts: &[Vec<f32>], expected: usize) -> Result<Vec<Vector>, BackendError> {
    let malformed = |why: String| Err(BackendError::malformed(why));
    if parts.len() != expected {
        return malformed(format!("{} vectors for {expected} texts", parts.len()));
    }
    let vectors: Option<Vec<Vector>> = parts.iter().map(|parts| Vector::new(parts)).collect();
    vectors.map_or_else(|| malformed("a vector is empty, all zero, or not of numbers".to_owned()), Ok)
}

/// Whether an error may be due to one of the texts.
fn is_refusal(error: &BackendError) -> bool {
    matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Overflow | ErrorKind::Malformed)
}

fn failed(error: BackendError) -> Error {
    let detail = format!("the vectors of messages could not be made: {}", error.detail());
    Error::new(error.kind(), detail).logged_as(error.logged()).because(error)
}

impl fmt::Debug for EmbeddingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = self.refused.as_ref().map(|why| format!("{} characters", why.chars().count()));
        f.debug_struct("EmbeddingCall")
            .field("texts", &self.texts)
            .field("tokens", &self.tokens)
            .field("refused", &refused)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "embedding_tests.rs"]
mod tests;
