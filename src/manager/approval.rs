//! `Approval`: what is decided about a call before it runs.

use std::future::Future;
use std::sync::Arc;

use super::open_calls::OpenCall;
use crate::backend::BoxFuture;
use crate::error::{Error, ErrorKind, Result};
use crate::message::ToolCall;
use crate::text::counted;

/// What is decided about a call before it runs; see
/// [`ToolLoop::approve`](super::ToolLoop::approve).
///
/// # Examples
/// ```
/// use turnwise::{Approval, ToolCall};
///
/// fn decide(call: &ToolCall) -> Approval {
///     match call.name() {
///         "look_up" => Approval::Allow,
///         "delete" => Approval::refuse("only the owner may delete"),
///         _ => Approval::Stop, // a person decides later
///     }
/// }
/// assert_eq!(decide(&ToolCall::function("c1", "look_up", "{}")), Approval::Allow);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Approval {
    /// It is run.
    Allow,
    /// It is not run, and its result tells the model why.
    Refuse(String),
    /// Nothing is decided yet: no call of the reply is run, and the loop ends in an error of the
    /// kind [`ErrorKind::ApprovalNeeded`].
    Stop,
}

impl Approval {
    /// The call is not run, and its result tells the model why.
    pub fn refuse(reason: impl Into<String>) -> Self {
        Self::Refuse(reason.into())
    }
}

/// Decides about the calls of a reply.
#[derive(Clone)]
pub(super) struct Approver(Arc<Decide>);

type Decide = dyn Fn(Vec<ToolCall>) -> BoxFuture<'static, Vec<Approval>> + Send + Sync;

impl Approver {
    pub(super) fn new<F, R>(decide: F) -> Self
    where
        F: Fn(Vec<ToolCall>) -> R + Send + Sync + 'static,
        R: Future<Output = Vec<Approval>> + Send + 'static,
    {
        Self(Arc::new(move |calls| Box::pin(decide(calls))))
    }

    /// One decision for each call.
    pub(super) async fn decide<'a>(
        &self,
        calls: impl ExactSizeIterator<Item = &'a OpenCall> + Clone,
    ) -> Result<Vec<Approval>> {
        let decisions = (self.0)(calls.clone().map(|call| call.call.clone()).collect()).await;
        if decisions.len() != calls.len() {
            let detail = format!(
                "the function given to `approve` returned {} for {}; it must return one for each call, in their \
                 order; no call was run, and `resume_tools` asks again",
                counted(decisions.len(), "decision"),
                counted(calls.len(), "call"),
            );
            return Err(Error::new(ErrorKind::InvalidApproval, detail));
        }
        if decisions.contains(&Approval::Stop) {
            let waits = |(call, decision): (&'a OpenCall, &Approval)| (*decision == Approval::Stop).then_some(call);
            let waiting: Vec<&OpenCall> = calls.zip(&decisions).filter_map(waits).collect();
            let names: Vec<String> = waiting.iter().map(|call| call.named()).collect();
            let detail = format!(
                "{} not decided: {}; no call of this reply was run, and `resume_tools` asks again",
                counted(waiting.len(), "call"),
                names.join(", "),
            );
            let calls = waiting.into_iter().map(|open| open.call.clone());
            return Err(Error::new(ErrorKind::ApprovalNeeded, detail).of_calls(calls));
        }
        Ok(decisions)
    }
}
