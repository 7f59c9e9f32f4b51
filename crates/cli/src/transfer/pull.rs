//! `turnwise pull`: a conversation of a server becomes one of this machine.
//!
//! The pages that were read are kept in a file until all are there, so that it goes on from the last
//! one when it was ended in the middle, unless that was long ago: what the server has may have changed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use turnwise::Transcript;
use turnwise::message::RawJson;
use turnwise::store::wait;
use turnwise_formats::{Exporter, Imports};

use super::api::{Api, base_of, id_of, is_id};
use super::{alone, beside, block_on, name_of, store};
use crate::args::Pull;
use crate::failure::{self, Failure, Result};
use crate::input::format;
use crate::output::stdout;
use crate::stores::Place;
use crate::target::Output;
use crate::text::counted;

/// For how long what an earlier run has read is taken for what the server has.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// Of what the pages are: the first line of the file that keeps them.
#[derive(Serialize, Deserialize)]
struct Head {
    url: String,
    id: String,
    metadata: Value,
}

/// A page, with its items as the server wrote them.
#[derive(Serialize, Deserialize)]
struct Page {
    items: Vec<RawJson>,
}

/// Where a conversation goes.
enum Target {
    File(Output, PathBuf),
    Store(Place),
}

/// Where a conversation goes, the file that keeps what was read, and that file's lock. What is
/// there is looked at when no other pull writes it.
fn target(args: &Pull) -> Result<(Target, PathBuf, File)> {
    if let Some(file) = &args.target {
        let kept = beside(file, ".pull.jsonl");
        let lock = alone(&kept)?;
        return Ok((Target::File(Output::open(file, &[], args.force)?, file.clone()), kept, lock));
    }
    let place = store(args.store.as_deref())?;
    let kept = beside(&place.notes()?, &format!(".pull-{}.jsonl", name_of(&args.id)));
    let lock = alone(&kept)?;
    if place.load(&args.id).is_ok() {
        return Err(Failure::usage(format!("{}: the store has a conversation with this id", args.id)));
    }
    Ok((Target::Store(place), kept, lock))
}

pub(crate) fn run(args: &Pull) -> Result<()> {
    if !is_id(&args.id) {
        return Err(Failure::usage(format!("{}: it has a character that no id of a conversation has", args.id)));
    }
    let (target, kept, _alone) = target(args)?;
    let (metadata, pages) = block_on(read(&args.from, &args.id, &kept))?;
    let count: usize = pages.iter().map(|page| page.items.len()).sum();
    let file = transcript(&args.id, &metadata, &pages)?;
    match target {
        Target::File(output, path) => {
            let writer = format("--to", "native")?.writer();
            let writer = writer.ok_or_else(|| Failure::Failed("transcripts are not written".into()))?;
            let mut exporter = Exporter::new(output.writer()?, writer);
            exporter.add(file).and_then(|()| exporter.finish()).map_err(|error| output.failed(&error))?;
            drop(exporter);
            output.keep()?;
            failure::warn(&path.display().to_string(), counted(count, "item"));
        }
        Target::Store(place) => {
            wait(place.store().save(&args.id, &file, None))?;
            let mut out = stdout(false);
            writeln!(out, "{}", args.id)?;
            out.flush()?;
            failure::warn(&args.id, counted(count, "item"));
        }
    }
    fs::remove_file(&kept).map_err(|error| Failure::Failed(format!("removing {}: {error}", kept.display())))
}

/// The pages of this conversation that an earlier run has read a short time ago.
fn kept_pages(kept: &Path, url: &str, id: &str) -> Result<Vec<Page>> {
    let read = || io::Result::Ok((fs::metadata(kept)?.modified()?, fs::read_to_string(kept)?));
    let (written, text) = match read() {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::Failed(format!("{}: {error}", kept.display()))),
    };
    let is_fresh = written.elapsed().is_ok_and(|age| age < FRESH);
    let mut lines = text.lines();
    let head: Option<Head> = lines.next().and_then(|line| serde_json::from_str(line).ok());
    let is_of_this = head.is_some_and(|head| base_of(&head.url) == base_of(url) && head.id == id);
    // The last line may not have been written to its end.
    let pages = lines.map_while(|line| serde_json::from_str(line).ok());
    Ok(if is_fresh && is_of_this { pages.collect() } else { Vec::new() })
}

/// The metadata, and the items: what is missing is read.
async fn read(url: &str, id: &str, kept: &Path) -> Result<(Value, Vec<Page>)> {
    let api = Api::at(url)?;
    let missing =
        || Failure::Failed(format!("{url}: there is no conversation {id}, or none that OPENAI_API_KEY may see"));
    let mut pages = kept_pages(kept, url, id)?;
    let mut conversation = api.conversation(id).await?.ok_or_else(missing)?;
    let head = Head { url: url.to_owned(), id: id.to_owned(), metadata: conversation["metadata"].take() };
    // What was read may not be there any more; then all of it is read again.
    if let Some(last) = pages.last().and_then(|page| page.items.last()).and_then(id_of)
        && !api.has_item(id, &last).await?
    {
        pages.clear();
    }
    // Without what was cut off at its end.
    let mut known = line(&head)?;
    for page in &pages {
        known += &line(page)?;
    }
    super::replace(kept, &known)?;
    let failed = |error: io::Error| Failure::Failed(format!("writing {}: {error}", kept.display()));
    let mut file = OpenOptions::new().append(true).open(kept).map_err(failed)?;
    let known: Vec<String> = pages.iter().flat_map(|page| &page.items).filter_map(id_of).collect();
    let mut listed = api.pages(id, known);
    loop {
        let items = listed.next().await?.ok_or_else(missing)?;
        if items.is_empty() {
            return Ok((head.metadata, pages));
        }
        let page = Page { items };
        add(&mut file, &line(&page)?).map_err(failed)?;
        pages.push(page);
    }
}

fn add(file: &mut File, page: &str) -> io::Result<()> {
    file.write_all(page.as_bytes())?;
    file.sync_data()
}

/// A value as a line.
fn line(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value).map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(text + "\n")
}

/// The conversation that the pages are of.
fn transcript(id: &str, metadata: &Value, pages: &[Page]) -> Result<Transcript> {
    let mut text = line(&json!({"metadata": metadata, "items": []}))?;
    for page in pages {
        text += &line(page)?;
    }
    let mut file = Transcript::default();
    // Without an item there is nothing to import.
    if !pages.is_empty()
        && let Some(import) = Imports::new(text.as_bytes(), Some(format("--from", "conversations")?))?.next()
    {
        file = import?.transcript;
    }
    file.conversation.begin_again(id);
    for (key, value) in metadata.as_object().into_iter().flatten() {
        if let Some(value) = value.as_str() {
            let set = file.conversation.metadata_mut().set(key, value);
            set.map_err(|error| Failure::from(error).within(format!("the metadata {key} of {id}")))?;
        }
    }
    Ok(file)
}
