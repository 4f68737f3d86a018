//! What spreading nodes say to each other, message by message and as a conversation.

use rootcast_image::ChipId;
use rootcast_node::Instant;
use rootcast_node::spread::{
    Advertise, Data, Description, DigestList, MAX_ADVERTISE_BYTES, MAX_SPREAD_BYTES_V2, PACKET_BYTES, Pace,
    PageDigest, PageStore, Request, Spread, SpreadFrame,
};
use rootcast_wire::NodeId;
use rootcast_wire::cast::CastId;

use crate::Target;

/// The targets of this module.
pub const TARGETS: &[Target] = &[
    Target { name: "spread_message", run: message, seeds: messages, repair: None },
    Target { name: "spread_talk", run: talk, seeds: talks, repair: None },
];

const PAGE: usize = 4096;

/// [`Advertise`], [`Request`] and [`Data`]: what is read is written and read as the same.
pub fn message(input: &[u8]) {
    if let Some(advertise) = Advertise::read(input) {
        let mut buffer = [0; MAX_ADVERTISE_BYTES];
        let length = advertise.write(&mut buffer);
        assert_eq!(Advertise::read(&buffer[..length]), Some(advertise));
    }
    if let Some(request) = Request::read(input) {
        assert_eq!(Request::read(&request.write()), Some(request));
    }
    if let Some(data) = Data::read(input) {
        assert_eq!(data.packets().count(), data.payload.len() / PACKET_BYTES);
        let mut buffer = vec![0; input.len()];
        assert_eq!(data.write(&mut buffer), Some(input.len()));
        assert_eq!(Data::read(&buffer), Some(data));
    }
}

/// Pages in memory: a node's slot.
struct Store(Vec<[u8; PAGE]>);

impl PageStore for Store {
    fn read(&mut self, page: u16, offset: usize, into: &mut [u8]) -> bool {
        let found = self.0.get(usize::from(page)).and_then(|page| page.get(offset..offset + into.len()));
        found.map(|bytes| into.copy_from_slice(bytes)).is_some()
    }

    fn write(&mut self, page: u16, bytes: &[u8; PAGE]) -> bool {
        assert_eq!(PageDigest::of(bytes), PageDigest::of(&file_page()), "only what was verified is stored");
        self.0.get_mut(usize::from(page)).map(|room| *room = *bytes).is_some()
    }
}

fn file_page() -> [u8; PAGE] {
    core::array::from_fn(|index| ((index * 7) >> 3) as u8)
}

/// Three pages that are alike, so that one digest serves.
fn object() -> (Description, DigestList) {
    let digest = PageDigest::of(&file_page());
    let mut digests = DigestList::default();
    let mut list = [0xFF; PAGE];
    for page in 0..3 {
        digests.set(page, digest);
        list[usize::from(page) * 16..][..16].copy_from_slice(&digest.0);
    }
    let mut description = Description {
        cast_id: CastId(9),
        size: 3 * PAGE as u32,
        chip: ChipId::ESP32C3,
        lists: Default::default(),
    };
    description.lists.push(PageDigest::of(&list)).expect("room for one");
    (description, digests)
}

