//! What can be asked on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// What of a saved conversation fits a token budget, and why.
///
/// FILE is a transcript, a request's body, an array of chat-completions messages, JSON Lines of these, or a log with one
/// message a line; `-` is the standard input. Files of other programs and APIs are refused by name. Only `chat` needs an
/// endpoint.
#[derive(Parser)]
#[command(name = "turnwise", version, about, arg_required_else_help = true, infer_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// A JSON file with models to add to those that are known, or to put in their place [default: `TURNWISE_MODELS`]
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    pub(crate) models: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs conversations again under several strategies and puts them side by side
    Compare(Compare),
    /// Explains what of a conversation is sent, and why
    Plan(Plan),
    /// Prints the messages that are sent, as JSON for a pipe
    Trim(Trim),
    /// Counts tokens by message
    Count(Count),
    /// Shows a conversation: its turns, calls and branches
    Show(Show),
    /// Runs conversations again, turn by turn: a line of JSON for each request
    Replay(Replay),
    /// Lists what is known about models, or tells all about one
    Models(Models),
    /// Lists the strategies, their options and what they cost
    Strategies(Strategies),
    /// Lists the servers whose differences are known, for --dialect
    Dialects(Dialects),
    /// Chats with a model; the endpoint and key come from `OPENAI_BASE_URL` and `OPENAI_API_KEY`, also in `.env`
    ///
    /// In the chat, /help lists commands: another reply, branches, pins, the plan. Ctrl-C stops a reply.
    #[cfg(feature = "openai")]
    Chat(Chat),
}

#[derive(Args)]
pub(crate) struct Input {
    /// Only the conversation with this number (from 1) or `id`, of a file with many
    #[arg(long, value_name = "N|ID", global = true, allow_negative_numbers = true)]
    pub(crate) only: Option<String>,
}

#[derive(Args)]
pub(crate) struct Strategies {
    /// Print JSON, a line for each
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Dialects {
    /// Print JSON, a line for each
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a server differs from `OpenAI`'s API. What is sent follows from it, and so does what is counted.
#[derive(Args)]
#[command(next_help_heading = "How the server differs (a chat's file keeps it)")]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[allow(clippy::struct_field_names, reason = "the fields are named as the options are")]
pub(crate) struct DialectArgs {
    /// The server, such as deepseek or vllm, or a list of these and the options below; `turnwise dialects` lists them. In the
    /// place of what the file says [default: the file's, or openai]
    #[arg(long, value_name = "NAME[,OPTION…]")]
    pub(crate) dialect: Option<String>,
    /// Send all system messages as one, at the start
    #[arg(long)]
    pub(crate) one_system: bool,
    /// Put neighbours of the same role into one message
    #[arg(long)]
    pub(crate) merge_roles: bool,
    /// Send this field of messages back, such as `reasoning_content`; can be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) send_field: Vec<String>,
    /// Send developer messages as system messages
    #[arg(long)]
    pub(crate) developer_as_system: bool,
    /// Send system messages as user messages
    #[arg(long)]
    pub(crate) system_as_user: bool,
    /// Leave out the names of authors
    #[arg(long)]
    pub(crate) omit_names: bool,
    /// State the longest reply as `max_tokens`, its older name
    #[arg(long)]
    pub(crate) max_tokens: bool,
}

#[derive(Args)]
#[allow(clippy::struct_field_names, reason = "the fields are named as the options are")]
pub(crate) struct Budget {
    /// Count for this model, and send as much as its window allows [default: the file's model]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Send at most this many tokens
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    pub(crate) budget: Option<u64>,
    /// Keep so many of them free for the reply [default: in a window the longest reply, at most a quarter; else none]
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    pub(crate) reserve: Option<u64>,
    /// Trim nothing up to this part of the budget [default: 1.0]
    #[arg(long, value_name = "PART", allow_negative_numbers = true)]
    pub(crate) high: Option<f64>,
    /// Trim down to this part of the budget; 1.0 keeps as much as fits [default: 0.7]
    #[arg(long, value_name = "PART", allow_negative_numbers = true)]
    pub(crate) low: Option<f64>,
    /// Refuse what must be answered and is too long, instead of cutting its longest texts to beginning and end
    #[arg(long)]
    pub(crate) never_cut: bool,
    /// Begin every request with a user message, for servers that require it: what stands before is left out
    #[arg(long)]
    pub(crate) start_on_user: bool,
}

/// How one conversation is planned.
#[derive(Args)]
pub(crate) struct How {
    /// A strategy, such as window:turns=5 or recall; `turnwise strategies` lists them
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]", default_value = "window")]
    pub(crate) strategy: String,
    /// The user message that is sent next
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) query: Option<String>,
    /// Pin the message with this index: it is sent whatever the strategy says; can be repeated
    #[arg(long, value_name = "INDEX", allow_negative_numbers = true)]
    pub(crate) pin: Vec<usize>,
    /// Send what this summary stands for, as far as it fits, instead of it (`show` has the numbers); can be repeated
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) expand: Vec<usize>,
    #[command(flatten)]
    pub(crate) rules: Rules,
}

