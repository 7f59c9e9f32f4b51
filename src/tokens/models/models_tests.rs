use std::collections::BTreeSet;

use super::names::spelling;
use super::*;
use crate::{ChatCost, ConversationManager, Message, SlidingWindow, TokenBudget, trim};

fn window(name: &str) -> Option<u64> {
    Model::find(name).window
}

fn like(name: &str) -> Option<String> {
    Models::builtin().get(name).map(|model| model.like.unwrap_or(model.name))
}

// The file

#[test]
fn the_file_is_sorted_and_names_each_model_once() {
    let text = include_str!("models.json");
    let table: serde_json::Value = serde_json::from_str(text).unwrap();
    let names: Vec<&str> =
        table["models"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "not in order: {:?}", names.windows(2).find(|pair| pair[0] > pair[1]));
    let spellings: BTreeSet<String> = names.iter().map(|name| spelling(name)).collect();
    assert_eq!(spellings.len(), names.len());
    assert_eq!(Models::builtin().iter().count(), names.len());
    let lines = text.lines().filter(|line| line.trim_start().starts_with(r#"{"name":"#)).count();
    assert_eq!(lines, names.len(), "one model a line");
    assert!(names.iter().all(|name| *name == name.to_lowercase() && !name.contains('/')));
}

#[test]
fn every_entry_stands_for_itself() {
    for model in Models::builtin().iter() {
        assert_eq!(&Model::find(&model.name), model);
        let upper = Model::find(&model.name.to_uppercase());
        assert_eq!((upper.window, upper.encoding, upper.price), (model.window, model.encoding, model.price));
    }
}

#[test]
fn every_entry_is_sane() {
    for model in Models::builtin().iter() {
        assert_eq!(model.check(), Ok(()), "{}", model.name);
        assert!(model.source.is_some(), "{} has no source", model.name);
        assert!(model.window.is_some() || model.note.is_some(), "{}: why is its window not known?", model.name);
        if let (Some(window), Some(input)) = (model.window, model.max_input) {
            assert!(input < window && input + model.max_output.unwrap_or(0) >= window, "{}", model.name);
        }
        if model.images.is_some() || (model.encoding.is_some() && !model.estimated) {
            assert_eq!(model.provider.as_deref(), Some("openai"), "{}", model.name);
        }
        if let Some(price) = model.price {
            assert!(model.provider.is_some(), "{}: whose price?", model.name);
            let (cents, dollars) = (10_000, 1_000_000);
            assert!((cents..=150 * dollars).contains(&price.input) || price.input == 0, "{}", model.name);
            assert!(price.input <= price.output && price.output <= 600 * dollars, "{}", model.name);
            assert!(price.cached.is_none_or(|cached| cached <= price.input), "{}", model.name);
        }
    }
}

#[test]
fn what_thinks_is_framed_as_such() {
    for model in Models::builtin().iter() {
        let is_openai = model.provider.as_deref() == Some("openai");
        let expected = is_openai && names::is_reasoning(&model.name) || model.name.starts_with("gpt-oss");
        let expected = (expected || model.name == "codex-mini") && model.name != "o3-mini";
        assert_eq!(model.family == Family::Reasoning, expected, "{}", model.name);
    }
}

#[test]
fn o3_mini_and_models_that_search_have_frames_of_their_own() {
    assert_eq!(Model::find("o3-mini-2025-01-31").family, Family::O3Mini);
    assert_eq!(Model::find("gpt-4o-mini-search-preview-2025-03-11").family, Family::Search);
    assert_eq!(Model::find("gpt-5.2-chat-latest").family, Family::Reasoning);
    assert!(Model::find("o1-mini").estimated, "the one bill that was seen follows no rule");
}

#[test]
fn tools_behind_a_host_that_may_change_them_are_estimates() {
    for name in ["gpt-4o", "openai/gpt-4o", "azure/gpt-4o", "azure/eu/gpt-4o", "ft:gpt-4o:org::id"] {
        assert_eq!(Model::find(name).tools, None, "{name}");
    }
    for name in ["openrouter/openai/gpt-4o", "github_copilot/gpt-4o"] {
        assert_eq!(Model::find(name).tools, Some(ToolRule::LIKE_OPENAI), "{name}");
    }
    let claude = Model::find("claude-sonnet-4-5").tools.unwrap();
    assert!(claude.base >= 346, "Anthropic documents as much for its instructions about tools");
    assert_eq!(Model::find("openrouter/anthropic/claude-sonnet-4.5").tools, Some(claude));
    assert_eq!(Model::find("claude-of-tomorrow").tools, Some(claude), "a name that is not known yet");
    for name in ["my-claude", "gpt-9", "kimi-k9", "o9"] {
        assert_eq!(Model::find(name).tools, None, "{name}");
    }
}

// Names

#[test]
fn dates_and_variants_are_understood() {
    for (name, expected) in [
        ("gpt-4", "gpt-4"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-4-turbo-2024-04-09", "gpt-4-turbo"),
        ("gpt-4-turbo-preview", "gpt-4-turbo"),
        ("qwen/qwen-2.5-72b-instruct", "qwen-2.5"),
        ("gpt-4-32k-0314", "gpt-4-32k"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("GPT-4.1-Mini", "gpt-4.1-mini"),
        ("gpt-4o-audio-preview-2024-12-17", "gpt-4o-audio-preview"),
        ("gpt-4o-mini-search-preview-2025-03-11", "gpt-4o-mini-search-preview"),
        ("gpt-5.1-chat-latest", "gpt-5.1-chat"),
        ("gpt-5-pro-2025-10-06", "gpt-5-pro"),
        ("o1-2024-12-17", "o1"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet"),
        ("claude-3-5-sonnet-v2@20241022", "claude-3-5-sonnet"),
        ("claude-sonnet-4@default", "claude-sonnet-4"),
        ("claude-opus-4-1-20250805", "claude-opus-4-1"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("gemini-2.5-pro-preview-05-06", "gemini-2.5-pro"),
        ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
        ("gemma-3-27b-it", "gemma-3"),
        ("gemma-3-1b-it", "gemma-3-1b"),
        ("mixtral-8x7b-instruct-v0.1", "mixtral-8x7b"),
        ("Llama-4-Maverick-17B-128E-Instruct-FP8", "llama-4-maverick"),
        ("Qwen3-Next-80B-A3B-Instruct", "qwen3-next-80b-a3b"),
        ("deepseek-r1-0528", "deepseek-r1"),
        (" gpt-4o ", "gpt-4o"),
    ] {
        assert_eq!(like(name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn providers_before_a_name_are_understood() {
    for (name, expected) in [
        ("openai/gpt-4o-2024-08-06", "gpt-4o"),
        ("openrouter/anthropic/claude-3.5-sonnet:beta", "claude-3-5-sonnet"),
        ("deepseek/deepseek-r1:free", "deepseek-r1"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet"),
        ("bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("vertex_ai/claude-opus-4-1@20250805", "claude-opus-4-1"),
        ("ft:gpt-4o-mini-2024-07-18:org::id", "gpt-4o-mini"),
        ("openai/ft:gpt-4.1-nano-2025-04-14:org:suffix:id:ckpt-step-90", "gpt-4.1-nano"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
    ] {
        assert_eq!(like(name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(like("azure/gpt-35-turbo-0125").as_deref(), Some("gpt-35-turbo"));
    assert_eq!((window("azure/gpt-35-turbo-0613"), window("azure/gpt-35-turbo-16k")), (Some(4_096), Some(16_385)));
}

#[test]
fn a_name_that_may_be_another_model_is_not_guessed() {
    for name in [
        "",
        "gpt",
        "gpt-7",
        "gpt-5.9-ultra",
        "gpt-4o-realtime-preview",
        "gpt-4o-transcribe",
        "gpt-4o-mini-tts",
        "gpt-4-64k",
        "o1-ultra",
        "o5",
        "claude-opus-4-9",
        "claude-opus-4-10",
        "claude-3-5-sonnet-20240620-v1:0:28k",
        "gemini-2.5-flash-image",
        "gemini-2.5-pro-preview-tts",
        "mistral-large",
        "mistral-large-2312",
        "my-gpt-4o-deployment",
        "gpt4o",
        "azure/prod",
        "qwen2.5:7b",
        "ft:my-model:org::id",
        "🦙",
    ] {
        assert_eq!(like(name), None, "{name}");
        let model = Model::find(name);
        assert_eq!((&*model.name, model.window, model.encoding), (name, None, None));
    }
    assert_eq!(Model::find("openai/gpt-5.9-ultra").family, Family::Reasoning);
    assert_eq!(Model::find("o5-mini").family, Family::Reasoning);
    for name in ["gpt-4.9", "olmo-3", "o200k"] {
        assert_eq!(Model::find(name).family, Family::Chat, "{name}");
    }
}

#[test]
fn where_the_server_sets_the_window_none_is_claimed() {
    for name in ["llama3.1", "llama3.1:8b-instruct-q4_K_M", "gpt-oss:20b", "ollama/qwen2.5", "mistral:latest"] {
        let model = Models::builtin().get(name).unwrap();
        assert_eq!(model.window, None, "{name}");
    }
    let error = Model::find("llama3.1:8b").known_window().unwrap_err().to_string();
    assert!(error.contains("num_ctx") && !error.contains("similar names"), "{error}");
}

#[test]
fn open_weights_of_openai_are_counted_with_their_encoding_and_as_estimates() {
    for name in ["gpt-oss", "openai/gpt-oss-120b", "groq/openai/gpt-oss-20b", "gpt-oss:20b"] {
        let model = Model::find(name);
        assert_eq!((model.encoding, model.family), (Some(Encoding::O200kBase), Family::Reasoning), "{name}");
        assert!(!ChatCost::for_model(model).is_exact(), "hosts add a system message");
    }
    assert_eq!((window("gpt-oss"), window("gpt-oss-20b"), window("gpt-oss:20b")), (Some(131_072), Some(131_072), None));
}

#[test]
fn a_price_is_of_the_providers_own_api() {
    assert!(Model::find("gpt-4o-2024-08-06").price.is_some());
    assert!(Model::find("openai/gpt-4o").price.is_some());
    for name in [
        "azure/gpt-4o",
        "openrouter/openai/gpt-4o",
        "deepseek/deepseek-chat:free",
        "ft:gpt-4o:org::id",
        "eu.anthropic.claude-opus-4-6-v1",
    ] {
        assert_eq!(Model::find(name).price, None, "{name}");
    }
}

#[test]
fn an_unknown_window_names_near_models_and_the_way_out() {
    let error = Model::find("gtp-4o").known_window().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownModel);
    let text = error.to_string();
    assert!(text.contains("similar names: gpt-4o") && text.contains("TokenBudget::limit"), "{text}");
}

// Tables of one's own

#[test]
fn a_table_adds_and_replaces() {
    let models = Models::from_json(
        r#"{"models": [
            {"name": "prod", "like": "gpt-5", "window": 300000},
            {"name": "small", "like": "gpt-5", "window": 1000},
            {"name": "gpt-4o", "window": 64000},
            {"name": "My/Llama.1", "window": 8192, "encoding": "cl100k_base", "family": "reasoning",
             "price": {"input": "0.1", "output": "0.2"}, "images": {"patches": {"per_thousand": 1500, "most": 10}}}
        ]}"#,
    )
    .unwrap();
    let prod = models.find("prod");
    assert_eq!((prod.window, prod.max_input, prod.encoding), (Some(300_000), Some(272_000), Some(Encoding::O200kBase)));
    assert_eq!((&*prod.name, prod.like.as_deref(), prod.family), ("prod", Some("gpt-5"), Family::Reasoning));
    let small = models.find("small");
    assert_eq!((small.window, small.max_input, small.max_output), (Some(1_000), None, Some(1_000)));
    let replaced = models.find("gpt-4o-2024-08-06");
    assert_eq!((replaced.window, replaced.encoding, replaced.max_output), (Some(64_000), None, None));
    assert_eq!(window("gpt-4o"), Some(128_000));
    let own = models.find("my/llama.1");
    assert_eq!((own.encoding, own.price.map(|price| price.output)), (Some(Encoding::Cl100kBase), Some(200_000)));
    assert_eq!(own.images, Some(ImageRule::Patches { per_thousand: 1_500, most: 10 }));
    assert_eq!(models.find("claude-opus-4-6"), Model::find("claude-opus-4-6"));
}

#[test]
fn what_is_found_can_be_written_and_read_again() {
    for name in ["azure/gpt-4o-2024-05-13", "gpt-5", "claude-2.1", "nobody"] {
        let model = Model::find(name);
        let json = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<Model>(&json).unwrap(), model);
    }
}

#[test]
fn a_model_can_be_added_in_code() {
    let mut models = Models::default();
    let mut own = Model::new("own");
    own.window = Some(1_000);
    assert_eq!(models.insert(own.clone()), None);
    assert_eq!(models.find("OWN-2024-01-01").window, Some(1_000));
    assert_eq!(models.insert(Model::new("own")), Some(own));
}

#[test]
fn what_is_known_of_a_model_reaches_those_who_count_and_those_who_send() {
    let models = Models::from_json(r#"{"models": [{"name": "prod", "like": "gpt-4", "window": 1000}]}"#).unwrap();
    let model = models.find("prod");
    let budget = TokenBudget::for_model(&model).unwrap();
    let messages = [Message::user("こんにちは世界、ありがとうございます")];
    let plan = trim(&messages, &budget, &SlidingWindow::tokens()).unwrap();
    let cl100k = ChatCost::for_model("gpt-4").messages(&messages).total();
    assert_eq!(plan.tokens().total(), cl100k.tokens);
    assert_ne!(cl100k, ChatCost::default().messages(&messages).total());
    let chat = ConversationManager::builder(model).build().unwrap();
    let plan = chat.plan(messages[0].clone()).unwrap();
    assert_eq!((plan.tokens().total(), plan.budget().window), (cl100k.tokens, Some(1_000)));
}

#[test]
fn a_table_that_is_wrong_is_refused_with_model_and_place() {
    for (text, line, says) in [
        ("{\"models\": [\n{\"name\": \"x\",\n \"windw\": 1}]}", 3, "the model `x`: unknown field `windw`"),
        ("{\"models\": [\n{\"window\": 1}]}", 2, "model 0 of the table: missing field `name`"),
        ("{\"models\": [\n{\"name\": \"x\", \"window\": \"8k\"}]}", 2, "the model `x`: invalid type: a string"),
        ("{\"models\": [\n{\"name\": \"x\", \"window\": 0}]}", 2, "the model `x`: `window` is 0"),
        (
            "{\"models\": [\n{\"name\": \"x\", \"window\": 10, \"max_output\": 20}]}",
            2,
            "the model `x`: `max_output` is 20, more than the window of 10",
        ),
        ("{\"models\": [{\"name\": \"x\"},\n{\"name\": \"X\"}]}", 2, "the model `X` occurs twice"),
        ("{\"models\": [\n{\"name\": \"x\", \"like\": \"gpt-9\"}]}", 2, "is like `gpt-9`, which is not in the table"),
        ("{\"models\": [{\"name\": \" \"}]}", 1, "a model needs a name"),
        ("{\"models\": [\n{\"name\": \"x\"", 2, "the text ends in the middle"),
        ("{\"model\": []}", 1, "unknown field `model`"),
        ("[]", 1, "a table of models"),
        (
            "{\"models\": [{\"name\": \"x\", \"price\": {\"input\": \"1,5\", \"output\": \"2\"}}]}",
            1,
            "decimal text, such as \"2.50\", not `1,5`",
        ),
    ] {
        let error = Models::from_json(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.position().map(|place| place.line), Some(line), "{error}");
    }
}
