//! The native form: everything in the file beside the messages.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::damage::Place;
use super::{FORMAT, Origin, Transcript};
use crate::conversation::{
    Conversation, Damage, Item, ItemId, Mark, Metadata, ReplacedHeads, Restore, RestoreItem, Round, Summary, Timestamp,
};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::ledger::{Fingerprint, Ledger, Packed};
use crate::message::Message;
use crate::spending::Spending;
use crate::text::described;
use crate::tokens::Calibration;
use crate::vectors::Saved;

pub(super) const FORMAT_KEY: &str = "turnwise";
pub(super) const RECORD_KEY: &str = "turnwise_record";

/// Everything in the record that `messages` does not contain.
#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
    /// How many of `messages` are the head.
    head: usize,
    /// How many ids belong to purged items.
    #[serde(default, skip_serializing_if = "is_zero")]
    purged: usize,
    /// The ids of the path, in runs.
    path: Vec<Range<u32>>,
    /// When each item of the path was recorded.
    times: Vec<Timestamp>,
    #[serde(default, skip_serializing_if = "ReplacedHeads::is_empty")]
    replaced_heads: ReplacedHeads,
    /// Texts of the head's messages that stay when it is replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    constraints: Vec<String>,
    /// The items that are not on the path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    branches: Vec<Off>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pins: Vec<ItemId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    summaries: Vec<Summary>,
    /// The number of summaries ever attached.
    #[serde(default)]
    next_summary: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    marks: Vec<Mark>,
    /// The state of calls whose results are not among the messages yet. A version that does not
    /// know this member loads the file without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tool_rounds: Vec<Round>,
    #[serde(default)]
    ledger: Columns,
    /// A version that does not know this member loads the file without it.
    #[serde(default, skip_serializing_if = "Saved::is_empty")]
    vectors: Saved,
    #[serde(default, skip_serializing_if = "Spending::is_empty")]
    spending: Spending,
    #[serde(default, skip_serializing_if = "Calibration::is_empty")]
    calibration: Calibration,
    /// Only a starting point for forecasts, so an unreadable one is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_bill: Option<RawJson>,
    /// A version that does not know this member loads the file without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    origins: Vec<Origin>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
struct Off {
    id: ItemId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<ItemId>,
    created_at: Timestamp,
    message: Message,
}

/// The ledger, each list by ordinal.
#[derive(Default, Serialize, Deserialize)]
struct Columns {
    /// Hash and length of each message.
    prints: Vec<Option<Fingerprint>>,
    /// By cost id: the tokens of the group that ends with the item; negative for an estimate.
    costs: BTreeMap<String, Vec<Packed>>,
    /// By cost id: the fingerprint of head and tools together, the tokens of the head, the tokens
    /// of the tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    heads: BTreeMap<String, (Fingerprint, Packed, Packed)>,
}

