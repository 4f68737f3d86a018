//! A root keeps the cast that it has taken on in NVS until its own update has a journal, or until the cast's time has
//! come: what was reported as accepted survives a power failure.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | starts since; [`NOTHING`] alone when no cast is kept |
//! | 1 | 4 | cast id, little-endian |
//! | 5 | … | the command as it is cast |

use super::*;
use crate::platform::SettingKey;

const HEAD_BYTES: usize = 5;
/// What is stored when nothing is to be kept: NVS has no empty blobs.
const NOTHING: u8 = 0xFF;
/// Starts after which a cast is given up: it may be what makes this node restart.
const MAX_STARTS: u8 = 8;

impl<const PEERS: usize> Node<PEERS> {
    /// Keeps the cast at hand, if a power failure would lose it.
    pub(super) fn keep_cast<P: Platform>(&mut self, id: CastId, now: Instant, platform: &mut P) {
        if self.is_cast_to_keep(now)
            && let Some(encoded) = self.cast.encoded()
            && let Some(page) = self.updater.spare_page()
            && let Some(room) = page.get_mut(..HEAD_BYTES + encoded.len())
        {
            room[0] = 0;
            room[1..HEAD_BYTES].copy_from_slice(&id.0.to_le_bytes());
            room[HEAD_BYTES..].copy_from_slice(encoded);
            // Where it cannot be stored, a power failure loses the trigger, and the operator sees no report after it.
            self.keeps_cast = platform.store(SettingKey::Cast, room).is_ok();
        }
    }

    /// Forgets the cast that was kept as soon as nothing would be lost with it.
    pub(super) fn look_after_kept_cast<P: Platform>(&mut self, now: Instant, platform: &mut P) {
        if self.keeps_cast && !self.is_cast_to_keep(now) {
            // Left there, it is found to be done by the journal, or refused once more.
            let _ = platform.store(SettingKey::Cast, &[NOTHING]);
            self.keeps_cast = false;
        }
    }

    /// Its own part of the cast has left no trace on flash yet, or the whole mesh waits for the cast's time.
    fn is_cast_to_keep(&self, now: Instant) -> bool {
        self.root.is_held(self.unix_now(now)) || (self.updater.is_busy() && !self.updater.has_journal())
    }

    /// Takes up the cast that a power failure interrupted before anything of it stood in a journal.
    pub(super) fn recall_kept_cast<P: Platform>(&mut self, now: Instant, platform: &mut P) {
        let Some(page) = self.updater.spare_page() else { return };
        let Some(length) = platform.load(SettingKey::Cast, page) else { return };
        let Some([starts, id @ ..]) =
            page.first_chunk::<HEAD_BYTES>().copied().filter(|_| length > HEAD_BYTES)
        else {
            return;
        };
        self.keeps_cast = true;
        let id = CastId(u32::from_le_bytes(id));
        if self.updater.is_busy() || !id.is_newer_than(self.done_cast) || starts >= MAX_STARTS {
            self.look_after_kept_cast(now, platform);
            return;
        }
        let Some(page) = self.updater.spare_page() else { return };
        page[0] = starts + 1;
        let kept = page.get(..length).unwrap_or(&[]);
        // Not counted is not tried: it could restart this node for ever.
        if platform.store(SettingKey::Cast, kept).is_err() {
            return;
        }
        let encoded = kept.get(HEAD_BYTES..).unwrap_or(&[]);
        let Some(trigger) = decode_trigger(encoded) else { return };
        let mut index = 0;
        while let Some(piece) = fragment(id, encoded, index) {
            let _ = self.cast.accept(&piece);
            index += 1;
        }
        self.heard_cast = id;
        self.begin_cast(id, &trigger, now);
        self.take_cast(now, id, platform);
    }
}
