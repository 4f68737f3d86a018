//! Nodes that mean ill, or are broken.

use crate::random::Random;
use rootcast_node::spread::{ADVERTISE, Advertise, DATA_MAGIC, Data, PACKET_BYTES, REQUEST, Request};
use rootcast_wire::NodeId;
use rootcast_wire::frame::{Body, Frame};
use std::collections::VecDeque;

/// What such a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malice {
    /// Says that it has everything, and answers every request with random packets. It knows the mesh's key.
    Garbage,
    /// Asks without end, for one block after another and again from the first. It knows the mesh's key.
    Greedy,
    /// Sends what it has heard, again and later.
    Replay,
    /// Sends what it has heard, with a bit changed or cut short.
    Corrupt,
    /// Sends packets and advertisements of its own making in the name of others, without the key.
    Forge,
}

/// Such a node.
#[derive(Clone, Debug)]
pub struct Hostile {
    malice: Malice,
    queue: VecDeque<(Vec<u8>, bool)>,
    heard: Vec<Vec<u8>>,
    next_block: u16,
    sequence: u32,
}

/// What it hears.
pub struct Sight<'a> {
    /// Its own id.
    pub me: NodeId,
    /// Who sent the frame.
    pub from: NodeId,
    /// The frame.
    pub bytes: &'a [u8],
    /// The frame without its seal, for those who know the key.
    pub opened: Option<&'a [u8]>,
}

/// Frames waiting to be said: it is not faster than its radio.
const QUEUE: usize = 40;
/// Frames remembered.
const MEMORY: usize = 200;

impl Hostile {
    /// A node of this kind.
    #[must_use]
    pub fn new(malice: Malice) -> Self {
        let (queue, heard) = Default::default();
        Self { malice, queue, heard, next_block: 0, sequence: 0 }
    }

    fn frame(&mut self, source: NodeId, kind: u8, body: &[u8]) -> Vec<u8> {
        self.sequence += 1;
        let mut out = vec![0; 250];
        let body = Body::Spread { kind, bytes: body };
        let length = Frame { source, sequence: self.sequence, body }.write(&mut out).unwrap_or(0);
        out.truncate(length);
        out
    }

    fn garbage(&mut self, object: u16, block: u16, sender: u16, random: &mut Random) -> Vec<u8> {
        let payload: Vec<u8> = (0..PACKET_BYTES).map(|_| random.next_u32() as u8).collect();
        let index = random.next_u32() as u8;
        let data =
            Data { object, block, index, beyond: 100, sender, left: 3, deep: false, payload: &payload };
        let mut out = vec![0; 300];
        let length = data.write(&mut out).unwrap_or(0);
        out.truncate(length);
        out
    }

    /// It hears a frame, and thinks of something.
    pub fn hear(&mut self, sight: &Sight<'_>, random: &mut Random) {
        if self.queue.len() > QUEUE {
            return;
        }
        match self.malice {
            Malice::Replay | Malice::Corrupt => {
                if self.heard.len() < MEMORY {
                    self.heard.push(sight.bytes.to_vec());
                } else {
                    self.heard[random.below(MEMORY as u64) as usize] = sight.bytes.to_vec();
                }
                if random.chance(0.3) {
                    let mut frame = self.heard[random.below(self.heard.len() as u64) as usize].clone();
                    if self.malice == Malice::Corrupt {
                        if random.chance(0.3) {
                            frame.truncate(random.below(frame.len() as u64) as usize);
                        }
                        if !frame.is_empty() {
                            let place = random.below(frame.len() as u64) as usize;
                            frame[place] ^= 1 << random.below(8);
                        }
                    }
                    self.queue.push_back((frame, false));
                }
            }
            Malice::Forge => {
                // It reads what others seal, since a seal hides nothing, and cannot make one.
                let Some(data) =
                    Data::read(sight.bytes.get(..sight.bytes.len().saturating_sub(8)).unwrap_or_default())
                else {
                    return;
                };
                let mut frame = self.garbage(data.object, data.block, data.sender, random);
                frame.extend([0x5E; 8]);
                self.queue.push_back((frame, false));
            }
            Malice::Garbage | Malice::Greedy => self.hear_as_member(sight, random),
        }
    }

    fn hear_as_member(&mut self, sight: &Sight<'_>, random: &mut Random) {
        let Some(bytes) = sight.opened else { return };
        if bytes.starts_with(&DATA_MAGIC) {
            return;
        }
        let Ok(Frame { source, body: Body::Spread { kind, bytes }, .. }) = Frame::parse(bytes) else {
            return;
        };
        match (self.malice, kind) {
            (Malice::Garbage, ADVERTISE) => {
                if let Some(mut advertise) = Advertise::read(bytes) {
                    (advertise.held, advertise.hops) = (advertise.description.blocks(), 0);
                    let mut body = [0; rootcast_node::spread::MAX_ADVERTISE_BYTES];
                    let length = advertise.write(&mut body);
                    let frame = self.frame(sight.me, ADVERTISE, &body[..length]);
                    self.queue.push_back((frame, true));
                }
            }
            (Malice::Garbage, REQUEST) => {
                if let Some(request) = Request::read(bytes) {
                    let count = if request.sender == sight.me { request.need } else { 1 };
                    for _ in 0..count {
                        let sender = sight.me.0 as u16;
                        let frame = self.garbage(request.object.0 as u16, request.block, sender, random);
                        self.queue.push_back((frame, true));
                    }
                }
            }
            (Malice::Greedy, ADVERTISE | REQUEST) => {
                let object = match kind {
                    ADVERTISE => Advertise::read(bytes).map(|it| it.description.id()),
                    _ => Request::read(bytes).map(|it| it.object),
                };
                let Some(object) = object else { return };
                for _ in 0..3 {
                    self.next_block = (self.next_block + 1) % 8;
                    let (sender, block) = (source, self.next_block);
                    let request = Request { object, sender, block, need: 36, relays: false, hops: None };
                    let frame = self.frame(sight.me, REQUEST, &request.write());
                    self.queue.push_back((frame, true));
                }
            }
            _ => {}
        }
    }

    /// What it says next: the length, and whether it is to be sealed with the mesh's key.
    pub fn say(&mut self, out: &mut [u8]) -> Option<(usize, bool)> {
        let (frame, genuine) = self.queue.pop_front()?;
        out.get_mut(..frame.len())?.copy_from_slice(&frame);
        Some((frame.len(), genuine))
    }
}
