//! `ScriptedEmbedder`: an embedder for tests, in which words stand for topics.

use std::collections::VecDeque;
use std::fmt;
use std::future;
use std::sync::{Arc, Mutex, PoisonError};

use super::{BackendError, BoxFuture, Embedder, Embeddings};

/// An embedder for tests: each topic is a few words that mean the same, and a dimension in which a
/// text with such words lies. Texts about one topic are alike, whatever words of it they use; a
/// text about none of them lies in a dimension of its own. The same text always has the same
/// vector. Clones share the calls and the failures.
///
/// # Examples
/// ```
/// use turnwise::backend::{Embedder, ScriptedEmbedder};
/// use turnwise::vectors::Vector;
///
/// let embedder = ScriptedEmbedder::new([["kitten", "cats"], ["bicycle", "ride"]]);
/// # futures_lite::future::block_on(async {
/// let made = embedder.embed(vec!["Any cats?".into(), "My kitten!".into(), "I ride home.".into()]).await?;
/// let [cats, kitten, ride] = [0, 1, 2].map(|text: usize| Vector::new(&made.vectors[text]).unwrap());
/// assert!(cats.similarity(&kitten) > 60_000 && cats.similarity(&ride) < 1_000);
/// # Ok::<(), turnwise::backend::BackendError>(())
/// # }).unwrap();
/// assert_eq!(embedder.calls().len(), 1);
/// ```
#[derive(Clone)]
pub struct ScriptedEmbedder {
    topics: Arc<[Vec<String>]>,
    id: Arc<str>,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    /// What comes of the next calls in the place of vectors; `None`: they never end.
    failures: VecDeque<Option<BackendError>>,
    seen: Vec<Vec<String>>,
}

impl ScriptedEmbedder {
    /// An embedder that knows these topics, each a list of words in lower case.
    pub fn new<'a, T: IntoIterator<Item = &'a str>>(topics: impl IntoIterator<Item = T>) -> Self {
        let words = |topic: T| topic.into_iter().map(str::to_owned).collect();
        let topics: Arc<[Vec<String>]> = topics.into_iter().map(words).collect();
        let id = format!("topics/{}", topics.len() + 1).into();
        Self { topics, id, script: Arc::default() }
    }

    /// The same embedder under another id: another model, with other vectors.
    #[must_use]
    pub fn with_id(self, id: &str) -> Self {
        Self { id: id.into(), ..self }
    }

    /// Answers the next call that has no other answer yet with this error.
    pub fn then_fail(&self, error: BackendError) -> &Self {
        self.script(|script| script.failures.push_back(Some(error)));
        self
    }

    /// Never answers the next call that has no other answer yet.
    pub fn then_stall(&self) -> &Self {
        self.script(|script| script.failures.push_back(None));
        self
    }

    /// The texts of each call so far.
    pub fn calls(&self) -> Vec<Vec<String>> {
        self.script(|script| script.seen.clone())
    }

    fn vector(&self, text: &str) -> Vec<f32> {
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
        let about = |topic: &Vec<String>| if topic.iter().any(|word| words.contains(&&**word)) { 1.0 } else { 0.0 };
        let mut vector: Vec<f32> = self.topics.iter().map(about).collect();
        let is_about_none = vector.iter().all(|part| *part == 0.0);
        vector.push(if is_about_none { 1.0 } else { 0.0 });
        vector
    }

    fn script<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        act(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Embedder for ScriptedEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'static, Result<Embeddings, BackendError>> {
        let vectors = texts.iter().map(|text| self.vector(text)).collect();
        let tokens = texts.iter().map(|text| text.split_whitespace().count() as u64).sum();
        let failure = self.script(|script| {
            script.seen.push(texts);
            script.failures.pop_front()
        });
        Box::pin(async move {
            match failure {
                None => Ok(Embeddings::new(vectors).tokens(tokens)),
                Some(Some(error)) => Err(error),
                Some(None) => future::pending().await,
            }
        })
    }
}

impl fmt::Debug for ScriptedEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedEmbedder").field("id", &self.id).finish_non_exhaustive()
    }
}
