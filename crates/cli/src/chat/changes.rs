//! Commands that change the conversation. What they did is saved at once.

use std::path::Path;

use turnwise::{Conversation, ConversationManager, Error, ErrorKind, Item, ItemId, Transcript};

use super::printing::note;
use super::session::Session;
use crate::count::said;
use crate::failure::{Failure, Result};
use crate::text::counted;

impl Session<'_> {
    fn change<T>(&self, change: impl FnOnce(&ConversationManager) -> turnwise::Result<T>) -> Result<T> {
        let done = change(&self.chat)?;
        self.save()?;
        Ok(done)
    }

    pub(super) fn undo(&self) -> Result<()> {
        let before = self.leaf();
        match (self.change(ConversationManager::undo)?, before) {
            (Some(undone), Some(before)) => {
                note(format_args!("back to before “{}”; /switch {before} returns to it", self.words(undone)));
            }
            _ => note("there is nothing to undo"),
        }
        Ok(())
    }

    pub(super) fn clear(&self) -> Result<()> {
        let before = self.leaf();
        self.change(ConversationManager::clear)?;
        match before {
            Some(before) => note(format_args!("begins again; /switch {before} returns to what was said")),
            None => note("there is nothing to clear"),
        }
        Ok(())
    }

    pub(super) fn switch(&self, to: ItemId) -> Result<()> {
        self.chat.switch(to)?;
        self.leave_open_calls()?;
        self.save()?;
        let messages = counted(self.chat.snapshot().path().len(), "message");
        match self.leaf() {
            Some(leaf) => note(format_args!("now at {leaf} after {messages}: “{}”", self.words(leaf))),
            None => note("now before the first message"),
        }
        Ok(())
    }

    pub(super) fn fork(&mut self, at: Option<ItemId>, file: String) -> Result<()> {
        let at = at.or(self.leaf()).ok_or_else(|| Failure::usage("there is nothing to fork yet"))?;
        let fork = self.chat.fork(at)?;
        fork.save(&file).map_err(|e| taken(&file, e))?;
        let before = match &self.file {
            Some(before) => format!("{} stays as it is", before.display()),
            None => "the one before has no file".to_owned(),
        };
        let messages = counted(fork.snapshot().path().len(), "message");
        note(format_args!("goes on in {file} after {messages}; {before}"));
        self.chat = fork;
        self.file = Some(file.into());
        self.is_file_lost.set(false);
        self.leave_open_calls()
    }

    pub(super) fn pin(&self, id: ItemId) -> Result<()> {
        self.change(|chat| chat.pin(id))?;
        note(format_args!("sent with every request: {id} “{}”", self.words(id)));
        Ok(())
    }

    pub(super) fn unpin(&self, id: ItemId) -> Result<()> {
        if self.change(|chat| chat.unpin(id))? {
            note(format_args!("{id} is sent as far as it fits"));
        } else {
            note(format_args!("{id} was not pinned"));
        }
        Ok(())
    }

    pub(super) fn set_system(&self, text: &str) -> Result<()> {
        self.change(|chat| chat.set_system(text))?;
        note("the system prompt is replaced");
        Ok(())
    }

    pub(super) fn constrain(&self, text: &str) -> Result<()> {
        let number = self.change(|chat| {
            chat.edit_record(|record| {
                record.constrain(text);
                let position = record.constraints().position(|known| known == text);
                Ok(position.map_or(0, |position| position + 1))
            })
        })?;
        note(format_args!("holds from now on; /lift {number} takes it back"));
        Ok(())
    }

    pub(super) fn lift(&self, number: usize) -> Result<()> {
        let record = self.chat.snapshot();
        let all = record.constraints().count();
        let constraint = number.checked_sub(1).and_then(|index| record.constraints().nth(index)).ok_or_else(|| {
            let allowed = match all {
                0 => "none was stated".to_owned(),
                all => format!("they go from 1 to {all}; /constrain lists them"),
            };
            Failure::usage(format!("there is no constraint {number}: {allowed}"))
        })?;
        self.change(|chat| chat.edit_record(|record| Ok(record.lift(constraint))))?;
        note(format_args!("taken back: “{constraint}”"));
        Ok(())
    }

    /// As an editor writes a file: a copy, or the chat's own file where it has none.
    pub(super) fn save_to(&mut self, file: String) -> Result<()> {
        self.save_copy(&file)?;
        match &self.file {
            Some(own) if *own == Path::new(&file) => note(format_args!("saved to {file}")),
            Some(own) if self.is_file_lost.take() => {
                let own = own.display();
                note(format_args!("saved to {file}, and goes on there; {own} stays as somebody else has left it"));
                self.file = Some(file.into());
            }
            Some(own) => note(format_args!("a copy is saved to {file}; the chat stays in {}", own.display())),
            None => {
                note(format_args!("saved to {file}, from now on after every change"));
                self.file = Some(file.into());
            }
        }
        Ok(())
    }

    /// Saves to a file that is free, or holds an earlier copy of this conversation.
    fn save_copy(&self, file: &str) -> Result<()> {
        match self.chat.save(file) {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let is_own = self.file.as_deref() == Some(Path::new(file));
                if !is_own
                    && Transcript::load(file).is_ok_and(|there| is_in(&there.conversation, &self.chat.snapshot()))
                {
                    return Ok(self.chat.replace(file)?);
                }
                Err(taken(file, error))
            }
            saved => Ok(saved?),
        }
    }

    /// The beginning of a message.
    fn words(&self, id: ItemId) -> String {
        self.chat.snapshot().get(id).map(Item::message).map_or_else(String::new, said)
    }
}

/// Whether all that was said in a conversation was said in another state of it too.
fn is_in(copy: &Conversation, own: &Conversation) -> bool {
    copy.id() == own.id()
        && copy.items().all(|item| own.get(item.id()).is_some_and(|known| known.message() == item.message()))
}

/// Why nothing is saved to a file that holds something else.
fn taken(file: &str, error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Conflict => {
            Failure::usage(format!("{file}: something else stands there, and stays as it is; choose another name"))
        }
        _ => error.into(),
    }
}