/// [`Spread`]: a node that wants an object, or has one, hears anything at any time. It stores nothing unverified, and
/// never asks to be called in the past without end. Each event: kind, length, bytes.
pub fn talk(input: &[u8]) {
    let Some((&role, mut input)) = input.split_first() else { return };
    let (description, digests) = object();
    let me = NodeId(0xA0B1_C2D3_E4F5);
    let mut now = Instant(1_000);
    let mut random = u32::from(role).wrapping_mul(0x9E37_79B9);
    let mut spread = Spread::new(me, Pace::default());
    let mut store = Store(vec![if role & 1 == 0 { [0xFF; PAGE] } else { file_page() }; 3]);
    if role & 1 == 0 {
        spread.want(description, role >> 4, now, random);
    } else {
        spread.offer(description, digests, 0, now, random);
    }
    let mut out = [0; MAX_SPREAD_BYTES_V2];
    for _ in 0..64 {
        let Some(([kind, length], rest)) = input.split_first_chunk::<2>() else { break };
        let (bytes, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        input = rest;
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let from = NodeId(u64::from(kind >> 4) + 1);
        match kind & 7 {
            0 => {
                if let Some(advertise) = Advertise::read(bytes) {
                    spread.on_advertise(from, &advertise, Some(-50), now, random);
                }
            }
            // The description is what an attacker can choose; its id is only right when it is computed.
            1 => {
                if let Some(head) = bytes.first_chunk::<4>() {
                    let (mut description, _) = object();
                    description.cast_id = CastId(u32::from(head[0] & 15));
                    description.size = (u32::from(head[1]) % 4 + 1) * PAGE as u32;
                    let advertise = Advertise { description, held: u16::from(head[2]), hops: head[3] };
                    spread.on_advertise(from, &advertise, None, now, random);
                }
            }
            2 => {
                if let Some(mut request) = Request::read(bytes) {
                    if kind & 8 == 0 {
                        (request.object, request.sender) = (object().0.id(), me);
                    }
                    spread.on_request(from, &request, None, now, random);
                }
            }
            3 => {
                let payload = [bytes.first().copied().unwrap_or(0); PACKET_BYTES];
                let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
                let data = Data {
                    object: object().0.id().0 as u16,
                    block: u16::from(byte(1)),
                    index: byte(2),
                    beyond: byte(3),
                    sender: u16::from(kind >> 4),
                    left: byte(4) & 0x7F,
                    deep: kind & 8 != 0,
                    payload: &payload,
                };
                spread.on_data(&data, now, random, &mut store);
            }
            4 => {
                if let Some(data) = Data::read(bytes) {
                    spread.on_data(&data, now, random, &mut store);
                }
            }
            5 => spread.stop(),
            _ => {
                let wait = u64::from(*length);
                now = spread.deadline(now).map_or(now.after(wait), |deadline| {
                    if deadline > now { deadline.min(now.after(60_000)) } else { now.after(1 + wait) }
                });
            }
        }
        for _ in 0..4 {
            match spread.poll(now, random, &mut store, &mut out) {
                Some(SpreadFrame::Body { length, .. } | SpreadFrame::Data(length)) => {
                    assert!(length <= out.len());
                }
                None => break,
            }
        }
        let _ = (spread.file_pages_held(), spread.is_complete(), spread.is_sending());
    }
}

fn messages() -> Vec<Vec<u8>> {
    let (description, _) = object();
    let mut buffer = [0; MAX_ADVERTISE_BYTES];
    let advertise = Advertise { description: description.clone(), held: 2, hops: 1 };
    let length = advertise.write(&mut buffer);
    let request =
        Request { object: description.id(), sender: NodeId(7), block: 1, need: 5, relays: true, hops: None };
    let payload = [0x5A; 2 * PACKET_BYTES];
    let data = Data {
        object: description.id().0 as u16,
        block: 1,
        index: 255,
        beyond: 0,
        sender: 7,
        left: 3,
        deep: false,
        payload: &payload,
    };
    let mut frame = [0; 512];
    let frame_length = data.write(&mut frame).expect("room");
    vec![buffer[..length].to_vec(), request.write().to_vec(), frame[..frame_length].to_vec()]
}

fn talks() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for role in 0..4 {
        let mut talk = vec![role];
        for (kind, message) in [0x10, 0x22, 0x34].iter().zip(messages()) {
            let message = &message[..message.len().min(255)];
            talk.extend([*kind, message.len() as u8]);
            talk.extend(message);
            talk.extend([6, 0, 0x13, 5, 1, 0, 3, 0, 9]);
        }
        all.push(talk);
    }
    all
}
