//! The content of an answer on its way out: from memory or disk, at the limits' pace, with the faults asked for, counted.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep_until};

use super::events::{Journal, RequestEvent};
use super::limits::Limit;
use crate::content::{FILE_CHUNK_BYTES, read_at};

/// How much goes to the connection at a time without a limit.
const CHUNK_BYTES: usize = 64 << 10;
/// How much goes at a time under a limit: small, so that downloads take turns.
const PACED_CHUNK_BYTES: usize = 8 << 10;
/// How long a cut on purpose waits for the bytes before it to leave.
const CUT_LINGER: Duration = Duration::from_millis(30);

/// Where the bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    Memory(Bytes),
    Disk { file: Arc<File>, at: u64, end: u64 },
}

impl Source {
    fn remaining(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Disk { at, end, .. } => end.saturating_sub(*at),
        }
    }
}

/// How the body ends before its time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EarlyEnd {
    pub(crate) stall_after: Option<u64>,
    pub(crate) cut_after: Option<u64>,
    /// Hide the length, so that the answer is chunked.
    pub(crate) length_unknown: bool,
}

/// The body of every answer; its end, early or not, is what makes the request's event.
pub(crate) struct Answer {
    source: Source,
    limits: Vec<Arc<Limit>>,
    early: EarlyEnd,
    waiting: Option<(Pin<Box<Sleep>>, Bytes)>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    linger: Option<Pin<Box<Sleep>>>,
    record: Record,
}

/// What is known of the request; told when dropped.
pub(crate) struct Record {
    pub(crate) journal: Arc<Journal>,
    pub(crate) event: Option<RequestEvent>,
    pub(crate) begun: Instant,
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(mut event) = self.event.take() {
            event.complete = event.sent >= event.length || event.method == "HEAD";
            event.millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.journal.request(event);
        }
    }
}

impl Answer {
    pub(crate) fn new(source: Source, limits: Vec<Arc<Limit>>, early: EarlyEnd, mut record: Record) -> Self {
        if let Some(event) = &mut record.event {
            event.length = source.remaining();
        }
        Self { source, limits, early, waiting: None, reading: None, linger: None, record }
    }

    fn sent(&self) -> u64 {
        self.record.event.as_ref().map_or(0, |event| event.sent)
    }

    fn hand_over(&mut self, chunk: Bytes) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.record.journal.bytes.fetch_add(chunk.len() as u64, Relaxed);
        if let Some(event) = &mut self.record.event {
            event.sent += chunk.len() as u64;
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    /// How much may be sent before a fault.
    fn before_fault(&self) -> Option<u64> {
        let nearest = [self.early.stall_after, self.early.cut_after].into_iter().flatten().min()?;
        Some(nearest.saturating_sub(self.sent()))
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let most = if self.limits.is_empty() { CHUNK_BYTES } else { PACED_CHUNK_BYTES } as u64;
        let take = most.min(self.before_fault().unwrap_or(u64::MAX)).min(self.source.remaining());
        let take = usize::try_from(take).unwrap_or(FILE_CHUNK_BYTES);
        match &mut self.source {
            Source::Memory(bytes) => Poll::Ready(Ok(bytes.split_to(take))),
            Source::Disk { file, at, .. } => {
                let (file, from) = (file.clone(), *at);
                let reading = self
                    .reading
                    .get_or_insert_with(|| tokio::task::spawn_blocking(move || read_at(&file, from, take)));
                let read = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                let chunk = read.map_err(io::Error::other)??;
                *at += chunk.remaining() as u64;
                Poll::Ready(Ok(chunk))
            }
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some((sleep, _)) = &mut this.waiting {
            ready!(sleep.as_mut().poll(cx));
            let chunk = this.waiting.take().map(|(_, chunk)| chunk).unwrap_or_default();
            return this.hand_over(chunk);
        }
        if this.before_fault() == Some(0) {
            if this.early.cut_after.is_some_and(|after| this.sent() >= after) {
                // What was handed over shall arrive before the connection goes.
                let linger = this.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(CUT_LINGER)));
                ready!(linger.as_mut().poll(cx));
                return Poll::Ready(Some(Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "cut on purpose",
                ))));
            }
            // Nothing wakes this again: only the client's going, or the host's idle limit, ends a stall.
            return Poll::Pending;
        }
        if this.source.remaining() == 0 {
            return Poll::Ready(None);
        }
        let chunk = ready!(this.poll_chunk(cx))?;
        let now = tokio::time::Instant::now();
        match this.limits.iter().map(|limit| limit.reserve(chunk.len(), now)).max() {
            Some(at) if at > now => {
                let mut sleep = Box::pin(sleep_until(at));
                if sleep.as_mut().poll(cx).is_pending() {
                    this.waiting = Some((sleep, chunk));
                    return Poll::Pending;
                }
                this.hand_over(chunk)
            }
            _ => this.hand_over(chunk),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.source.remaining() == 0 && self.before_fault() != Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        match self.early {
            EarlyEnd { stall_after: None, cut_after: None, length_unknown: false } => {
                let waiting = self.waiting.as_ref().map_or(0, |(_, chunk)| chunk.len() as u64);
                SizeHint::with_exact(self.source.remaining() + waiting)
            }
            _ => SizeHint::default(),
        }
    }
}
