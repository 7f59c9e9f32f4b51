//! `turnwise conversations export`, `import` and `backup`: a whole store out and in.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use turnwise::store::{FileStore, wait};
use turnwise_store::export::{Existing, Exporter, LeftOut, import};

use super::{Place, report};
use crate::args::OnExisting;
use crate::failure::{Failure, Result, warn};
use crate::text::counted;

/// How many tenants are listed at a time.
const PAGE: usize = 100;

impl Place {
    /// Writes all tenants, or one, to a file.
    pub(super) fn export(&self, file: &Path, tenant: Option<&str>, resumes: bool, skips: bool) -> Result<()> {
        if file == Path::new("-") {
            let out = BufWriter::new(io::stdout().lock());
            let out = match tenant {
                Some(tenant) => Exporter::of_tenant(out, tenant)?,
                None => Exporter::new(out)?,
            };
            return report_left_out(self.export_to(out, tenant, skips)?.left_out);
        }
        let doing = |error: io::Error| Failure::Failed(format!("{}: {error}", file.display()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(resumes).create_new(!resumes);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let opened = match options.open(file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let message = "it exists; --resume goes on with an export that was cut off, or give another name";
                return Err(Failure::usage(format!("{}: {message}", file.display())));
            }
            opened => opened.map_err(doing)?,
        };
        let out = match tenant {
            Some(tenant) => Exporter::resume_tenant(opened, tenant),
            None => Exporter::resume(opened),
        };
        let out = out.map_err(|error| Failure::from(error).within(file.display()))?;
        if out.is_complete() {
            warn(&file.display().to_string(), "it is complete already; nothing was added");
            return report_left_out(out.left_out().to_vec());
        }
        let before = out.conversations();
        let Exported { out, count, left_out } = self.export_to(out, tenant, skips)?;
        out.get_ref().sync_all().map_err(doing)?;
        let earlier = if before > 0 { format!(", {before} of them before") } else { String::new() };
        warn(&file.display().to_string(), format_args!("{}{earlier}", counted(count, "conversation")));
        report_left_out(left_out)
    }

    fn export_to<W: Write>(&self, out: Exporter<W>, tenant: Option<&str>, skips: bool) -> Result<Exported<W>> {
        let mut out = if skips { out.leaving_out_unread() } else { out };
        if tenant.is_some() {
            wait(out.add(tenant, self.store()))?;
        } else {
            wait(out.add(None, self.store()))?;
            let mut after = None;
            loop {
                let names = self.tenants(after.as_deref())?;
                for name in &names {
                    wait(out.add(Some(name), self.in_tenant(name)?.store()))?;
                }
                if names.len() < PAGE {
                    break;
                }
                after = names.last().cloned();
            }
        }
        let (count, left_out) = (out.conversations(), out.left_out().to_vec());
        Ok(Exported { out: out.finish()?, count, left_out })
    }

    /// Reads a file into the tenants that it names, or only what belongs to one of them.
    pub(super) fn import(&self, file: &Path, tenant: Option<&str>, existing: OnExisting) -> Result<()> {
        let from: Box<dyn Read> = if file == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            let opened = File::open(file);
            Box::new(opened.map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?)
        };
        let existing = match existing {
            OnExisting::Refuse => Existing::Refuse,
            OnExisting::Keep => Existing::Keep,
            OnExisting::Replace => Existing::Replace,
        };
        let store_of = |of: Option<&str>| match (tenant, of) {
            (None, None) => Ok(Some(self.shared())),
            (Some(wanted), Some(of)) if wanted == of => Ok(Some(self.shared())),
            (None, Some(of)) => {
                let place = self.in_tenant(of).map_err(|_| no_tenant(of))?;
                Ok(Some(place.shared()))
            }
            (Some(_), _) => Ok(None),
        };
        let read = wait(import(from, store_of, existing));
        let read = read.map_err(|error| Failure::from(error).within(file.display()))?;
        let mut told = vec![format!("{} added", counted(read.added, "conversation"))];
        for (count, what) in [
            (read.same, "the same in the store already"),
            (read.kept, "kept as in the store"),
            (read.replaced, "replaced"),
            (read.skipped, "of other tenants left out"),
            (read.left_out, "not in the export, because they could not be read when it was made"),
        ] {
            if count > 0 {
                told.push(format!("{count} {what}"));
            }
        }
        warn(&file.display().to_string(), told.join(", "));
        Ok(())
    }

    #[cfg_attr(not(feature = "sqlite"), allow(unused_variables, reason = "only SQLite's database is a file"))]
    pub(super) fn backup(&self, file: &Path) -> Result<()> {
        match self {
            Self::Folder(_) => Err(Failure::usage(
                "a folder is copied with the tools of the system, or with `turnwise conversations export`; \
                 `backup` copies a database, sqlite:FILE",
            )),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Ok(wait(store.backup(file))?),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Err(Failure::usage(
                "a PostgreSQL database is copied with its own tools, such as pg_dump, or with `turnwise conversations \
                 export`; `backup` copies an SQLite database, sqlite:FILE",
            )),
        }
    }

    /// The names of some tenants, in their order.
    fn tenants(&self, after: Option<&str>) -> Result<Vec<String>> {
        match self {
            Self::Folder(store) => tenants_of_folder(store, after),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(store) => Ok(wait(store.tenants(after, PAGE))?),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => Ok(wait(store.tenants(after, PAGE))?),
        }
    }
}

/// A file that is complete.
struct Exported<W> {
    out: W,
    count: usize,
    left_out: Vec<LeftOut>,
}

fn report_left_out(left_out: Vec<LeftOut>) -> Result<()> {
    let named = |LeftOut { tenant, mut failed, .. }: LeftOut| {
        if let Some(tenant) = tenant {
            failed.id = format!("{tenant}/{}", failed.id);
        }
        failed
    };
    report(left_out.into_iter().map(named).collect(), "is not in the export")
}

/// The error of a tenant that this store cannot have.
fn no_tenant(name: &str) -> turnwise::Error {
    let detail = format!(
        "the tenant `{}` of the export cannot be one of this store, in which it would be the name of a folder; import \
         into a database",
        name.escape_debug()
    );
    turnwise::Error::new(turnwise::ErrorKind::Limit, detail)
}

/// The folders of tenants, as `serve` makes them.
fn tenants_of_folder(store: &FileStore, after: Option<&str>) -> Result<Vec<String>> {
    let folder = store.path("x")?.with_file_name("tenants");
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Failure::Failed(format!("{}: {error}", folder.display())))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::Failed(format!("{}: {error}", folder.display())))?;
        if let Some(name) = entry.file_name().to_str().filter(|_| entry.path().is_dir()) {
            names.push(name.to_owned());
        }
    }
    names.retain(|name| after.is_none_or(|after| name.as_str() > after));
    names.sort();
    names.truncate(PAGE);
    Ok(names)
}
