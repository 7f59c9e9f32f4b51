//! The sizes of programs that the documentation promises, as the default rustfmt formats them.
#![allow(clippy::unwrap_used, missing_docs)]

/// The lines that are neither empty nor comments.
fn lines(text: &str) -> usize {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

fn example(name: &str) -> String {
    std::fs::read_to_string(format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The first program in a section of the cookbook.
fn recipe(title: &str) -> String {
    let book = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cookbook.md")).unwrap();
    let section = book.split("\n## ").find(|section| section.starts_with(title)).unwrap();
    let (_, program) = section.split_once("```rust").unwrap();
    program.split_once("```").unwrap().0.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn an_agent_with_three_tools_and_approval_has_at_most_30_lines() {
    assert!(lines(&example("agent")) <= 30);
}

#[test]
fn a_support_desk_with_axum_has_at_most_50_lines() {
    assert!(lines(&recipe("A support desk with axum")) <= 50);
    assert!(lines(&example("axum")) <= 50);
}

#[test]
fn a_program_with_async_openai_needs_at_most_10_lines_of_turnwise() {
    let example = example("async_openai");
    let (_, own) = example.split_once("/// All that the program needs of turnwise.\n").unwrap();
    assert!(lines(own.split_once("\n}\n").unwrap().0) < 10);
}
