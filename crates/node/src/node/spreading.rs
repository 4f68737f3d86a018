//! The node's part in spreading: the root makes a source of what it has verified, leaves take pages and hand them on.

use super::*;
use crate::PAGE_BYTES;
use crate::spread::{ADVERTISE, Advertise, DATA_MAGIC, Data, PageDigest, REQUEST, Request, SpreadFrame};
use crate::update::SlotPages;

/// A node on its way to become a source: every page of the verified file gets its digest.
pub(super) struct Source {
    cast_id: CastId,
    size: u32,
    page: u16,
}

/// The pages that [`crate::spread::Spread`] works on, without borrowing the whole node.
macro_rules! with_pages {
    ($node:ident, $now:expr, $platform:expr, |$spread:ident, $pages:ident| $work:expr) => {{
        let unix_s = $node.unix_now($now);
        let mut context = Context {
            now: $now,
            unix_s,
            platform: $platform,
            settings: &$node.settings,
            running: $node.running.as_ref(),
            steps: &mut $node.steps,
        };
        let from_running = $node.spread_from_running;
        let mut pages = SlotPages { updater: &mut $node.updater, context: &mut context, from_running };
        let ($spread, $pages) = (&mut $node.spread, &mut pages);
        $work
    }};
}

impl<const PEERS: usize> Node<PEERS> {
    /// Whether the mesh's pages are (or will be) there for this cast, so that nobody need ask the server.
    pub(super) fn is_source(&self) -> bool {
        let cast_id = self.cast.id();
        let offers = self.spread.description().is_some_and(|description| description.cast_id == cast_id);
        let prepares = self.source.as_ref().is_some_and(|source| source.cast_id == cast_id);
        let fetches =
            self.updater.cast_id() == Some(cast_id) && self.updater.trigger().is_some_and(Trigger::spreads);
        self.settings.can_spread && (offers || prepares || fetches)
    }

    pub(super) fn on_data_frame<P: Platform>(&mut self, now: Instant, bytes: &[u8], platform: &mut P) {
        if !bytes.starts_with(&DATA_MAGIC) {
            return;
        }
        if let Some(data) = Data::read(bytes) {
            let random = platform.random();
            with_pages!(self, now, platform, |spread, pages| spread.on_data(&data, now, random, pages));
            self.look_after_pages(now, platform);
        }
    }

    pub(super) fn on_spread_frame<P: Platform>(
        &mut self,
        now: Instant,
        source: NodeId,
        kind: u8,
        bytes: &[u8],
        signal_dbm: Option<i8>,
        platform: &mut P,
    ) {
        let random = platform.random();
        match kind {
            ADVERTISE => {
                let Some(advertise) = Advertise::read(bytes) else { return };
                let known = self.spread.description() == Some(&advertise.description);
                if !known
                    && self.with_updater(now, platform, |updater, context| {
                        updater.accepts_offer(&advertise.description, context)
                    })
                {
                    let hops = advertise.hops.saturating_add(1);
                    self.spread.want(advertise.description.clone(), hops, now, random);
                    self.with_updater(now, platform, |updater, context| {
                        updater.tell_progress(UpdateState::Downloading, context);
                    });
                }
                self.spread.on_advertise(source, &advertise, signal_dbm, now, random);
            }
            REQUEST => {
                if let Some(request) = Request::read(bytes) {
                    self.spread.on_request(source, &request, signal_dbm, now, random);
                }
            }
            _ => {}
        }
    }

    /// Notices that the last page is there, or that the update they were for has ended.
    fn look_after_pages<P: Platform>(&mut self, now: Instant, platform: &mut P) {
        if self.updater.is_sharing() && self.spread.is_complete() {
            self.with_updater(now, platform, |updater, context| updater.sharing_done(context));
        }
        if !self.settings.is_root && !self.updater.is_busy() && self.spread.description().is_some() {
            self.spread.stop();
        }
    }

    /// A node whose image did not come from its neighbours has it for them: the root, once its own is verified or is the
    /// one that runs already, and whoever had to ask the server itself, being of another chip.
    pub(super) fn become_source<P: Platform>(&mut self, now: Instant, platform: &mut P) {
        if !self.settings.can_spread {
            return;
        }
        if let Some((cast_id, size)) = self.updater.take_same_as_running()
            && self.settings.is_root
        {
            self.begin_source(cast_id, size, true);
        }
        if self.source.is_none()
            && self.updater.trigger().is_some_and(Trigger::spreads)
            && let (Some(size), Some(cast_id)) = (self.updater.shared_size(), self.updater.cast_id())
            && self.spread.description().is_none_or(|description| description.cast_id != cast_id)
        {
            self.begin_source(cast_id, size, false);
        }
        let Some(source) = &mut self.source else { return };
        let mut bytes = [0; PAGE_BYTES];
        if u32::from(source.page) * (PAGE_BYTES as u32) < source.size {
            let end = (source.size as usize - usize::from(source.page) * PAGE_BYTES).min(PAGE_BYTES);
            if self.updater.read_page(source.page, self.spread_from_running, &mut bytes, platform)
                && self.spread.collect(source.page, PageDigest::of(bytes.get(..end).unwrap_or(&bytes)))
            {
                source.page += 1;
            } else {
                self.source = None;
            }
            return;
        }
        let random = platform.random();
        if let Some(source) = self.source.take() {
            self.spread.offer_collected(source.cast_id, source.size, self.settings.chip, now, random);
        }
    }

    fn begin_source(&mut self, cast_id: CastId, size: u32, from_running: bool) {
        self.spread.stop();
        self.spread_from_running = from_running;
        self.source = Some(Source { cast_id, size, page: 0 });
    }

    pub(super) fn spread_deadline(&self, now: Instant) -> Option<Instant> {
        if self.source.is_some() {
            return Some(now);
        }
        if self.mesh.joined { self.spread.deadline(now) } else { None }
    }

    /// The next frame of the spread protocol, in the frame buffer.
    pub(super) fn poll_spread<P: Platform>(&mut self, now: Instant, platform: &mut P) -> Option<usize> {
        if !self.mesh.joined {
            return None;
        }
        let random = platform.random();
        let mut bytes = [0; crate::spread::MAX_SPREAD_BYTES];
        let frame =
            with_pages!(self, now, platform, |spread, pages| spread.poll(now, random, pages, &mut bytes));
        self.look_after_pages(now, platform);
        match frame? {
            SpreadFrame::Data(length) => {
                self.frame.get_mut(..length)?.copy_from_slice(bytes.get(..length)?);
                Some(length)
            }
            SpreadFrame::Body { kind, length } => {
                let (source, sequence) = (self.settings.id, self.next_sequence());
                let body = Body::Spread { kind, bytes: bytes.get(..length)? };
                Frame { source, sequence, body }.write(&mut self.frame).ok()
            }
        }
    }
}
