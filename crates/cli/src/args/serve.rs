//! Options of `turnwise serve`.

use clap::Args;
#[cfg(feature = "serve")]
use clap::Subcommand;

/// Each option that has a value is a setting: it is also read from the environment, as `TURNWISE_`
/// and its name in capitals, and from the configuration file.
#[cfg(feature = "serve")]
#[derive(Args)]
pub(crate) struct Serve {
    #[command(subcommand)]
    pub(crate) doing: Option<ServeDoing>,
    /// Print each setting, its value and where it comes from, and do not serve
    #[arg(long)]
    pub(crate) print_config: bool,
    /// The address to listen at [default: 127.0.0.1:8080]
    ///
    /// Other addresses than those of this machine need keys.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// The store: dir:FOLDER, sqlite:FILE or postgres://… [default: sqlite:turnwise/chats.db in the folder where
    /// the system keeps data of programs]
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) store: Option<String>,
    /// The endpoint of chat completions that answers [default: `OPENAI_BASE_URL`, or OpenAI's]
    ///
    /// Its key is `OPENAI_API_KEY`, which can stand in `.env` too.
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<String>,
    /// Send every request to this model, whatever model it names [default: the one that it names]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The window of the model, in tokens [default: the model's, if it is known]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) window: Option<String>,
    /// The strategy, which decides what is left out of a request that is too long [default: window]
    #[arg(long, short, value_name = "NAME[:KEY=VALUE,…]")]
    pub(crate) strategy: Option<String>,
    /// How the server behind differs, such as vllm; `turnwise dialects` lists them [default: as its
    /// address says]
    #[arg(long, value_name = "NAME[,OPTION…]")]
    pub(crate) dialect: Option<String>,
    /// What happens to a request that is too long and does not say: `auto` trims it, `disabled`
    /// refuses it [default: auto]
    #[arg(long, value_name = "auto|disabled")]
    pub(crate) truncation: Option<String>,
    /// The file with the keys [default: the store's, and .keys.json]
    ///
    /// If it exists, a request needs one of its keys.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) keys_file: Option<String>,
    /// The file with the key that seals compaction and reasoning items; it is made where there is none
    /// [default: compaction items are not sealed, and there are no reasoning items]
    #[arg(long, value_name = "FILE")]
    pub(crate) seal_keys_file: Option<String>,
    /// Answer requests for these hosts too, separated by commas, if there are no keys
    ///
    /// Only for a proxy on this machine that checks who asks.
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Option<String>,
    /// The largest body of a request, in bytes [default: 33554432]
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_body: Option<String>,
    /// How many requests one key may have running at a time [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) max_running: Option<String>,
    /// How many requests one key may begin in a minute [default: no limit]
    #[arg(long, value_name = "N")]
    pub(crate) per_minute: Option<String>,
    /// How many connections may be open [default: 1024]
    #[arg(long, value_name = "N")]
    pub(crate) max_connections: Option<String>,
    /// How many seconds a request may take until it is answered or its stream begins [default: 600]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<String>,
    /// How many seconds what runs may go on when the server stops [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace: Option<String>,
    /// The log on the standard error, one line for each request: text, json or off [default: text]
    ///
    /// No text of a conversation is in it.
    #[arg(long, value_name = "FORM")]
    pub(crate) log: Option<String>,
}

#[cfg(feature = "serve")]
#[derive(Subcommand)]
pub(crate) enum ServeDoing {
    /// Adds, lists and removes the keys that programs send
    #[command(after_help = "Examples:\n  turnwise serve keys add laptop\n  \
                            turnwise serve keys add ann --tenant ann --store sqlite:chats.db")]
    Keys {
        #[command(subcommand)]
        doing: KeysDoing,
    },
}

#[cfg(feature = "serve")]
#[derive(Subcommand)]
pub(crate) enum KeysDoing {
    /// Makes a key, and prints it; it cannot be shown again
    Add {
        /// A name, for the list and the log
        name: String,
        /// Whose conversations it opens; each tenant has its own [default: those of the store, which
        /// other commands see too]
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// Lists the names and tenants of the keys
    List,
    /// Removes a key; a running server refuses it a second later
    Remove {
        /// Its name
        name: String,
    },
}

/// Options that a program without the server does not know.
#[cfg(not(feature = "serve"))]
#[derive(Args)]
pub(crate) struct Serve {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(crate) _rest: Vec<String>,
}
