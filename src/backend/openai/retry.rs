//! `Retry`: when a request is tried again, and the time limits of a request.

use std::time::{Duration, SystemTime};

/// When a request is tried again, and how long it may take.
///
/// # Examples
/// One attempt of at most 20 seconds, for an interactive program:
/// ```
/// use std::time::Duration;
/// use turnwise::backend::openai::{OpenAi, Retry};
///
/// let retry = Retry::never().attempt_time(Duration::from_secs(20));
/// let backend = OpenAi::at("http://127.0.0.1:8080/v1", "").retry(retry);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Retry {
    pub(super) attempts: u32,
    pub(super) attempt_time: Duration,
    pub(super) total_time: Duration,
    pub(super) idle_time: Duration,
    pub(super) stream_time: Option<Duration>,
    first_wait: Duration,
    longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            attempt_time: Duration::from_secs(300),
            total_time: Duration::from_secs(600),
            idle_time: Duration::from_secs(60),
            stream_time: None,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// One attempt only. Use it if the caller has a retry loop of its own.
    pub fn never() -> Self {
        Self::default().attempts(1)
    }

    /// The most attempts, at least one. Default 3.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The longest time of one attempt. For a streamed reply, the longest time up to its first
    /// event, and then between two events. Default 300 seconds.
    pub fn attempt_time(mut self, time: Duration) -> Self {
        self.attempt_time = time;
        self
    }

    /// The longest time of all attempts together. For a streamed reply, up to its first event
    /// ([`stream_time`](Self::stream_time) limits all of it). Default 600 seconds.
    pub fn total_time(mut self, time: Duration) -> Self {
        self.total_time = time;
        self
    }

    /// The longest pause in the middle of an answer. The beginning of one may take as long as the
    /// attempt. Default 60 seconds.
    ///
    /// Lower it to notice a stalled server sooner; raise it for a slow local model.
    pub fn idle_time(mut self, time: Duration) -> Self {
        self.idle_time = time;
        self
    }

    /// The longest time of a whole streamed reply, from the beginning of the send. Default: no
    /// limit, since a long answer may take long. Without a limit, a server that keeps sending a
    /// little, or continues after its finish reason, is stopped only by the largest size of an
    /// answer.
    ///
    /// A stream that is not complete in this time ends with an error of the kind
    /// [`Timeout`](crate::ErrorKind::Timeout). If the model has given a finish reason by then, the
    /// part that has arrived is the reply.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use turnwise::backend::openai::{OpenAi, Retry};
    ///
    /// let retry = Retry::default().stream_time(Duration::from_secs(15 * 60));
    /// let backend = OpenAi::at("http://127.0.0.1:8080/v1", "").retry(retry);
    /// ```
    pub fn stream_time(mut self, time: Duration) -> Self {
        self.stream_time = Some(time);
        self
    }

    /// The first wait between two attempts; each further one is twice as long. Default 0.5 seconds.
    pub fn first_wait(mut self, wait: Duration) -> Self {
        self.first_wait = wait;
        self
    }

    /// The longest wait between two attempts, even if the server asks for a longer one. Default 30
    /// seconds.
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.longest_wait = wait;
        self
    }

    /// How long to wait after the attempt with this number, from 1. A random part of up to a
    /// quarter is subtracted, so that many clients do not come back at once.
    pub(super) fn wait(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << (attempt - 1).min(16));
        let wait = asked.map_or(doubled, |asked| asked.max(doubled)).min(self.longest_wait);
        match asked {
            // Not earlier than the server asked for, if that is allowed at all.
            Some(asked) if asked < wait => asked.max(wait.mul_f64(0.75 + 0.25 * fastrand::f64())),
            Some(_) => wait,
            None => wait.mul_f64(0.75 + 0.25 * fastrand::f64()),
        }
    }
}

/// How long the server asks to wait, in the forms in use: milliseconds, seconds, or a date.
pub(super) fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok();
    let until = |date: SystemTime| date.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
    match number("retry-after-ms").map(|millis| millis / 1000.0).or_else(|| number("retry-after")) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => httpdate::parse_http_date(text("retry-after")?).ok().map(until),
    }
}
