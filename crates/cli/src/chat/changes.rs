//! Chat commands that change the conversation or write a file. Each change is saved at once.

use std::path::Path;

use turnwise::{Conversation, ConversationManager, Error, ErrorKind, Item, ItemId, Transcript};

use super::commands::Export;
use super::printing::note;
use super::session::Session;
use crate::blobs;
use crate::convert;
use crate::count::said;
use crate::failure::{Failure, Result};
use crate::input;
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
                note(format_args!("went back to before “{}”; /switch {before} returns to it", self.words(undone)));
            }
            _ => note("there is nothing to undo"),
        }
        Ok(())
    }

    pub(super) fn clear(&self) -> Result<()> {
        let before = self.leaf();
        self.change(ConversationManager::clear)?;
        match before {
            Some(before) => note(format_args!("starts again; /switch {before} returns to the earlier messages")),
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
            None => note("now at the start, before the first message"),
        }
        Ok(())
    }

    pub(super) fn fork(&mut self, at: Option<ItemId>, file: String) -> Result<()> {
        let at = at.or(self.leaf()).ok_or_else(|| Failure::usage("there is no message to fork at yet"))?;
        let fork = self.chat.fork(at)?;
        self.copy_blobs(&file, fork.snapshot())?;
        fork.save(&file).map_err(|e| taken(&file, e))?;
        let before = match &self.file {
            Some(before) => format!("{} is unchanged", before.display()),
            None if self.args.kept.is_asked_for() => "the earlier conversation stays in the store as it is".to_owned(),
            None => "the earlier conversation has no file".to_owned(),
        };
        let messages = counted(fork.snapshot().path().len(), "message");
        note(format_args!("continues in {file} after {messages}; {before}"));
        self.chat = fork;
        self.file = Some(file.into());
        self.is_file_lost.set(false);
        self.leave_open_calls()
    }

    pub(super) fn pin(&self, id: ItemId) -> Result<()> {
        self.change(|chat| chat.pin(id))?;
        note(format_args!("always sent from now on: {id} “{}”", self.words(id)));
        Ok(())
    }

    pub(super) fn unpin(&self, id: ItemId) -> Result<()> {
        if self.change(|chat| chat.unpin(id))? {
            note(format_args!("{id} is no longer pinned; it is sent if it fits"));
        } else {
            note(format_args!("{id} was not pinned"));
        }
        Ok(())
    }

    pub(super) fn set_system(&self, text: &str) -> Result<()> {
        self.change(|chat| chat.set_system(text))?;
        note("the system prompt was replaced");
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
        note(format_args!("sent with every request from now on; /lift {number} withdraws it"));
        Ok(())
    }

    pub(super) fn lift(&self, number: usize) -> Result<()> {
        let record = self.chat.snapshot();
        let all = record.constraints().count();
        let constraint = number.checked_sub(1).and_then(|index| record.constraints().nth(index)).ok_or_else(|| {
            let allowed = match all {
                0 => "none is set".to_owned(),
                all => format!("the numbers are 1 to {all}; /constrain lists them"),
            };
            Failure::usage(format!("there is no constraint {number}: {allowed}"))
        })?;
        self.change(|chat| chat.edit_record(|record| Ok(record.lift(constraint))))?;
        note(format_args!("withdrawn: “{constraint}”"));
        Ok(())
    }

    /// Undoes a summary: the newest, or the one with this number.
    pub(super) fn expand(&self, number: Option<usize>) -> Result<()> {
        let record = self.chat.snapshot();
        let summary = match number {
            Some(number) => input::summary(&record, number)?,
            None => record.summaries().last().ok_or_else(|| Failure::usage("there is no summary to undo"))?,
        };
        self.change(|chat| chat.expand(summary.id))?;
        let messages = counted(record.covered(summary.id)?.len(), "message");
        note(format_args!("the summary is no longer sent; its {messages} are, as far as they fit"));
        Ok(())
    }

    /// Saves a copy, or gives a chat without a file this one. A chat whose own file was taken over
    /// by another program moves to the new file.
    pub(super) fn save_to(&mut self, file: String) -> Result<()> {
        self.copy_blobs(&file, self.chat.snapshot())?;
        self.save_copy(&file)?;
        match &self.file {
            Some(own) if *own == Path::new(&file) => note(format_args!("saved to {file}")),
            Some(own) if self.is_file_lost.take() => {
                let own = own.display();
                note(format_args!(
                    "saved to {file}; the chat continues there, and {own} keeps the other program's version"
                ));
                self.file = Some(file.into());
            }
            Some(own) => note(format_args!("a copy is saved to {file}; the chat stays in {}", own.display())),
            None if self.args.kept.is_asked_for() => {
                note(format_args!("a copy is saved to {file}; the chat stays in its store"));
            }
            None => {
                note(format_args!("saved to {file}; from now on the chat is saved there after every change"));
                self.file = Some(file.into());
            }
        }
        Ok(())
    }

    /// Writes the conversation in another format.
    pub(super) fn export(&self, export: &Export) -> Result<()> {
        let mut file = self.chat.transcript();
        if let Some(own) = &self.file {
            blobs::restore(own, &mut file);
        }
        convert::export(file, Path::new(&export.file), export.to.as_deref(), export.force, self.file.as_slice())
    }

    /// Copies the images and files that lie beside the chat's file, before a copy refers to them.
    fn copy_blobs(&self, to: &str, conversation: Conversation) -> Result<()> {
        match &self.file {
            Some(own) if *own != Path::new(to) => blobs::copy(own, Path::new(to), &Transcript::new(conversation)),
            _ => Ok(()),
        }
    }

    /// Saves to a new file, or over an earlier copy of this conversation.
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

    /// The beginning of a message's text.
    fn words(&self, id: ItemId) -> String {
        self.chat.snapshot().get(id).map(Item::message).map_or_else(String::new, said)
    }
}

/// Whether every message of `copy` is also in `own`, an other state of the same conversation.
fn is_in(copy: &Conversation, own: &Conversation) -> bool {
    copy.id() == own.id()
        && copy.items().all(|item| own.get(item.id()).is_some_and(|known| known.message() == item.message()))
}

/// The error for a file that holds something else.
fn taken(file: &str, error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Conflict => {
            Failure::usage(format!("{file}: the file has other content and was not changed; choose another name"))
        }
        _ => error.into(),
    }
}
