//! Answers that mean harm, read without a network: on a small stack, and at what price.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::answer::read;
use super::sse::Events;
use super::streamed::{Streamed, Taken};
use crate::backend::{BackendError, ChatReply};

#[path = "../../../tests/support/hostile.rs"]
mod hostile;

use hostile::{Outcome, Shape, answers, streams};

/// Reads a stream as it comes over a network.
fn read_stream(body: &[u8]) -> Result<ChatReply, BackendError> {
    let (mut events, mut reply, mut ready) = (Events::default(), Streamed::default(), VecDeque::new());
    for piece in body.chunks(16 * 1024) {
        events.push(piece);
        while let Some(event) = events.next() {
            if reply.take_event(&event, &mut ready)? == Taken::Last {
                return reply.whole();
            }
            ready.clear();
        }
    }
    Err(BackendError::interrupted("no end"))
}

fn read_answer(body: &[u8]) -> Result<ChatReply, BackendError> {
    read(200, body.to_vec())
}

type Reader = fn(&[u8]) -> Result<ChatReply, BackendError>;

/// All shapes, with what reads them.
fn all() -> impl Iterator<Item = (&'static Shape, Reader)> {
    let streams = streams().map(|shape| (shape, read_stream as Reader));
    streams.chain(answers().map(|shape| (shape, read_answer as Reader)))
}

#[test]
fn no_depth_needs_more_than_a_small_stack() {
    let read_all = || {
        for (shape, read) in all().filter(|(shape, _)| shape.name.contains("nested")) {
            for count in [1, 16, 17, 32, 33, 127, 128, 129, 20_000] {
                let outcome = match read(&shape.with(count)) {
                    Ok(reply) if reply.message.text().ends_with("hi") => Outcome::Reply,
                    Ok(reply) => panic!("{}, {count}: {:?}", shape.name, reply.message),
                    Err(_) => Outcome::Error,
                };
                assert_eq!(outcome, shape.outcome, "{}, {count}", shape.name);
            }
        }
    };
    std::thread::Builder::new().stack_size(512 * 1024).spawn(read_all).unwrap().join().unwrap();
}

#[test]
fn what_is_nested_too_deep_is_kept_as_it_came() {
    let nested = format!("{}1{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000));
    let body = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"hi\",\"x\":{nested}}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
    );
    let reply = read_stream(body.as_bytes()).unwrap();
    assert_eq!(reply.message.get("x").unwrap().as_str(), nested);
}

/// The processor time of this thread so far.
fn spent() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// Nanoseconds for each byte.
fn price(body: &[u8], read: Reader) -> f64 {
    let before = spent();
    drop(std::hint::black_box(read(body)));
    let taken = spent().saturating_sub(before);
    taken.as_secs_f64() * 1e9 / f64::from(u32::try_from(body.len()).unwrap())
}

/// How many times as much a byte costs in an answer of sixteen times the size.
fn growth(shape: &Shape, read: Reader) -> f64 {
    const SMALL: usize = 8 * 1024;
    let (small, large) = (shape.sized(SMALL), shape.sized(16 * SMALL));
    price(&large, read) / price(&small, read).min(price(&small, read))
}

/// What grows with the square of the size would cost sixteen times as much for each byte. A busy
/// machine makes a measurement worse, never better: one of several is enough.
#[test]
fn a_byte_costs_the_same_in_a_large_answer_as_in_a_small_one() {
    for (shape, read) in all() {
        let mut growths = Vec::new();
        while growths.len() < 8 && growths.last().is_none_or(|growth| *growth >= 3.0) {
            growths.push(growth(shape, read));
        }
        assert!(growths.last().is_some_and(|growth| *growth < 3.0), "{}: {growths:.1?}", shape.name);
    }
}
