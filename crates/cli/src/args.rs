//! The command line: commands, options, and the text of `--help`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Fits saved conversations into a token budget, and explains what is sent and why.
///
/// FILE is a transcript, a request body, an array of chat-completions messages, JSON Lines of
/// these, a log with one message per line, or a file of another program or API that `turnwise
/// formats` lists, such as an export of ChatGPT; `-` is the standard input. Only `chat` and `replay
/// --live` need an endpoint.
#[derive(Parser)]
#[command(name = "turnwise", version, about, arg_required_else_help = true, infer_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// A JSON file with models to add to the built-in ones, or to replace them [default: the file
    /// that `TURNWISE_MODELS` names]
    ///
    /// Use it for a model that `turnwise models` does not list, so that its window, encoding and
    /// price are known.
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    pub(crate) models: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Replays conversations under several strategies and shows the results side by side
    ///
    /// Every request of the recorded conversations is planned again, as if the budget had applied
    /// from the start. Use it to choose a strategy before anything is sent.
    #[command(after_help = "Example:\n  turnwise compare chat.json -s window -s recall --budget 4000")]
    Compare(Compare),
    /// Explains what one request would hold, and why
    ///
    /// Lists which messages are sent, shortened, summarized or left out, with the reason and the
    /// tokens of each.
    #[command(after_help = "Example:\n  turnwise plan chat.json --budget 4000 --query \"And now?\"")]
    Plan(Plan),
    /// Prints the messages that would be sent, as a JSON array
    ///
    /// Use it to trim a conversation in a pipeline, in front of any client. With --body it prints
    /// the whole request.
    #[command(after_help = "Example:\n  turnwise trim chat.json --budget 4000 --body > request.json")]
    Trim(Trim),
    /// Counts the tokens of each message, of the tools and of the reply schema
    ///
    /// A figure with `~` is an estimate.
    #[command(after_help = "Examples:\n  turnwise count chat.json --model gpt-4o\n  turnwise count --text notes.txt")]
    Count(Count),
    /// Shows a conversation: its turns, tool calls and branches
    ///
    /// The index in front of each message is what --pin and --keep of other commands take.
    #[command(after_help = "Example:\n  turnwise show chat.json --full")]
    Show(Show),
    /// Replays conversations turn by turn: one line of JSON for each request
    ///
    /// Use it with --diff to see whether a new version, budget or strategy plans differently, or
    /// with --live to ask a model the recorded questions again.
    #[command(after_help = "Example:\n  turnwise replay chat.json --budget 4000 > old.jsonl\n  \
                            turnwise replay chat.json --budget 4000 --diff old.jsonl")]
    Replay(Replay),
    /// Converts conversations between the formats of programs and APIs
    ///
    /// The format of IN is recognised by its content. What OUT's format cannot say is reported on
    /// the standard error.
    #[command(after_help = "Examples:\n  turnwise convert conversations.json chats.jsonl\n  \
                            turnwise convert chat.json chat.html\n  \
                            turnwise convert chat.json body.json --to anthropic --strict")]
    Convert(Convert),
    /// Replaces text everywhere in a saved conversation, such as a name or a key
    ///
    /// It changes FILE: messages of all branches, calls and results, summaries, metadata, tools.
    /// Nothing of the old text is left in it.
    #[command(after_help = "Examples:\n  turnwise redact chat.json --text \"Ann Lee\" --with \"[name]\"\n  \
                            turnwise redact chat.jsonl --pattern \"sk-[A-Za-z0-9]+\" --dry-run")]
    Redact(Redact),
    /// Writes a journal (.jsonl) anew, as short as it can be
    ///
    /// A journal grows with each save. Every branch, summary and pin stays.
    #[command(after_help = "Example:\n  turnwise compact chat.jsonl")]
    Compact(Compact),
    /// Lists the formats that are read and written
    #[command(after_help = "Example:\n  turnwise formats --json")]
    Formats(Formats),
    /// Lists the known models, or prints everything known about one
    #[command(after_help = "Examples:\n  turnwise models\n  turnwise models gpt-4o")]
    Models(Models),
    /// Lists the strategies, their options and what they cost
    ///
    /// What it lists can be given to --strategy.
    #[command(after_help = "Example:\n  turnwise strategies --json")]
    Strategies(Strategies),
    /// Lists the servers whose differences from the specification are known, for --dialect
    #[command(after_help = "Example:\n  turnwise dialects --json")]
    Dialects(Dialects),
    /// Chats with a model; `OPENAI_BASE_URL` and `OPENAI_API_KEY`, also in `.env`, name the
    /// endpoint and key
    ///
    /// In the chat, /help lists the commands: another reply, branches, pins, the plan. Ctrl-C stops
    /// a reply.
    #[cfg(feature = "openai")]
    #[command(after_help = "Example:\n  turnwise chat rivers.json --model gpt-4o-mini")]
    Chat(Chat),
}

