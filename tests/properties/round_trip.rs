//! Invariant 9: what this crate does not know comes back out as it went in.

use turnwise::{ChatRequest, Message, SlidingWindow, TokenBudget, trim};

use crate::each_case;
use crate::generate::{message_json, spaced};
use crate::judge::json_of;

#[test]
fn invariant_9_messages_come_back_out_as_they_went_in() {
    each_case(5_000, |case| {
        let compact = message_json(&mut case.rng);
        let text = spaced(&mut case.rng, &compact);
        case.note(text.clone());
        let message = Message::from_json(&text).unwrap();
        assert_eq!(json_of(&message), compact);
        let again: Message = serde_json::from_str(&compact).unwrap();
        assert_eq!(again, message);
    });
}

#[test]
fn invariant_9_a_plan_sends_messages_as_they_went_in() {
    each_case(200, |case| {
        let compact: Vec<String> = (0..case.rng.usize(1..8)).map(|_| message_json(&mut case.rng)).collect();
        let messages: Vec<Message> = compact.iter().map(|text| Message::from_json(text).unwrap()).collect();
        let Ok(plan) = trim(&messages, &TokenBudget::limit(1_000_000), &SlidingWindow::tokens()) else { return };
        let kept = plan.decisions().filter(|decision| decision.fate == turnwise::Fate::Kept);
        let kept: Vec<usize> = kept.map(|decision| decision.index).collect();
        assert_eq!(kept.len(), plan.messages().len());
        for (index, sent) in kept.into_iter().zip(plan.messages()) {
            let kept = &messages[index];
            // Calls and the ids of results are sent in a form that every server takes.
            let members =
                |message: &Message| message.extra().map(|(key, raw)| format!("{key}:{}", raw.as_str())).collect();
            let beside_calls = |message: &Message| -> (String, Option<String>, Vec<String>) {
                (format!("{:?}", message.role()), message.refusal().map(str::to_owned), members(message))
            };
            let has_to_do_with_calls = kept.has_calls() || *kept.role() == turnwise::Role::Tool;
            assert!(
                json_of(sent) == compact[index]
                    || has_to_do_with_calls
                        && (kept.content(), kept.name()) == (sent.content(), sent.name())
                        && beside_calls(kept) == beside_calls(sent),
                "{kept:?}\n{sent:?}"
            );
        }
    });
}

#[test]
fn invariant_9_requests_come_back_out_as_they_went_in() {
    each_case(500, |case| {
        let messages: Vec<String> = (0..case.rng.usize(0..4)).map(|_| message_json(&mut case.rng)).collect();
        let vendor = crate::generate::json(&mut case.rng, 3);
        let body = format!(r#"{{"model":"m","messages":[{}],"vendor":{vendor}}}"#, messages.join(","));
        case.note(body.clone());
        let request = ChatRequest::from_json(&spaced(&mut case.rng, &body)).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), body);
    });
}
