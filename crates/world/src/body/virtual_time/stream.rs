//! A node's connection to a server.

use crate::body::http::{Connection, End, Reply};

/// A connection, being made or standing.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub number: u64,
    /// Host and port.
    pub server: (String, u16),
    pub connection: Option<Connection>,
    reply: Vec<u8>,
    sent: usize,
    end: Option<End>,
}

/// What the server's side does next.
pub(super) enum Next<'a> {
    Data(&'a [u8]),
    Closed,
    Nothing,
}

impl Stream {
    pub(super) const fn new(number: u64, server: (String, u16)) -> Self {
        Self { number, server, connection: None, reply: Vec::new(), sent: 0, end: None }
    }

    pub(super) fn answer(&mut self, reply: Reply) {
        self.reply = reply.bytes;
        self.end = Some(reply.end);
    }

    pub(super) fn next(&mut self, most: usize) -> Next<'_> {
        let end = self.reply.len().min(self.sent + most.max(1));
        let start = std::mem::replace(&mut self.sent, end);
        match (&self.reply[start..end], self.end) {
            ([], Some(End::Close)) => Next::Closed,
            ([], _) => Next::Nothing,
            (bytes, _) => Next::Data(bytes),
        }
    }
}
