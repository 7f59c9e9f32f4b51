use serde_json::json;

use super::*;
use crate::message::{FunctionCall, ToolCall};
use crate::tokens::CounterFn;

const TILES: ImageRule = ImageRule::Tiles { base: 85, tile: 170 };

fn bytes() -> ChatCost {
    ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64))
}

fn request(body: &serde_json::Value) -> ChatRequest {
    ChatRequest::from_json(&body.to_string()).unwrap()
}

fn total(cost: &ChatCost, body: &serde_json::Value) -> Count {
    cost.request(&request(body)).total()
}

/// "How to count tokens with tiktoken", the bills that it prints.
#[test]
fn the_cookbooks_examples_cost_what_the_cookbook_says() {
    let recordings = include_str!("../../../benches/accuracy/cookbook.jsonl").lines();
    for recording in recordings {
        let recording: serde_json::Value = serde_json::from_str(recording).unwrap();
        let model = recording["model"].as_str().unwrap();
        let billed = Count::exact(recording["prompt_tokens"].as_u64().unwrap());
        assert_eq!(total(&ChatCost::for_model(model), &recording["request"]), billed, "{model}");
    }
}

#[test]
fn an_id_holds_all_that_a_cost_depends_on() {
    let patches = ImageRule::Patches { per_thousand: 1_200, most: 1_536 };
    assert_eq!(bytes().id(), "bytes/c/6");
    assert_eq!(bytes().family(Family::Reasoning).id(), "bytes/r/6");
    assert_eq!(bytes().images(TILES).id(), "bytes/c/t85+170/6");
    assert_eq!(bytes().images(patches).family(Family::Reasoning).id(), "bytes/r/p1200x1536/6");
    assert_eq!(ChatCost::for_model("llama-3").id(), "o200k_base?/c/x130+350/6");
    assert!(!ChatCost::for_model("llama-3").family(Family::Reasoning).is_exact());
}

#[test]
fn a_model_that_reasons_names_channels_and_opens_replies_in_two_tokens() {
    let messages = [Message::user("Hello!"), Message::assistant("Hi."), Message::user("Hello!")];
    let (chat, reasoning) = (bytes(), bytes().family(Family::Reasoning));
    assert_eq!(chat.messages(&messages).total(), Count::exact(3 * 4 + 15 + 3));
    assert_eq!(reasoning.messages(&messages).total(), Count::exact(3 * 4 + 15 + 2 + 2));
}

#[test]
fn a_name_that_is_the_role_costs_one() {
    let cost = |name| bytes().group([&Message::user("x").with_name(name)]).tokens;
    assert_eq!([cost("user"), cost("ann"), cost("")], [6, 9, 5]);
}

#[test]
fn one_call_is_written_again_and_its_result_names_the_function() {
    let call = Message::calls([ToolCall::function("c", "abcde", "{ \"b\": 1.0,\n \"a\": \"é\" }")]);
    let result = Message::tool("c", "{ }").with_name("other");
    let own = 4 + ("functions.abcde".len() - 1 + "{\"b\":1.0,\"a\":\"é\"}".len() + 3) as u64;
    assert_eq!(bytes().group([&call]), Count::exact(own));
    assert_eq!(bytes().group([&call, &result]), Count::exact(own + 4 + 3 + 5 + 2));
    assert_eq!(bytes().group([&result]), Count::exact(4 + 3 + 5 + 2), "without its call, by its name");
    assert_eq!(bytes().family(Family::Reasoning).group([&call]).tokens, own + 2 + 4);
}

