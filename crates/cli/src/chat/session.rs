//! The chat's loop: reads a line, does what it asks for, and saves the file.

use std::cell::Cell;
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use turnwise::conversation::GroupState;
use turnwise::{ConversationManager, ErrorKind, Exchange, Item, ItemId, Message, Reply, Role, ToolCall};

use super::commands::{self, Command, Line};
use super::input::{Input, Next, unless_interrupted};
use super::printing::{Live, note, remarks, say};
use super::views;
use crate::args::Chat;
use crate::failure::{Failure, Result};
use crate::text::counted;

/// The exit code of a program that Ctrl-C ended, as shells report it.
const INTERRUPTED: u8 = 130;

pub(super) struct Session<'a> {
    args: &'a Chat,
    pub(super) chat: ConversationManager,
    /// Where the chat is saved.
    pub(super) file: Option<PathBuf>,
    is_person: bool,
    /// The last exchange.
    pub(super) last: Option<Reply>,
    /// Why the last exchange failed, if it did.
    pub(super) last_failure: Option<String>,
    /// The last request without a recorded reply, for `/retry`.
    unanswered: Option<Ask>,
    has_failed: bool,
    /// Whether another program has changed the file, so that the chat can no longer be saved there.
    pub(super) is_file_lost: Cell<bool>,
}

/// A request to the model.
#[derive(Clone)]
enum Ask {
    Say(String),
    Again,
    Edit(Option<ItemId>, String),
}

impl<'a> Session<'a> {
    pub(super) fn new(chat: ConversationManager, args: &'a Chat) -> Self {
        let file = args.file.clone();
        let is_person = stdin().is_terminal();
        Self {
            args,
            chat,
            file,
            is_person,
            last: None,
            last_failure: None,
            unanswered: None,
            has_failed: false,
            is_file_lost: Cell::default(),
        }
    }

