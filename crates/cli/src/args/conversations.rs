//! Options of `turnwise conversations`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::rewrite::Replacing;

#[derive(Args)]
pub(crate) struct Conversations {
    /// The store: dir:FOLDER, sqlite:FILE or postgres://… [default: sqlite:turnwise/chats.db in the folder where
    /// the system keeps data of programs]
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) store: Option<String>,
    /// The tenant whose conversations these are [default: the one without a name; for export and
    /// import, all of them]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) tenant: Option<String>,
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Lists conversations, in the order of their ids
    ///
    /// With --recent, --text or a filter, a database with an index lists those first that were used
    /// last; `index` makes one.
    List {
        /// List the deleted conversations that can still be restored
        #[arg(long, conflicts_with_all = ["json", "since", "until", "metadata", "after"])]
        deleted: bool,
        /// List those first that were used last
        #[arg(long, conflicts_with = "deleted")]
        recent: bool,
        /// List only those in which this was said, the newest place first
        #[arg(long, value_name = "TEXT", conflicts_with = "deleted")]
        text: Option<String>,
        #[command(flatten)]
        filters: Filters,
    },
    /// Searches what was said in all conversations, the newest first
    ///
    /// All words of TEXT have to be in one message, in any order; "two words" in quotes, one after the
    /// other. Parts of words are found too. Without an index (see `index`), everything is read, in
    /// the order of ids.
    Search(Search),
    /// Makes the index for search and for lists by time, metadata and text, and keeps it up to date
    ///
    /// It makes writing slower and the database larger. It is of all tenants.
    Index {
        /// Remove it
        #[arg(long)]
        off: bool,
    },
    /// Adds up the calls of all conversations, by model
    Stats {
        /// Print JSON, one line for each model
        #[arg(long)]
        json: bool,
    },
    /// Replaces text in all conversations, or in one
    ///
    /// Nothing of the old text is left in them, and it is not found any more. Deleted conversations keep
    /// theirs until they are purged. Only conversations of one tenant are changed: that of --tenant, or
    /// the one without a name. What cannot be changed is reported, and the others are.
    Redact {
        /// The conversation's id [default: all]
        id: Option<String>,
        #[command(flatten)]
        replacing: Replacing,
    },
    /// Deletes conversations that nobody has used for some time, or all but the newest
    ///
    /// Only conversations of one tenant go: that of --tenant, or the one without a name.
    #[command(group(clap::ArgGroup::new("rule").required(true).multiple(true)))]
    Expire {
        /// Delete those that were not written to for this long: 90d, 12h
        #[arg(long, value_name = "TIME", group = "rule")]
        unused_for: Option<String>,
        /// Keep only this many, which were written to last
        #[arg(long, value_name = "N", group = "rule")]
        keep_last: Option<usize>,
        /// Purge them, so that they cannot be restored
        #[arg(long)]
        for_good: bool,
        /// Only say which would go
        #[arg(long)]
        dry_run: bool,
    },
    /// Shows a conversation: its turns, tool calls and branches
    Show {
        /// The conversation's id
        id: String,
        /// Print every message in full, instead of its beginning
        #[arg(long)]
        full: bool,
    },
    /// Copies a conversation, so that both can be continued separately, and prints the copy's id
    Fork {
        /// The conversation's id
        id: String,
        /// The id of the copy [default: a new one]
        fork: Option<String>,
    },
    /// Gives a conversation a title
    Rename {
        /// The conversation's id
        id: String,
        /// The title
        title: String,
    },
    /// Deletes a conversation; in a database it can be restored
    Delete {
        /// The conversation's id
        id: String,
    },
    /// Restores a deleted conversation
    Restore {
        /// The conversation's id
        id: String,
    },
    /// Removes the text of a deleted conversation, so that it cannot be restored
    Purge {
        /// The conversation's id
        #[arg(required_unless_present_any = ["expired", "scrub"])]
        id: Option<String>,
        /// Purge all conversations whose time to be restored is over
        #[arg(long, conflicts_with = "id")]
        expired: bool,
        /// Then write the whole SQLite database anew, so that nothing is left in its files of any text that was
        /// removed; alone, do only that
        #[arg(long)]
        scrub: bool,
    },
    /// Seals the database with the first key of `TURNWISE_STORE_KEYS`: what has an older key, or none
    ///
    /// The variable has keys, 64 hexadecimal digits or base64 of 32 bytes each, or `file:FILE`. With it, all
    /// commands write and read sealed conversations. An index for search is removed.
    Rekey,
    /// Prints the path of the file that a conversation is kept in
    Path {
        /// The conversation's id
        id: String,
    },
    /// Writes all conversations of a store to a file of JSON Lines, which `import` reads
    ///
    /// All tenants are written, or one with --tenant. Conversations that were deleted are left out. At one that
    /// cannot be read it ends; --skip-unreadable reports it and goes on.
    Export {
        /// The file to write; `-` is the standard output
        file: PathBuf,
        /// Go on with a file whose export was cut off
        #[arg(long)]
        resume: bool,
        /// Leave out conversations that cannot be read, and say in the file which are missing
        #[arg(long)]
        skip_unreadable: bool,
    },
    /// Reads the conversations of an export into a store, of any kind
    ///
    /// Conversations that the store has with the same content are left alone, so an import that was
    /// cut off is resumed by making it again.
    Import {
        /// The file to read; `-` is the standard input
        file: PathBuf,
        /// What to do where the store has a conversation with the same id and other content
        #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnExisting::Refuse)]
        existing: OnExisting,
    },
    /// Copies a database to a new file while others write to it
    Backup {
        /// The file to write
        file: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Search {
    /// What to search for
    pub(crate) text: String,
    /// Search only in the conversation with this id
    #[arg(long, value_name = "ID")]
    pub(crate) conversation: Option<String>,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

#[derive(Args)]
pub(crate) struct Filters {
    /// Only conversations whose metadata have this value, such as team=support
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// Only what is of this day or later, or not older than this: 2026-03-31, 90d, 12h
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only what is from before this day, or older than this
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// The next page: what the page before it told
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    /// Print at most this many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Print JSON, one line for each
    #[arg(long)]
    pub(crate) json: bool,
}

impl Filters {
    /// Whether anything is asked for that needs an index.
    pub(crate) fn are_set(&self) -> bool {
        !self.metadata.is_empty() || self.since.is_some() || self.until.is_some() || self.after.is_some()
    }
}

/// What an import does with a conversation that is there.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum OnExisting {
    /// Stop there
    Refuse,
    /// Keep the store's
    Keep,
    /// Replace it by the file's
    Replace,
}