#[test]
fn a_call_costs_what_is_sent_of_it() {
    let cost = |arguments: &str| {
        let call = ToolCall::function("c", "f", arguments);
        let two = Message::calls([call.clone(), ToolCall::function("d", "g", "{}")]);
        [bytes().group([&Message::calls([call])]), bytes().group([&two])]
    };
    for empty in ["", " ", "null"] {
        assert_eq!(cost(empty), cost("{}"), "{empty:?}");
    }
    assert_eq!(cost("{\"a\": "), cost(r#"{"invalid_arguments":"{\"a\": "}"#));
    let nameless = Message::calls([ToolCall::function("c", "", "{}")]);
    assert_eq!(
        bytes().group([&nameless]),
        bytes().group([&Message::calls([ToolCall::function("c", "unnamed", "{}")])]).estimated_if(true),
        "no bill has shown such a call"
    );
}

#[test]
fn parallel_calls_and_their_results_are_one_unit() {
    let calls = [("a", r#"{"x": "é"}"#), ("b", "{}")].map(|(id, arguments)| ToolCall::function(id, "f", arguments));
    let calls = Message::calls(calls);
    let results = [Message::tool("a", "{ \"t\":[1,2] }"), Message::tool("b", "späť")];
    let uses = r#"{"tool_uses":[{"recipient_name":"functions.f","parameters":{"x":"\u00e9"}},"#.len()
        + r#"{"recipient_name":"functions.f","parameters":{}}]}"#.len();
    let answers = r#"[{"t": [1, 2]}, "sp\u00e4\u0165"]"#.len();
    let expected = Count::estimated((20 + uses + answers) as u64);
    assert_eq!(bytes().group([&calls].into_iter().chain(&results)), expected);

    let messages = [vec![Message::user("x"), calls.clone()], results.to_vec(), vec![Message::user("x")]].concat();
    let breakdown = bytes().messages(&messages);
    let ascii = [calls.clone(), Message::tool("a", "1"), Message::tool("b", "2")];
    assert!(!bytes().group(&ascii).exact, "bills differ on whether what is not ASCII is escaped");
    assert_eq!(breakdown.messages.len(), 5);
    assert_eq!(breakdown.total().tokens, expected.tokens + 2 * 5 + 3);
    assert!(breakdown.messages.iter().all(|count| count.tokens > 0));
    assert!(!bytes().group([&calls, &results[0]]).exact, "one is not answered");
}

#[test]
fn a_deprecated_call_and_its_result_are_a_call() {
    let call = json!({"role": "assistant", "content": null, "function_call": {"name": "look", "arguments": "{}"}});
    let call: Message = serde_json::from_value(call).unwrap();
    assert_eq!(call.function_call().map(FunctionCall::name), Some("look"));
    assert_eq!(bytes().group([&call]), Count::exact(4 + 4 + 2 + 3));
    let result = Message::new(Role::Function, "fine").with_name("look");
    assert_eq!(bytes().group([&call, &result]), Count::exact(13 + 4 + 4 + 4 - 1));
}

fn weather() -> serde_json::Value {
    json!({"type": "function", "function": {"name": "look", "description": "Look around",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}})
}

const WEATHER: &str = "# Tools\n\n## functions\n\nnamespace functions {\n\n// Look around\ntype look = (_: { place: string }) => any;\n\n} // namespace functions";

#[test]
fn tools_stand_in_the_first_instructions_or_in_ones_of_their_own() {
    let user = json!({"role": "user", "content": "x"});
    let bare = total(&bytes(), &json!({"messages": [user], "tools": [weather()]}));
    assert_eq!(bare, Count::exact((5 + 3 + 4 + WEATHER.len() - 1) as u64));
    let system = json!({"role": "system", "content": "y"});
    let joined = json!({"messages": [system, system, user], "tools": [weather()]});
    assert_eq!(total(&bytes(), &joined), Count::exact((15 + 3 + 2 + WEATHER.len() - 1) as u64));
    let breakdown = bytes().request(&request(&joined));
    assert_eq!((breakdown.head, breakdown.tools.tokens), (Count::exact(10), (2 + WEATHER.len() - 1) as u64));
    assert_eq!(breakdown.messages.iter().copied().sum::<Count>(), Count::exact(15));
    let reasoning = total(&bytes().family(Family::Reasoning), &joined);
    assert_eq!(reasoning, Count::exact((15 + 2 + 2 + WEATHER.len() - 1 + 85) as u64));
    let reasoning = total(&bytes().family(Family::Reasoning), &json!({"messages": [user], "tools": [weather()]}));
    assert_eq!(reasoning, Count::exact((5 + 2 + WEATHER.len() + 85) as u64), "no empty message for them to stand in");
}

#[test]
fn what_must_be_called_costs_its_name() {
    let body = |key: &str, choice: serde_json::Value| {
        let body = json!({"messages": [{"role": "user", "content": "x"}], "tools": [weather()], key: choice});
        total(&bytes(), &body)
    };
    let free = body("tool_choice", json!("auto")).tokens;
    assert_eq!(body("parallel_tool_calls", json!(false)), Count::exact(free));
    assert_eq!(body("tool_choice", json!("required")), Count::exact(free));
    assert_eq!(body("tool_choice", json!("none")), Count::exact(free + 1));
    let look = json!({"type": "function", "function": {"name": "look"}});
    assert_eq!(body("tool_choice", look), Count::exact(free + 6 + "functions.look".len() as u64));
    assert_eq!(body("function_call", json!({"name": "look"})), Count::exact(free + 4 + 4));
    assert!(!body("tool_choice", json!({"type": "allowed_tools"})).exact);
}

#[test]
fn a_schema_stands_in_the_instructions_behind_the_tools() {
    let format = json!({"type": "json_schema", "json_schema": {"name": "joke", "strict": true, "schema":
        {"type": "object", "properties": {"joke": {"type": "string"}}, "required": ["joke"], "additionalProperties": false}}});
    // Built from a `Value`, whose keys are in alphabetic order.
    let text = "# Response Formats\n\n## joke\n\n{\"properties\":{\"joke\":{\"type\":\"string\"}},\"type\":\"object\"}";
    let user = json!({"role": "user", "content": "x"});
    let system = json!({"role": "system", "content": "y"});
    let alone = total(&bytes(), &json!({"messages": [user], "response_format": format}));
    assert_eq!(alone, Count::exact((5 + 3 + 4 + text.len() + 4 + 2) as u64));
    let joined = total(&bytes(), &json!({"messages": [system, user], "response_format": format}));
    assert_eq!(joined, Count::exact((10 + 3 + 2 + text.len() + 4 + 2) as u64));
    let both = total(&bytes(), &json!({"messages": [user], "response_format": format, "tools": [weather()]}));
    let both_text = WEATHER.len() + 2 + text.len();
    assert_eq!(both, Count::exact((5 + 3 + 4 + both_text - 1) as u64), "the name is at the reply only without tools");
    let reply = json!({"role": "assistant", "content": "z"});
    let call = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let told = json!({"messages": [user, reply, user], "response_format": format});
    assert_eq!(total(&bytes(), &told).tokens, alone.tokens + 5 + 5 + 4 + 2, "and at each reply of the history");
    let called = json!({"messages": [user, call], "response_format": format});
    assert_eq!(
        total(&bytes(), &called).tokens,
        alone.tokens + bytes().group([&Message::calls([ToolCall::function("c", "f", "{}")])]).tokens,
        "but not at its calls"
    );
    for free in ["text", "json_object"] {
        let body = json!({"messages": [user], "response_format": {"type": free}});
        assert_eq!(total(&bytes(), &body), Count::exact(8));
    }
}

#[test]
fn models_that_reason_are_told_nothing_about_the_choice_and_lose_white_space_before_tools() {
    let cost = bytes().family(Family::Reasoning);
    let with = |system: &str, choice: serde_json::Value| {
        let messages = json!([{"role": "system", "content": system}, {"role": "user", "content": "x"}]);
        total(&cost, &json!({"messages": messages, "tools": [weather()], "tool_choice": choice})).tokens
    };
    let free = with("y", json!("auto"));
    assert_eq!(with("y", json!("none")), free);
    assert_eq!(with("y", json!({"type": "function", "function": {"name": "look"}})), free);
    assert_eq!(with("y \n ", json!("auto")), free);
}

#[test]
fn o3_mini_frames_as_models_that_chat_but_for_the_opening_of_its_reply() {
    let (chat, mini) = (bytes(), bytes().family(Family::O3Mini));
    let messages = json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]);
    let text = json!({"messages": messages});
    assert_eq!(total(&mini, &text).tokens + 1, total(&chat, &text).tokens);
    let tools = json!({"messages": messages, "tools": [weather()]});
    assert_eq!(total(&mini, &tools), total(&chat, &tools));
}

#[test]
fn models_that_search_bill_texts_and_nothing_around_them() {
    let cost = bytes().family(Family::Search);
    let messages = json!([{"role": "system", "content": "abc"}, {"role": "user", "content": "de"}]);
    assert_eq!(total(&cost, &json!({"messages": messages, "web_search_options": {}})), Count::exact(5));
}

#[test]
fn tools_of_another_vendor_cost_a_factor_and_a_constant() {
    let cost = bytes().tools(ToolRule { base: 346, percent: 150 });
    let body = json!({"messages": [{"role": "user", "content": "x"}], "tools": [weather()]});
    let text = 2 * WEATHER.len() as u64 * 150 / 200;
    assert_eq!(total(&cost, &body), Count::estimated(5 + 3 + 4 + 346 + text - 1));
    assert!(total(&cost, &json!({"messages": [{"role": "user", "content": "x"}]})).exact, "text is as it was");
}

#[test]
fn parameters_that_no_rule_explains_make_an_estimate() {
    let body = |key: &str, value: serde_json::Value| {
        total(&bytes(), &json!({"messages": [{"role": "user", "content": "x"}], key: value}))
    };
    assert_eq!(body("prediction", json!({"type": "content", "content": "abc"})), Count::estimated(5 + 3 + 3));
    assert_eq!(body("modalities", json!(["text", "audio"])), Count::estimated(8));
    assert_eq!(body("modalities", json!(["text"])), Count::exact(8));
}

#[test]
fn calls_of_a_kind_that_no_bill_has_shown_are_estimates() {
    let call = |arguments: &str| Message::calls([ToolCall::function("c", "f", arguments)]);
    assert!(bytes().group([&call("{}")]).exact);
    assert!(!bytes().group([&call("{}").with_content("Let me look.")]).exact, "a text beside it");
}

#[test]
fn a_head_is_its_messages_and_what_a_request_adds_to_them() {
    let body = request(&json!({"messages": [{"role": "system", "content": "y"}], "tools": [weather()],
        "tool_choice": "none", "temperature": 0.5}));
    let breakdown = bytes().request(&body);
    assert_eq!(
        bytes().head(&body.messages, &body.tools, body.params.as_slice()) + bytes().priming(),
        breakdown.total()
    );
    assert_eq!(bytes().head(&[], &[], &[]), Count::ZERO);
}

#[test]
fn what_no_bill_has_shown_is_marked_as_an_estimate() {
    let cost = bytes().images(TILES);
    let user = || Message::user("x");
    assert!(cost.group([&user()]).exact);
    for message in [
        user().image_url("https://example.com/cat.png"),
        user().and_part(crate::message::Part::new("file", json!({}).into())),
        Message::new("critic", "x"),
        Message::calls([ToolCall::custom("c", "f", "text")]),
    ] {
        assert!(!cost.group([&message]).exact, "{message:?}");
    }
    assert!(!ChatCost::for_model("llama-3").group([&user()]).exact);
    let tools = |tool: serde_json::Value| total(&cost, &json!({"messages": [], "tools": [tool]})).exact;
    assert!(tools(weather()));
    for tool in [json!({"type": "custom", "custom": {"name": "f"}}), json!({"type": "web_search"}), json!(5)] {
        assert!(!tools(tool));
    }
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let tool = RawJson::new(&format!(r#"{{"function":{{"name":"f","parameters":{deep}}}}}"#)).unwrap();
    assert!(!bytes().head(&[], &[Tool::from(tool)], &[]).exact);
}

fn group(json: &serde_json::Value) -> Count {
    bytes().group([&Message::from_json(&json.to_string()).unwrap()])
}

/// A part of a kind that is not known, with its kind and the key of its value as text beside the
/// value.
#[test]
fn a_part_of_an_unknown_kind_costs_its_text() {
    let river = "The river is wide here. ".repeat(1_000);
    let part = |part: serde_json::Value| group(&json!({"role": "assistant", "content": [part]}));
    let beside = |text: &str, other: usize| Count::estimated((4 + text.len() + other) as u64);
    let thinking = json!({"type": "thinking", "thinking": river});
    assert_eq!(part(thinking), beside(&river, "thinkingthinking".len()));
    let nested = json!({"type": "thinking", "thinking": [{"type": "text", "text": river}]});
    assert_eq!(part(nested), beside(&river, r#"thinkingthinking[{"text":"","type":"text"}]"#.len()));
    let call = json!({"type": "tool_use", "input": {"text": river}});
    assert_eq!(part(call), beside(&river, r#"tool_useinput{"text":""}"#.len()));
    let short = json!({"type": "tool_use", "id": "t1", "name": "write", "input": {}});
    assert!(part(short).tokens < 40, "a short one costs little");
    let escaped = Message::from_json(r#"{"role":"user","content":[{"type":"k","k":"\u65e5\u672c"}]}"#).unwrap();
    assert_eq!(bytes().group([&escaped]), Count::estimated(4 + 2 + "日本".len() as u64));
}

#[test]
fn data_in_a_part_of_an_unknown_kind_costs_what_it_is_and_not_its_text() {
    let part = |part: serde_json::Value| group(&json!({"role": "user", "content": [part]}));
    let data = "q0xZ9+/a".repeat(125_000);
    let unknown = part(json!({"type": "blob", "blob": data}));
    assert!((16_000..17_000).contains(&unknown.tokens) && !unknown.exact, "{unknown}");
    let sound =
        part(json!({"type": "input_audio", "input_audio": {"data": format!("UklGRiQA{data}"), "format": "wav"}}));
    assert_eq!(sound, Count::estimated(4 + 750_006 * 10 / 32_000 + 4));
    let png = "iVBORw0KGgoAAAANSUhEUgAAAgAAAAIACAYAAAD0eNT6";
    let source = json!({"type": "base64", "media_type": "image/png", "data": format!("{png}{data}")});
    let image = part(json!({"type": "image", "source": source}));
    assert!((255..400).contains(&image.tokens) && !image.exact, "{image}");
    let by_address = part(json!({"type": "input_image", "image_url": "https://example.com/cat.png"}));
    assert!((1_105..1_200).contains(&by_address.tokens) && !by_address.exact, "{by_address}");
    assert_eq!(part(json!({"type": "file", "file": {"file_id": "f"}})), Count::estimated(504));
    let known = ChatCost::for_model("gpt-4o")
        .group([&Message::from_json(r#"{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}"#).unwrap()]);
    assert_eq!(known, Count::estimated(4 + 220), "a page");
}

#[test]
fn sound_and_files_are_priced_by_their_field_whatever_their_bytes_are() {
    let part = |part: serde_json::Value| group(&json!({"role": "user", "content": [part]}));
    for data in ["//uQ", "AAAAHGZ0eXBNNEEg", "GkXfo59ChoEB", "AAAA", "iVBORw0KGgo"] {
        let data = data.to_owned() + &"A".repeat(512_000 - data.len());
        let sound = part(json!({"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}}));
        assert!((240..=330).contains(&sound.tokens) && !sound.exact, "{}: {sound}", &data[..4]);
        let by_url = format!("data:application/pdf;base64,{data}");
        for data in [data, by_url] {
            let file = part(json!({"type": "file", "file": {"filename": "a.pdf", "file_data": data}}));
            assert_eq!(file, Count::estimated(4 + 8_500), "{}", &file.tokens);
        }
    }
}

#[test]
fn what_is_not_understood_is_never_exact() {
    let user = |content: serde_json::Value| json!({"role": "user", "content": content});
    let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let with = |value: &serde_json::Value, key: &str, member: serde_json::Value| {
        let mut value = value.clone();
        value[key] = member;
        value
    };
    let calls = |call: serde_json::Value| json!({"role": "assistant", "content": null, "tool_calls": [call]});
    for message in [
        json!({"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hello!"}]}),
        json!({"role": "user"}),
        json!({"role": "assistant", "content": null}),
        json!({"role": "assistant", "content": null, "tool_calls": []}),
        json!({"role": "assistant", "content": null, "reasoning_content": "Hm."}),
        json!({"role": "tool", "tool_call_id": "1", "content": null}),
        json!({"role": "human", "content": "x"}),
        json!({"role": "assistant", "content": null, "refusal": "No."}),
        json!({"role": "assistant", "content": null, "audio": {"id": "a"}}),
        user(json!([])),
        user(json!([{"type": "text"}])),
        user(json!([{"type": "text", "text": null}])),
        user(json!([{"type": "text", "text": {"value": "x"}}])),
        user(json!([{"type": "text", "text": "x", "annotations": [{"url": "u"}]}])),
        user(json!([{"type": "input_text", "text": "x"}])),
        user(json!([{"type": "thinking", "text": "x", "thinking": "y"}])),
        user(json!([{"type": "image_url", "image_url": null}])),
        user(json!([{"type": "text", "text": "x", "refusal": "y"}])),
        user(json!([{"type": "image_url", "image_url": {"url": "data:,", "detail": "far"}}])),
        json!({"role": "user", "content": "x", "tool_call_id": "1"}),
        json!({"role": "user", "content": "x", "tool_calls": [call]}),
        json!({"role": "tool", "content": "x", "tool_call_id": "1".repeat(65)}),
        calls(with(&call, "extra_content", json!({"google": {"thought_signature": "s"}}))),
        calls(with(&call, "type", json!("mcp"))),
        calls(with(&call, "custom", json!({"name": "f", "input": "x"}))),
        calls(json!({"id": "1"})),
    ] {
        assert!(!group(&message).exact, "{message}");
    }
    for message in [
        user(json!("")),
        user(json!([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}])),
        user(json!([{"type": "text", "text": "x", "annotations": [], "citations": null}])),
        json!({"role": "assistant", "content": "x", "annotations": [], "refusal": null, "audio": null}),
        json!({"role": "assistant", "content": "x", "reasoning_content": "is not sent"}),
        json!({"role": "tool", "tool_call_id": "1", "content": "x"}),
        calls(with(&call, "index", json!(0))),
        calls(with(&call, "vendor", json!(null))),
        calls(with(&call, "function", json!({"name": "f", "arguments": "{}", "parsed_arguments": null}))),
        // Sent as the text of an object.
        calls(with(&call, "function", json!({"name": "f", "arguments": {"a": 1}}))),
        calls(with(&call, "function", json!({"name": "f"}))),
    ] {
        assert!(group(&message).exact, "{message}");
    }
}

#[test]
fn what_a_server_is_sent_beside_the_specification_is_counted() {
    let reply = json!({"role": "assistant", "content": "x", "reasoning_content": "because", "extra": {"a": ["b", 1]}});
    let reply = Message::from_json(&reply.to_string()).unwrap();
    assert_eq!(bytes().group([&reply]), Count::exact(5));
    let cost = bytes().fields(["reasoning_content", "extra", "none"]);
    assert_eq!(cost.group([&reply]), Count::estimated((5 + "because".len() + r#"{"a":["b",1]}"#.len()) as u64));
}
