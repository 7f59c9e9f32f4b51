//! Sends of [`Sessions`], and what they do when another process has changed the conversation
//! meanwhile.

use std::sync::Arc;

use super::ConversationManager;
use super::failure::UnsavedExchange;
use super::once::{Keyed, OnceReply};
use super::queue::SendPermit;
use super::reload::{Reload, reload};
use super::reply::Reply;
use super::sessions::Sessions;
use super::staged::Ask;
use crate::backend::BoxFuture;
use crate::conversation::{Conversation, new_id};
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;
use crate::spending::Spending;
use crate::store::on_thread;
use crate::transcript::{Change, Known, Transcript};

/// What [`Sessions::send`] does with a reply that cannot be saved, because another process has
/// changed the conversation while the model answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnConflict {
    /// The send fails with [`ErrorKind::Conflict`]. The reply is not recorded;
    /// [`Error::unsaved`] has it.
    #[default]
    Fail,
    /// The message is sent again, after what the other process has written. The reply that is given
    /// up was paid for, and is counted in the spending.
    Retry {
        /// How often it is sent again. After that the send fails.
        most: usize,
    },
    /// The exchange is kept in a new conversation, a copy of this one as it was before the other
    /// process changed it: [`Reply::conversation`] is its id. If the other process has deleted the
    /// conversation, it is not copied: the send fails with [`ErrorKind::NotFound`]. Nor is it copied
    /// if the other process has removed text from it, as a redaction or a purge does: the copy would
    /// bring that text back. The send then fails with [`ErrorKind::Conflict`].
    Fork,
}

impl Sessions {
    /// What [`send`](Self::send) does when another process has changed the conversation meanwhile.
    /// It holds for all clones, from the next send on. Default: [`OnConflict::Fail`].
    pub fn on_conflict(&self, policy: OnConflict) {
        self.inner.options().on_conflict = policy;
    }

