//! `compare`: what it says of each strategy, and the page that it writes.

use serde_json::{Value, json};

use super::harness::{Files, talk, turnwise};

/// A talk whose first turn is the first to go.
fn order() -> Files {
    let mut messages = vec![json!({"role": "system", "content": "You help."})];
    for turn in 1..=8 {
        let text =
            if turn == 1 { "My order number is 4711.".to_owned() } else { format!("Question {turn} ").repeat(20) };
        messages.push(json!({"role": "user", "content": text}));
        messages.push(json!({"role": "assistant", "content": format!("Answer {turn} ").repeat(20)}));
    }
    Files::new().with("order.json", json!({"model": "gpt-4o", "messages": messages}).to_string())
}

fn sentence(rows: &Value, strategy: &str) -> String {
    let rows = rows["strategies"].as_array().unwrap();
    let row = rows.iter().find(|row| row["strategy"] == strategy).unwrap();
    row["compared"]["sentence"].as_str().unwrap().to_owned()
}

#[test]
fn each_strategy_has_a_sentence_that_quotes_what_is_left_out_first() {
    let files = order();
    let run = turnwise("compare order.json --budget 300 -s everything -s window -s head-tail:first=2 --json");
    let rows = run.inside(files.path()).json().remove(0);
    let window = sentence(&rows, "window");
    assert!(window.contains("% fewer tokens than sending everything, "), "{window}");
    let quoted = "the first to go is the user message of turn 1, left out at turn 4: \"My order number is 4711.\".";
    assert!(window.ends_with(quoted), "{window}");
    assert!(
        sentence(&rows, "everything").contains("requests are over budget and could not be sent, the first at turn")
    );
    assert!(!sentence(&rows, "head-tail:first=2").contains("4711"));
}

#[test]
fn nothing_is_saved_where_nothing_is_left_out() {
    let rows = turnwise("compare order.json --budget 9000 --json").inside(order().path()).json().remove(0);
    assert_eq!(sentence(&rows, "window"), "nothing is left out, and as much is sent as without a budget.");
    for row in rows["strategies"].as_array().unwrap() {
        let is_whole = row["messages"]["kept"] == row["messages"]["of"];
        assert_eq!(row["compared"]["saved"] == 0.0, is_whole, "{row}");
    }
}

#[test]
fn the_best_come_first_when_they_are_sorted() {
    for (key, of) in
        [("tokens", "/tokens"), ("cost", "/compared/cost"), ("turns", "/turns/kept"), ("repeated", "/prefix_share")]
    {
        let rows = turnwise("compare tau_airline.jsonl --budget 4000 --json --sort").arg(key).json().remove(0);
        let rows = rows["strategies"].as_array().unwrap();
        let number = |row: &Value| {
            let value = row.pointer(of).unwrap();
            value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap()
        };
        let sent: Vec<f64> = rows.iter().filter(|row| row["refused"] == 0).map(number).collect();
        let is_rising = ["tokens", "cost"].contains(&key);
        assert!(sent.is_sorted_by(|a, b| if is_rising { a <= b } else { a >= b }), "{key}: {sent:?}");
        assert_eq!(rows.last().unwrap()["strategy"], "everything", "what cannot be sent comes last");
    }
}

