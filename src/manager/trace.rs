//! Spans and events for `tracing`. No message text is in them: of an error its message for logs,
//! without its causes and without a server's reason, which may quote the conversation.

use tracing::field::Empty;
use tracing::{Span, debug, info_span, warn};

use super::Shared;
use super::reply::Reply;
use crate::backend::BackendError;
use crate::error::Error;

/// The span of an exchange; fields that are not known yet are recorded when it ends.
pub(super) fn exchange(shared: &Shared) -> Span {
    let model = &*shared.setup.model.name;
    let strategy = shared.setup.strategy.spec();
    info_span!(
        "exchange",
        conversation = shared.state(|state| state.file.conversation.id().to_owned()),
        model,
        strategy = &*strategy,
        tokens = Empty,
        forecast = Empty,
        margin = Empty,
        repeated = Empty,
        billed = Empty,
        cached = Empty,
        completion = Empty,
        cost = Empty,
        attempts = Empty,
        summaries = Empty,
        first_event_ms = Empty,
        elapsed_ms = Empty,
        error = Empty,
    )
}

pub(super) fn committed(span: &Span, reply: &Reply) {
    let report = &reply.report;
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    span.record("tokens", report.plan.tokens().total());
    span.record("forecast", report.forecast.tokens);
    span.record("margin", report.forecast.margin);
    span.record("repeated", report.repeated);
    if let Some(usage) = &reply.usage {
        span.record("billed", usage.prompt_tokens);
        span.record("cached", usage.cached_tokens);
        span.record("completion", usage.completion_tokens);
    }
    if let Some(cost) = report.cost {
        span.record("cost", tracing::field::display(cost));
    }
    span.record("attempts", report.attempts.len());
    span.record("summaries", report.summaries.len());
    if let Some(first) = report.first_event {
        span.record("first_event_ms", millis(first));
    }
    span.record("elapsed_ms", millis(report.elapsed));
    debug!(parent: span, "committed");
    if report.half_characters > 0 {
        warn!(parent: span, count = report.half_characters, "half characters of the answer were replaced by U+FFFD");
    }
}

/// Inside the span of the exchange, if it still exists.
pub(super) fn unsaved(error: &Error) {
    warn!(error = %error.logged(), "the conversation could not be saved");
}

/// Inside the span of the exchange, if it still exists.
pub(super) fn unembedded(error: &BackendError) {
    warn!(error = ?error, "vectors of messages could not be made");
}

pub(super) fn failed(span: &Span, error: &Error) {
    span.record("error", tracing::field::display(error.logged()));
    debug!(parent: span, "failed");
}