#[derive(Args)]
pub(crate) struct InputArgs {
    /// Use only the conversation with this number (from 1) or `id`, of a file with many [default:
    /// all]
    ///
    /// For example --only 6 for the sixth line of a JSON Lines file.
    #[arg(long, value_name = "N|ID", global = true, allow_negative_numbers = true)]
    pub(crate) only: Option<String>,
    /// Read the file as this format, which `turnwise formats` lists [default: recognised by its
    /// content]
    ///
    /// For example --from anthropic.
    #[arg(long, value_name = "FORMAT", global = true)]
    pub(crate) from: Option<String>,
}

#[derive(Args)]
pub(crate) struct Convert {
    /// The file to read; `-` is the standard input
    #[arg(value_name = "IN")]
    pub(crate) source: PathBuf,
    /// The file to write; `-` is the standard output
    ///
    /// Several conversations are written one per line.
    #[arg(value_name = "OUT")]
    pub(crate) target: PathBuf,
    /// The format to write, which `turnwise formats` lists [default: by the ending of OUT: markdown
    /// for .md, html for .html, native for any other]
    ///
    /// For example --to anthropic.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) to: Option<String>,
    /// Fail, and write no file, if anything is changed or not carried over
    #[arg(long)]
    pub(crate) strict: bool,
    /// Replace OUT if it exists
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) input: InputArgs,
}

#[derive(Args)]
pub(crate) struct Redact {
    /// The file with the conversation, which is changed
    pub(crate) file: PathBuf,
    /// Replace what this regular expression matches
    ///
    /// For example --pattern "(?i)ann( lee)?". The syntax is that of the Rust crate `regex`.
    #[arg(long, value_name = "REGEX", required_unless_present = "text", conflicts_with = "text")]
    pub(crate) pattern: Option<String>,
    /// Replace this text, as it is written here
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// What to put in its place [default: "[redacted]"]
    ///
    /// With --pattern, $1 is what the first group matched.
    #[arg(long, value_name = "TEXT")]
    pub(crate) with: Option<String>,
    /// Only say how many texts would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Compact {
    /// The journal
    pub(crate) file: PathBuf,
}

