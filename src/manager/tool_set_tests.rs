use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::{block_on, pending, yield_now};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::backend::Scripted;
use crate::budget::TokenBudget;
use crate::error::{Error, ErrorKind};
use crate::message::{Message, ToolCall};
use crate::request::Tool;
use std::time::Duration;

#[derive(Deserialize)]
struct Place {
    city: String,
}

fn definition(name: &str) -> Tool {
    Tool::function(name, "", json!({"type": "object", "properties": {"city": {"type": "string"}}}))
}

fn set() -> ToolSet {
    let set = ToolSet::new().tool(definition("weather"), async |place: Place| format!("rain in {}", place.city));
    set.unwrap().tool(definition("now"), async |(): ()| "12:00").unwrap()
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall::function(id, name, arguments)
}

fn builder(script: &Scripted) -> Builder {
    ConversationManager::builder("test-model").backend(script.clone()).budget(TokenBudget::limit(10_000))
}

fn results(chat: &ConversationManager) -> Vec<String> {
    chat.history().iter().filter(|message| message.is_result()).map(|message| message.text().into_owned()).collect()
}

#[test]
fn a_set_is_sent_and_runs_the_calls_by_name() {
    let calls = [call("1", "now", "{}"), call("2", "weather", r#"{"city":"Oslo"}"#)];
    let script = Scripted::default().and(calls).and("done");
    let chat = builder(&script).build().unwrap();
    block_on(async { chat.run_tools("a", set()).await.unwrap() });
    assert_eq!(results(&chat), ["12:00", "rain in Oslo"]);
    for request in script.requests() {
        assert_eq!(request.tools, [definition("weather"), definition("now")]);
    }
    assert_eq!(chat.tools().len(), 0, "the manager's own are as they were");

    let script = Scripted::new(["one", "two"]);
    let chat = builder(&script).tools(set()).build().unwrap();
    block_on(async {
        chat.send("a").await.unwrap();
        chat.send("b").tools([definition("other")]).await.unwrap();
    });
    let sent: Vec<usize> = script.requests().iter().map(|request| request.tools.len()).collect();
    assert_eq!(sent, [2, 1]);
}

#[test]
fn the_plan_counts_the_tools_that_are_sent() {
    let script = Scripted::new(["one"]);
    let chat = builder(&script).build().unwrap();
    let plain = chat.plan("a").unwrap().tokens().total();
    let with_tools = chat.send("a").tools(set()).plan().unwrap();
    assert!(with_tools.tokens().total() > plain + 10);
    assert_eq!(with_tools.request().tools.len(), 2);
}

#[test]
fn what_does_not_fit_is_told_the_model_and_no_function_is_called() {
    let calls = [
        call("1", "weather", r#"{"town":"Oslo"}"#),
        call("2", "wether", "{}"),
        call("3", "weather", r#"{"city":7}"#),
        call("4", "weather", "[1]"),
    ];
    let script = Scripted::default().and(calls).and("sorry");
    let chat = builder(&script).build().unwrap();
    // Not even where the loop stops on errors: the model can correct these.
    block_on(async { chat.run_tools("a", set()).stop_on_error().await.unwrap() });
    let results = results(&chat);
    for (result, told) in results.iter().zip([
        "Error: the arguments of `weather` do not fit: missing field `city`; nothing was run",
        "Error: there is no tool `wether`; there are: `weather`, `now`",
        "Error: the arguments of `weather` do not fit: expected a string, found `7`; nothing was run",
        "Error: the arguments are not a JSON object",
    ]) {
        assert!(result.starts_with(told), "{result}");
    }
}

#[test]
fn names_that_are_doubled_missing_or_not_allowed_are_errors_when_the_set_is_built() {
    let long = "x".repeat(65);
    for (tool, says) in [
        (definition("now"), "two tools are named `now`"),
        (definition(""), "the name ``; 1 to 64 letters"),
        (definition("get weather"), "`get weather`; 1 to 64 letters, digits"),
        (definition(&long), "1 to 64"),
        (Tool::new(json!({"type": "function", "name": "flat"})), "without a name"),
    ] {
        let error = set().tool(tool, async |_: Value| "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidTool);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[cfg(feature = "schemars")]
#[test]
fn a_function_states_the_schema_of_its_arguments() {
    #[derive(Deserialize, schemars::JsonSchema)]
    struct Order {
        /// As on the invoice
        number: u32,
        reason: Option<String>,
    }
    let refund = async |order: Order| format!("{} {}", order.number, order.reason.unwrap_or_default());
    let set = ToolSet::new().function("refund", "Refunds an order", refund).unwrap();
    let [definition] = &*set.definitions().cloned().collect::<Vec<_>>() else { panic!() };
    let text = definition.json().as_str();
    assert!(text.starts_with(r#"{"type":"function","function":{"name":"refund","description":"Refunds an order","#));
    assert!(text.contains(r#""required":["number"]"#) && text.contains("As on the invoice"), "{text}");

    let script = Scripted::default().and([call("1", "refund", r#"{"number":7}"#)]).and("done");
    let chat = builder(&script).build().unwrap();
    block_on(async { chat.run_tools("a", set).await.unwrap() });
    assert_eq!(results(&chat), ["7 "]);

    let error = ToolSet::new().function("bad", "", async |text: String| text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidTool);
    assert!(error.to_string().contains("`bad` takes `string`"), "{error}");
}

#[test]
fn all_calls_of_a_reply_are_shown_before_the_first_runs() {
    let calls = [call("1", "look", "{}"), call("2", "pay", "{}")];
    let script = Scripted::default().and(calls).and("done");
    let chat = builder(&script).build().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let handler = move |call: ToolCall| {
        count.fetch_add(1, Ordering::Relaxed);
        async move { format!("{} done", call.name()) }
    };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let approve = {
        let (seen, runs) = (Arc::clone(&seen), Arc::clone(&runs));
        move |calls: Vec<ToolCall>| {
            assert_eq!(runs.load(Ordering::Relaxed), 0);
            seen.lock().unwrap().push(calls.iter().map(|call| call.name().to_owned()).collect::<Vec<_>>());
            async move {
                yield_now().await;
                let decide =
                    |call: &ToolCall| if call.name() == "pay" { Approval::refuse("too much") } else { Approval::Allow };
                calls.iter().map(decide).collect()
            }
        }
    };
    block_on(async { chat.run_tools("a", handler).approve(approve).await.unwrap() });
    assert_eq!(*seen.lock().unwrap(), [["look", "pay"]]);
    assert_eq!(results(&chat), ["look done", "Error: not approved: too much"]);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[test]
fn calls_that_cannot_run_are_answered_without_asking() {
    let script = Scripted::default().and([call("1", "pay", "[1]")]).and("done");
    let chat = builder(&script).build().unwrap();
    let nobody = async |_| -> Vec<Approval> { panic!("asked about a call that cannot run") };
    block_on(async { chat.run_tools("a", set()).approve(nobody).await.unwrap() });
}

#[test]
fn a_person_is_asked_only_about_calls_that_the_set_can_run() {
    let wrong = [call("1", "wether", "{}"), call("2", "weather", r#"{"city":7}"#)];
    let script = Scripted::default().and(wrong.clone()).and("sorry");
    let chat = builder(&script).build().unwrap();
    let stop = async |calls: Vec<ToolCall>| vec![Approval::Stop; calls.len()];
    block_on(async { assert_eq!(chat.run_tools("a", set()).approve(stop).await.unwrap().text(), "sorry") });
    assert!(results(&chat)[0].starts_with("Error: there is no tool `wether`"), "{:?}", results(&chat));
    assert!(results(&chat)[1].starts_with("Error: the arguments of `weather` do not fit"), "{:?}", results(&chat));

    let [first, second] = wrong;
    script.then([first, call("3", "now", "{}"), second]).then("done");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = async |asked: Arc<Mutex<Vec<String>>>, calls: Vec<ToolCall>| {
        asked.lock().unwrap().extend(calls.iter().map(|call| call.name().to_owned()));
        vec![Approval::Allow; calls.len()]
    };
    block_on(async { chat.run_tools("b", set()).approve_with(Arc::clone(&asked), note).await.unwrap() });
    assert_eq!(*asked.lock().unwrap(), ["now"]);
}

#[test]
fn a_call_that_was_started_and_cannot_run_again_is_said_to_have_been_started() {
    let chat = builder(&Scripted::default().and([call("1", "gone", "{}")]).and("done")).build().unwrap();
    block_on(async {
        let stuck = async |_: ToolCall| -> String { pending().await };
        chat.run_tools("a", stuck).time_limit(Duration::ZERO).stop_on_error().await.unwrap_err();
        chat.resume_tools(set()).rerun_unknown().await.unwrap();
    });
    assert!(results(&chat)[0].ends_with("; it was started earlier and may have done its work then"));
}

#[test]
fn functions_and_decisions_are_given_a_clone_of_their_state() {
    let count = Arc::new(AtomicUsize::new(0));
    let next = async |count: Arc<AtomicUsize>, place: Place| {
        yield_now().await;
        format!("{} {}", place.city, count.fetch_add(1, Ordering::Relaxed))
    };
    let set = ToolSet::new().tool_with(Arc::clone(&count), definition("next"), next).unwrap();
    let calls = ["1", "2"].map(|id| call(id, "next", r#"{"city":"Oslo"}"#));
    let chat = builder(&Scripted::default().and(calls).and("done")).build().unwrap();
    let loops = chat.run_tools("a", set).approve_with(Arc::clone(&count), async |count, calls| {
        count.fetch_add(10, Ordering::Relaxed);
        vec![Approval::Allow; calls.len()]
    });
    // The future can be sent to another thread.
    std::thread::spawn(move || block_on(std::future::IntoFuture::into_future(loops)).unwrap()).join().unwrap();
    assert_eq!(results(&chat), ["Oslo 10", "Oslo 11"]);
}

#[cfg(feature = "schemars")]
#[test]
fn a_function_with_a_state_states_the_schema_of_its_arguments_alone() {
    #[derive(Deserialize, schemars::JsonSchema)]
    struct Order {
        number: u32,
    }
    let sum = async |add: Arc<u32>, order: Order| Json(order.number + *add);
    let set = ToolSet::new().function_with(Arc::new(5), "sum", "Adds", sum).unwrap();
    let text = set.definitions().next().unwrap().json().as_str().to_owned();
    assert!(text.contains(r#""required":["number"]"#) && !text.contains("add\""), "{text}");
    let chat = builder(&Scripted::default().and([call("1", "sum", r#"{"number":7}"#)]).and("done")).build().unwrap();
    block_on(async { chat.run_tools("a", set).await.unwrap() });
    assert_eq!(results(&chat), ["12"]);
}

#[test]
fn a_tool_may_return_a_json_value_or_anything_that_serde_writes() {
    #[derive(serde::Serialize)]
    struct Status {
        lost: bool,
    }
    let set = ToolSet::new()
        .tool(definition("value"), async |_: Value| json!({"lost": true}))
        .and_then(|set| set.tool(definition("json"), async |_: Value| Json(Status { lost: true })))
        .and_then(|set| set.tool(definition("list"), async |_: Value| Ok::<_, std::io::Error>(Json([1, 2]))))
        .and_then(|set| set.tool(definition("text"), async |_: Value| Value::from("ab")))
        .and_then(|set| set.tool(definition("yes"), async |_: Value| true))
        .and_then(|set| set.tool(definition("number"), async |_: Value| Ok::<_, String>(-7_i64)))
        .and_then(|set| {
            let keys = async |_: Value| Json(std::collections::BTreeMap::from([(vec![1], 2)]));
            set.tool(definition("impossible"), keys)
        });
    let calls = ["value", "json", "list", "text", "yes", "number", "impossible"].map(|name| call(name, name, "{}"));
    let chat = builder(&Scripted::default().and(calls).and("done")).build().unwrap();
    block_on(async { chat.run_tools("a", set.unwrap()).await.unwrap() });
    let told = [r#"{"lost":true}"#, r#"{"lost":true}"#, "[1,2]", "\"ab\"", "true", "-7", "Error: key must be a string"];
    assert_eq!(results(&chat), told);
}

#[test]
fn the_tools_of_a_loop_are_saved_for_planning_and_not_sent_outside_it() {
    let script = Scripted::default().and("one").and("two").and("three").and("four");
    let chat = builder(&script).build().unwrap();
    block_on(async { chat.run_tools("a", set()).await.unwrap() });
    assert_eq!(chat.transcript().tools, [definition("weather"), definition("now")]);
    let reloaded = Transcript::from_json(&chat.transcript().to_json()).unwrap();
    let again = builder(&script).open(reloaded).unwrap();
    block_on(async {
        chat.send("b").await.unwrap();
        again.send("b").await.unwrap();
    });
    let sent: Vec<usize> = script.requests().iter().map(|request| request.tools.len()).collect();
    assert_eq!((sent, again.tools().len()), (vec![2, 0, 0], 0));
    assert_eq!(again.transcript().tools, chat.transcript().tools, "they are kept");
    assert_eq!(again.run_tools("c", set()).plan().unwrap().request().tools.len(), 2);

    // Tools of the manager are saved as they were, and sent always.
    let own = builder(&script).tools([definition("own")]).open(again.transcript()).unwrap();
    block_on(async { own.run_tools("c", set()).await.unwrap() });
    assert_eq!(own.transcript().tools, [definition("own")]);
    let own = builder(&script).open(Transcript::from_json(&own.transcript().to_json()).unwrap()).unwrap();
    assert_eq!(own.send("d").dry_run().unwrap().tools, [definition("own")]);
}

#[test]
fn a_loop_that_stops_for_a_person_runs_nothing_and_goes_on_from_the_file_without_running_a_call_twice() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let script = Scripted::default();
    script.then([call("1", "look", "{}")]).then([call("2", "look", "{}"), call("3", "pay", "{}")]).then("done");
    let ran = Arc::new(Mutex::new(Vec::new()));
    let handler = || {
        let ran = Arc::clone(&ran);
        move |call: ToolCall| {
            ran.lock().unwrap().push(call.id().unwrap().to_owned());
            async { "ok" }
        }
    };
    let stop_at_pay = async |calls: Vec<ToolCall>| {
        let decide = |call: &ToolCall| if call.name() == "pay" { Approval::Stop } else { Approval::Allow };
        calls.iter().map(decide).collect()
    };
    block_on(async {
        let chat = builder(&script).resume(&file).unwrap();
        let error = chat.run_tools("a", handler()).approve(stop_at_pay).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ApprovalNeeded);
        assert!(error.to_string().contains("1 call not decided: `3` of `pay`"), "{error}");
        assert_eq!(*ran.lock().unwrap(), ["1"], "no call of the second reply ran");
        assert_eq!(chat.send("b").await.unwrap_err().kind(), ErrorKind::UnansweredCalls);
        drop(chat);

        let chat = builder(&script).resume(&file).unwrap();
        let open: Vec<_> =
            chat.open_calls().into_iter().map(|open| (open.call.name().to_owned(), open.outcome)).collect();
        assert_eq!(open, [("look".to_owned(), Outcome::Waiting), ("pay".to_owned(), Outcome::Waiting)]);
        let again = chat.resume_tools(handler()).approve(stop_at_pay).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::ApprovalNeeded);
        let allow = async |calls: Vec<ToolCall>| vec![Approval::Allow; calls.len()];
        assert_eq!(chat.resume_tools(handler()).approve(allow).await.unwrap().text(), "done");
    });
    assert_eq!(*ran.lock().unwrap(), ["1", "2", "3"]);
}

#[test]
fn only_calls_that_have_not_run_are_asked_about_again() {
    let script = Scripted::default().and([call("1", "look", "{}"), call("2", "pay", "{}")]).and("done");
    let chat = builder(&script).build().unwrap();
    let fails_once = {
        let tried = Arc::new(AtomicUsize::new(0));
        move |call: ToolCall| {
            let is_failure = call.name() == "pay" && tried.fetch_add(1, Ordering::Relaxed) == 0;
            async move { if is_failure { Err("no connection") } else { Ok("ok") } }
        }
    };
    let asked = Arc::new(Mutex::new(Vec::new()));
    let allow = {
        let asked = Arc::clone(&asked);
        move |calls: Vec<ToolCall>| {
            asked.lock().unwrap().push(calls.len());
            async move { vec![Approval::Allow; calls.len()] }
        }
    };
    block_on(async {
        let stopped = chat.run_tools("a", fails_once.clone()).stop_on_error().approve(allow.clone()).await;
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::ToolFailed);
        chat.resume_tools(fails_once).approve(allow).await.unwrap();
    });
    assert_eq!(*asked.lock().unwrap(), [2, 1]);
}

#[test]
fn another_number_of_decisions_than_calls_runs_nothing() {
    let script = Scripted::default().and([call("1", "now", "{}"), call("2", "now", "{}")]);
    let chat = builder(&script).build().unwrap();
    let too_few = async |_| vec![Approval::Allow];
    let error = block_on(async { chat.run_tools("a", set()).approve(too_few).await.unwrap_err() });
    assert_eq!(error.kind(), ErrorKind::InvalidApproval);
    assert!(error.to_string().contains("returned 1 decision for 2 calls"), "{error}");
    assert!(chat.open_calls().iter().all(|open| open.outcome == Outcome::Waiting));
}

#[test]
fn a_call_that_takes_too_long_is_dropped_and_the_model_is_told() {
    let script = Scripted::default().and([call("1", "slow", "{}"), call("2", "fast", "{}")]).and("done");
    let chat = builder(&script).build().unwrap();
    let handler = async |call: ToolCall| {
        if call.name() == "slow" {
            pending::<()>().await;
        }
        "ok"
    };
    block_on(async { chat.run_tools("a", handler).time_limit(Duration::from_millis(30)).await.unwrap() });
    let told = "Error: no result within 0.03 s; the call was stopped, and may have done part of its work";
    assert_eq!(results(&chat), [told, "ok"]);
}

#[test]
fn a_call_that_took_too_long_has_an_unknown_outcome_where_the_loop_stops() {
    let script = Scripted::default().and([call("1", "slow", "{}")]).and("done");
    let chat = builder(&script).build().unwrap();
    let never = async |_| {
        pending::<()>().await;
        "never"
    };
    block_on(async {
        let limited = chat.run_tools("a", never).time_limit(Duration::from_millis(10)).stop_on_error();
        let error = limited.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ToolFailed);
        assert!(error.to_string().contains("`1` of `slow`: no result within 0.01 s"), "{error}");
        assert_eq!(chat.open_calls()[0].outcome, Outcome::Started);
        let resumed = chat.resume_tools(async |_| "ok").await;
        assert_eq!(resumed.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
        chat.resume_tools(async |_| "ok").rerun_unknown().await.unwrap();
    });
}

#[test]
fn observers_are_told_when_a_call_starts_and_how_it_ends() {
    #[derive(Default)]
    struct Diary(Mutex<Vec<String>>);
    impl Observer for Diary {
        fn call_started(&self, _: &str, call: &ToolCall) {
            self.0.lock().unwrap().push(format!("{} starts", call.name()));
        }
        fn call_ended(&self, _: &str, call: &ToolCall, result: std::result::Result<&Message, &Error>, _: Duration) {
            let end = result.map_or_else(|error| error.kind().to_string(), |result| result.text().into_owned());
            self.0.lock().unwrap().push(format!("{}: {end}", call.name()));
        }
    }
    let script = Scripted::default().and([call("1", "a", "{}"), call("2", "c", "[1]")]).and("done");
    script.then([call("3", "b", "{}")]);
    let diary = Arc::new(Diary::default());
    let chat = builder(&script).observer(Arc::clone(&diary)).build().unwrap();
    block_on(async {
        chat.run_tools("a", async |_| "fine").await.unwrap();
        chat.run_tools("b", async |_| Err::<String, _>("broken")).stop_on_error().await.unwrap_err();
    });
    assert_eq!(*diary.0.lock().unwrap(), ["a starts", "a: fine", "b starts", "b: tool failed"]);
}

#[test]
fn an_empty_object_is_no_arguments_however_it_is_written() {
    let calls = ["{}", "{ }", " {\n} ", ""].map(|arguments| call("1", "now", arguments));
    let chat = builder(&Scripted::default().and(calls).and("done")).build().unwrap();
    block_on(async { chat.run_tools("a", set()).await.unwrap() });
    assert_eq!(results(&chat), ["12:00"; 4]);
}

#[test]
fn what_the_model_is_told_of_a_wrong_call_is_short() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let long = "x".repeat(1_000_000);
    let calls = [call("1", "none", &format!("{{\"{long}\": 1}}")), call("2", &long, "{}")];
    let script = Scripted::default().and(calls).and("done");
    let chat = builder(&script).budget(TokenBudget::limit(10_000_000)).build().unwrap();
    let tools = ToolSet::new().tool(definition("none"), async |_: Nothing| "run").unwrap();
    block_on(async { chat.run_tools("a", tools).await.unwrap() });
    for (result, says) in results(&chat).iter().zip(["unknown field `xxx", "there is no tool `xxx"]) {
        assert!(result.contains(says) && result.len() < 1_000, "{result}");
    }

    let chat = builder(&Scripted::default().and([call("1", "x", "{}")]).and("done")).build().unwrap();
    block_on(async { chat.run_tools("a", ToolSet::new()).await.unwrap() });
    assert_eq!(results(&chat), ["Error: there is no tool `x`; there are: none"]);
}

#[test]
fn a_call_that_may_have_run_is_not_said_to_be_unrun_when_it_is_refused() {
    let chat = builder(&Scripted::default().and([call("1", "now", "{}")]).and("done")).build().unwrap();
    block_on(async {
        let stuck = async |_: ToolCall| -> String { pending().await };
        let stopped = chat.run_tools("a", stuck).time_limit(Duration::ZERO).stop_on_error();
        assert_eq!(stopped.await.unwrap_err().kind(), ErrorKind::ToolFailed);
        let resumed = chat.resume_tools(set()).rerun_unknown();
        resumed.approve(async |_| vec![Approval::refuse("no")]).await.unwrap();
    });
    assert_eq!(results(&chat), ["Error: not approved: no; it was started earlier and may have done its work then"]);
}

#[test]
fn a_panic_of_a_tool_is_told_the_model_without_its_text() {
    let calls = ["1", "2", "3"].map(|id| call(id, "look", "{}"));
    let chat = builder(&Scripted::default().and(calls).and("sorry")).build().unwrap();
    let handler = |call: ToolCall| {
        assert_ne!(call.id(), Some("1"), "secret of the first");
        async move {
            yield_now().await;
            assert_ne!(call.id(), Some("2"), "secret of the second");
            "fine"
        }
    };
    block_on(async { assert_eq!(chat.run_tools("a", handler).await.unwrap().text(), "sorry") });
    let told = "Error: the tool panicked, and may have done part of its work";
    assert_eq!(results(&chat), [told, told, "fine"]);
}

#[test]
fn a_panic_ends_a_loop_that_stops_on_errors_and_the_outcome_is_unknown() {
    let calls = ["1", "2"].map(|id| call(id, "look", "{}"));
    let chat = builder(&Scripted::default().and(calls).and("done")).build().unwrap();
    let handler = async |call: ToolCall| {
        assert_ne!(call.id(), Some("1"), "the order is {}", "broken");
        "fine"
    };
    block_on(async {
        let limited = chat.run_tools("a", handler).stop_on_error().time_limit(Duration::from_secs(60));
        let error = limited.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ToolFailed);
        assert!(error.to_string().contains("the call `1` of `look` panicked, and may"), "{error}");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("the order is broken"));
        assert_eq!(chat.open_calls()[0].outcome, Outcome::Started);
        assert_eq!(chat.resume_tools(handler).await.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
        assert_eq!(chat.resume_tools(async |_| "fine").rerun_unknown().await.unwrap().text(), "done");
    });
}

#[test]
fn a_panic_of_a_decision_or_of_an_observer_leaves_the_other_calls_as_they_were() {
    struct Panics;
    impl Observer for Panics {
        fn call_started(&self, _: &str, call: &ToolCall) {
            assert_ne!(call.id(), Some("2"), "a panic of the observer");
        }
    }
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("chat.json");
    let calls = ["1", "2", "3"].map(|id| call(id, "now", "{}"));
    let script = Scripted::default().and(calls).and("done");
    let chat = builder(&script).observer(Panics).autosave(&file).build().unwrap();
    let outcomes = |chat: &ConversationManager| -> Vec<String> {
        chat.open_calls().iter().map(|call| format!("{:?}", call.outcome)).collect()
    };
    let panics = |tools: ToolLoop| {
        let run = std::panic::AssertUnwindSafe(|| block_on(std::future::IntoFuture::into_future(tools)).map(drop));
        std::panic::catch_unwind(run).unwrap_err();
    };
    panics(chat.run_tools("a", set()).approve(async |_| panic!("of the decision")));
    assert_eq!(outcomes(&chat), ["Waiting"; 3]);
    panics(chat.resume_tools(async |_: ToolCall| "run"));
    assert_eq!(outcomes(&chat), ["Started", "Started", "Waiting"], "the third was never called");
    let saved = || outcomes(&builder(&Scripted::new(["done"])).resume(&file).unwrap());
    let mut waits = 0;
    while saved() != ["Started", "Started", "Waiting"] {
        waits += 1;
        assert!(waits < 2_000, "the file says {:?}", saved());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_tool_without_parameters_ignores_what_a_model_passes() {
    #[derive(Deserialize)]
    struct Now;
    let tools = || {
        let set = ToolSet::new().tool(definition("now"), async |(): ()| "12:00").unwrap();
        let set = set.tool(definition("today"), async |_: Now| "Friday").unwrap();
        set.tool(definition("place"), async |place: Option<Place>| place.map_or("nowhere".to_owned(), |it| it.city))
    };
    let given = r#"{"timezone":"CET"}"#;
    let calls = [("now", given), ("today", given), ("place", "{}"), ("place", given), ("now", "null")];
    let chat = builder(&Scripted::default().and(calls).and("done")).build().unwrap();
    block_on(async { chat.run_tools("a", tools().unwrap()).await.unwrap() });
    let results = results(&chat);
    assert_eq!(results[..3], ["12:00", "Friday", "nowhere"]);
    assert!(results[3].contains("missing field `city`"), "an optional parameter is not ignored: {}", results[3]);
    assert_eq!(results[4], "12:00", "some models write null");
}

#[test]
fn the_model_is_told_what_does_not_fit_in_words_of_json() {
    let calls = [("weather", r#"{"city":{}}"#), ("weather", r#"{"city":3}"#)];
    let chat = builder(&Scripted::default().and(calls).and("done")).build().unwrap();
    block_on(async { chat.run_tools("a", set()).await.unwrap() });
    for (result, found) in results(&chat).iter().zip(["an object", "`3`"]) {
        assert!(result.contains(&format!("expected a string, found {found}")), "{result}");
    }
}

#[test]
fn a_report_lists_the_calls_whose_handlers_failed_in_the_loop() {
    let tools = || {
        let failing = ToolSet::new().tool(definition("fails"), async |_: Value| Err::<String, _>("no connection"));
        let stuck = async |_: Value| -> String { pending().await };
        failing.unwrap().tool(definition("stuck"), stuck).unwrap().tool(definition("now"), async |(): ()| "12:00")
    };
    let script = Scripted::default().and([("now", "{}"), ("fails", "{}")]).and([("unknown", "{}"), ("stuck", "{}")]);
    let chat = builder(&script.and("done")).build().unwrap();
    let reply =
        block_on(async { chat.run_tools("a", tools().unwrap()).time_limit(Duration::from_millis(20)).await.unwrap() });
    let failed: Vec<_> = reply.report.failed_calls.iter().map(|failed| (failed.call.name(), &*failed.reason)).collect();
    assert_eq!((failed[0], failed[1].0, failed.len()), (("fails", "no connection"), "stuck", 2));
    let written = serde_json::to_value(&reply).unwrap();
    assert_eq!(written["report"]["failed_calls"][0]["reason"], "no connection");
}

#[test]
fn an_error_has_the_calls_at_which_the_loop_stopped() {
    fn names(error: &Error) -> Vec<&str> {
        error.calls().iter().map(ToolCall::name).collect()
    }
    let script = Scripted::default().and([("now", "{}"), ("weather", r#"{"city":"Oslo"}"#)]);
    let chat = builder(&script).build().unwrap();
    block_on(async {
        let asked = "weather".to_owned();
        let decide = move |call: &ToolCall| if call.name() == asked { Approval::Stop } else { Approval::Allow };
        let stopped = chat.run_tools("a", set()).approve_each(decide).await.unwrap_err();
        assert_eq!((stopped.kind(), names(&stopped)), (ErrorKind::ApprovalNeeded, vec!["weather"]));
        let limited = chat.resume_tools(set()).rounds(0).await.unwrap_err();
        assert_eq!((limited.kind(), names(&limited)), (ErrorKind::Limit, vec!["now", "weather"]));
        let stuck = async |_: ToolCall| -> String { pending().await };
        let late = chat.resume_tools(stuck).parallel(std::num::NonZeroUsize::MIN).time_limit(Duration::ZERO);
        let failed = late.stop_on_error().await.unwrap_err();
        assert_eq!((failed.kind(), names(&failed)), (ErrorKind::ToolFailed, vec!["now"]));
        let unknown = chat.resume_tools(set()).await.unwrap_err();
        assert_eq!((unknown.kind(), names(&unknown)), (ErrorKind::OutcomeUnknown, vec!["now"]));
    });
}

#[test]
fn approve_each_decides_about_every_call_with_a_state() {
    let chat = builder(&Scripted::default().and([("now", "{}"), ("now", "{}")]).and("done")).build().unwrap();
    let left = AtomicUsize::new(1);
    let decide = move |_: &ToolCall| match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
    {
        Ok(_) => Approval::Allow,
        Err(_) => Approval::refuse("once is enough"),
    };
    block_on(async { chat.run_tools("a", set()).approve_each(decide).await.unwrap() });
    assert_eq!(results(&chat), ["12:00", "Error: not approved: once is enough"]);
}
