//! What a strategy does first to a conversation: the first message left out, or the first request
//! that is refused.

use turnwise::plan::{Fate, Reason, Run};
use turnwise::replay::{Outcome, Planned, Replay, Request};
use turnwise::{Conversation, Message, Role};

use crate::count::said;

/// The messages of a conversation, of which people are told: the head first, then the path.
pub(crate) struct Messages(pub(super) Conversation);

/// One message in one line.
#[derive(Clone)]
#[cfg_attr(feature = "report", derive(serde::Serialize))]
pub(crate) struct Told {
    pub(crate) role: String,
    /// The number of user messages up to it.
    pub(crate) turn: usize,
    /// The start of its text, and its calls.
    pub(crate) text: String,
}

/// Something that happened to a conversation in a replay.
#[derive(Clone)]
pub(crate) struct Finding {
    /// What people know it by.
    pub(crate) conversation: String,
    /// The turn whose request it happened in.
    pub(crate) turn: usize,
    /// The message that it happened to.
    pub(crate) message: Option<Told>,
}

impl Messages {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Told> {
        let mut turn = 0;
        self.0.messages().map(move |message| {
            turn += usize::from(is_user(message));
            Told::of(message, turn)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.messages().count()
    }
}

impl Told {
    fn of(message: &Message, turn: usize) -> Self {
        Self { role: message.role().as_str().to_owned(), turn, text: said(message) }
    }
}

fn is_user(message: &Message) -> bool {
    *message.role() == Role::User
}

/// The number of user messages among the first so many.
fn turns(talk: &Conversation, messages: usize) -> usize {
    talk.messages().take(messages).filter(|message| is_user(message)).count()
}

/// The first thing that happens in a replay to a message with such a fate. Only that message is read.
pub(super) fn first(name: &str, talk: &Conversation, replay: &Replay, fate: Fate) -> Option<Finding> {
    let (request, index) = replay.requests.iter().find_map(|request| {
        let Outcome::Planned(planned) = &request.outcome else { return None };
        Some((request, first_index(planned, fate)?))
    })?;
    let message = talk.messages().nth(index).map(|message| Told::of(message, turns(talk, index + 1)));
    Some(Finding { conversation: name.to_owned(), turn: turns(talk, request.reply), message })
}

/// The first request of a replay that is refused.
pub(super) fn refused(name: &str, talk: &Conversation, replay: &Replay) -> Option<Finding> {
    let is_refused = |request: &&Request| matches!(request.outcome, Outcome::Refused { .. });
    let request = replay.requests.iter().find(is_refused)?;
    Some(Finding { conversation: name.to_owned(), turn: turns(talk, request.reply), message: None })
}

/// The runs of a request with this fate.
pub(super) fn runs(planned: &Planned, fate: Fate) -> &[Run] {
    match fate {
        Fate::Kept => &planned.kept,
        Fate::Shrunk => &planned.shrunk,
        Fate::Summarized => &planned.summarized,
        Fate::Evicted => &planned.evicted,
        _ => &[],
    }
}

fn first_index(planned: &Planned, fate: Fate) -> Option<usize> {
    // What no server would accept is left out by every strategy.
    let chosen = |run: &&Run| !matches!(run.reason, Reason::Orphan | Reason::Unanswered);
    runs(planned, fate).iter().filter(chosen).flat_map(Run::all_indexes).min()
}

/// The most messages in a row that the last request leaves out.
pub(super) fn longest_gap(replay: &Replay) -> usize {
    let Some(Outcome::Planned(last)) = replay.requests.last().map(|last| &last.outcome) else { return 0 };
    let mut out: Vec<usize> = last.evicted.iter().flat_map(Run::all_indexes).collect();
    out.sort_unstable();
    out.chunk_by(|one, next| next - one == 1).map(<[usize]>::len).max().unwrap_or(0)
}