    /// Sends a message in the conversation with this id, and returns the reply, which is recorded
    /// and saved. What other processes have written before is read first.
    ///
    /// For streams, tools and parameters, [`open_existing`](Self::open_existing) the conversation,
    /// which reads what is new, and send with its manager. `on_conflict` does not hold for such an
    /// exchange: if it cannot be saved, its [report](super::Report::unsaved) says so, and it is given
    /// up when the conversation is read again, by `open`, `send` or
    /// [`reload`](ConversationManager::reload).
    ///
    /// # Errors
    /// - [`ErrorKind::NotFound`] if there is no conversation with this id, or another process has
    ///   deleted it meanwhile.
    /// - [`ErrorKind::Conflict`] if another process has changed it meanwhile, as
    ///   [`on_conflict`](Self::on_conflict) says. The reply is not recorded.
    /// - [`ErrorKind::NotSaved`] if the store fails. The reply is recorded in memory as long as
    ///   somebody holds the conversation's manager, and the next send to it saves both.
    /// - The errors of an [`Exchange`](super::Exchange), and those of the store before anything is
    ///   sent.
    ///
    /// [`Error::unsaved`] has the reply of an exchange that was paid for.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::backend::Scripted;
    /// use turnwise::manager::OnConflict;
    /// use turnwise::{ConversationManager, ErrorKind};
    ///
    /// # let folder = tempfile::TempDir::new()?;
    /// # let folder = folder.path();
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["Hello Ann!"]);
    /// let sessions = ConversationManager::builder("gpt-4o-mini").backend(backend).sessions(folder)?;
    /// sessions.on_conflict(OnConflict::Retry { most: 3 });
    /// let id = sessions.create().await?.id().to_owned();
    /// println!("{}", sessions.send(&id, "Hi, I am Ann.").await?);
    ///
    /// let unknown = sessions.send("nobody", "Hi").await.unwrap_err();
    /// assert_eq!(unknown.kind(), ErrorKind::NotFound);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn send(&self, id: &str, message: impl Into<Message>) -> Result<Reply> {
        self.exchange(id, message.into()).await
    }

    /// As [`send`](Self::send), but once for each key: see [`Exchange::once`](super::Exchange::once).
    /// A turn that another process has recorded with this key is found too, and so is one that went
    /// on in a fork ([`OnConflict::Fork`]), while that is the policy: the reply names its
    /// conversation.
    ///
    /// The same call can be repeated after any error. A turn that was recorded all the same, as by a
    /// store that fails after it has written, is found then, and is not sent again. Repeat it soon:
    /// the 1,000 newest items of a conversation are searched, and a key further back is not found,
    /// so that its message is sent again. With [`OnConflict::Fork`], two processes that send the same
    /// key at the same moment may record it twice: in the conversation and in a fork.
    ///
    /// # Errors
    /// Those of [`send`](Self::send) and [`Exchange::once`](super::Exchange::once).
    pub async fn send_once(&self, id: &str, key: &str, message: impl Into<Message>) -> Result<OnceReply> {
        let keyed = Keyed::new(key, &Ask::Message(message.into()))?;
        self.exchange(id, keyed).await
    }

    async fn exchange<S: Sending>(&self, id: &str, sending: S) -> Result<S::Sent> {
        let chat = self.manager_as_it_is(id).await?;
        let policy = self.inner.options().on_conflict;
        // Until the end nobody else sends: no other exchange must follow one that is given up.
        let permit = SendPermit::wait(&chat.shared).await;
        reload(&permit, Reload::IfChanged).await?;
        if policy == OnConflict::Fork
            && sending.find(&chat.shared.record())?.is_none()
            && let Some(sent) = self.find_in_fork(&chat, &sending).await?
        {
            return Ok(sent);
        }
        let before = (policy == OnConflict::Fork).then(|| chat.transcript());
        let mut lost = Vec::new();
        loop {
            let (reply, error) = match Outcome::of(sending.send(&chat, &permit).await, &chat) {
                Outcome::Conflict(reply, error) => (reply, error),
                Outcome::Done(done) => return done,
            };
            let unsaved = chat.transcript();
            if let Err(failed) = reload(&permit, Reload::Always).await {
                return Err(not_read(&chat, failed, reply, error));
            }
            // Another process may have recorded the same message with its key.
            let found = sending.find(&chat.shared.record())?;
            if let (Some(before), Some(reply), None) = (&before, &reply, &found) {
                if chat.transcript().changes_since(before).iter().any(Change::removes_text) {
                    return Err(not_copied(&chat, reply, error));
                }
                let spent = before.spending.clone();
                return self.fork_lost(&permit, &sending, (unsaved, spent), (**reply).clone()).await;
            }
            lost.push(reply);
            // Each reload gives up what was counted here.
            for reply in lost.iter().flatten() {
                chat.shared.spend_on_reply(reply.report.attempts.len(), reply.usage.as_ref(), false);
            }
            if let Some(sent) = found {
                return Ok(sent);
            }
            let most = if let OnConflict::Retry { most } = policy { most } else { 0 };
            if lost.len() > most {
                return Err(not_recorded(&chat, lost, error));
            }
        }
    }

    /// The exchange, if it went on in a fork before.
    async fn find_in_fork<S: Sending>(&self, chat: &ConversationManager, sending: &S) -> Result<Option<S::Sent>> {
        let Some(fork) = sending.fork_id(chat.id()) else { return Ok(None) };
        let keeper = self.inner.home.keeper(&fork)?;
        match on_thread(move || keeper.load()).await? {
            Some(fork) => sending.find(&fork.conversation),
            None => Ok(None),
        }
    }

    /// Keeps an exchange that cannot be saved in a copy of its conversation, of which this had been spent before.
    async fn fork_lost<S: Sending>(
        &self,
        permit: &Arc<SendPermit>,
        sending: &S,
        (mut fork, spent): (Transcript, Spending),
        mut reply: Reply,
    ) -> Result<S::Sent> {
        let chat = ConversationManager { shared: Arc::clone(&permit.shared) };
        let id = sending.fork_id(chat.id()).unwrap_or_else(new_id);
        fork.begin_fork_of(spent, &id);
        let keeper = self.inner.home.keeper(&id)?;
        let permit = Arc::clone(permit);
        let save = move || {
            // If the future is dropped, whoever sends the message again finds the fork.
            let _permit = permit;
            keeper.save(&fork, &mut Known::default())
        };
        if let Err(error) = on_thread(save).await {
            // The same fork may have been made for the same key.
            if let Ok(Some(sent)) = self.find_in_fork(&chat, sending).await {
                return Ok(sent);
            }
            chat.shared.spend_on_reply(reply.report.attempts.len(), reply.usage.as_ref(), false);
            return Err(not_forked(&chat, reply, error));
        }
        reply.conversation = id;
        reply.report.unsaved = None;
        Ok(reply.into())
    }
}

/// A message of [`Sessions`] that is sent until it is recorded.
trait Sending {
    type Sent: Recorded;

    /// Sends it under a permit that the caller holds.
    fn send(&self, chat: &ConversationManager, permit: &Arc<SendPermit>) -> BoxFuture<'static, Result<Self::Sent>>;

    /// The exchange, if it can be recognized in a record.
    fn find(&self, record: &Conversation) -> Result<Option<Self::Sent>>;

    /// The id of the fork in which it goes on, if that can be told before.
    fn fork_id(&self, conversation: &str) -> Option<String>;
}

impl Sending for Message {
    type Sent = Reply;

    fn send(&self, chat: &ConversationManager, permit: &Arc<SendPermit>) -> BoxFuture<'static, Result<Reply>> {
        Box::pin(chat.send(self.clone()).run_in(Some(Arc::clone(permit))))
    }

    fn find(&self, _record: &Conversation) -> Result<Option<Reply>> {
        Ok(None)
    }

    fn fork_id(&self, _conversation: &str) -> Option<String> {
        None
    }
}

