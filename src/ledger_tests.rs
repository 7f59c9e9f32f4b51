use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::message::ToolCall;
use crate::tokens::TokenCounter;

/// Counts bytes, and how many it was asked for.
#[derive(Clone)]
struct Watched(&'static str, Arc<AtomicU64>);

impl TokenCounter for Watched {
    fn id(&self) -> &str {
        self.0
    }

    fn count(&self, text: &str) -> Count {
        self.1.fetch_add(1, Ordering::Relaxed);
        Count { tokens: text.len() as u64, exact: text != "about" }
    }
}

struct Bench {
    asked: Arc<AtomicU64>,
    cost: ChatCost,
}

impl Bench {
    fn new(id: &'static str) -> Self {
        let asked = Arc::<AtomicU64>::default();
        Self { cost: ChatCost::new(Watched(id, Arc::clone(&asked))), asked }
    }

    /// What the ledger says, and how many texts it counted to say it.
    fn total(&self, ledger: &mut Ledger, conversation: &Conversation) -> (u64, u64) {
        let before = self.asked.load(Ordering::Relaxed);
        let total = ledger.total(conversation, &self.cost);
        (total, self.asked.load(Ordering::Relaxed) - before)
    }

    /// The total of a ledger that knows nothing.
    fn fresh(&self, conversation: &Conversation) -> u64 {
        Ledger::new().total(conversation, &self.cost)
    }

    fn each(&self, ledger: &mut Ledger, conversation: &Conversation) -> Vec<Count> {
        let sums = ledger.sums(conversation, &self.cost);
        (0..conversation.path().group_count()).map(|group| sums.group(group)).collect()
    }
}

/// Messages of one byte: five tokens each.
fn talk(messages: usize) -> Conversation {
    Conversation::from_messages((0..messages).map(|_| Message::user("x")))
}

fn id(index: usize) -> ItemId {
    ItemId::from_index(index)
}

fn call(ids: &[&str]) -> Message {
    Message::calls(ids.iter().map(|id| ToolCall::function(id, "f", "{}")))
}

#[test]
fn what_was_counted_is_not_counted_again() {
    let (bench, mut ledger, mut talk) = (Bench::new("bytes"), Ledger::new(), talk(4));
    assert_eq!(bench.total(&mut ledger, &talk), (20, 4));
    assert_eq!(bench.total(&mut ledger, &talk), (20, 0));
    talk.push("xyz");
    assert_eq!(bench.total(&mut ledger, &talk), (27, 1));
    talk.undo();
    assert_eq!(bench.total(&mut ledger, &talk), (20, 0));
    talk.switch(id(4)).unwrap();
    assert_eq!(bench.total(&mut ledger, &talk), (27, 0));
}

#[test]
fn each_way_to_count_has_a_column() {
    let (one, other) = (Bench::new("one"), Bench::new("other"));
    let (mut ledger, mut talk) = (Ledger::new(), talk(2));
    assert_eq!(one.total(&mut ledger, &talk), (10, 2));
    assert_eq!(other.total(&mut ledger, &talk), (10, 2));
    talk.push("x");
    assert_eq!((other.total(&mut ledger, &talk), one.total(&mut ledger, &talk)), ((15, 1), (15, 1)));
    assert_eq!(ledger.cost_ids().collect::<Vec<_>>(), ["one/c/6", "other/c/6"]);
}

#[test]
fn an_edit_counts_the_new_message_alone() {
    let (bench, mut ledger, mut talk) = (Bench::new("bytes"), Ledger::new(), talk(4));
    bench.total(&mut ledger, &talk);
    talk.edit(id(2), "longer").unwrap();
    assert_eq!(bench.total(&mut ledger, &talk), (20, 1));
    talk.switch(id(3)).unwrap();
    assert_eq!(bench.total(&mut ledger, &talk), (20, 0));
}

#[test]
fn copies_that_went_apart_are_told_apart() {
    let (bench, mut ledger, mut one) = (Bench::new("bytes"), Ledger::new(), talk(3));
    bench.total(&mut ledger, &one);
    let mut other = one.clone();
    one.push("a");
    other.push("abcdef");
    for _ in 0..2 {
        assert_eq!(bench.total(&mut ledger, &one), (20, 1));
        assert_eq!(bench.total(&mut ledger, &other), (25, 1));
    }
    assert_eq!(bench.each(&mut ledger, &one).last(), Some(&Count::exact(5)));
}

#[test]
fn copies_that_went_apart_are_told_apart_in_every_column() {
    let (bytes, more) = (Bench::new("bytes"), Bench::new("more"));
    let (mut ledger, mut one) = (Ledger::new(), talk(3));
    let mut other = one.clone();
    one.push("a");
    other.push("abcdef");
    bytes.total(&mut ledger, &one);
    more.total(&mut ledger, &other);
    assert_eq!(bytes.total(&mut ledger, &one).0, bytes.fresh(&one));
    assert_eq!(bytes.each(&mut ledger, &one), bytes.each(&mut Ledger::new(), &one));
}

#[test]
fn another_conversation_is_noticed() {
    let (bench, mut ledger) = (Bench::new("bytes"), Ledger::new());
    let (one, other) = (talk(3), Conversation::from_messages(["abc", "abc"].map(Message::user)));
    assert_eq!(bench.total(&mut ledger, &one).0, 15);
    assert_eq!(bench.total(&mut ledger, &other).0, 14);
    assert_eq!(bench.total(&mut ledger, &Conversation::new()), (0, 0));
    assert_eq!(bench.total(&mut ledger, &one).0, 15);
}

#[test]
fn what_cannot_be_sent_is_counted_and_not_summed() {
    let bench = Bench::new("bytes");
    let mut talk = Conversation::from_messages([Message::tool("a", "late"), Message::user("x"), call(&["a", "b"])]);
    let mut ledger = Ledger::new();
    assert_eq!(bench.total(&mut ledger, &talk).0, 5);
    let each: Vec<u64> = bench.each(&mut ledger, &talk).iter().map(|count| count.tokens).collect();
    let uses = r#"{"tool_uses":[{"recipient_name":"functions.f","parameters":{}},{"recipient_name":"functions.f","parameters":{}}]}"#;
    let calls = (20 + uses.len()) as u64;
    assert_eq!(each, [10, 5, calls + 2]);
    talk.push(Message::tool("a", ""));
    assert_eq!(bench.total(&mut ledger, &talk).0, 5);
    talk.push(Message::tool("b", ""));
    assert_eq!(bench.total(&mut ledger, &talk).0, 5 + calls + r#"["", ""]"#.len() as u64);
    talk.switch(id(2)).unwrap();
    assert_eq!(bench.total(&mut ledger, &talk).0, 5);
}

#[test]
fn a_sum_tells_exact_from_estimated() {
    let bench = Bench::new("bytes");
    let talk = Conversation::from_messages(["exact", "about"].map(Message::user));
    let each = bench.each(&mut Ledger::new(), &talk);
    assert_eq!(each, [Count::exact(9), Count::estimated(9)]);
}

#[test]
fn the_head_is_counted_once_for_each_head() {
    let (bench, mut ledger) = (Bench::new("bytes"), Ledger::new());
    let mut talk = Conversation::from_messages([Message::system("abc"), Message::user("x")]);
    let tools: Arc<[Tool]> = Arc::from([Tool::new(serde_json::json!({"function":{"name":"f"}}))]);
    let params = [("tool_choice".to_owned(), RawJson::new(r#""none""#).unwrap())];
    let added =
        "\n\n# Tools\n\n## functions\n\nnamespace functions {\n\ntype f = () => any;\n\n} // namespace functions".len()
            - 1;
    let added = added as u64;
    let mut head =
        |talk: &Conversation, tools, params| ledger.head(talk, tools, params, &bench.cost).map(|count| count.tokens);
    assert_eq!(head(&talk, &tools, &[]), [7, added]);
    let asked = bench.asked.load(Ordering::Relaxed);
    assert_eq!(head(&talk.clone(), &tools, &[]), [7, added]);
    talk.push("more");
    assert_eq!(head(&talk, &tools, &[]), [7, added]);
    assert_eq!(bench.asked.load(Ordering::Relaxed), asked);
    assert_eq!(head(&talk, &tools, &params), [7, added + 1]);
    talk.set_system("abcdef");
    assert_eq!(head(&talk, &tools, &[]), [10, added]);
    assert_eq!(head(&talk, &Arc::from([]), &[]), [10, 0]);
}

#[test]
fn a_schema_costs_more_for_each_earlier_reply_so_a_head_with_history_is_an_estimate() {
    let (bench, mut ledger) = (Bench::new("bytes"), Ledger::new());
    let schema = r#"{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object"}}}"#;
    let params = [("response_format".to_owned(), RawJson::new(schema).unwrap())];
    let mut talk = Conversation::from_messages([Message::system("s"), Message::user("x")]);
    let mut added = |talk: &Conversation| ledger.head(talk, &Arc::from([]), &params, &bench.cost)[1];
    let first = added(&talk);
    assert!(first.exact);
    talk.push(Message::assistant("{}"));
    talk.push(Message::user("y"));
    assert_eq!(added(&talk), Count::estimated(first.tokens));
}

#[test]
fn parallel_calls_are_one_unit_while_their_results_arrive() {
    let bench = Bench::new("bytes");
    let calls = call(&["a", "b", "c"]);
    let results = ["a", "b", "c"].map(|id| Message::tool(id, format!(r#"{{"{id}": 1}}"#)));
    let (mut ledger, mut talk) = (Ledger::new(), Conversation::from_messages([Message::user("x"), calls.clone()]));
    for arrived in 0..=results.len() {
        assert_eq!(bench.each(&mut ledger, &talk), bench.each(&mut Ledger::new(), &talk), "{arrived} results");
        if let Some(result) = results.get(arrived) {
            talk.push(result.clone());
        }
    }
    let group = bench.cost.group([&calls].into_iter().chain(&results));
    assert_eq!(bench.total(&mut ledger, &talk), (5 + group.tokens, 0));
    let alone: u64 = [&calls].into_iter().chain(&results).map(|message| bench.cost.group([message]).tokens).sum();
    assert_ne!(group.tokens, alone, "not the sum of its messages");
}

#[test]
fn a_result_of_one_call_is_counted_without_the_call() {
    let (bench, mut ledger) = (Bench::new("bytes"), Ledger::new());
    let mut talk = Conversation::from_messages([Message::user("x"), call(&["a"])]);
    bench.total(&mut ledger, &talk);
    talk.push(Message::tool("a", "ok"));
    assert_eq!(bench.total(&mut ledger, &talk), (bench.fresh(&talk), 2), "the result and its function's name");
}

#[test]
fn a_packed_count_holds_tokens_and_whether_they_are_exact() {
    for count in [Count::ZERO, Count::exact(7), Count::estimated(7), Count::exact((1 << 31) - 2)] {
        assert_eq!(Packed::new(count).count(), Some(count));
    }
    for huge in [1 << 31, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(Packed::new(Count::exact(huge)).count(), Some(Count::estimated((1 << 31) - 2)));
        assert_eq!(Packed::new(Count::estimated(huge)).count(), Some(Count::estimated((1 << 31) - 2)));
    }
    assert_eq!(Packed::UNKNOWN.count(), None);
}

#[test]
fn a_packed_count_in_a_file_is_a_number_below_zero_for_an_estimate() {
    let packed = [Packed::new(Count::exact(7)), Packed::new(Count::estimated(7)), Packed::UNKNOWN];
    let json = serde_json::to_string(&packed).unwrap();
    assert_eq!(json, "[7,-7,null]");
    assert_eq!(serde_json::from_str::<Vec<Packed>>(&json).unwrap(), packed);
}

#[test]
fn many_long_texts_are_counted_as_one_by_one() {
    let bench = Bench::new("bytes");
    let talk = Conversation::from_messages((0..300).map(|n| Message::user("x".repeat(n * 12))));
    let each: Vec<u64> = bench.each(&mut Ledger::new(), &talk).iter().map(|count| count.tokens).collect();
    assert_eq!(each, (0..300).map(|n| n * 12 + 4).collect::<Vec<_>>());
}

fn prints(conversation: &Conversation) -> Vec<Option<Fingerprint>> {
    let print = |index| Some(Fingerprint::of(conversation.get(id(index))?.message()));
    (0..conversation.next_ordinal()).map(print).collect()
}

fn columns(ledger: &Ledger, conversation: &Conversation) -> Vec<(String, Vec<Packed>)> {
    ledger.columns(conversation).map(|(cost_id, costs)| (cost_id.to_owned(), costs)).collect()
}

/// A conversation of the same messages, as a file would give it.
fn reloaded(conversation: &Conversation) -> Conversation {
    Conversation::from_messages(conversation.path().messages().cloned())
}

#[test]
fn a_restored_ledger_need_not_count_again() {
    let bench = Bench::new("bytes");
    let talk = Conversation::from_messages([Message::user("x"), call(&["a"]), Message::tool("a", "ok")]);
    let mut ledger = Ledger::new();
    let total = bench.total(&mut ledger, &talk).0;
    let again = reloaded(&talk);
    let mut restored = Ledger::restore(&again, &prints(&talk), columns(&ledger, &talk));
    assert_eq!(bench.total(&mut restored, &again), (total, 0));
    assert_eq!(bench.each(&mut restored, &again), bench.each(&mut ledger, &talk));
}

#[test]
fn a_message_that_was_edited_in_the_file_is_counted_again() {
    let bench = Bench::new("bytes");
    let mut ledger = Ledger::new();
    let talk = Conversation::from_messages(["a", "b", "c"].map(Message::user));
    bench.total(&mut ledger, &talk);
    let edited = Conversation::from_messages(["a", "B", "c"].map(Message::user));
    let mut restored = Ledger::restore(&edited, &prints(&talk), columns(&ledger, &talk));
    assert_eq!(bench.total(&mut restored, &edited), (15, 1));
}

#[test]
fn a_call_that_was_edited_in_the_file_takes_its_results_along() {
    let bench = Bench::new("bytes");
    let group = |name| {
        let call = Message::calls([ToolCall::function("a", name, ""), ToolCall::function("b", name, "")]);
        [call, Message::tool("a", "1"), Message::tool("b", "2"), Message::user("x")]
    };
    let (talk, edited) = (Conversation::from_messages(group("f")), Conversation::from_messages(group("longer")));
    let mut ledger = Ledger::new();
    bench.total(&mut ledger, &talk);
    let mut restored = Ledger::restore(&edited, &prints(&talk), columns(&ledger, &talk));
    assert_eq!(bench.total(&mut restored, &edited).0, bench.fresh(&edited));
}

#[test]
fn columns_that_are_too_long_short_or_strange_do_no_harm() {
    let bench = Bench::new("bytes");
    let talk = talk(3);
    let column = |len| vec![("bytes/c/6".to_owned(), vec![Packed::new(Count::exact(5)); len])];
    for (len, counted) in [(0, 3), (1, 2), (3, 0), (9, 0)] {
        let mut restored = Ledger::restore(&talk, &prints(&talk), column(len));
        assert_eq!(bench.total(&mut restored, &talk), (15, counted), "{len} costs");
    }
    let mut restored = Ledger::restore(&talk, &[], column(3));
    assert_eq!(bench.total(&mut restored, &talk), (15, 3));
    assert_eq!(Ledger::restore(&talk, &prints(&talk), vec![]).cost_ids().count(), 0);
}

#[test]
fn a_print_changes_with_the_message() {
    let print = Fingerprint::of(&Message::user("abc"));
    assert_eq!(print, Fingerprint::of(&Message::from_json(r#"{ "role": "user", "content": "abc" }"#).unwrap()));
    for other in
        [Message::user("abd"), Message::user("abcd"), Message::assistant("abc"), Message::user("abc").with_name("")]
    {
        assert_ne!(print, Fingerprint::of(&other));
    }
    let json = serde_json::to_string(&print).unwrap();
    assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), print);
    for bad in ["\"\"", "\"12\"", "\"xyz:1\"", "\"12:x\"", "5"] {
        assert!(serde_json::from_str::<Fingerprint>(bad).is_err(), "{bad}");
    }
}

#[test]
fn late_results_are_counted_with_their_calls_whatever_a_file_says() {
    let bench = Bench::new("b");
    let talk = Conversation::from_messages([
        call(&["a", "b"]),
        Message::tool("a", "one"),
        Message::user("meanwhile"),
        Message::tool("b", "two"),
        Message::assistant("done"),
    ]);
    let together = bench.cost.group(talk.path().group(0).messages());
    let mut ledger = Ledger::new();
    assert_eq!(bench.each(&mut ledger, &talk)[0], together);
    assert_eq!(bench.total(&mut ledger, &talk).1, 0);

    // What older versions wrote: the late result alone, as an orphan.
    let alone = Packed::new(Count::exact(1));
    let columns = [(bench.cost.id().to_owned(), vec![alone; talk.next_ordinal()])];
    let mut restored = Ledger::restore(&talk, &prints(&talk), columns);
    assert_eq!(bench.each(&mut restored, &talk)[0], together);
}

#[test]
fn a_late_result_makes_the_sums_behind_its_calls_anew() {
    let bench = Bench::new("b");
    let mut ledger = Ledger::new();
    let mut talk = talk(3);
    talk.push(call(&["a", "b"]));
    for message in [Message::user("x"), Message::tool("b", "late"), Message::user("y"), Message::tool("a", "later")] {
        talk.push(message);
        assert_eq!(bench.total(&mut ledger, &talk).0, bench.fresh(&talk));
    }
    let last = talk.leaf().unwrap();
    talk.switch(id(4)).unwrap();
    assert_eq!(bench.total(&mut ledger, &talk).0, bench.fresh(&talk));
    talk.switch(last).unwrap();
    assert_eq!(bench.total(&mut ledger, &talk), (bench.fresh(&talk), 0));
}
