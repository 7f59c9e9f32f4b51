//! `Home`: where the conversations of a server are.

use std::sync::Arc;

use super::keeper::{InStore, Keeper, file_in_folder};
use super::{FileStore, Store};
use crate::error::Result;

/// The files of a folder, to which a manager adds what is new without reading them again, or any
/// store.
#[derive(Clone)]
pub(crate) enum Home {
    Folder(FileStore),
    Store(Arc<dyn Store>),
}

impl Home {
    /// The place of one conversation.
    pub(crate) fn keeper(&self, id: &str) -> Result<Arc<dyn Keeper>> {
        Ok(match self {
            Self::Folder(files) => file_in_folder(files.path(id)?),
            Self::Store(store) => Arc::new(InStore::new(store, id)),
        })
    }

    pub(crate) fn store(&self) -> &dyn Store {
        match self {
            Self::Folder(files) => files,
            Self::Store(store) => store,
        }
    }
}
