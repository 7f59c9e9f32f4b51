//! `Embedder`, the trait between a manager and an embedding model.

use std::fmt;
use std::sync::Arc;

use super::{BackendError, BoxFuture};

/// Turns texts into vectors, such that texts of like meaning have like vectors.
///
/// `OpenAi::embedder` makes one for a server with `/v1/embeddings`. Implement it for a model in
/// your own process, or another API. For tests there is
/// [`ScriptedEmbedder`](super::ScriptedEmbedder).
///
/// A question and the messages that may answer it are turned into vectors in the same way: a
/// message is embedded once, when it is asked or after it was said.
///
/// # Examples
/// ```
/// use turnwise::backend::{BackendError, BoxFuture, Embedder, Embeddings};
/// use turnwise::{ConversationManager, Recall};
///
/// /// Texts are alike if they have the same letters.
/// struct Letters;
///
/// impl Embedder for Letters {
///     fn id(&self) -> &str {
///         "letters"
///     }
///
///     fn embed(&self, texts: Vec<String>) -> BoxFuture<'static, Result<Embeddings, BackendError>> {
///         let count = |text: &str, letter: char| text.chars().filter(|c| *c == letter).fold(1.0, |count, _| count + 1.0);
///         let vector = |text: &String| ('a'..='z').map(|letter| count(text, letter)).collect();
///         let vectors = texts.iter().map(vector).collect();
///         Box::pin(async move { Ok(Embeddings::new(vectors)) })
///     }
/// }
///
/// let chat = ConversationManager::builder("gpt-4o-mini").strategy(Recall::new()).embedder(Letters).build()?;
/// # Ok::<(), turnwise::Error>(())
/// ```
pub trait Embedder: Send + Sync {
    /// The name of the model and of whatever else decides about its vectors, such as the number of
    /// dimensions if it can be chosen. Vectors are saved under it, and those of another id are made
    /// again.
    fn id(&self) -> &str;

    /// The vectors of texts, in their order.
    ///
    /// # Errors
    /// A [`BackendError`] of the kind that describes the failure. No exchange fails because of it:
    /// the manager reports it, and tries again later.
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'static, Result<Embeddings, BackendError>>;

    /// How many texts one call may have. Default 64.
    fn most_texts(&self) -> usize {
        64
    }

    /// How many characters a text may have; the beginning of a longer message is embedded. Default
    /// 2,000: models read a few hundred to a few thousand tokens, and some servers refuse more.
    fn longest_text(&self) -> usize {
        2_000
    }
}

macro_rules! embed_through {
    ($($pointer:ident),*) => {$(
        impl<E: Embedder + ?Sized> Embedder for $pointer<E> {
            fn id(&self) -> &str {
                (**self).id()
            }

            fn embed(&self, texts: Vec<String>) -> BoxFuture<'static, Result<Embeddings, BackendError>> {
                (**self).embed(texts)
            }

            fn most_texts(&self) -> usize {
                (**self).most_texts()
            }

            fn longest_text(&self) -> usize {
                (**self).longest_text()
            }
        }
    )*};
}

embed_through!(Arc, Box);

/// What an [`Embedder`] returns.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Embeddings {
    /// A vector for each text. They need not have the length 1.
    pub vectors: Vec<Vec<f32>>,
    /// How many tokens were billed, if the server says so.
    pub tokens: Option<u64>,
}

impl Embeddings {
    /// These vectors, without a bill.
    pub fn new(vectors: Vec<Vec<f32>>) -> Self {
        Self { vectors, tokens: None }
    }

    /// The same vectors with so many tokens billed.
    #[must_use]
    pub fn tokens(self, billed: u64) -> Self {
        Self { tokens: Some(billed), ..self }
    }
}

impl fmt::Debug for Embeddings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embeddings({} vectors)", self.vectors.len())
    }
}