/// Refuses a newer format before anything else is read. An unreadable text is left to the caller.
pub(super) fn check_format(text: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Format {
        turnwise: Option<RawJson>,
    }
    if !text.trim_start().starts_with('{') {
        return Ok(());
    }
    let Ok(Format { turnwise: Some(format) }) = serde_json::from_str(text) else { return Ok(()) };
    match format.parse::<u64>() {
        Ok(format) if format > FORMAT => {
            let detail =
                format!("the file has format {format}, and this version reads up to {FORMAT}; update turnwise");
            Err(Error::new(ErrorKind::NewerFormat, detail))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(Error::new(ErrorKind::Damaged, "`turnwise` is not a format number")
            .at(Place::of(text).member(FORMAT_KEY).position())),
    }
}

pub(super) fn write(transcript: &Transcript) -> String {
    let extra: HashMap<&str, &RawJson> = transcript.extra.iter().map(|(key, value)| (&**key, value)).collect();
    let mut out = Vec::new();
    out.extend_from_slice(format!("{{\n{}:{FORMAT}", json(FORMAT_KEY)).as_bytes());
    for key in keys(transcript) {
        let start = out.len();
        out.extend_from_slice(format!(",\n{}:", json(key)).as_bytes());
        if !write_value(transcript, key, &extra, &mut out) {
            out.truncate(start);
        }
    }
    out.extend_from_slice(format!(",\n{}:", json(RECORD_KEY)).as_bytes());
    append(&Record::of(transcript), &mut out);
    out.extend_from_slice(b"\n}\n");
    // JSON is always UTF-8, so the fallback is never used.
    String::from_utf8(out).unwrap_or_default()
}

/// The keys that do not belong to this crate: those of the file in their order, then new ones.
fn keys(transcript: &Transcript) -> Vec<&str> {
    let in_file = transcript.keys.iter().map(String::as_str);
    let added = transcript.extra.iter().map(|(key, _)| &**key).chain(["model", "tools", "messages"]);
    let mut seen = HashSet::from([FORMAT_KEY, RECORD_KEY]);
    in_file.chain(added).filter(|key| seen.insert(key)).collect()
}

/// Writes the value of a key; `false` if there is none.
fn write_value(transcript: &Transcript, key: &str, extra: &HashMap<&str, &RawJson>, out: &mut Vec<u8>) -> bool {
    let extra = extra.get(key).map(|value| value.as_str());
    let kept = match (key, &transcript.model) {
        ("messages", _) => {
            write_messages(&transcript.conversation, out);
            return true;
        }
        ("model", Some(model)) => {
            append(model, out);
            return true;
        }
        ("tools", _) if !transcript.tools.is_empty() => {
            append(&transcript.tools, out);
            return true;
        }
        // Only null stands among the other members; anything else could not be read again.
        ("model" | "tools", _) if extra == Some("null") => extra,
        // An empty list that was in the file.
        ("tools", _) if transcript.keys.iter().any(|known| known == key) => Some("[]"),
        ("model" | "tools", _) => None,
        _ => extra,
    };
    out.extend_from_slice(kept.unwrap_or_default().as_bytes());
    kept.is_some()
}

/// Writes the messages, one a line.
fn write_messages(conversation: &Conversation, out: &mut Vec<u8>) {
    out.push(b'[');
    let start = out.len();
    for message in conversation.head().iter().chain(conversation.path().messages()) {
        out.extend_from_slice(if out.len() == start { b"\n" } else { b",\n" });
        append(message, out);
    }
    if out.len() > start {
        out.push(b'\n');
    }
    out.push(b']');
}

/// Writes the JSON of a value of ours, all of whose keys are text.
fn append(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    // Nothing of ours fails to be written into memory.
    let _ = serde_json::to_writer(out, value);
}

/// The JSON of a value of ours, all of whose keys are text.
fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl Record {
    fn of(transcript: &Transcript) -> Self {
        let conversation = &transcript.conversation;
        let path = conversation.path();
        let off = |item: &Item| Off {
            id: item.id(),
            parent: item.parent(),
            created_at: item.created_at(),
            message: item.message().clone(),
        };
        Self {
            id: conversation.id().to_owned(),
            created_at: conversation.created_at(),
            metadata: conversation.metadata().clone(),
            head: path.head().len(),
            purged: conversation.next_ordinal() - conversation.items().count(),
            path: in_runs(path.items().map(Item::id)),
            times: path.items().map(Item::created_at).collect(),
            replaced_heads: ReplacedHeads::Changes(conversation.head_changes().cloned().collect()),
            constraints: conversation.constraints().map(str::to_owned).collect(),
            branches: conversation.items().filter(|item| !path.contains(item.id())).map(off).collect(),
            pins: conversation.pins().collect(),
            summaries: conversation.all_summaries().cloned().collect(),
            next_summary: conversation.next_summary(),
            marks: conversation.all_marks().to_vec(),
            tool_rounds: conversation.rounds().to_vec(),
            ledger: Columns::of(transcript),
            vectors: Saved::of(&transcript.vectors, conversation),
            spending: transcript.spending.clone(),
            calibration: transcript.calibration.clone(),
            last_bill: transcript.last_bill.as_ref().and_then(|bill| RawJson::new(&json(bill)).ok()),
            origins: transcript.origins.clone(),
        }
    }
}

impl Columns {
    fn of(transcript: &Transcript) -> Self {
        let costs: BTreeMap<_, _> =
            transcript.ledger.columns(&transcript.conversation).map(|(id, costs)| (id.to_owned(), costs)).collect();
        if costs.is_empty() {
            return Self::default();
        }
        let mut prints = vec![None; transcript.conversation.next_ordinal()];
        for item in transcript.conversation.items() {
            prints[item.id().index()] = Some(Fingerprint::of(item.message()));
        }
        Self { prints, costs, heads: transcript.ledger.heads().collect() }
    }
}

fn in_runs(ids: impl Iterator<Item = ItemId>) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for ItemId(id) in ids {
        match runs.last_mut() {
            Some(last) if last.end == id => last.end = id + 1,
            _ => runs.push(id..id + 1),
        }
    }
    runs
}

