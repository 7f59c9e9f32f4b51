//! Options of `turnwise push` and `turnwise pull`.

use std::path::PathBuf;

use clap::Args;

use super::InputArgs;

#[derive(Args)]
pub(crate) struct Push {
    /// The file with the conversation, or the id of one in the store
    #[arg(value_name = "FILE|ID")]
    pub(crate) source: PathBuf,
    /// The base URL of the server, such as <https://api.openai.com/v1>
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// The store in which ID is: dir:FOLDER or sqlite:FILE [default: sqlite:turnwise/chats.db in the
    /// folder where the system keeps data of programs]
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// The file that remembers which conversation of the server it is [default: FILE.push.json, or a
    /// file beside the store]
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
}

#[derive(Args)]
pub(crate) struct Pull {
    /// The id of the conversation on the server
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The file to write [default: it goes into the store]
    #[arg(value_name = "OUT")]
    pub(crate) target: Option<PathBuf>,
    /// The base URL of the server, such as <https://api.openai.com/v1>
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,
    /// The store that it goes into: dir:FOLDER or sqlite:FILE [default: sqlite:turnwise/chats.db in
    /// the folder where the system keeps data of programs]
    #[arg(long, value_name = "URL", conflicts_with = "target")]
    pub(crate) store: Option<String>,
    /// Replace OUT if it exists
    #[arg(long)]
    pub(crate) force: bool,
}
