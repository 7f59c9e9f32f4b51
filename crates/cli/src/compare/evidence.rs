//! Questions about conversations with marked evidence, and how much of it each strategy sends.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use turnwise::plan::{Extras, Fate, Run};
use turnwise::{Conversation, ErrorKind, Ledger, Message, Plan, Planner, Strategy, StrategyCache};

use crate::failure::{self, Failure, Result};
use crate::input;
use crate::text::counted;

/// A line of the file of questions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// The conversation's `id`, as it is printed; each conversation, if there is none.
    conversation: Option<String>,
    #[serde(rename = "question")]
    text: String,
    evidence: Vec<Evidence>,
}

/// What is needed to answer a question.
#[derive(Deserialize)]
#[serde(untagged)]
enum Evidence {
    /// The message with this index, as `show` prints it, in full.
    Message(usize),
    /// A text in whatever is sent.
    Text(String),
}

/// How much of the evidence is sent.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    pub(crate) kept: usize,
    pub(crate) of: usize,
}

impl Kept {
    pub(super) fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.of += other.of;
    }
}

/// The questions of a file.
pub(super) struct Questions {
    file: String,
    all: Vec<Question>,
    /// Those whose conversation was found.
    asked: Mutex<BTreeSet<usize>>,
}

impl Questions {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let name = file.display().to_string();
        let text = input::text(file)?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let read = |(number, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| {
                Failure::usage(format!(
                    "{name}: line {}: {error}; write {{\"conversation\": ID, \"question\": TEXT, \"evidence\": [INDEX or TEXT, …]}}",
                    number + 1
                ))
            })
        };
        let all = lines.map(read).collect::<Result<Vec<Question>>>()?;
        if all.is_empty() {
            return Err(Failure::usage(format!("{name}: there are no questions in it")));
        }
        Ok(Self { file: name, all, asked: Mutex::default() })
    }

    /// Plans each question about a conversation as its next user message, as `plan --query` does,
    /// and adds up how much of the evidence is sent. A request over budget sends none.
    pub(super) fn ask(
        &self,
        name: &str,
        talk: &Conversation,
        ledger: &mut Ledger,
        planner: &Planner,
        strategy: &dyn Strategy,
        extras: &Extras,
    ) -> turnwise::Result<Kept> {
        let mut kept = Kept::default();
        let mut cache = StrategyCache::default();
        for (index, question) in self.all.iter().enumerate() {
            if question.conversation.as_deref().is_some_and(|of| of != name) {
                continue;
            }
            if let Ok(mut asked) = self.asked.lock() {
                asked.insert(index);
            }
            let mut talk = talk.clone();
            talk.push(Message::user(question.text.as_str()));
            kept.of += question.evidence.len();
            match planner.plan_with(&talk, ledger, strategy, &mut cache, extras) {
                Ok(plan) => kept.kept += question.evidence.iter().filter(|evidence| evidence.is_sent(&plan)).count(),
                Err(error) if matches!(error.kind(), ErrorKind::OverBudget | ErrorKind::PinsOverBudget) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }

    /// Reports how many questions are about other conversations than those that were compared.
    pub(super) fn tell_unasked(&self) {
        let asked = self.asked.lock().map_or(0, |asked| asked.len());
        if let Some(unasked) = self.all.len().checked_sub(asked).filter(|unasked| *unasked > 0) {
            let about = format!("{} about conversations that were not compared", counted(unasked, "question"));
            failure::warn(&self.file, about);
        }
    }
}

impl Evidence {
    fn is_sent(&self, plan: &Plan) -> bool {
        match self {
            Self::Message(index) => {
                let is_kept = |run: &Run| run.fate == Fate::Kept && run.contains(*index);
                plan.runs().iter().any(is_kept)
            }
            Self::Text(text) => plan.messages().iter().any(|message| message.text().contains(text.as_str())),
        }
    }
}
