//! `PlainText`: messages that are only text are sent as texts.

use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply, EventStream};
use turnwise::message::Content;
use turnwise::{ChatRequest, Message};

/// Sends content that has only parts of text as one text, because some local servers refuse arrays
/// of parts. The items of the Responses API always have parts, so for responses this is needed.
///
/// # Examples
/// ```
/// use turnwise::ConversationManager;
/// use turnwise::backend::Scripted;
/// use turnwise_server::PlainText;
///
/// let builder = ConversationManager::builder("gpt-4o-mini").backend(PlainText(Scripted::new(["Hello!"])));
/// ```
#[derive(Clone, Debug)]
pub struct PlainText<B>(pub B);

impl<B: ChatBackend> ChatBackend for PlainText<B> {
    fn complete(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        self.0.complete(plain(request))
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<EventStream, BackendError>> {
        self.0.stream(plain(request))
    }

    fn server(&self) -> &str {
        self.0.server()
    }
}

fn plain(mut request: ChatRequest) -> ChatRequest {
    for message in &mut request.messages {
        if is_only_text(message) {
            *message = message.clone().with_content(message.text().as_ref());
        }
    }
    request
}

fn is_only_text(message: &Message) -> bool {
    let parts = message.content().map_or(&[][..], Content::parts);
    !parts.is_empty() && parts.iter().all(|part| part.kind() == "text" && part.text().is_some())
}

#[cfg(test)]
mod tests {
    use turnwise::backend::Scripted;

    use super::*;

    #[test]
    fn only_what_is_text_alone_becomes_a_text() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let backend = PlainText(Scripted::new(["Yes."]));
        let text = Message::user("").and_text("A river ").and_text("is long.");
        let image = Message::user("").and_text("This?").image_url("https://example.com/a.png");
        let request = ChatRequest::new([text, image.clone(), Message::user("Hi")]);
        runtime.block_on(backend.complete(request)).unwrap();
        let sent = backend.0.requests().remove(0).messages;
        let content = |message: &Message| serde_json::to_value(message).unwrap()["content"].clone();
        assert_eq!(content(&sent[0]), "A river is long.");
        assert_eq!(content(&sent[1]), content(&image));
        assert_eq!(content(&sent[2]), "Hi");
    }
}
