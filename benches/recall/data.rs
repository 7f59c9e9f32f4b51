//! Conversations, and questions about them with known evidence.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use turnwise::Message;
use turnwise::conversation::Timestamp;

use crate::common::{Writer, sized};

/// A conversation: each message with its time, which is 0 where the data has none.
pub(crate) type Talk = Vec<(Message, Timestamp)>;

/// Conversations and questions about them.
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) talks: Vec<Talk>,
    pub(crate) questions: Vec<Question>,
}

pub(crate) struct Question {
    pub(crate) talk: usize,
    pub(crate) text: String,
    /// The messages that hold the answer, by index.
    pub(crate) evidence: Vec<usize>,
}

/// Every pair of `*.conversations.jsonl` and `*.questions.jsonl` in a folder.
pub(crate) fn read(folder: &Path) -> Vec<Set> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".conversations.jsonl").map(str::to_owned))
        .collect();
    names.sort();
    names.iter().map(|name| read_set(folder, name)).collect()
}

fn lines(folder: &Path, name: &str) -> Vec<Value> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let value = |(number, line): (usize, &str)| {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{}, line {}: {e}", path.display(), number + 1))
    };
    text.lines().enumerate().map(value).collect()
}

fn read_set(folder: &Path, name: &str) -> Set {
    let (mut talks, mut places) = (Vec::new(), HashMap::new());
    for talk in lines(folder, &format!("{name}.conversations.jsonl")) {
        let messages = talk["messages"].as_array().expect("messages");
        let ids = messages.iter().enumerate().map(|(at, message)| (word(message, "id"), at));
        places.insert(word(&talk, "id"), (talks.len(), ids.collect::<HashMap<String, usize>>()));
        talks.push(messages.iter().map(|one| (message(one), time(&one["time"]))).collect());
    }
    let question = |question: &Value| {
        let (talk, ids) = places.get(&word(question, "conversation"))?;
        let evidence = question["evidence"].as_array()?.iter();
        let evidence: Option<Vec<usize>> = evidence.map(|id| ids.get(id.as_str()?).copied()).collect();
        let evidence = evidence.filter(|evidence| !evidence.is_empty())?;
        Some(Question { talk: *talk, text: word(question, "question"), evidence })
    };
    let all = lines(folder, &format!("{name}.questions.jsonl"));
    let questions: Vec<Question> = all.iter().filter_map(question).collect();
    if questions.len() < all.len() {
        println!("{name}: {} questions without evidence in the conversations left aside", all.len() - questions.len());
    }
    Set { name: name.to_owned(), talks, questions }
}

fn word(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn message(value: &Value) -> Message {
    let message = Message::new(value["role"].as_str().unwrap_or("user"), word(value, "content"));
    match value["name"].as_str() {
        Some(name) => message.with_name(name),
        None => message,
    }
}

/// The time of a message: milliseconds since 1970, or as the set `LoCoMo` writes it (`1:56 pm on 8 May,
/// 2023`), taken as UTC.
fn time(value: &Value) -> Timestamp {
    let millis = value.as_i64().or_else(|| written(value.as_str()?));
    Timestamp::from_millis(millis.unwrap_or_default())
}

fn written(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (clock, date) = text.split_once(" on ")?;
    let (clock, half) = clock.split_once(' ')?;
    let (hour, minute) = clock.split_once(':')?;
    let hour = hour.parse::<i64>().ok()? % 12 + if half == "pm" { 12 } else { 0 };
    let parts: Vec<&str> = date.split([' ', ',']).filter(|part| !part.is_empty()).collect();
    let [day, month, year] = parts[..] else { return None };
    let month = (1..).zip(MONTHS).find(|(_, name)| *name == month)?.0;
    let minutes = (days(year.parse().ok()?, month, day.parse().ok()?) * 24 + hour) * 60 + minute.parse::<i64>().ok()?;
    Some(minutes * 60_000)
}

/// The days from 1970 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    365 * year + year / 4 - year / 100 + year / 400 + (153 * from_march + 2) / 5 + day - 719_469
}

const THINGS: [&str; 8] = ["bicycle", "landlord", "password", "allergy", "dentist", "violin", "passport", "mortgage"];

/// Small talk in which some messages say something that is asked for later.
pub(crate) fn generated() -> Set {
    let mut writer = Writer::new(11);
    let mut talk: Talk = (0..sized(2_000, 160)).map(|number| (writer.talk(number), Timestamp::default())).collect();
    let mut questions = Vec::new();
    for (number, thing) in THINGS.iter().enumerate() {
        let at = (number * talk.len() / THINGS.len()) & !1;
        talk[at].0 = Message::user(format!("By the way, about the {thing}: the number is {}.", 700 + number));
        let text = format!("What did I say about my {thing}?");
        questions.push(Question { talk: 0, text, evidence: vec![at] });
    }
    Set { name: "generated".into(), talks: vec![talk], questions }
}

/// Short questions, all about the same few things, and long answers, with what is asked for in one paragraph of some: the
/// conversation, and each question with the sentence that answers it.
pub(crate) fn long_answers() -> (Vec<Message>, Vec<(String, String)>) {
    let mut writer = Writer::new(12);
    let exchanges = sized(200, 40);
    let (mut talk, mut asked) = (Vec::new(), Vec::new());
    for number in 0..exchanges {
        let mut paragraphs: Vec<String> = (0..24).map(|_| format!("{}.", writer.text(250))).collect();
        let thing = THINGS[number * 5 % THINGS.len()];
        let question = format!("{} my {thing}, what do you recommend?", writer.text(30));
        if number % (exchanges / THINGS.len() + 2) == 0 {
            let answer = format!("For the {thing} I recommend number {}.", 700 + number);
            paragraphs[2 + 2 * asked.len()].push_str(&[" ", &answer].concat());
            asked.push((format!("Which number did you recommend for the {thing}?"), answer));
        }
        talk.extend([Message::user(question), Message::assistant(paragraphs.join("\n\n"))]);
    }
    (talk, asked)
}
