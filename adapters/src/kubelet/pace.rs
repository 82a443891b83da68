//! Answers that go on: a piece is taken from them when the one before is on its way.
//!
//! The server would take pieces until it holds as much as the head of a request may have, for each connection whose caller
//! does not read.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, SizeHint};

/// Whether the server of a connection holds a piece of an answer.
#[derive(Debug, Default)]
pub(super) struct Pace {
    holds: AtomicBool,
    waker: AtomicWaker,
}

impl Pace {
    /// The server holds nothing any more.
    pub(super) fn is_handed_on(&self) {
        if self.holds.swap(false, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Whether the server holds something; the task is woken when it does not any more.
    fn holds(&self, cx: &Context<'_>) -> bool {
        if !self.holds.load(Ordering::Acquire) {
            return false;
        }
        self.waker.register(cx.waker());
        // It may have been handed on between the two.
        self.holds.load(Ordering::Acquire)
    }
}

/// A body of which the server holds one piece at most.
pub(super) struct Paced {
    body: Body,
    pace: Arc<Pace>,
}

impl Paced {
    /// Holds back a body whose length nobody knows beforehand; others are short.
    pub(super) fn body(body: Body, pace: &Arc<Pace>) -> Body {
        if body.size_hint().exact().is_some() {
            return body;
        }
        Body::new(Paced { body, pace: Arc::clone(pace) })
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.pace.holds(cx) {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(_))) = &polled {
            self.pace.holds.store(true, Ordering::Release);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::{FutureExt, stream};

    use super::*;

    #[tokio::test]
    async fn a_piece_is_taken_when_the_one_before_is_handed_on() {
        let pieces = ["one", "two"].map(|text| Ok::<_, std::io::Error>(Bytes::from_static(text.as_bytes())));
        let pace = Arc::new(Pace::default());
        let mut body = Paced::body(Body::from_stream(stream::iter(pieces)), &pace);
        let mut next = || poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never();
        assert_eq!(next().unwrap().unwrap().unwrap().into_data().unwrap(), "one");
        assert!(next().is_none(), "the first one is still held");
        pace.is_handed_on();
        assert_eq!(next().unwrap().unwrap().unwrap().into_data().unwrap(), "two");
        assert!(next().is_none());
        pace.is_handed_on();
        assert!(next().unwrap().is_none(), "the end");
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let pieces = ["one", "two"].map(|text| Ok::<_, std::io::Error>(Bytes::from_static(text.as_bytes())));
        let pace = Arc::new(Pace::default());
        let mut body = Paced::body(Body::from_stream(stream::iter(pieces)), &pace);
        let reading = tokio::spawn(async move {
            let mut read = 0;
            while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                read += 1;
            }
            read
        });
        while !reading.is_finished() {
            pace.is_handed_on();
            tokio::task::yield_now().await;
        }
        assert_eq!(reading.await.unwrap(), 2);
    }
}
