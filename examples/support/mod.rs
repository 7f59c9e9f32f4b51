//! The backend of the examples, and the customers of one.

#[allow(dead_code, reason = "only the example `axum` has customers")]
pub(crate) mod customers;

use std::sync::Arc;

use turnwise::backend::{ChatBackend, Scripted};

/// The endpoint of `OPENAI_BASE_URL` or `OPENAI_API_KEY` if one of them is set; otherwise these
/// lines, in order.
pub(crate) fn backend<'a>(lines: impl IntoIterator<Item = &'a str>) -> Arc<dyn ChatBackend> {
    #[cfg(feature = "openai")]
    if ["OPENAI_BASE_URL", "OPENAI_API_KEY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        return Arc::new(turnwise::backend::openai::OpenAi::from_env());
    }
    Arc::new(Scripted::new(lines))
}
