//! `Limits`: how much of the server a request and a key may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use turnwise_conversations::ApiError;

/// How much a request and a key may take.
///
/// # Examples
/// ```
/// use turnwise::store::MemoryStore;
/// use turnwise_server::{Limits, Server};
///
/// let mut limits = Limits::default();
/// limits.requests_per_minute = Some(60);
/// let server = Server::new(MemoryStore::new()).limits(limits);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest body of a request, in bytes, also after it was decompressed. Default: 32 MiB.
    pub body: usize,
    /// How deep the JSON of a body may be nested. Default: 100.
    pub nesting: usize,
    /// How long a client may take to send a body. Default: 30 seconds.
    pub body_time: Duration,
    /// How long a request may take until it is answered; for a stream, until it begins. Default: 600
    /// seconds.
    pub answer_time: Duration,
    /// How long the events of a stream may wait for a client that does not read them. Default: 30
    /// seconds.
    pub read_time: Duration,
    /// How long a WebSocket may stay open. Default: 60 minutes, by the specification.
    pub socket_life: Duration,
    /// How many requests of one key may run at the same time, streams included. Default: 64.
    pub running: usize,
    /// How many requests one key may begin in a minute. Default: no limit.
    pub requests_per_minute: Option<u32>,
    /// How many connections may be open. Default: 1,024. More wait.
    pub connections: usize,
    /// The longest answer of the server behind that is stored as a completion, in bytes. A longer stream is
    /// passed on, and before its end comes an error that says that it is not stored; any other answer is
    /// refused. Default: 64 MiB.
    pub stored: usize,
    /// How long what runs may go on after the server was told to stop. Default: 30 seconds.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 32 << 20,
            nesting: 100,
            body_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(600),
            read_time: Duration::from_secs(30),
            socket_life: Duration::from_secs(60 * 60),
            running: 64,
            requests_per_minute: None,
            connections: 1_024,
            stored: 64 << 20,
            grace: Duration::from_secs(30),
        }
    }
}

/// What each key has running, and how many requests it may begin now.
#[derive(Clone, Default)]
pub(crate) struct Gates(Arc<Mutex<HashMap<String, Gate>>>);

struct Gate {
    running: usize,
    /// Requests that may begin; it fills up to a minute's.
    left: f64,
    filled: Instant,
}

/// A refusal, and after how many seconds it is worth asking again.
pub(crate) type TooMany = (ApiError, u64);

impl Gates {
    /// Lets a request of a key in.
    pub(crate) fn enter(&self, key: &str, limits: &Limits) -> Result<Pass, TooMany> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = f64::from(limits.requests_per_minute.unwrap_or(u32::MAX));
        let new = || Gate { running: 0, left: most, filled: Instant::now() };
        let gate = gates.entry(key.to_owned()).or_insert_with(new);
        if gate.running >= limits.running {
            let message = format!("Rate limit reached: {} requests are running with this key.", gate.running);
            return Err((too_many(message), 1));
        }
        let a_second = most / 60.0;
        gate.left = (gate.left + gate.filled.elapsed().as_secs_f64() * a_second).min(most);
        gate.filled = Instant::now();
        if gate.left < 1.0 {
            let wait = ((1.0 - gate.left) / a_second).ceil();
            let message = format!("Rate limit reached: {most} requests per minute. Please try again in {wait}s.");
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 1 to 60")]
            return Err((too_many(message), wait as u64));
        }
        gate.left -= 1.0;
        gate.running += 1;
        Ok(Pass { gates: self.clone(), key: key.to_owned() })
    }
}

fn too_many(message: String) -> ApiError {
    let mut error = ApiError::invalid_request(message);
    (error.status, error.kind, error.code) = (429, "rate_limit_error", Some("rate_limit_exceeded"));
    error
}

/// While it exists, a request runs.
pub(crate) struct Pass {
    gates: Gates,
    key: String,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut gates = self.gates.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get_mut(&self.key) {
            gate.running -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_requests_running_and_others_are_not_touched() {
        let (gates, limits) = (Gates::default(), Limits { running: 2, ..Limits::default() });
        let first = gates.enter("ann", &limits);
        let second = gates.enter("ann", &limits);
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(gates.enter("ann", &limits).map(drop).unwrap_err().0.status, 429);
        assert!(gates.enter("bob", &limits).is_ok());
        drop(first);
        assert!(gates.enter("ann", &limits).is_ok());
    }

    #[test]
    fn a_key_begins_so_many_requests_in_a_minute() {
        let (gates, limits) = (Gates::default(), Limits { requests_per_minute: Some(3), ..Limits::default() });
        for _ in 0..3 {
            assert!(gates.enter("ann", &limits).is_ok());
        }
        let (refused, wait) = gates.enter("ann", &limits).map(drop).unwrap_err();
        assert_eq!((refused.code, wait), (Some("rate_limit_exceeded"), 20));
        assert!(gates.enter("bob", &limits).is_ok());
    }
}