#[test]
fn a_comparison_fits_a_terminal_of_80_characters() {
    for command in ["compare tau_airline.jsonl", "compare tau_airline.jsonl --only 1", "compare swe_agent.jsonl"] {
        let out = turnwise(command).out();
        let long: Vec<&str> = out.lines().filter(|line| line.trim_end().chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:#?}");
    }
}

#[test]
fn a_bar_shows_which_messages_the_last_request_holds() {
    let out = turnwise("compare order.json --budget 300 -s window -s everything").inside(order().path()).out();
    let bar = |name: &str| out.lines().rev().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert_eq!(bar("window "), "window              ◆············███");
    assert_eq!(bar("everything "), "everything          over budget, cannot be sent");
}

#[test]
fn a_timeline_shows_what_each_request_does_with_each_message() {
    let out =
        turnwise("compare order.json --budget 300 -s window -s everything --timeline").inside(order().path()).out();
    let (_, timeline) = out.split_once("order.json, conversation 1\n").unwrap();
    let expected = "\
8 requests from left to right, 17 messages from top to bottom
◆ always sent  █ sent  · left out  × over budget

window
 0  ◆◆◆◆◆◆◆◆◆◆◆◆◆◆◆◆  system: You help.
 1  ██████··········  user: My order number is 4711.
 2    ████··········  assistant: Answer 1 Answer 1 Answer 1 Answer 1 Answer 1 A…
 3    ████··········  user: Question 2 Question 2 Question 2 Question 2 Questio…
";
    assert!(timeline.starts_with(expected), "{timeline}");
    assert!(timeline.contains("\n15                ██  user: Question 8 "), "{timeline}");
    assert!(timeline.contains("\neverything\n 0  ◆◆◆◆◆◆××××××××××  system: You help.\n"), "{timeline}");
    assert!(!out.contains("messages of the last request"), "it says as much as the bars");
}

#[test]
fn a_timeline_of_a_thousand_turns_fits_a_terminal() {
    let talk = json!({"model": "gpt-4o", "messages": talk(2_000)});
    let files = Files::new().with("long.json", talk.to_string());
    let run = turnwise("compare long.json --budget 1000 -s window -s recall --timeline").inside(files.path());
    let out = run.out();
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    assert!(out.contains("stands for up to 28 requests and 106 messages"), "{out}");
    assert!(out.contains("▓▒░ some of several") && out.contains("\n1895-1999  "), "{out}");
}

#[test]
fn summaries_are_compared_as_if_they_were_made() {
    let files = order();
    let run = |more: &str| {
        let line = "compare order.json --budget 300 -s window -s summarize:tokens=40";
        turnwise(line).args(more).inside(files.path())
    };
    let rows = run("--json").json().remove(0);
    let of = |index: usize| rows["strategies"][index].clone();
    assert_eq!((&of(0)["strategy"], &of(0)["summaries"]), (&"window".into(), &Value::Null));
    let summaries = of(1)["summaries"].clone();
    let [calls, read, written] = ["calls", "read", "written"].map(|name| summaries[name].as_u64().unwrap());
    assert!(calls > 0 && read > 40 * calls && written <= 40 * calls, "{summaries}");
    let said = sentence(&rows, "summarize:tokens=40");
    assert!(
        said.contains(&format!("{read} tokens; the first to go is the user message of turn 1, summarized at")),
        "{said}"
    );
    let out = run("--timeline").out();
    assert!(out.contains("summaries: as if a model had made each") && out.contains("\n 1  ██████≡≡"), "{out}");
    assert!(!turnwise("compare order.json --budget 300").inside(files.path()).out().contains("summaries"));
}

#[test]
fn a_timeline_of_several_conversations_is_that_of_the_first() {
    let out = turnwise("compare tau_airline.jsonl -s window --timeline").out();
    assert!(
        out.contains("One of 6 conversations follows, the first that is not always sent whole; --only\ndraws another."),
        "{out}"
    );
    let out = turnwise("compare tau_airline.jsonl -s window --timeline --only 2").out();
    assert!(!out.contains("draws another") && out.matches("top to bottom").count() == 1, "{out}");
}

/// An export of a program: a short conversation, and a longer one from which something is left out.
fn exported() -> Files {
    let message = |index: usize| {
        let sender = if index.is_multiple_of(2) { "human" } else { "assistant" };
        json!({"sender": sender, "text": format!("message {index} says a few words and no more")})
    };
    let talk = |name: &str, messages| {
        let messages: Value = (0..messages).map(message).collect();
        json!({"uuid": format!("id of {name}"), "name": name, "chat_messages": messages})
    };
    let export = json!([talk("A short one", 2), talk("The longer one", 40)]);
    let files = Files::new().with("export.json", export.to_string());
    let ran = turnwise("convert export.json two.jsonl").inside(files.path()).run();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    files
}

#[test]
fn conversations_are_known_by_their_titles() {
    let files = exported();
    let run = |line: &str| turnwise(line).inside(files.path());
    let list = "\
number  messages  title or first question
1              2  A short one
2             40  The longer one
";
    assert_eq!(run("show two.jsonl --list").out(), list);
    assert_eq!(run("show two.jsonl --list --only 2").out().lines().count(), 2);
    assert!(run("show two.jsonl --only").arg("a short ONE").out().starts_with("id of A short one\n"));
    assert!(run("count two.jsonl --only 2").out().starts_with("The longer one (id of The longer one)\n"));
    let error = run("show two.jsonl --only").arg("The longest").fails(2);
    let said = "no conversation has the number, id or title `The longest`; the numbers are 1 to 2, and `show --list` prints them";
    assert!(error.contains(said), "{error}");
    let rows = run("compare two.jsonl --budget 200 -s window --json").json().remove(0);
    assert!(sentence(&rows, "window").contains(" of \"The longer one\": "), "{rows}");
}

#[test]
fn what_is_shown_is_a_conversation_to_which_something_happens() {
    let files = exported();
    let run =
        |budget: &str| turnwise("compare two.jsonl -s window --timeline --budget").arg(budget).inside(files.path());
    let out = run("200").out();
    assert!(out.contains("\nThe longer one (id of The longer one)\n") && out.contains('·'), "{out}");
    assert!(run("9000").out().contains("\nA short one (id of A short one)\n"), "nothing happens to any");
}

#[test]
fn a_timeline_has_colors_where_they_are_asked_for_alone() {
    let run = || turnwise("compare order.json --budget 300 -s window --timeline");
    let colored = run().env("CLICOLOR_FORCE", "1").inside(order().path()).out();
    assert!(colored.contains("\u{1b}[36m██████\u{1b}[0m"), "{colored:?}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "xterm-256color")] {
        let out = run().env(name, value).inside(order().path()).out();
        assert!(!out.contains('\u{1b}'), "{out:?}");
    }
}

#[cfg(not(feature = "report"))]
#[test]
fn a_program_without_reports_says_how_to_get_them() {
    let error = turnwise("compare tau_airline.jsonl --html report.html").fails(2);
    assert!(error.contains("cargo install --path crates/cli --features full"), "{error}");
}

/// What a page of a hostile conversation must not hold as it is.
#[cfg(feature = "report")]
mod report {
    use std::fs;

    use super::*;

    fn hostile() -> Files {
        let text = "<script>alert(1)</script> \"'> {{ 7 * 7 }} \u{202e}fdp.exe \u{1b}[31m";
        let long = format!("<img src=x onerror=alert(1)>{}", "A".repeat(1_000_000));
        let user = |text: &str| json!({"role": "user", "content": text});
        let messages = [user(text), json!({"role": "assistant", "content": text}), user(&long), user(text)];
        Files::new().with("bad.json", json!({"id": text, "model": text, "messages": messages}).to_string())
    }

    #[test]
    fn text_of_conversations_is_only_text_on_the_page_and_in_the_picture() {
        let files = hostile();
        let run = turnwise("compare bad.json --budget 500000 --html page.html --svg picture.svg");
        let ran = run.inside(files.path()).run();
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        for file in ["page.html", "picture.svg"] {
            let text = fs::read_to_string(files.path().join(file)).unwrap();
            for bad in ["<script>alert", "<img", "\u{202e}", "\u{1b}", "\"'>"] {
                assert!(!text.contains(bad), "{file} has {bad:?}");
            }
            assert!(text.len() < 200_000, "{file} has {} bytes", text.len());
        }
        let page = fs::read_to_string(files.path().join("page.html")).unwrap();
        assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("{{ 7 * 7 }}"));
    }

    #[test]
    fn a_page_needs_nothing_but_itself() {
        let files = Files::new();
        let page = files.path().join("page.html");
        turnwise("compare tau_airline.jsonl --budget 4000 --html").arg(&page).out();
        let page = fs::read_to_string(page).unwrap();
        for outside in ["<link", "<iframe", "@import", "url(", " src=", "fetch("] {
            assert!(!page.contains(outside), "{outside}");
        }
        let addresses = page.matches("://").count();
        assert_eq!(addresses, page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
        assert_eq!(page.matches("<section>").count(), 6);
        // Seven strategies for each conversation.
        assert_eq!(page.matches("class=\"cells\"").count(), 42);
    }

    #[test]
    fn a_cell_says_what_happens_to_its_message_in_which_requests() {
        let files = order();
        let run = turnwise("compare order.json --budget 300 -s window --html page.html --svg picture.svg");
        run.inside(files.path()).out();
        for file in ["page.html", "picture.svg"] {
            let text = fs::read_to_string(files.path().join(file)).unwrap();
            for said in [
                "<title>message 1, requests 2 to 3: sent (fits)</title>",
                "<title>message 1, requests 4 to 8: left out (",
                "<title>message 0, requests 1 to 8: sent (",
            ] {
                assert!(text.contains(said), "{file}: {said}");
            }
        }
        assert!(
            fs::read_to_string(files.path().join("page.html"))
                .unwrap()
                .contains("user, turn 1: My order number is 4711.")
        );
    }

    #[test]
    fn a_picture_of_many_cells_is_a_few_paths_and_says_what_each_cell_is() {
        let talk = json!({"model": "gpt-4o", "messages": talk(4_000)});
        let files = Files::new().with("long.json", talk.to_string());
        turnwise("compare long.json --budget 1000 -s window --html page.html").inside(files.path()).out();
        let page = fs::read_to_string(files.path().join("page.html")).unwrap();
        assert!(page.len() < 1_500_000, "{} bytes", page.len());
        assert_eq!(page.matches("<path class=").count(), 2, "what is sent, and what is left out");
        assert!(!page.contains("<title>message"));
        let (_, looked) = page.split_once("data-looked=\"").unwrap();
        let looked = looked.split_once('"').unwrap().0.replace("&quot;", "\"");
        let looked: Value = serde_json::from_str(&looked).unwrap();
        assert_eq!(looked["messages"].as_array().unwrap().len(), 4_000);
        let [first, .., last] = looked["messages"][0].as_array().unwrap().chunks(3).collect::<Vec<_>>()[..] else {
            panic!("{}", looked["messages"][0]);
        };
        let what =
            |span: &[Value]| looked.pointer(&format!("/whats/{}", span[2])).unwrap().as_str().unwrap().to_owned();
        assert_eq!((first[0].as_u64(), last[0].as_u64().unwrap() + last[1].as_u64().unwrap()), (Some(0), 2_000));
        assert!(what(first).starts_with("sent (") && what(last).starts_with("left out ("), "{looked}");
    }

    #[test]
    fn a_conversation_that_is_compared_is_not_written_over() {
        let files = order();
        let before = fs::read(files.path().join("order.json")).unwrap();
        for option in ["--html", "--svg"] {
            let run = turnwise("compare order.json --budget 300 ./order.json").args(option).arg("order.json");
            let error = run.inside(files.path()).fails(2);
            assert!(error.contains("order.json: it is the file that is read, and is not overwritten"), "{error}");
        }
        assert_eq!(fs::read(files.path().join("order.json")).unwrap(), before);
    }

    #[test]
    fn a_page_that_cannot_be_written_is_an_error_that_names_it() {
        let error = turnwise("compare tau_airline.jsonl --html nowhere/page.html").fails(1);
        assert!(error.contains("nowhere/page.html: "), "{error}");
    }
}

/// Large numbers make the table wider than a terminal.
#[test]
fn the_table_fits_80_columns_and_says_what_has_no_room() {
    let text = "some words of an answer ".repeat(40);
    let call = json!({"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    let turn = json!([
        {"role": "user", "content": text}, {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": text}, {"role": "assistant", "content": text},
    ]);
    let messages: Vec<&Value> = (0..7).flat_map(|_| turn.as_array().unwrap()).collect();
    let talk = |id: usize| json!({"id": format!("t{id}"), "model": "gpt-4o", "messages": messages}).to_string() + "\n";
    let files = Files::new().with("talks.jsonl", (0..150).map(talk).collect::<String>());
    let run = |more: &str| {
        let line = "compare talks.jsonl --budget 2000 -s window -s window:messages=20 -s everything";
        turnwise(line).args(more).inside(files.path()).out()
    };
    let table = run("");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("no room for results; --wide shows all columns"), "{table}");
    let wide = run("--wide");
    assert!(wide.contains("results") && !wide.contains("no room for"), "{wide}");
}
