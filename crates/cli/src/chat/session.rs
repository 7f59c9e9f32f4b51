//! The chat's loop: reads a line, does what it asks for, and saves the file.

use std::cell::Cell;
use std::io::{IsTerminal, stderr, stdin};
use std::path::PathBuf;

use turnwise::conversation::GroupState;
use turnwise::spending::Tally;
use turnwise::{ConversationManager, ErrorKind, Exchange, Item, ItemId, Message, Models, Reply, Role, ToolCall};

use super::commands::{self, Command, Line};
use super::input::{Input, Next, PROMPT, unless_interrupted};
use super::opening::opening;
use super::printing::{Live, note, remarks, say};
use super::{open, status, views, wrap};
use crate::args::Chat;
use crate::failure::{Failure, INTERRUPTED, Result};
use crate::sanitize::{clean, without_passwords};
use crate::text::{counted, thousands};

pub(super) struct Session<'a> {
    /// The options, as commands have changed them.
    pub(super) args: Chat,
    pub(super) models: &'a Models,
    input: Input,
    pub(super) chat: ConversationManager,
    /// Where the chat is saved.
    pub(super) file: Option<PathBuf>,
    is_person: bool,
    /// The last exchange.
    pub(super) last: Option<Reply>,
    /// Why the last exchange failed, if it did.
    pub(super) last_failure: Option<String>,
    /// What the side questions have cost, which are in no record.
    pub(super) asides: Tally,
    /// The last request without a recorded reply, for `/retry`.
    unanswered: Option<Ask>,
    has_failed: bool,
    /// Whether Ctrl-C has stopped the last exchange.
    is_stopped: bool,
    /// Whether another program has changed the file, so that the chat can no longer be saved there.
    pub(super) is_file_lost: Cell<bool>,
}

/// A request to the model.
#[derive(Clone)]
enum Ask {
    Say(String),
    Again,
    /// Another reply to the same message, beside the part that was kept.
    Instead(ItemId),
    Edit(Option<ItemId>, String),
    /// On a fork that is dropped afterwards.
    Aside(String),
}

impl<'a> Session<'a> {
    pub(super) fn start(args: &Chat, models: &'a Models) -> Result<Self> {
        let chat = open::open(args, models)?;
        let is_person = stdin().is_terminal();
        // With --once the standard input is the message, and --query leaves it to other programs.
        let is_used = args.once || (args.query.is_some() && !is_person);
        let input = if is_used { Input::Ended } else { Input::start(args.plain, models)? };
        // The system prompt is in the record now, where /system may change it.
        let args = Chat { system: None, ..args.clone() };
        Ok(Self {
            file: args.file.clone(),
            args,
            models,
            input,
            chat,
            is_person,
            last: None,
            last_failure: None,
            asides: Tally::default(),
            unanswered: None,
            has_failed: false,
            is_stopped: false,
            is_file_lost: Cell::default(),
        })
    }

    pub(super) async fn run(&mut self) -> Result<()> {
        self.leave_open_calls()?;
        let opening = opening(&self.args, &mut self.input, self.is_person).await?;
        let is_all = self.is_all();
        if !is_all {
            self.greet();
        }
        if let Some(text) = opening
            && let Err(failure) = self.ask(Ask::Say(text)).await
        {
            self.goes_on_after(failure)?;
        }
        if is_all && self.is_stopped {
            return Err(Failure::Said(INTERRUPTED));
        }
        if !is_all {
            self.talk().await?;
        }
        if self.has_failed { Err(Failure::Said(1)) } else { Ok(()) }
    }

    /// Whether the opening message is all that is sent.
    fn is_all(&self) -> bool {
        self.args.once || self.args.query.is_some()
    }