    pub(super) async fn run(&mut self, input: &mut Input) -> Result<()> {
        self.leave_open_calls()?;
        self.greet();
        let mut is_warned = false;
        loop {
            self.prompt("> ");
            let line = match input.next().await? {
                Next::Line(line) => line,
                // The person may have meant to stop a reply that had just ended.
                Next::CtrlC if self.is_person && !is_warned => {
                    is_warned = true;
                    say("\n");
                    note("Ctrl-C again ends the chat");
                    continue;
                }
                Next::CtrlC => {
                    self.prompt("\n");
                    return Err(Failure::Said(INTERRUPTED));
                }
                Next::End => {
                    self.prompt("\n");
                    break;
                }
            };
            is_warned = false;
            match self.obey(&line).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(Failure::ClosedPipe) => return Err(Failure::ClosedPipe),
                Err(failure) => self.failed(&failure),
            }
        }
        if self.has_failed { Err(Failure::Said(1)) } else { Ok(()) }
    }

    /// Does what a line asks for. Returns whether the chat continues.
    async fn obey(&mut self, line: &str) -> Result<bool> {
        match commands::read(line)? {
            Line::Empty => {}
            Line::Say(text) => self.ask(Ask::Say(text)).await?,
            Line::Do(Command::Quit) => return Ok(false),
            Line::Do(command) => self.act(command).await?,
        }
        Ok(true)
    }

    async fn act(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Retry => match self.unanswered.clone() {
                Some(ask) => self.ask(ask).await,
                None => Err(Failure::usage(
                    "there is no failed or stopped message to retry; /regenerate asks for another reply",
                )),
            },
            Command::Regenerate => self.ask(Ask::Again).await,
            Command::Edit(id, text) => self.ask(Ask::Edit(id, text)).await,
            Command::Undo => self.undo(),
            Command::Clear => self.clear(),
            Command::Switch(id) => self.switch(id),
            Command::Fork(at, file) => self.fork(at, file),
            Command::Pin(id) => self.pin(id),
            Command::Unpin(id) => self.unpin(id),
            Command::System(Some(text)) => self.set_system(&text),
            Command::Constrain(Some(text)) => self.constrain(&text),
            Command::Lift(number) => self.lift(number),
            Command::Save(file) => self.save_to(file),
            Command::System(None) => views::system(&self.chat),
            Command::Constrain(None) => views::constraints(&self.chat),
            Command::Help => views::help(),
            Command::Branches => views::branches(&self.chat),
            Command::History(newest) => views::history(&self.chat, newest),
            Command::Plan(text) => views::plan(&self.chat, &text),
            Command::Tokens => views::tokens(&self.chat),
            Command::Report => views::report(&self.chat, self.last.as_ref(), self.last_failure.as_deref()),
            Command::Quit => Ok(()),
        }
    }

    async fn ask(&mut self, ask: Ask) -> Result<()> {
        let place = self.leaf();
        let exchange = self.exchange(&ask)?;
        let start = self.leaf();
        let mut live = Live::start(self.is_person, self.args.show_reasoning);
        // Dropping the exchange on Ctrl-C records the part of the reply that has arrived.
        let answer = unless_interrupted(receive(exchange, !self.args.no_stream, &mut live)).await;
        let is_recorded = self.leaf() != start;
        if !is_recorded {
            self.go(place)?;
        }
        self.unanswered = (!is_recorded).then_some(ask);
        let told = live.end(matches!(answer, Some(Ok(_)))).and_then(|()| self.tell(answer, is_recorded));
        if let Err(unsaved) = self.save() {
            self.failed(&unsaved);
        }
        told
    }

    fn exchange(&self, ask: &Ask) -> Result<Exchange> {
        Ok(match ask {
            Ask::Say(text) => self.chat.send(text.as_str()),
            Ask::Again => self.chat.regenerate(),
            Ask::Edit(id, text) => {
                let before = self.question(*id)?;
                self.go(before)?;
                self.chat.send(text.as_str())
            }
        })
    }

    /// The item before a user message: before the last one of the path, or before `id`.
    fn question(&self, id: Option<ItemId>) -> Result<Option<ItemId>> {
        let record = self.chat.snapshot();
        let is_question = |item: &&Item| *item.message().role() == Role::User;
        let Some(id) = id else {
            let last = record.path().items().rfind(is_question).map(Item::parent);
            return last.ok_or_else(|| Failure::usage("you have sent no message that could be edited"));
        };
        let item = record.get(id).ok_or_else(|| Failure::usage(format!("there is no message {id}")))?;
        if !is_question(&item) {
            let role = item.message().role();
            return Err(Failure::usage(format!("{id} has the role {role}; only user messages can be edited")));
        }
        Ok(item.parent())
    }

    fn tell(&mut self, answer: Option<Result<Reply>>, is_recorded: bool) -> Result<()> {
        match answer {
            Some(Ok(reply)) => {
                remarks(&reply);
                self.last = Some(reply);
                self.last_failure = None;
                self.leave_open_calls()?;
            }
            Some(Err(Failure::ClosedPipe)) => return Err(Failure::ClosedPipe),
            Some(Err(failure)) => {
                self.failed(&failure);
                self.last_failure = failure.message().map(str::to_owned);
                if is_recorded {
                    note("the part that arrived is kept, marked as incomplete; /regenerate asks again");
                } else {
                    note("nothing is recorded; /retry sends it again");
                }
            }
            None if is_recorded => note("stopped; the part that arrived is kept, marked as incomplete"),
            None => note("stopped before anything arrived; nothing is recorded, /retry sends it again"),
        }
        Ok(())
    }

    pub(super) fn leaf(&self) -> Option<ItemId> {
        self.chat.snapshot().leaf()
    }

    /// Makes an item the end of the path; `None` makes the path empty.
    pub(super) fn go(&self, to: Option<ItemId>) -> Result<()> {
        match to {
            Some(leaf) => self.chat.switch(leaf)?,
            None => self.chat.clear()?,
        }
        Ok(())
    }

    /// Tools are not run here: if the path ends with open calls, goes back to before them. They
    /// stay in the record.
    pub(super) fn leave_open_calls(&self) -> Result<()> {
        let record = self.chat.snapshot();
        let path = record.path();
        let Some(last) = path.group_count().checked_sub(1).map(|last| path.group(last)) else { return Ok(()) };
        if last.state() != GroupState::Open {
            return Ok(());
        }
        let calls = last.first().map_or(&[][..], Message::tool_calls);
        let names: Vec<&str> = calls.iter().map(ToolCall::name).collect();
        note(format_args!("tools are not run here; these calls are left out: {}", names.join(", ")));
        let before =
            last.positions().next().and_then(|first| first.checked_sub(1)).and_then(|before| path.item(before));
        self.go(before.map(Item::id))
    }

    pub(super) fn save(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        self.chat.save(file).map_err(|error| {
            self.is_file_lost.set(error.kind() == ErrorKind::Conflict);
            match error.kind() {
                ErrorKind::Conflict => Failure::Failed(format!("{error}; /save NAME continues in another file")),
                _ => error.into(),
            }
        })
    }

    fn failed(&mut self, failure: &Failure) {
        failure.report();
        self.has_failed = true;
    }

    fn greet(&self) {
        let goes_on = match self.chat.turn_count() {
            0 => String::new(),
            turns => format!("continues after {}; ", counted(turns, "turn")),
        };
        self.prompt(&format!("{goes_on}/help lists commands; Ctrl-C stops a reply; /quit or Ctrl-D ends the chat\n"));
    }

    /// Writes a text only if a person is at the terminal.
    fn prompt(&self, text: &str) {
        if self.is_person {
            say(text);
        }
    }
}

/// The reply, printed as it arrives. If this is dropped or the stream breaks, the part that arrived
/// is recorded.
async fn receive(exchange: Exchange, streams: bool, live: &mut Live) -> Result<Reply> {
    if !streams {
        let reply = exchange.await?;
        live.text(&reply.text())?;
        return Ok(reply);
    }
    let mut stream = exchange.keep_partial().stream().await?;
    while let Some(event) = stream.next().await {
        live.show(&event?)?;
    }
    Ok(stream.finish().await?)
}