impl ReplacedHeads {
    fn is_empty(&self) -> bool {
        match self {
            Self::Whole(heads) => heads.is_empty(),
            Self::Changes(changes) => changes.is_empty(),
        }
    }
}

impl Default for ReplacedHeads {
    fn default() -> Self {
        Self::Changes(Vec::new())
    }
}

impl Serialize for ReplacedHeads {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(heads) => heads.serialize(serializer),
            Self::Changes(changes) => changes.serialize(serializer),
        }
    }
}

/// Older files have a list of lists, newer ones a list of changes.
impl<'de> Deserialize<'de> for ReplacedHeads {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let first = text.get().strip_prefix('[').map(str::trim_start);
        let read = if first.is_some_and(|first| first.starts_with('[')) {
            serde_json::from_str(text.get()).map(Self::Whole)
        } else {
            serde_json::from_str(text.get()).map(Self::Changes)
        };
        read.map_err(serde::de::Error::custom)
    }
}

/// Reads the record of a file; an error has its place in the file's text.
pub(super) fn restore(messages: Vec<Message>, record: &RawJson, text: &str) -> Result<Transcript> {
    let damaged = |detail: String, at: Place<'_>| Error::new(ErrorKind::Damaged, detail).at(at.position());
    let own = || Place::of(text).member(RECORD_KEY);
    let record: Record = record.parse().map_err(|e| {
        let at = own().unreadable(|text| serde_json::from_str::<Record>(text).err());
        damaged(format!("`{RECORD_KEY}`: {}", described(&e)), at)
    })?;
    build(messages, record).map_err(|damage| damaged(damage.detail, own().member(damage.member)))
}

fn build(mut messages: Vec<Message>, record: Record) -> Result<Transcript, Damage> {
    // Checked before the runs are expanded, because a file can claim any number.
    let on_path = record.path.iter().try_fold(0_usize, |sum, run| sum.checked_add(run.len()));
    if on_path.and_then(|on_path| on_path.checked_add(record.head)) != Some(messages.len())
        || on_path != Some(record.times.len())
    {
        let detail = format!(
            "`messages` holds {} messages, and `{RECORD_KEY}` describes {} of the head and {} after it; \
             without `{FORMAT_KEY}` and `{RECORD_KEY}` the file loads as a request body",
            messages.len(),
            record.head,
            record.times.len(),
        );
        return Err(Damage::new("path", detail));
    }
    let ids: Vec<ItemId> = record.path.iter().flat_map(|run| run.clone().map(ItemId)).collect();
    let path = messages.split_off(record.head);
    let parents = std::iter::once(None).chain(ids.iter().copied().map(Some));
    let on_path = ids
        .iter()
        .zip(parents)
        .zip(path)
        .zip(&record.times)
        .map(|(((id, parent), message), time)| RestoreItem { id: *id, parent, created_at: *time, message });
    let off_path = record.branches.into_iter().map(|off| RestoreItem {
        id: off.id,
        parent: off.parent,
        created_at: off.created_at,
        message: off.message,
    });
    let conversation = Restore {
        id: record.id,
        created_at: record.created_at,
        metadata: record.metadata,
        head: messages,
        replaced_heads: record.replaced_heads,
        constraints: record.constraints,
        purged: record.purged,
        items: on_path.chain(off_path).collect(),
        on_path: ids.len(),
        leaf: ids.last().copied(),
        pins: record.pins,
        summaries: record.summaries,
        next_summary: record.next_summary,
        marks: record.marks,
        rounds: record.tool_rounds,
    }
    .build()?;
    let mut ledger = Ledger::restore(&conversation, &record.ledger.prints, record.ledger.costs);
    ledger.restore_heads(record.ledger.heads);
    let vectors = record.vectors.restore(&conversation);
    let last_bill = record.last_bill.and_then(|bill| bill.parse().ok());
    let (spending, calibration, origins) = (record.spending, record.calibration, record.origins);
    let file = Transcript::new(conversation);
    Ok(Transcript { ledger, vectors, spending, calibration, last_bill, origins, ..file })
}
