//! `Metrics`: what the server counts, for Prometheus. Nothing says which tenant or key it was.

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use turnwise::Plan;
use turnwise::backend::Usage;
use turnwise::plan::{Fate, Run};

/// From 5 ms to 10 minutes.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];

type Labels = Vec<(&'static str, String)>;

pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    running: Gauge,
    tokens: Family<Labels, Counter>,
    messages: Family<Labels, Counter>,
    trimmed: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("turnwise");
        let requests = Family::default();
        registry.register("requests", "Requests that were answered", requests.clone());
        let new: fn() -> Histogram = || Histogram::new(BUCKETS);
        let seconds = Family::new_with_constructor(new);
        let help = "Time from a request to the last byte of its answer";
        registry.register_with_unit("request", help, Unit::Seconds, seconds.clone());
        let running = Gauge::default();
        registry.register("running", "Requests that are being answered", running.clone());
        let tokens = Family::default();
        registry.register("tokens", "Tokens of recorded replies, as the server behind reports them", tokens.clone());
        let messages = Family::default();
        registry.register("messages", "Messages of requests, by what was done with them", messages.clone());
        let trimmed = Counter::default();
        registry.register("trimmed", "Requests of which not all messages were sent in full", trimmed.clone());
        Self { registry, requests, seconds, running, tokens, messages, trimmed }
    }

    pub(crate) fn began(&self) {
        self.running.inc();
    }

    pub(crate) fn ended(&self, route: &str, method: &str, status: u16, seconds: f64) {
        self.running.dec();
        let of_route = vec![("route", route.to_owned())];
        self.seconds.get_or_create(&of_route).observe(seconds);
        let labels = [("method", method.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&of_route.into_iter().chain(labels).collect()).inc();
    }

    /// What a plan has done with the messages of a request.
    pub(crate) fn planned(&self, plan: &Plan) {
        for (fate, name) in [
            (Fate::Kept, "sent"),
            (Fate::Shrunk, "shortened"),
            (Fate::Summarized, "summarized"),
            (Fate::Evicted, "left_out"),
        ] {
            let count: usize = plan.runs().iter().filter(|run| run.fate == fate).map(Run::messages).sum();
            self.messages.get_or_create(&vec![("fate", name.to_owned())]).inc_by(count as u64);
        }
        if plan.runs().iter().any(|run| run.fate != Fate::Kept) {
            self.trimmed.inc();
        }
    }

    pub(crate) fn used(&self, usage: &Usage) {
        for (kind, count) in [
            ("input", usage.prompt_tokens),
            ("cached_input", usage.cached_tokens),
            ("output", usage.completion_tokens),
            ("reasoning", usage.reasoning_tokens),
        ] {
            self.tokens.get_or_create(&vec![("kind", kind.to_owned())]).inc_by(count);
        }
    }

    /// All of it in the text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // A text does not fail to be written.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}
