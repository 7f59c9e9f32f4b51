//! Stores: many conversations by their ids, in a folder or in a database.

use std::path::{Path, PathBuf};
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "serve"))]
use std::sync::Arc;

use turnwise::store::{FileStore, Revision, Store, is_of_server, wait};
use turnwise::{ErrorKind, Transcript};
#[cfg(feature = "postgres")]
use turnwise_store::PostgresStore;
#[cfg(feature = "sqlite")]
use turnwise_store::SqliteStore;
#[cfg(all(feature = "encryption", any(feature = "sqlite", feature = "postgres")))]
use turnwise_store::encryption::Keys;

use crate::failure::{Failure, Result};

/// How many ids are read at a time.
const PAGE: usize = 100;

/// What the URLs of stores begin with.
const URLS: [&str; 4] = ["dir:", "sqlite:", "postgres://", "postgresql://"];

/// A store that a URL names. A clone is another handle on it.
#[derive(Clone)]
pub(crate) enum Place {
    Folder(FileStore),
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteStore),
    #[cfg(feature = "postgres")]
    Postgres(PostgresStore),
}

impl Place {
    /// The store of `dir:FOLDER`, `sqlite:FILE` or `postgres://…`, or the default one. It is made where
    /// there is none.
    pub(crate) fn open(url: Option<&str>) -> Result<Self> {
        let url = match url {
            Some(url) => url.to_owned(),
            None => default_url()?,
        };
        match url.split_once(':') {
            Some(("dir", folder)) if !folder.is_empty() => Self::folder(folder),
            Some(("sqlite", file)) if !file.is_empty() => Self::sqlite(Path::new(file)),
            Some(("postgres" | "postgresql", _)) => Self::postgres(&url),
            _ => {
                let forms = "write dir:FOLDER, sqlite:FILE or postgres://USER@HOST/DATABASE";
                Err(Failure::usage(format!("--store {url}: {forms}")))
            }
        }
    }

    fn folder(folder: &str) -> Result<Self> {
        if has_keys() {
            return Err(Failure::usage(format!(
                "dir:{folder}: a folder keeps conversations in plain text, and {KEYS} is set; use a database \
                 (sqlite:FILE, postgres://…), or unset it"
            )));
        }
        Ok(Self::Folder(FileStore::open(folder)?))
    }

    #[cfg(feature = "sqlite")]
    fn sqlite(file: &Path) -> Result<Self> {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let failed = |e| Failure::Failed(format!("making {}: {e}", folder.display()));
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        #[cfg(feature = "encryption")]
        if let Some(keys) = keys()? {
            return Ok(Self::Sqlite(SqliteStore::open_sealed(file, keys)?));
        }
        check_no_keys()?;
        Ok(Self::Sqlite(SqliteStore::open(file)?))
    }

    #[cfg(not(feature = "sqlite"))]
    fn sqlite(file: &Path) -> Result<Self> {
        Err(Failure::usage(format!(
            "sqlite:{}: this program was built without SQLite; in a checkout, install one that has all with `cargo install --path crates/cli --features full`, \
             or keep conversations in a folder with --store dir:FOLDER",
            file.display()
        )))
    }

    #[cfg(feature = "postgres")]
    fn postgres(url: &str) -> Result<Self> {
        #[cfg(feature = "encryption")]
        if let Some(keys) = keys()? {
            return Ok(Self::Postgres(PostgresStore::open_sealed(url, keys)?));
        }
        check_no_keys()?;
        Ok(Self::Postgres(PostgresStore::open(url)?))
    }

    #[cfg(not(feature = "postgres"))]
    fn postgres(_: &str) -> Result<Self> {
        Err(Failure::usage(
            "this program was built without PostgreSQL; in a checkout, install one that has all with `cargo install --path crates/cli --features full`, or \
             keep conversations in a folder with --store dir:FOLDER",
        ))
    }

    pub(crate) fn store(&self) -> &dyn Store {
        match self {
            Self::Folder(store) => store,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => store,
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store,
        }
    }