#[derive(Args)]
pub(crate) struct Formats {
    /// Print JSON, one line for each format
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Strategies {
    /// Print JSON, one line for each strategy
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Dialects {
    /// Print JSON, one line for each dialect
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a server differs from `OpenAI`'s API. It decides what is sent, and therefore what is
/// counted.
#[derive(Args)]
#[command(next_help_heading = "How the server differs (saved in a chat's file)")]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[allow(clippy::struct_field_names, reason = "the fields are named as the options are")]
pub(crate) struct DialectArgs {
    /// The server, such as deepseek or vllm; `turnwise dialects` lists them [default: the file's,
    /// or openai]
    ///
    /// Where requests are sent, a server that is known by its address gets its own by default.
    /// Replaces what the file names. Options can be added after a comma, such as
    /// deepseek,one-system.
    #[arg(long, value_name = "NAME[,OPTION…]")]
    pub(crate) dialect: Option<String>,
    /// Send all system messages as one, at the start
    ///
    /// For servers that answer "System message must be at the beginning".
    #[arg(long)]
    pub(crate) one_system: bool,
    /// Join consecutive messages of the same role into one
    ///
    /// For servers that require roles to alternate.
    #[arg(long)]
    pub(crate) merge_roles: bool,
    /// Send this vendor field of messages back, such as `reasoning_content`; can be repeated
    ///
    /// Fields outside the chat-completions specification are left out by default, because strict
    /// servers refuse them. Some servers require theirs to be returned.
    #[arg(long, value_name = "NAME")]
    pub(crate) send_field: Vec<String>,
    /// Send developer messages as system messages, for servers that do not know the role
    /// `developer`
    #[arg(long)]
    pub(crate) developer_as_system: bool,
    /// Send system messages as user messages, for servers without system messages
    #[arg(long)]
    pub(crate) system_as_user: bool,
    /// Leave out the names of authors, for servers that refuse the field `name`
    #[arg(long)]
    pub(crate) omit_names: bool,
    /// State the longest reply as `max_tokens` instead of `max_completion_tokens`
    ///
    /// For servers that know only the older name.
    #[arg(long)]
    pub(crate) max_tokens: bool,
}

#[derive(Args)]
#[allow(clippy::struct_field_names, reason = "the fields are named as the options are")]
pub(crate) struct BudgetArgs {
    /// Count for this model, and send as much as its window allows [default: the file's model]
    ///
    /// For example --model gpt-4o.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Send at most this many tokens [default: the model's window]
    ///
    /// Use it to spend less than the window allows, or for a model whose window is not known. For
    /// example --budget 4000. `compare` without --budget and --model takes half of the longest
    /// conversation.
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    pub(crate) budget: Option<u64>,
    /// Keep this many tokens free for the reply [default: the longest reply, at most a quarter of
    /// the window; with --budget none]
    ///
    /// The prompt may use what remains of the window or budget.
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    pub(crate) reserve: Option<u64>,
    /// Do not trim a request up to this part of the budget, from 0 to 1 [default: 1.0]
    ///
    /// For example --high 0.8 starts trimming at 3,200 of 4,000 tokens.
    #[arg(long, value_name = "PART", allow_negative_numbers = true)]
    pub(crate) high: Option<f64>,
    /// Trim down to this part of the budget, from 0 to 1; 1.0 keeps as much as fits [default: 0.7]
    ///
    /// A low value trims more at a time and less often, so that most requests begin like the
    /// previous one and a prompt cache can reuse them.
    #[arg(long, value_name = "PART", allow_negative_numbers = true)]
    pub(crate) low: Option<f64>,
    /// Refuse a message that must be sent and is too long, instead of shortening it to its
    /// beginning and end
    #[arg(long)]
    pub(crate) never_cut: bool,
    /// Begin every request with a user message, for servers that require it; earlier messages are
    /// left out
    #[arg(long)]
    pub(crate) start_on_user: bool,
}

#[derive(Args)]
pub(crate) struct ConstraintArgs {
    /// Add a system message that is always sent, such as "Answer in French."; can be repeated
    ///
    /// It belongs to the head, so the indexes of the messages after it are one higher.
    #[arg(long, value_name = "TEXT")]
    pub(crate) constrain: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Compare {
    /// The files with conversations
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// A strategy to compare; can be repeated [default: seven of all kinds]
    ///
    /// For example -s window:turns=5 -s recall. `turnwise strategies` lists them.
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]")]
    pub(crate) strategy: Vec<String>,
    #[command(flatten)]
    pub(crate) constraints: ConstraintArgs,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}

#[derive(Args)]
pub(crate) struct Plan {
    /// Explain what would have to change for the message with this index to be sent
    ///
    /// `show` and `plan` print the indexes.
    #[arg(long, value_name = "INDEX", allow_negative_numbers = true)]
    pub(crate) keep: Option<usize>,
    /// Print JSON
    #[arg(long, conflicts_with = "keep")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) planned: PlanArgs,
}

#[derive(Args)]
pub(crate) struct Trim {
    /// Print the whole body of the request: the model, the tools and all other members of the file
    /// too
    #[arg(long)]
    pub(crate) body: bool,
    #[command(flatten)]
    pub(crate) planned: PlanArgs,
}

/// What `plan` and `trim` share: one conversation, and how it is planned.
#[derive(Args)]
pub(crate) struct PlanArgs {
    /// The file with the conversation; `-` is the standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// The strategy, which decides what is left out; `turnwise strategies` lists them
    ///
    /// For example window:turns=5, head-tail:first=2 or recall.
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]", default_value = "window")]
    pub(crate) strategy: String,
    /// The user message that would be sent next [default: none, the conversation is planned as it
    /// ends]
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) query: Option<String>,
    /// Always send the message with this index (`show` prints them); can be repeated
    #[arg(long, value_name = "INDEX", allow_negative_numbers = true)]
    pub(crate) pin: Vec<usize>,
    /// Send the messages of this summary, as far as they fit, instead of the summary; can be
    /// repeated
    ///
    /// `show` prints the numbers of summaries.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) expand: Vec<usize>,
    #[command(flatten)]
    pub(crate) constraints: ConstraintArgs,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}

#[derive(Args)]
pub(crate) struct Count {
    /// The file with the conversation; `-` is the standard input
    #[arg(required_unless_present = "text")]
    pub(crate) file: Option<PathBuf>,
    /// Count the file as plain text; without a file, the standard input
    #[arg(long, conflicts_with = "only")]
    pub(crate) text: bool,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Count for this model [default: the file's model]
    ///
    /// For example --model gpt-4o. Without a known model, tokens are estimated with `o200k_base`.
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
    /// The file with the conversation; `-` is the standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Print every message in full, instead of its beginning
    #[arg(long)]
    pub(crate) full: bool,
    /// Print only this summary, with the messages that it stands for
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) summary: Option<usize>,
}

#[derive(Args)]
pub(crate) struct Models {
    /// A model's full name, or a part of the names to list [default: all models]
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "openai")]
#[derive(Args)]
pub(crate) struct Chat {
    /// The file that the chat is saved to after every exchange and command
    ///
    /// If the file exists, the chat in it continues. Its tools are sent; its other parameters are
    /// kept and not sent. Without a file nothing is saved until /save.
    pub(crate) file: Option<PathBuf>,
    /// The model [default: the file's, or `OPENAI_MODEL`]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The system prompt, such as "Be brief." [default: the file's]
    #[arg(long)]
    pub(crate) system: Option<String>,
    /// The strategy, which decides what is left out; `turnwise strategies` lists them
    ///
    /// For example window:turns=5, head-tail:first=2 or recall.
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]", default_value = "window")]
    pub(crate) strategy: String,
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
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}

#[derive(Args)]
pub(crate) struct Replay {
    /// The files with conversations
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// The strategy, which decides what is left out; `turnwise strategies` lists them
    ///
    /// For example window:turns=5, head-tail:first=2 or recall.
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]", default_value = "window")]
    pub(crate) strategy: String,
    /// Report the first request that differs from a saved replay, and exit with 1
    #[arg(long, value_name = "OTHER.jsonl")]
    pub(crate) diff: Option<PathBuf>,
    /// Send the recorded user messages to an endpoint, as `chat` does, and print the new replies
    /// beside the old
    ///
    /// Tools are not run, and the next question leaves their calls out.
    #[cfg(feature = "openai")]
    #[arg(long, conflicts_with = "diff")]
    pub(crate) live: bool,
    #[command(flatten)]
    pub(crate) budget: BudgetArgs,
    #[command(flatten)]
    pub(crate) dialect: DialectArgs,
}
