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

/// What is in the specification is sent as it went in, in its order; what is not stays in the record.
#[test]
fn invariant_9_a_plan_sends_messages_as_they_went_in() {
    each_case(200, |case| {
        let compact: Vec<String> = (0..case.rng.usize(1..8)).map(|_| message_json(&mut case.rng)).collect();
        let messages: Vec<Message> = compact.iter().map(|text| Message::from_json(text).unwrap()).collect();
        case.note(compact.join("\n"));
        let Ok(plan) = trim(&messages, &TokenBudget::limit(1_000_000), &SlidingWindow::tokens()) else { return };
        let kept = plan.decisions().filter(|decision| decision.fate == turnwise::Fate::Kept);
        if plan.moved().next().is_some() {
            return;
        }
        let kept: Vec<&Message> = kept.map(|decision| &messages[decision.index]).collect();
        assert_eq!(kept.len(), plan.messages().len());
        for (kept, sent) in kept.into_iter().zip(plan.messages()) {
            if kept.has_calls() || *kept.role() == turnwise::Role::Tool {
                // Calls and the ids of results are sent in a form that every server takes.
                let said = |message: &Message| (message.role().clone(), message.content().cloned());
                assert_eq!(said(kept), said(sent));
                continue;
            }
            let whole: Vec<String> = members(kept);
            let left: Vec<String> = members(sent);
            let stays = |member: &&String| {
                let key = member.split_once(':').unwrap().0.trim_matches('"');
                kept.get(key).is_none() && member.as_str() != "\"tool_calls\":[]"
            };
            assert!(whole.iter().filter(stays).eq(&left), "{whole:?} is sent as {left:?}");
        }
    });
}

/// The members of a message as they stand in its JSON.
fn members(message: &Message) -> Vec<String> {
    let text = json_of(message);
    let (mut members, mut start, mut depth, mut in_string, mut escaped) = (Vec::new(), 1, 0, false, false);
    for (at, letter) in text.bytes().enumerate() {
        match letter {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        if (depth == 1 && letter == b',' && !in_string) || depth == 0 {
            members.push(text[start..at].to_owned());
            start = at + 1;
        }
    }
    members
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
