//! `turnwise serve keys`: the keys that programs send.

use std::io::{self, Write};
use std::path::PathBuf;

use turnwise_server::Keys;

use super::settings::Settings;
use crate::args::KeysDoing;
use crate::failure::{Failure, Result};
use crate::output::{stdout, table, write_table};
use crate::stores::Place;

pub(super) fn run(doing: &KeysDoing, settings: &Settings) -> Result<()> {
    let file = file(settings, &Place::open(settings.text("store"))?)?;
    let file = file.ok_or_else(|| {
        let why = "a database on a server has no folder for keys beside it; name a file with --keys-file FILE";
        settings.invalid("store", why)
    })?;
    let keys = Keys::at(file);
    let mut out = stdout(false);
    match doing {
        KeysDoing::Add { name, tenant } => {
            let secret = keys.add(name, tenant.as_deref().unwrap_or("default")).map_err(|error| failed(&error))?;
            writeln!(out, "{secret}")?;
        }
        KeysDoing::Remove { name } => {
            keys.remove(name).map_err(|error| failed(&error))?;
            writeln!(out, "removed {name}")?;
        }
        KeysDoing::List => {
            let mut table = table(&["key", "tenant"], &[1]);
            for key in keys.list().map_err(|error| failed(&error))? {
                table.add_row([key.name, key.tenant]);
            }
            write_table(&mut out, &table)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// The file with the keys: the one that is named, or the one beside the store, if that is in a place
/// of its own.
pub(super) fn file(settings: &Settings, place: &Place) -> Result<Option<PathBuf>> {
    if let Some(file) = settings.text("keys_file") {
        return Ok(Some(file.into()));
    }
    Ok(place.root()?.map(|root| {
        let mut name = root.into_os_string();
        name.push(".keys.json");
        name.into()
    }))
}

fn failed(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound => {
            Failure::usage(error.to_string())
        }
        _ => Failure::Failed(error.to_string()),
    }
}
