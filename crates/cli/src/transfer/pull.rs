//! `turnwise pull`: a conversation of a server becomes one of this machine.
//!
//! The pages that were read are kept in a file until all are there, so that it goes on from the last
//! one when it was ended in the middle.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use turnwise::Transcript;
use turnwise::store::wait;
use turnwise_formats::{Exporter, Imports};

use super::api::Api;
use super::{beside, block_on, name_of, store};
use crate::args::Pull;
use crate::failure::{self, Failure, Result};
use crate::input::format;
use crate::output::stdout;
use crate::stores::Place;
use crate::target::Output;
use crate::text::counted;

/// Where a conversation goes.
enum Target {
    File(Output, PathBuf),
    Store(Place),
}

pub(crate) fn run(args: &Pull) -> Result<()> {
    let (target, kept) = if let Some(file) = &args.target {
        (Target::File(Output::open(file, &[], args.force)?, file.clone()), beside(file, ".pull.jsonl"))
    } else {
        let place = store(args.store.as_deref())?;
        if place.load(&args.id).is_ok() {
            return Err(Failure::usage(format!("{}: the store has a conversation with this id", args.id)));
        }
        let kept = beside(&place.notes()?, &format!(".pull-{}.jsonl", name_of(&args.id)));
        (Target::Store(place), kept)
    };
    let pages = block_on(read(&args.from, &args.id, &kept))?;
    let count: usize = pages.iter().filter_map(|page| page["items"].as_array()).map(Vec::len).sum();
    let file = transcript(&args.id, &pages)?;
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

/// The lines of the file with what was read: the conversation, then its pages.
fn kept_pages(kept: &Path, url: &str, id: &str) -> Result<Vec<Value>> {
    let text = match fs::read_to_string(kept) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::Failed(format!("{}: {error}", kept.display()))),
    };
    // The last line may not have been written to its end.
    let lines: Vec<Value> = text.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
    let is_of_this = lines.first().is_some_and(|first| first["url"] == url && first["id"] == id);
    Ok(if is_of_this { lines } else { Vec::new() })
}

/// Reads what is missing.
async fn read(url: &str, id: &str, kept: &Path) -> Result<Vec<Value>> {
    let api = Api::at(url)?;
    let missing = || Failure::Failed(format!("{url}: there is no conversation {id}"));
    let mut pages = kept_pages(kept, url, id)?;
    let conversation = api.conversation(id).await?.ok_or_else(missing)?;
    let after = |pages: &[Value]| {
        let items = pages.last()?["items"].as_array()?;
        items.last()?["id"].as_str().map(str::to_owned)
    };
    // What was read may not be there any more; then all of it is read again.
    if let Some(last) = after(&pages)
        && !api.has_item(id, &last).await?
    {
        pages.clear();
    }
    let first = json!({"url": url, "id": id, "metadata": conversation["metadata"], "items": []});
    match pages.first_mut() {
        Some(known) => *known = first,
        None => pages.push(first),
    }
    let failed = |error: io::Error| Failure::Failed(format!("writing {}: {error}", kept.display()));
    // Without what was cut off at its end.
    super::replace(kept, &lines(pages.iter()))?;
    let mut file = OpenOptions::new().append(true).open(kept).map_err(failed)?;
    let known = pages.clone();
    let mut listed = api.pages(id, known.iter().filter_map(|page| page["items"].as_array()).flatten());
    loop {
        let items = listed.next().await?.ok_or_else(missing)?;
        if items.is_empty() {
            return Ok(pages);
        }
        let page = json!({"items": items});
        add(&mut file, &page).map_err(failed)?;
        pages.push(page);
    }
}

fn add(file: &mut File, page: &Value) -> io::Result<()> {
    file.write_all(format!("{page}\n").as_bytes())?;
    file.sync_data()
}

/// Values as lines.
fn lines(values: impl Iterator<Item: Display>) -> String {
    values.fold(String::new(), |text, value| text + &value.to_string() + "\n")
}

/// The conversation that the pages are of.
fn transcript(id: &str, pages: &[Value]) -> Result<Transcript> {
    let creates = pages.iter().enumerate().map(|(number, page)| match number {
        0 => json!({"metadata": page["metadata"], "items": page["items"]}),
        _ => json!({"items": page["items"]}),
    });
    let text = lines(creates);
    let mut imports = Imports::new(text.as_bytes(), Some(format("--from", "conversations")?))?;
    let mut file = match imports.next() {
        Some(import) => import?.transcript,
        None => Transcript::default(),
    };
    file.conversation.begin_again(id);
    for (key, value) in pages[0]["metadata"].as_object().into_iter().flatten() {
        if let Some(value) = value.as_str() {
            file.conversation.metadata_mut().set(key, value)?;
        }
    }
    Ok(file)
}
