//! What counts against the limit, when trimming begins, and what of a request is repeated by the next one.

use turnwise::strategy::parse;
use turnwise::{
    ChatCost, Conversation, ErrorKind, Ledger, Message, Planner, Role, StrategyCache, TokenBudget, Tool, ToolCall,
    Transcript, count_request, replay,
};

use crate::{TRIMMING, airline, each_real_plan, long_talk, plan, plan_within, texts};

/// zed#62423: only the last turn's usage was looked at.
#[test]
fn a_large_paste_is_counted_before_it_is_sent() {
    let mut talk = long_talk(10);
    talk.push(Message::user("p".repeat(5_000)));
    for spec in TRIMMING {
        let plan = plan(6_000, &talk, spec);
        assert!(plan.tokens().total() <= 6_000, "{spec}");
        assert!(plan.evicted() > 0, "{spec}");
        assert_eq!(plan.messages().last().unwrap().text().len(), 5_000, "{spec}");
    }
}

/// rig-memory, llama_index's buffer: the window was empty when the newest message was over budget.
#[test]
fn a_message_longer_than_the_limit_is_cut_and_said_to_be_and_never_dropped() {
    let mut talk = long_talk(3);
    talk.push(Message::user(format!("begin {} end", "p".repeat(9_000))));
    for spec in TRIMMING {
        let plan = plan(1_000, &talk, spec);
        let last = plan.messages().last().unwrap().text().into_owned();
        assert!(last.starts_with("begin p") && last.ends_with("p end"), "{spec}");
        assert!(plan.explain().to_string().contains("shorter"), "{spec}");
    }
    let strategy = parse("window").unwrap();
    let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(100)).unwrap().never_cut();
    let refused = planner.plan(&talk, &mut Ledger::new(), &*strategy, &mut StrategyCache::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OverBudget);
}

/// zed#59555, zed#61599: it was set to 90 % and fired at 50 %.
#[test]
fn nothing_is_trimmed_below_the_mark_that_was_set() {
    let talk = long_talk(10);
    let whole = plan(u64::MAX / 2, &talk, "everything").tokens().total();
    for spec in TRIMMING.into_iter().filter(|spec| !spec.starts_with("window:")) {
        let at = |part| plan_within(&TokenBudget::limit(whole * 100 / part).high_mark(0.9), &talk, spec).unwrap();
        assert_eq!(at(89).evicted(), 0, "{spec}");
        let trimmed = at(92);
        assert!(trimmed.evicted() > 0, "{spec}");
        let high = trimmed.budget().high.to_string();
        let said = trimmed.explain().to_string().replace(',', "");
        assert!(said.contains(&format!("high mark {high}")), "{said}");
    }
}

