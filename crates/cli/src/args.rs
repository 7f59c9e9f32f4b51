//! The command line: commands, options, and the text of `--help`.
//!
//! Options that take a number have `allow_negative_numbers`, so that `--budget -1` is refused as a
//! value that is not allowed. Without it, `-1` would be reported as an unknown option.

#[cfg(feature = "openai")]
mod chat;
mod compare;
mod conversations;
mod replay;
mod rewrite;
mod serve;
mod setup;
#[cfg(feature = "openai")]
mod transfer;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "openai")]
pub(crate) use chat::{Chat, InStore};
pub(crate) use compare::{Compare, SortKey};
pub(crate) use conversations::{Action, Conversations};
pub(crate) use conversations::{Filters, OnExisting, Search};
pub(crate) use replay::Replay;
pub(crate) use rewrite::{Blobs, Compact, Redact, Replacing};
pub(crate) use serve::Serve;
#[cfg(feature = "serve")]
pub(crate) use serve::{KeysDoing, ServeDoing};
#[cfg(feature = "openai")]
pub(crate) use setup::Doctor;
pub(crate) use setup::{Completions, Config, Man};
#[cfg(feature = "openai")]
pub(crate) use transfer::{Pull, Push};

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
    /// A JSON file with values for options, such as {"budget": 4000, "chat": {"model": "gpt-4o"}}
    /// [default: the file that `TURNWISE_CONFIG` names, or turnwise/config.json in the folder where
    /// the system keeps configurations]
    ///
    /// A name is that of an option; an object in it is for one command. An option comes before the
    /// environment (`TURNWISE_BUDGET`), and that before the file. `turnwise config` shows them.
    #[arg(long, global = true, value_name = "FILE", display_order = 901)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Replays conversations under several strategies and shows the results side by side
    ///
    /// Every request of the recorded conversations is planned again, as if the budget had applied
    /// from the start. Use it to choose a strategy before anything is sent.
    #[command(after_help = "Examples:\n  turnwise compare chat.json -s window -s recall --budget 4000\n  \
                            turnwise compare chat.json --model gpt-4o --sort cost\n  \
                            turnwise compare conversations.json --only 3 --timeline\n  \
                            turnwise compare conversations.json --html report.html")]
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
    #[command(after_help = "Examples:\n  turnwise show chat.json --full\n  turnwise show conversations.json --list")]
    Show(Show),
    /// Replays conversations turn by turn: one line of JSON for each request
    ///
    /// Use it with --diff to see whether a new version, budget or strategy plans differently, or
    /// with --live to ask a model the recorded questions again.
    #[command(after_help = "Examples:\n  turnwise replay chat.json --budget 4000 > old.jsonl\n  \
                            turnwise replay chat.json --budget 4000 --diff old.jsonl\n  \
                            turnwise replay *.jsonl --budget 4000 -o all.jsonl --resume")]
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
    /// Nothing of the old text is left in it. In a store, forks of the conversation and deleted ones
    /// keep their text until they are redacted or purged themselves.
    #[command(after_help = "Examples:\n  turnwise redact chat.json --text \"Ann Lee\" --with \"[name]\"\n  \
                            turnwise redact chat.jsonl --pattern \"sk-[A-Za-z0-9]+\" --dry-run\n  \
                            turnwise redact sqlite:chats.db --only ann --text \"Ann Lee\"")]
    Redact(Redact),
    /// Moves images and files of a conversation into a folder beside it, FILE.blobs
    ///
    /// In FILE, a short reference takes the place of each. All commands that read FILE find them in
    /// the folder, so move both together.
    #[command(after_help = "Examples:\n  turnwise blobs chat.json\n  turnwise blobs chat.json --restore\n  \
                            turnwise blobs chat.json --prune")]
    Blobs(Blobs),
    /// Makes a journal (.jsonl) as small as possible
    ///
    /// A journal grows with each save. This removes what later saves have replaced. All messages,
    /// branches, summaries and pins stay. FILE may be a store, with --only ID. In a database, what
    /// the conversation shares with its forks is written again.
    #[command(after_help = "Examples:\n  turnwise compact chat.jsonl\n  \
                            turnwise compact sqlite:chats.db --only ann")]
    Compact(Compact),
    /// Manages the conversations of a store: lists, shows, copies, renames or deletes them
    ///
    /// A store keeps many conversations by their ids, in a folder, or in a database of SQLite or
    /// PostgreSQL. Other commands take its URL as FILE, with --only ID for one of them.
    #[command(after_help = "Examples:\n  turnwise conversations list --store dir:chats\n  \
                            turnwise conversations fork ann --store sqlite:chats.db\n  \
                            turnwise plan dir:chats --only ann --budget 4000")]
    Conversations(Conversations),
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
    #[command(after_help = "Examples:\n  turnwise chat rivers.json -m gpt-4o-mini\n  \
                            turnwise chat --continue -m gpt-4o-mini\n  \
                            git diff | turnwise chat --once -q \"Write a commit message.\" -m gpt-4o-mini\n  \
                            turnwise chat --template story.txt --set character=\"a fox\" -m gpt-4o-mini")]
    Chat(Chat),
    /// Serves OpenAI's Conversations, Responses and chat-completions APIs over HTTP
    ///
    /// Programs that use an OpenAI client work with its address as their base URL. Conversations are
    /// kept in a store, and requests that are too long for the model behind are trimmed. Without keys
    /// only programs on this machine are answered.
    #[command(after_help = "Examples:\n  turnwise serve --upstream http://127.0.0.1:11434/v1 --window 8192\n  \
                            turnwise serve keys add laptop\n  turnwise serve --print-config")]
    Serve(Serve),
    /// Sends a conversation to a server of the Conversations API, and prints its id there
    ///
    /// Items are sent at most 20 at a time. A push that was ended in the middle goes on when it is run
    /// again, and one that is complete sends only what is new; nothing is sent twice.
    #[cfg(feature = "openai")]
    #[command(after_help = "Examples:\n  turnwise push rivers.json --to http://127.0.0.1:8080/v1\n  \
                            turnwise push ann --store dir:chats --to https://api.openai.com/v1")]
    Push(Push),
    /// Reads a conversation from a server of the Conversations API, into a file or a store
    ///
    /// A pull that was ended in the middle goes on when it is run again.
    #[cfg(feature = "openai")]
    #[command(after_help = "Example:\n  turnwise pull conv_123 rivers.json --from http://127.0.0.1:8080/v1")]
    Pull(Pull),
    /// Shows each setting, its value and where it comes from
    ///
    /// Settings are values for options, in the environment or in a JSON file, so that they need not
    /// be passed each time.
    #[command(after_help = "Examples:\n  turnwise config --all\n  \
                            turnwise config --config project.json")]
    Config(Config),
    /// Checks the key, the endpoint, the model and the certificates, and says what to do
    ///
    /// It asks the endpoint for its list of models, which costs nothing. The exit code is 1 if
    /// something will not work.
    #[cfg(feature = "openai")]
    #[command(after_help = "Examples:\n  turnwise doctor\n  \
                            turnwise doctor --base-url http://127.0.0.1:11434/v1 --model qwen3")]
    Doctor(Doctor),
    /// Prints a script with which a shell completes commands and options
    ///
    /// The shells are bash, zsh, fish, elvish and powershell.
    #[command(
        after_help = "Examples:\n  turnwise completions bash > ~/.local/share/bash-completion/completions/turnwise\n  \
                            turnwise completions fish > ~/.config/fish/completions/turnwise.fish"
    )]
    Completions(Completions),
    /// Prints the man page, or writes the pages of all commands
    #[command(after_help = "Examples:\n  turnwise man | man -l -\n  \
                            turnwise man --to ~/.local/share/man/man1")]
    Man(Man),
}

#[derive(Args, Debug)]
pub(crate) struct InputArgs {
    /// Use only the conversation with this number (from 1), `id` or title, of a file with many
    /// [default: all]
    ///
    /// For example --only 6 for the sixth line of a JSON Lines file. `show FILE --list` prints the
    /// numbers and titles.
    #[arg(long, value_name = "N|ID|TITLE", global = true, allow_negative_numbers = true)]
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
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "How the server differs (saved in a chat's file)")]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[allow(clippy::struct_field_names, reason = "the fields are named as the options are")]
pub(crate) struct DialectArgs {
    /// The server, such as deepseek or vllm; `turnwise dialects` lists them [default: the file's,
    /// or openai]
    ///
    /// It is used instead of the one that the file names. If neither names one, `chat` and `replay
    /// --live` use the dialect of the server that they send to, if its address is known. Options
    /// can be added after a comma, such as deepseek,one-system.
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

#[derive(Args, Debug)]
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
    /// Print a line for each conversation of a file with many: its number, for --only, and its title
    #[arg(long, conflicts_with_all = ["full", "summary"])]
    pub(crate) list: bool,
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