#[derive(Args)]
pub(crate) struct Rules {
    /// State what holds for the whole conversation ("Answer in French."): one more system message of the head, so that the
    /// indexes behind it are one higher; can be repeated
    #[arg(long, value_name = "TEXT")]
    pub(crate) constrain: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Compare {
    /// Files with conversations
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: Input,
    /// A strategy to compare; can be repeated [default: a choice of all kinds]
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]")]
    pub(crate) strategy: Vec<String>,
    #[command(flatten)]
    pub(crate) rules: Rules,
    #[command(flatten)]
    pub(crate) budget: Budget,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}

#[derive(Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) planned: Planned,
    /// Say what would have to change for the message with this index to be sent
    #[arg(long, value_name = "INDEX", allow_negative_numbers = true)]
    pub(crate) keep: Option<usize>,
    /// Print JSON
    #[arg(long, conflicts_with = "keep")]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Trim {
    #[command(flatten)]
    pub(crate) planned: Planned,
    /// Print the whole body of the request, with the model, the tools and all other members of the file
    #[arg(long)]
    pub(crate) body: bool,
}

/// What `plan` and `trim` have in common.
#[derive(Args)]
pub(crate) struct Planned {
    /// The file with the conversation
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) how: How,
    #[command(flatten)]
    pub(crate) budget: Budget,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}

#[derive(Args)]
pub(crate) struct Count {
    /// The file with the conversation
    #[arg(required_unless_present = "text")]
    pub(crate) file: Option<PathBuf>,
    /// Count the file as plain text; without a file the standard input
    #[arg(long, conflicts_with = "only")]
    pub(crate) text: bool,
    #[command(flatten)]
    pub(crate) input: Input,
    /// Count for this model [default: the file's model]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}

#[derive(Args)]
pub(crate) struct Show {
    /// The file with the conversation
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) input: Input,
    /// Print all of every message
    #[arg(long)]
    pub(crate) full: bool,
    /// Only this summary, with the messages that it stands for
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) summary: Option<usize>,
}

#[derive(Args)]
pub(crate) struct Models {
    /// A model's name, as it would be asked for, or a part of the names to list
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "openai")]
#[derive(Args)]
pub(crate) struct Chat {
    /// The file that the chat is saved to after every exchange and command; when it is there, the chat goes on. Its tools are
    /// sent, other parameters that stand in it are kept and not sent
    pub(crate) file: Option<PathBuf>,
    /// The model [default: the file's, or `OPENAI_MODEL`]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The system prompt [default: the file's]
    #[arg(long)]
    pub(crate) system: Option<String>,
    /// A strategy, such as window:turns=5 or recall; `turnwise strategies` lists them
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]", default_value = "window")]
    pub(crate) strategy: String,
    /// Send at most this many tokens [default: the model's window]
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    pub(crate) budget: Option<u64>,
    /// The longest reply
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    pub(crate) max_reply: Option<u64>,
    /// Begin every request with a user message, for servers that require it: what stands before is left out
    #[arg(long)]
    pub(crate) start_on_user: bool,
    /// A parameter of every request, such as temperature=0; can be repeated
    #[arg(long, value_name = "NAME=JSON")]
    pub(crate) param: Vec<String>,
    /// Wait for whole replies, for servers that do not stream
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Show what the model thinks before it answers, where the server tells
    #[arg(long)]
    pub(crate) show_reasoning: bool,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}

#[derive(Args)]
pub(crate) struct Replay {
    /// Files with conversations
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: Input,
    /// A strategy, such as window:turns=5 or recall; `turnwise strategies` lists them
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]", default_value = "window")]
    pub(crate) strategy: String,
    /// Say at which request this replay first differs from one that was saved, and end with 1
    #[arg(long, value_name = "OTHER.jsonl")]
    pub(crate) diff: Option<PathBuf>,
    /// Send the user's messages to an endpoint (as `chat` does), and print the new replies beside the old; calls of tools are
    /// not run, and the next question leaves them out
    #[cfg(feature = "openai")]
    #[arg(long, conflicts_with = "diff")]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) budget: Budget,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}
