//! `ClientStream`: the events of a stream on their way to a client, which may be slow or gone.

use std::time::Duration;

use axum::response::sse::Event;
use tokio::sync::mpsc::{OwnedPermit, Receiver, Sender, channel};
use tokio::time::timeout;
use turnwise_conversations::ApiError;

/// How many events wait for a slow client.
const WAITING: usize = 64;

/// Events while they arrive.
pub(crate) type Events = Receiver<Piece>;

/// An event of a stream.
pub(crate) struct Piece {
    /// Its name; empty if it has none.
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Piece {
    pub(crate) fn into_sse(self) -> Event {
        let event = Event::default();
        let event = if self.name.is_empty() { event } else { event.event(self.name) };
        event.data(self.data)
    }
}

/// Sends events to a client, each within a time.
pub(crate) struct ClientStream {
    sender: Sender<Piece>,
    /// A place that is kept free for the event which says that the client was too slow.
    last: Option<OwnedPermit<Piece>>,
    read_time: Duration,
}

impl ClientStream {
    pub(crate) fn new(read_time: Duration) -> (Self, Events) {
        let (sender, events) = channel(WAITING + 1);
        let last = sender.clone().try_reserve_owned().ok();
        (Self { sender, last, read_time }, events)
    }

    /// Waits until the client is gone.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Sends an event. `None` if the client is gone, or does not read: then the stream ends with what
    /// `late` makes of the error, so that a client that reads on does not take it for whole.
    pub(crate) async fn send(&mut self, piece: Piece, late: impl FnOnce(&ApiError) -> Piece) -> Option<()> {
        if let Ok(sent) = timeout(self.read_time, self.sender.send(piece)).await {
            return sent.ok();
        }
        if let Some(place) = self.last.take() {
            place.send(late(&too_slow(self.read_time)));
        }
        None
    }
}

fn too_slow(read_time: Duration) -> ApiError {
    let seconds = read_time.as_secs_f32();
    let message =
        format!("The stream was not read for {seconds} seconds, and ends here. Please send the request again.");
    let mut error = ApiError::invalid_request(message);
    (error.status, error.code) = (408, Some("stream_not_read"));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_is_not_read_ends_with_an_error() {
        let (mut stream, mut events) = ClientStream::new(Duration::from_millis(20));
        let piece = |data: &str| Piece { name: String::new(), data: data.to_owned() };
        let late = |error: &ApiError| piece(&error.message);
        let mut sent = 0;
        while stream.send(piece("x"), late).await.is_some() {
            sent += 1;
        }
        drop(stream);
        let mut read = Vec::new();
        while let Some(event) = events.recv().await {
            read.push(event.data);
        }
        assert_eq!((sent, read.len()), (WAITING, WAITING + 1));
        assert!(read.pop().unwrap().contains("was not read"));
    }
}