    /// The store for what keeps it, such as a server.
    #[cfg(any(feature = "sqlite", feature = "postgres", feature = "serve"))]
    pub(crate) fn shared(&self) -> Arc<dyn Store> {
        match self {
            Self::Folder(store) => Arc::new(store.clone()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Arc::new(store.clone()),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    /// What a database has beside its conversations, for what keeps it; `None` for a folder.
    #[cfg(all(feature = "serve", any(feature = "sqlite", feature = "postgres")))]
    pub(crate) fn catalog(&self) -> Option<Arc<dyn turnwise_store::Catalog>> {
        match self {
            Self::Folder(_) => None,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Some(Arc::new(store.clone())),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Some(Arc::new(store.clone())),
        }
    }

    /// The place of a tenant that somebody names, who sees no other conversations than its own.
    pub(crate) fn in_tenant(&self, name: &str) -> Result<Self> {
        let is_no_folder = name.contains(['/', '\\']) || matches!(name, "" | "." | "..");
        if matches!(self, Self::Folder(_)) && is_no_folder {
            return Err(Failure::usage(format!(
                "--tenant {name}: in a folder, it is the name of a folder in `tenants`"
            )));
        }
        Ok(self.tenant(name)?)
    }

    /// The place of a tenant of a server's keys.
    pub(crate) fn tenant(&self, name: &str) -> turnwise::Result<Self> {
        Ok(match self {
            Self::Folder(store) => {
                let folder = store.path("x")?.with_file_name("tenants").join(name);
                Self::Folder(FileStore::with_memory_of(store, folder)?)
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Self::Sqlite(store.tenant(name)?),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Self::Postgres(store.tenant(name)?),
        })
    }

    /// Checks that what is in a database can be opened with the keys that there are. A folder is never sealed.
    #[cfg(feature = "serve")]
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        allow(clippy::unnecessary_wraps, reason = "only a database can fail")
    )]
    pub(crate) fn check_keys(&self) -> turnwise::Result<()> {
        match self {
            Self::Folder(_) => Ok(()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => wait(store.check_keys()),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => wait(store.check_keys()),
        }
    }

    /// The folder or the file of the store; a database server has none.
    #[cfg(feature = "openai")]
    pub(crate) fn root(&self) -> Result<Option<PathBuf>> {
        Ok(match self {
            Self::Folder(store) => Some(store.path("x")?.parent().unwrap_or(Path::new(".")).to_owned()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Some(store.path().to_owned()),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
        })
    }

    /// Where notes about the store are kept, as the beginning of a file's name: beside it, or, for a
    /// database server, in the program's folder for data.
    #[cfg(feature = "openai")]
    pub(crate) fn notes(&self) -> Result<PathBuf> {
        if let Some(root) = self.root()? {
            return Ok(root);
        }
        let folder = data_folder().ok_or_else(|| {
            Failure::usage("no folder for data is known here, to note how far the transfer is; set XDG_DATA_HOME")
        })?;
        std::fs::create_dir_all(&folder)?;
        let name = match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.url().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_"),
            _ => String::new(),
        };
        Ok(folder.join(name))
    }

    /// The conversation with an id.
    pub(crate) fn load(&self, id: &str) -> Result<Transcript> {
        Ok(wait(self.store().load(id))?.0)
    }

    /// The ids of all conversations, in the order of their bytes. The responses and completions that
    /// a server has stored are not listed.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Result<String>> {
        self.all_ids().filter(|id| id.as_ref().map_or(true, |id| !is_of_server(id)))
    }

    /// As [`ids`](Self::ids), with what a server has stored.
    pub(crate) fn all_ids(&self) -> impl Iterator<Item = Result<String>> {
        let mut page = Vec::new().into_iter();
        let mut after: Option<String> = None;
        let mut is_over = false;
        std::iter::from_fn(move || {
            if let Some(id) = page.next() {
                return Some(Ok(id));
            }
            if is_over {
                return None;
            }
            match wait(self.store().list(after.as_deref(), PAGE)) {
                Ok(ids) => {
                    is_over = ids.len() < PAGE;
                    after = ids.last().cloned();
                    page = ids.into_iter();
                    page.next().map(Ok)
                }
                Err(error) => {
                    is_over = true;
                    Some(Err(error.into()))
                }
            }
        })
    }

    /// The id of the conversation that was used last. One that cannot be read is reported and left out.
    #[cfg(feature = "openai")]
    pub(crate) fn newest(&self) -> Result<Option<String>> {
        let mut newest = None;
        for id in self.ids() {
            let id = id?;
            let used = match self.load(&id) {
                Ok(file) => last_used(&file),
                Err(failure) => {
                    failure.within(&id).report();
                    continue;
                }
            };
            if newest.as_ref().is_none_or(|(last, _)| used > *last) {
                newest = Some((used, id));
            }
        }
        Ok(newest.map(|(_, id)| id))
    }

    /// The file that a conversation is kept in.
    pub(crate) fn path(&self, id: &str) -> Result<PathBuf> {
        wait(self.store().revision(id))?;
        match self {
            Self::Folder(store) => Ok(store.path(id)?),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Ok(store.path().to_owned()),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Err(Failure::usage(format!("{} keeps conversations in no file", store.url()))),
        }
    }

    /// Whether each conversation is a file of its own.
    pub(crate) fn has_files(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Gives a conversation a title. Another program that writes it meanwhile comes first.
    pub(crate) fn rename(&self, id: &str, title: &str) -> Result<()> {
        self.write_unless_conflict(id, |file, revision| {
            let before = file.clone();
            file.conversation.metadata_mut().set("title", title)?;
            wait(self.store().append(id, &file.changes_since(&before), revision))
        })
    }

    /// Writes a conversation anew, so that nothing of an older state is left, if `change` says that it
    /// is to be written. It is made again if another program writes it meanwhile.
    pub(crate) fn rewrite(
        &self,
        id: &str,
        mut change: impl FnMut(&mut Transcript) -> turnwise::Result<bool>,
    ) -> Result<()> {
        self.write_unless_conflict(id, |file, revision| {
            if change(file)? { wait(self.store().save(id, file, Some(revision))) } else { Ok(revision.clone()) }
        })
    }

    /// Loads a conversation and writes it, again and again while others write it in between.
    fn write_unless_conflict(
        &self,
        id: &str,
        mut write: impl FnMut(&mut Transcript, &Revision) -> turnwise::Result<Revision>,
    ) -> Result<()> {
        loop {
            let (mut file, revision) = wait(self.store().load(id))?;
            match write(&mut file, &revision) {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                written => return Ok(written.map(drop)?),
            }
        }
    }
}

/// The variable that has the keys of databases.
const KEYS: &str = "TURNWISE_STORE_KEYS";

/// Whether conversations are to be sealed.
pub(crate) fn has_keys() -> bool {
    std::env::var_os(KEYS).is_some_and(|keys| !keys.is_empty())
}

/// The keys that databases are sealed with, if there are any.
#[cfg(all(feature = "encryption", any(feature = "sqlite", feature = "postgres")))]
pub(crate) fn keys() -> Result<Option<Keys>> {
    if !has_keys() {
        return Ok(None);
    }
    let given = std::env::var(KEYS).map_err(|_| Failure::usage(format!("{KEYS} is not UTF-8")))?;
    let keys = match given.strip_prefix("file:") {
        Some(file) => Keys::read(file),
        None => given.parse(),
    };
    keys.map(Some).map_err(|error| Failure::usage(format!("{KEYS}: {}", error.detail())))
}

/// Refuses to write in plain text what is to be sealed.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn check_no_keys() -> Result<()> {
    if has_keys() && cfg!(not(feature = "encryption")) { Err(not_sealing(KEYS)) } else { Ok(()) }
}

/// The error of a program that cannot seal.
pub(crate) fn not_sealing(what: &str) -> Failure {
    Failure::usage(format!(
        "{what}: this program was built without encryption; in a checkout, install one that has all with `cargo install --path crates/cli --features full`"
    ))
}

/// When a conversation was used last: milliseconds since 1970.
pub(crate) fn last_used(file: &Transcript) -> i64 {
    let talk = &file.conversation;
    talk.items().next_back().map_or(talk.created_at(), turnwise::Item::created_at).as_millis()
}

/// Whether a name is the URL of a store, and not that of a file.
pub(crate) fn is_url(name: &Path) -> bool {
    let begins = |name: &str| URLS.iter().any(|begin| name.starts_with(begin));
    name.to_str().is_some_and(begins)
}

/// The database in the folder where this system keeps the data of programs.
fn default_url() -> Result<String> {
    let folder =
        data_folder().ok_or_else(|| Failure::usage("no folder for data is known here; name a store with --store"))?;
    Ok(format!("sqlite:{}", folder.join("chats.db").display()))
}

/// The program's folder where this system keeps the data of programs, if that is known.
pub(crate) fn data_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |rest: &str| variable("HOME").map(|home| home.join(rest));
    let data = if cfg!(windows) {
        variable("APPDATA")
    } else if cfg!(target_os = "macos") {
        home("Library/Application Support")
    } else {
        variable("XDG_DATA_HOME").or_else(|| home(".local/share"))
    };
    data.map(|data| data.join("turnwise"))
}