impl Sending for Keyed {
    type Sent = OnceReply;

    fn send(&self, chat: &ConversationManager, permit: &Arc<SendPermit>) -> BoxFuture<'static, Result<OnceReply>> {
        let keyed = self.clone();
        let (sent, permit) = (chat.send(keyed.message().clone()), Arc::clone(permit));
        Box::pin(async move { sent.once_in(&keyed, permit).await })
    }

    fn find(&self, record: &Conversation) -> Result<Option<OnceReply>> {
        self.find(record)
    }

    fn fork_id(&self, conversation: &str) -> Option<String> {
        Some(self.fork_id(conversation))
    }
}

/// A reply, with or without what is known of one that was recorded before.
trait Recorded: From<Reply> {
    fn reply(&self) -> Option<&Reply>;

    /// The error of a reply that could not be saved.
    fn require_saved(self, chat: &ConversationManager) -> Result<Self> {
        let unsaved = self.reply().and_then(|reply| Some((reply.clone(), reply.report.unsaved.clone()?)));
        match unsaved {
            Some((reply, error)) => Err(UnsavedExchange::new(&chat.shared, reply, error).into_error()),
            None => Ok(self),
        }
    }
}

impl Recorded for Reply {
    fn reply(&self) -> Option<&Reply> {
        Some(self)
    }
}

impl Recorded for OnceReply {
    fn reply(&self) -> Option<&Reply> {
        self.reply.as_deref()
    }
}

/// How a send ended.
enum Outcome<R> {
    Done(Result<R>),
    /// Somebody else has written the conversation; with the reply that could not be saved, if one
    /// was made.
    Conflict(Option<Box<Reply>>, Arc<Error>),
}

impl<R: Recorded> Outcome<R> {
    fn of(sent: Result<R>, chat: &ConversationManager) -> Self {
        let is_conflict = |error: &Error| error.kind() == ErrorKind::Conflict;
        let unsaved = match &sent {
            Ok(sent) => sent.reply().and_then(|reply| Some((reply, reply.report.unsaved.as_ref()?))),
            Err(error) => error.unsaved().map(|unsaved| (&unsaved.reply, &unsaved.error)),
        };
        if let Some((reply, error)) = unsaved.filter(|(_, error)| is_conflict(error)) {
            return Self::Conflict(Some(Box::new(reply.clone())), Arc::clone(error));
        }
        match sent {
            Err(error) if is_conflict(&error) => Self::Conflict(None, Arc::new(error)),
            sent => Self::Done(sent.and_then(|sent| sent.require_saved(chat))),
        }
    }
}

/// The error of a conversation that could not be read again after a save was refused.
fn not_read(chat: &ConversationManager, failed: Error, reply: Option<Box<Reply>>, error: Arc<Error>) -> Error {
    let Some(reply) = reply else { return failed };
    let unsaved = UnsavedExchange::new(&chat.shared, *reply, error);
    if failed.kind() == ErrorKind::NotFound { failed.because(unsaved) } else { unsaved.into_error() }
}

fn not_forked(chat: &ConversationManager, reply: Reply, error: Error) -> Error {
    let detail = format!(
        "another process has changed the conversation `{}` while its reply was made, and the fork for it could not be \
         written; the reply is not recorded, send the message again: {}",
        chat.id().escape_debug(),
        error.detail()
    );
    Error::new(error.kind(), detail).because(UnsavedExchange::new(&chat.shared, reply, Arc::new(error)))
}

/// The error of a reply that a fork could keep only together with text that was removed.
fn not_copied(chat: &ConversationManager, reply: &Reply, error: Arc<Error>) -> Error {
    let detail = format!(
        "another process has removed text from the conversation `{}` while its reply was made, and a fork would bring \
         that text back; the reply is not recorded: send the message again",
        chat.id().escape_debug()
    );
    chat.shared.spend_on_reply(reply.report.attempts.len(), reply.usage.as_ref(), false);
    Error::new(ErrorKind::Conflict, detail).because(UnsavedExchange::new(&chat.shared, reply.clone(), error))
}

fn not_recorded(chat: &ConversationManager, lost: Vec<Option<Box<Reply>>>, error: Arc<Error>) -> Error {
    let again = match lost.len() {
        1 => String::new(),
        times => format!(", and again when it was sent {} more times", times - 1),
    };
    let detail = format!(
        "another process has changed the conversation `{}` while its reply was made{again}; the reply is not recorded: \
         send the message again, or let `Sessions::on_conflict` do that",
        chat.id().escape_debug()
    );
    let told = Error::new(ErrorKind::Conflict, detail);
    match lost.into_iter().flatten().last() {
        Some(reply) => told.because(UnsavedExchange::new(&chat.shared, *reply, error)),
        None => told,
    }
}