    /// Does what is typed until the end.
    async fn talk(&mut self) -> Result<()> {
        let mut is_warned = false;
        loop {
            let line = match self.input.next(PROMPT).await? {
                Next::Line(line) => line,
                Next::Refused(failure) => {
                    self.goes_on_after(failure)?;
                    continue;
                }
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
                    return Ok(());
                }
            };
            is_warned = false;
            match self.obey(&line).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(failure) => self.goes_on_after(failure)?,
            }
        }
    }

    /// Reports a failure, unless nobody reads the output any more.
    fn goes_on_after(&mut self, failure: Failure) -> Result<()> {
        match failure {
            Failure::ClosedPipe => Err(failure),
            failure => {
                self.failed(&failure);
                Ok(())
            }
        }
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
            Command::Aside(text) => self.ask(Ask::Aside(text)).await,
            Command::Expand(number) => self.expand(number),
            Command::Budget(tokens) => self.budget(tokens),
            Command::Strategy(name) => self.strategy(name),
            Command::Model(name) => self.model(name),
            Command::Export(export) => self.export(&export),
            Command::Compare(strategies) => self.compare(strategies),
            Command::Why(which) => self.why(which),
            Command::Summaries => views::summaries(&self.chat),
            Command::Plan(text) => views::plan(&self.chat, &text),
            Command::Cost => views::cost(&self.chat, self.last.as_ref(), &self.asides),
            Command::Tokens => views::tokens(&self.chat),
            Command::Report => views::report(&self.chat, self.last.as_ref(), self.last_failure.as_deref()),
            Command::Quit => Ok(()),
        }
    }

    async fn ask(&mut self, ask: Ask) -> Result<()> {
        let place = self.leaf();
        let fork = match &ask {
            Ask::Aside(_) => Some(self.aside()?),
            _ => None,
        };
        let Some(exchange) = self.confirmed(self.exchange(&ask, fork.as_ref())?).await? else {
            self.go(place)?;
            self.unanswered = Some(ask);
            self.is_stopped = true;
            note(format_args!("stopped; nothing was sent{}", self.advice(", /retry sends it")));
            return Ok(());
        };
        let start = self.leaf();
        let mut live = Live::start(self.is_person, &self.args);
        // Dropping the exchange on Ctrl-C records the part of the reply that has arrived.
        let answer = unless_interrupted(receive(exchange, !self.args.no_stream, &mut live)).await;
        let is_recorded = self.leaf() != start;
        if !is_recorded {
            self.go(place)?;
        }
        let is_answered = matches!(answer, Some(Ok(_)));
        let part = self.leaf().filter(|_| is_recorded);
        self.unanswered = (!is_answered).then_some(part.map_or(ask, Ask::Instead));
        self.is_stopped = answer.is_none();
        let told = live.end(is_answered).and_then(|()| self.tell(answer, is_recorded));
        if let Some(fork) = fork {
            self.asides += fork.spending().total();
        } else if let Err(unsaved) = self.save() {
            self.failed(&unsaved);
        }
        told
    }

    fn exchange(&self, ask: &Ask, fork: Option<&ConversationManager>) -> Result<Exchange> {
        Ok(match ask {
            Ask::Say(text) => self.chat.send(text.as_str()),
            Ask::Again => self.chat.regenerate(),
            Ask::Instead(part) => {
                self.chat.switch(*part)?;
                self.chat.regenerate()
            }
            Ask::Edit(id, text) => {
                let before = self.question(*id)?;
                self.go(before)?;
                self.chat.send(text.as_str())
            }
            Ask::Aside(text) => fork.unwrap_or(&self.chat).send(text.as_str()),
        })
    }

    /// A copy of the conversation for a side question.
    fn aside(&self) -> Result<ConversationManager> {
        match self.leaf() {
            Some(leaf) => Ok(self.chat.fork(leaf)?),
            None => open::copy(&self.args, self.models, &self.chat),
        }
    }

    /// The exchange, with or without the summary that it would make, as the person decides; `None`
    /// if Ctrl-C was pressed instead.
    async fn confirmed(&mut self, exchange: Exchange) -> Result<Option<Exchange>> {
        if !self.args.confirm_summary {
            return Ok(Some(exchange));
        }
        // What is wrong with a plan is reported when it is sent.
        let Some(request) = exchange.clone().plan().ok().and_then(|plan| plan.summary_request().cloned()) else {
            return Ok(Some(exchange));
        };
        let messages = self.chat.snapshot().path().positions(request.groups.clone()).len();
        let messages = counted(messages, "message");
        note(format_args!(
            "{messages} of {} tokens would be summarized first, by a call of the model",
            thousands(request.tokens)
        ));
        match self.input.next("summarize them? [y/N] ").await? {
            Next::Line(answer) if matches!(&*answer.trim().to_lowercase(), "y" | "yes") => Ok(Some(exchange)),
            Next::Line(_) | Next::End => {
                note("no summary; what does not fit is left out");
                Ok(Some(exchange.without_new_summary()))
            }
            Next::Refused(failure) => Err(failure),
            Next::CtrlC => Ok(None),
        }
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
                if self.is_person && stderr().is_terminal() {
                    note(status::line(&self.chat, &reply, &self.asides));
                } else {
                    status::trimmed(&reply.report.plan);
                }
                if !is_recorded {
                    note("a side question: the conversation does not remember it");
                }
                self.last = Some(reply);
                self.last_failure = None;
                self.leave_open_calls()?;
            }
            Some(Err(Failure::ClosedPipe)) => return Err(Failure::ClosedPipe),
            Some(Err(failure)) => {
                self.failed(&failure);
                self.last_failure = failure.message().map(str::to_owned);
                if is_recorded {
                    note(self.kept("the part that arrived"));
                } else {
                    note(format_args!("nothing is recorded{}", self.advice("; /retry sends it again")));
                }
            }
            None if is_recorded => note(self.kept("stopped; the part that arrived")),
            None => note(format_args!(
                "stopped before anything arrived; nothing is recorded{}",
                self.advice(", /retry sends it again")
            )),
        }
        Ok(())
    }

    /// What becomes of a part of a reply.
    fn kept(&self, part: &str) -> String {
        if self.is_all() && self.file.is_none() && !self.args.kept.is_asked_for() {
            return format!("{part} is all there is; no file was named to keep it in");
        }
        format!("{part} is kept, marked as incomplete{}", self.advice("; /retry asks again"))
    }

    /// Advice for somebody who can give commands.
    fn advice<'t>(&self, text: &'t str) -> &'t str {
        if self.is_all() { "" } else { text }
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
        match failure.message() {
            Some(message) if !matches!(failure, Failure::Mistake(_)) => {
                say(&format!("{}\n", wrap::for_stderr(&clean(&without_passwords(&format!("turnwise: {message}"))))));
            }
            _ => drop(failure.report()),
        }
        self.has_failed = true;
    }

    fn greet(&self) {
        let goes_on = match self.chat.turn_count() {
            0 => String::new(),
            turns => format!("continues after {}; ", counted(turns, "turn")),
        };
        let id = self.args.kept.is_asked_for().then(|| self.chat.id());
        let of_store = id.map(|id| of_store(id, self.args.kept.store.as_deref())).unwrap_or_default();
        self.prompt(&format!(
            "{of_store}{goes_on}/help lists commands; Ctrl-C stops a reply; /quit or Ctrl-D ends the chat\n"
        ));
    }

    /// Writes a text only if a person is at the terminal.
    fn prompt(&self, text: &str) {
        if self.is_person {
            say(text);
        }
    }
}

/// Which conversation it is. An id may be any text, and a URL may have a password.
fn of_store(id: &str, store: Option<&str>) -> String {
    let place = store.map(|url| format!(" in {url}")).unwrap_or_default();
    clean(&without_passwords(&format!("conversation {id}{place}; "))).into_owned()
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

#[cfg(test)]
mod tests {
    use super::of_store;

    #[test]
    fn a_greeting_shows_neither_control_characters_nor_passwords() {
        let shown = of_store("a\u{1b}]0;b\u{7}", Some("postgres://ann:secret@host/chats"));
        assert!(!shown.contains(['\u{1b}', '\u{7}']) && !shown.contains("secret"), "{shown:?}");
        assert!(shown.contains("postgres://ann:…@host/chats"), "{shown}");
    }
}
