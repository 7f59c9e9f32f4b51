//! The options of commands that change a saved conversation's own file.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub(crate) struct Redact {
    /// The file with the conversation, which is changed, or a store: dir:FOLDER, sqlite:FILE, postgres://…
    pub(crate) file: PathBuf,
    /// The conversation of a store
    #[arg(long, value_name = "ID")]
    pub(crate) only: Option<String>,
    #[command(flatten)]
    pub(crate) replacing: Replacing,
}

/// What is replaced by what.
#[derive(Args)]
pub(crate) struct Replacing {
    /// Replace what this regular expression matches
    ///
    /// For example --pattern "(?i)ann( lee)?". The syntax is that of the Rust crate `regex`.
    #[arg(long, value_name = "REGEX", required_unless_present = "text", conflicts_with = "text")]
    pub(crate) pattern: Option<String>,
    /// Replace this text, as it is written here
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// The text to put in place of what was found [default: "[redacted]"]
    ///
    /// With --pattern, $1 is what the first group matched.
    #[arg(long, value_name = "TEXT")]
    pub(crate) with: Option<String>,
    /// Only say how many texts would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Blobs {
    /// The file with the conversation, which is changed
    pub(crate) file: PathBuf,
    /// Move only images and files of at least this size; those of less than 512 bytes always stay
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub(crate) at_least: u64,
    /// Put all of them back into FILE
    #[arg(long, conflicts_with_all = ["at_least", "prune"])]
    pub(crate) restore: bool,
    /// Delete from the folder all images and files to which FILE does not refer any more
    #[arg(long, conflicts_with = "at_least")]
    pub(crate) prune: bool,
}

#[derive(Args)]
pub(crate) struct Compact {
    /// The file with the journal, which is changed, or a store: dir:FOLDER, sqlite:FILE, postgres://…
    pub(crate) file: PathBuf,
    /// The conversation of a store
    #[arg(long, value_name = "ID")]
    pub(crate) only: Option<String>,
}
