//! `Origin`: a conversation that another one was made of.

use serde::{Deserialize, Serialize};

use super::Transcript;
use crate::conversation::Timestamp;
use crate::spending::Spending;

/// The most that a fork remembers: of a chain of forks the nearest ones.
const MOST: usize = 16;

/// A conversation that another one was made of, and what that one has of its spending.
/// [`Transcript::begin_fork`] has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Origin {
    /// Its id, as its record has it.
    pub id: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// What had been spent on it when the fork was made. The fork's own spending contains it.
    pub spending: Spending,
}

impl Transcript {
    /// Makes this another conversation, which begins now with all that this one has: what
    /// [`Store::fork`](crate::store::Store::fork) does. It remembers what it was made of, so that
    /// the calls that both have are counted once.
    ///
    /// # Examples
    /// ```
    /// use turnwise::backend::Usage;
    /// use turnwise::spending::{Call, Purpose};
    /// use turnwise::{Conversation, Message, Transcript};
    ///
    /// let mut talk = Transcript::new(Conversation::from_messages([Message::user("Hi")]));
    /// talk.spending.add(&Call::new(Purpose::Reply, "gpt-4o").usage(&Usage::new(900, 40)));
    /// let mut fork = talk.clone();
    /// fork.begin_fork("ann, what if");
    /// assert_eq!((fork.conversation.id(), fork.conversation.path().len()), ("ann, what if", 1));
    /// assert_eq!(fork.origins()[0].id, talk.conversation.id());
    /// assert_eq!(fork.origins()[0].spending, fork.spending); // nothing is its own yet
    /// ```
    pub fn begin_fork(&mut self, id: &str) {
        self.begin_fork_of(self.spending.clone(), id);
    }

    /// As [`begin_fork`](Self::begin_fork), of a conversation that has only this part of the
    /// spending.
    pub(crate) fn begin_fork_of(&mut self, spending: Spending, id: &str) {
        if !spending.is_empty() {
            let talk = &self.conversation;
            let (id, created_at) = (talk.id().to_owned(), talk.created_at());
            self.origins.insert(0, Origin { id, created_at, spending });
            self.origins.truncate(MOST);
        }
        self.conversation.begin_again(id);
    }

    /// The conversations that this one was made of by [`begin_fork`](Self::begin_fork), the nearest
    /// first: at most 16, and only those whose spending it has a part of.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// Forgets the spending, and what of it belongs to others.
    pub(crate) fn forget_spending(&mut self) {
        self.spending = Spending::default();
        self.origins.clear();
    }
}
