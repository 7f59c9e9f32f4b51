//! `Kept`: the managers of [`Sessions`](super::Sessions) that were used last, kept in memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::ConversationManager;

/// The managers that were opened last, oldest first. Its methods return those that are let go, to be
/// dropped by a caller that holds no lock.
#[derive(Default)]
pub(super) struct Kept {
    most: usize,
    idle: Duration,
    managers: VecDeque<(Instant, ConversationManager)>,
    /// Whether a thread is closing those whose time is over.
    is_watched: bool,
}

/// The longest time until a thread looks at the time again: a shorter one may have been set meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Kept {
    pub(super) fn limit(&mut self, most: usize, idle: Duration) -> Vec<ConversationManager> {
        (self.most, self.idle) = (most, idle);
        self.close_old()
    }

    /// Keeps a manager that is used now.
    pub(super) fn keep(&mut self, chat: &ConversationManager) -> Vec<ConversationManager> {
        if self.most == 0 {
            return Vec::new();
        }
        let before = self.take(chat.id());
        self.managers.push_back((Instant::now(), chat.clone()));
        let mut closed = self.close_old();
        closed.extend(before);
        closed
    }

    pub(super) fn take(&mut self, id: &str) -> Option<ConversationManager> {
        let place = self.managers.iter().position(|(_, chat)| chat.id() == id)?;
        self.managers.remove(place).map(|(_, chat)| chat)
    }

    /// The time until a thread that is to be started looks for idle managers first; `None` if there is
    /// such a thread, or nothing to look for.
    pub(super) fn begin_to_watch(&mut self) -> Option<Duration> {
        if self.is_watched {
            return None;
        }
        let pause = self.pause()?;
        self.is_watched = true;
        Some(pause)
    }

    /// The managers that were idle for too long, and the time until that thread looks again; `None` if
    /// it is to end.
    pub(super) fn close_idle(&mut self) -> (Vec<ConversationManager>, Option<Duration>) {
        let closed = self.close_old();
        let pause = self.pause();
        self.is_watched = pause.is_some();
        (closed, pause)
    }

    /// Notes that the thread could not be started.
    pub(super) fn end_watch(&mut self) {
        self.is_watched = false;
    }

    fn pause(&self) -> Option<Duration> {
        let (used, _) = self.managers.front()?;
        let rest = self.idle.saturating_sub(used.elapsed()).saturating_add(Duration::from_millis(1));
        Some(rest.min(LONGEST_PAUSE))
    }

    fn close_old(&mut self) -> Vec<ConversationManager> {
        let too_many = self.managers.len().saturating_sub(self.most);
        let is_old = |(used, _): &&(Instant, ConversationManager)| used.elapsed() > self.idle;
        let old = self.managers.iter().take_while(is_old).count();
        self.managers.drain(..too_many.max(old)).map(|(_, chat)| chat).collect()
    }
}
