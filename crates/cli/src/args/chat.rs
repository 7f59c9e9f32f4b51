//! Options of `turnwise chat`.

use std::path::PathBuf;

use clap::Args;

use super::DialectArgs;

#[derive(Args, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Chat {
    /// The file that the chat is saved to after every exchange and command
    ///
    /// If the file exists, the chat in it continues. Its tools are sent; its other parameters are
    /// kept and not sent. Without a file nothing is saved until /save.
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kept: InStore,
    /// The model [default: the file's, or `OPENAI_MODEL`]
    #[arg(long, short)]
    pub(crate) model: Option<String>,
    /// The server, such as `http://127.0.0.1:11434/v1` [default: `OPENAI_BASE_URL`, or OpenAI's]
    ///
    /// The key is `OPENAI_API_KEY`, which a server of your own does not need.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Send the whole standard input as one message, print the reply, and end
    ///
    /// For example: git diff | turnwise chat --once -q "Write a commit message."
    #[arg(long)]
    pub(crate) once: bool,
    /// Send this message, print the reply, and end
    ///
    /// With --once it follows the text of the standard input.
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) query: Option<String>,
    /// Begin with the message in this file, with each {name} in it replaced by the text of --set
    ///
    /// At a terminal, the names that --set does not give are asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    /// A text for the template, such as character="a fox"; can be repeated
    #[arg(long, value_name = "NAME=TEXT", requires = "template")]
    pub(crate) set: Vec<String>,
    /// The system prompt, such as "Be brief." [default: the file's]
    #[arg(long)]
    pub(crate) system: Option<String>,
    /// The strategy, which decides what is left out; `turnwise strategies` lists them
    ///
    /// For example window:turns=5, head-tail:first=2 or recall.
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]", default_value = "window")]
    pub(crate) strategy: String,
    /// Ask before a summary is made, which is a call of the model; without it, messages that do not
    /// fit are left out
    #[arg(long)]
    pub(crate) confirm_summary: bool,
    /// Send at most this many tokens [default: the model's window]
    ///
    /// A model whose window is not known needs it. For example --budget 8000.
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    pub(crate) budget: Option<u64>,
    /// The longest reply to ask for [default: the server decides]
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    pub(crate) max_reply: Option<u64>,
    /// Begin every request with a user message, for servers that require it; earlier messages are
    /// left out
    #[arg(long)]
    pub(crate) start_on_user: bool,
    /// A parameter of every request, such as temperature=0; can be repeated
    ///
    /// The value is JSON: write a text in quotes, such as 'user="me"'.
    #[arg(long, value_name = "NAME=JSON")]
    pub(crate) param: Vec<String>,
    /// Wait for the whole reply instead of printing it as it arrives, for servers that do not
    /// stream
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Print the model's reasoning before the answer, if the server sends it
    #[arg(long)]
    pub(crate) show_reasoning: bool,
    /// Print replies as they are, and read lines without an editor; a pipe always does
    ///
    /// Otherwise a terminal shows their Markdown, and breaks lines between words.
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}

/// The options of a chat that is kept in a store.
#[derive(Args, Clone)]
pub(crate) struct InStore {
    /// Keep the chat in a store, dir:FOLDER, sqlite:FILE or postgres://…, instead of in FILE [default with
    /// --conversation or --continue: the store of `turnwise conversations`]
    ///
    /// Without --conversation and --continue, a new conversation is begun.
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    pub(crate) store: Option<String>,
    /// Continue the conversation with this id, or begin it if the store has none
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "last"])]
    pub(crate) conversation: Option<String>,
    /// Continue the conversation that was used last in the store
    #[arg(long = "continue", short = 'c', conflicts_with = "file")]
    pub(crate) last: bool,
}

impl InStore {
    /// Whether the chat is kept in a store.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.store.is_some() || self.conversation.is_some() || self.last
    }
}