/// langchain#34664, tiktoken-rs#40: the tools and the system prompt were not counted, nor what a call says.
#[test]
fn head_tools_and_calls_count_against_the_limit() {
    let weather = r#"{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}"#;
    let tools = [Tool::new(turnwise::message::RawJson::new(weather).unwrap())];
    let mut talk = Conversation::from_messages([Message::system("Be brief."), Message::user("Is it going to rain?")]);
    talk.push(Message::calls([ToolCall::function("c", "weather", r#"{"city": "Oslo", "days": [1, 2, 3]}"#)]));
    talk.push(Message::tool("c", "It rains."));
    let cost = ChatCost::for_model("gpt-4o");
    let total = |talk: &Conversation, tools: &[Tool]| {
        let planner = Planner::new(cost.clone(), &TokenBudget::limit(1_000)).unwrap().tools(tools.to_vec());
        let plan =
            planner.plan(talk, &mut Ledger::new(), &*parse("window").unwrap(), &mut StrategyCache::default()).unwrap();
        assert_eq!(plan.tokens().total(), count_request(&plan.request()).total().tokens);
        plan.tokens().total()
    };
    let all = total(&talk, &tools);
    assert!(all > total(&talk, &[]) + 5, "tools");
    let mut without_call = Conversation::from_messages([Message::system("Be brief.")]);
    without_call.push(Message::user("Is it going to rain?"));
    assert!(all > total(&without_call, &tools) + 20, "a call and its result");
    let mut headless = talk.clone();
    headless.set_head([]).unwrap();
    assert!(all > total(&headless, &tools), "the system prompt");
}

/// llama_index#21950, langchain PR 39754: four characters were taken for a token, in every language.
#[test]
fn chinese_is_counted_by_its_tokens_and_not_by_its_length() {
    let sentence = "請問明天早上從臺北飛往東京的班機還有靠窗的座位嗎？";
    let talk = Conversation::from_messages((0..40).map(|_| Message::user(sentence)));
    let cost = ChatCost::for_model("gpt-4o");
    let planner = Planner::new(cost.clone(), &TokenBudget::limit(300)).unwrap();
    let plan =
        planner.plan(&talk, &mut Ledger::new(), &*parse("window").unwrap(), &mut StrategyCache::default()).unwrap();
    assert_eq!(plan.tokens().total(), cost.messages(plan.messages()).total().tokens);
    assert!(plan.tokens().total() <= 300 && plan.messages().len() < 14, "{}", plan.messages().len());
}

/// mastra#24111: a limiter counted what another step was about to remove.
#[test]
fn what_an_earlier_step_removed_does_not_count_for_a_later_one() {
    let mut talk = Conversation::from_messages([Message::user("The task.")]);
    for id in ["1", "2", "3", "4"] {
        talk.push(Message::calls([ToolCall::function(id, "read", "{}")]));
        talk.push(Message::tool(id, "r".repeat(1_000)));
    }
    talk.push(Message::assistant("Read."));
    talk.push(Message::user("What did it say?"));
    let plan = plan(2_000, &talk, "ladder:clear-tools:keep=1/window");
    assert_eq!(plan.evicted(), 0, "{}", plan.explain());
    assert_eq!(plan.steps()[1].saved, None);
    assert!(plan.steps()[0].saved.unwrap() > 2_500);
}

/// openai-agents#1539, #1093, adk#752, aichat#329, langmem#59: a limit of tokens, of messages, of turns, or an error.
#[test]
fn a_limit_may_be_of_tokens_messages_or_turns_and_what_cannot_fit_is_a_typed_error() {
    let talk = long_talk(10);
    assert!(plan(700, &talk, "window").tokens().total() <= 700);
    assert_eq!(plan(10_000, &talk, "window:messages=4").messages().len(), 5);
    assert_eq!(plan(10_000, &talk, "window:turns=2").messages().len(), 6);
    let error = plan_within(&TokenBudget::limit(700), &talk, "everything").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OverBudget);
    let over = error.over_budget().unwrap();
    assert!(over.tokens > over.room && over.room == 700);
}

/// langchain#33245 again, from the other side: every request of a real tool loop is within its budget.
#[test]
fn no_real_request_is_over_its_limit_or_empty() {
    each_real_plan(|_, plan| {
        assert!(plan.tokens().total() <= plan.budget().limit);
        assert!(plan.messages().iter().any(|message| *message.role() != Role::System));
    });
}

/// openclaw#115273, zeroclaw#10674: a window that slides at every turn leaves a provider's cache nothing.
#[test]
fn requests_begin_as_the_last_one_did() {
    let talk = long_talk(200);
    let share = |low| {
        let planner = Planner::new(crate::bytes(), &TokenBudget::limit(4_000).low_mark(low)).unwrap();
        replay(&talk, &mut Ledger::new(), &planner, &*parse("window").unwrap()).unwrap().totals.prefix_share().unwrap()
    };
    let (sticky, sliding) = (share(0.7), share(1.0));
    assert!(sticky > 0.75 && sticky > 3.0 * sliding, "{sticky} and {sliding}");
    for mut file in airline() {
        let cost = ChatCost::default();
        let head = cost.head(file.conversation.head(), &file.tools, &[]).tokens;
        let limit = head + file.ledger.total(&file.conversation, &cost) / 4;
        let [sticky, sliding] = [0.7, 1.0].map(|low| {
            let budget = TokenBudget::limit(limit).low_mark(low);
            let planner = Planner::new(cost.clone(), &budget).unwrap().tools(file.tools.clone());
            let done = replay(&file.conversation, &mut file.ledger, &planner, &*parse("window").unwrap()).unwrap();
            done.totals.prefix
        });
        assert!(sticky >= sliding, "{sticky} and {sliding}");
    }
}

/// kern-ai#295: the cut was in memory, and paid for again after a restart.
#[test]
fn the_cut_of_a_window_survives_a_restart() {
    for spec in ["window", "head-tail", "tools:keep=1"] {
        let mut talk = long_talk(30);
        let first = plan(4_000, &talk, spec);
        first.commit_marks(&mut talk).unwrap();
        let again = Transcript::from_json(&Transcript::new(talk.clone()).to_json()).unwrap();
        for mut talk in [talk, again.conversation] {
            talk.push(Message::assistant("Sure."));
            talk.push(Message::user("One more."));
            let next = plan(4_000, &talk, spec);
            let known = texts(&first);
            assert_eq!(texts(&next)[..known.len()], known, "{spec}");
        }
    }
}
