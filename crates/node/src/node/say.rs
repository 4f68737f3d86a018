//! What a node says: outputs, frames, reports.

use super::*;
use crate::fetch::StreamAction;
use crate::root::RootMoment;
use rootcast_wire::frame::StartPurpose;

impl<const PEERS: usize> Node<PEERS> {
    /// The next thing that the node wants done. To be called until it says `None`, after every input and timeout.
    pub fn poll<P: Platform>(&mut self, now: Instant, platform: &mut P) -> Option<Output<'_>> {
        if self.restart {
            self.restart = false;
            return Some(Output::Restart);
        }
        let colour = self.colour();
        if self.shown != Some(colour) {
            self.shown = Some(colour);
            return Some(Output::Led(colour));
        }
        if let Some(action) = self.updater.poll_stream(now) {
            return Some(match action {
                StreamAction::Connect => match self.updater.url() {
                    Some(url) => Output::Connect { host: url.host(), port: url.port(), tls: url.is_https() },
                    None => Output::Close,
                },
                StreamAction::Send(length) => Output::Send(self.updater.outgoing(length)),
                StreamAction::Close => Output::Close,
            });
        }
        if self.settings.is_root && self.updater.is_waiting() && !self.root.is_held(self.unix_now(now)) {
            self.with_updater(now, platform, |updater, context| updater.grant(context));
        }
        let reports_out = self.steps.is_empty();
        if self.updater.take_restart(now, reports_out) {
            return Some(Output::Restart);
        }
        if let Some(length) = self.poll_spread(now, platform) {
            return Some(Output::SendFrame { to: Destination::Neighbours, bytes: self.frame.get(..length)? });
        }
        if self.settings.is_root { self.poll_root(now, platform) } else { self.poll_leaf(now, platform) }
    }

    fn poll_root<P: Platform>(&mut self, now: Instant, platform: &mut P) -> Option<Output<'_>> {
        if self.mqtt_connected {
            if core::mem::take(&mut self.subscribe) {
                self.topic = self.settings.topics.root_command();
                return Some(Output::Subscribe { topic: &self.topic });
            }
            if core::mem::take(&mut self.greet) {
                return Some(self.publish_presence(now));
            }
            if let Some(report) = self.forward.take() {
                return Some(self.publish_report(&report));
            }
            if let Some(step) = self.steps.front().cloned() {
                let report = self.report_of(&step);
                self.last = (Some(step.state), step.error);
                self.step_is_out(platform);
                return Some(self.publish_report(&report));
            }
            if let Some(status) = self.forward_status.take() {
                return Some(self.publish_status(&status));
            }
            if self.mesh.joined && now >= self.status_at {
                self.status_at = now.after(self.settings.hello_ms.into());
                let status = self.own_status(now);
                return Some(self.publish_status(&status));
            }
        }
        if let Some((node, sequence)) = self.acks.pop_front() {
            return self.send(Destination::Node(node), Body::ReportAck { node, sequence });
        }
        let own_download =
            self.updater.is_busy() && !self.updater.is_waiting() && !self.updater.is_installed();
        let unix_s = self.unix_now(now);
        let (is_source, chip, file) = (self.is_source(), self.settings.chip.0, self.updater.planned_file());
        let mesh = RootMoment { now, unix_s, own_download, is_source, chip, file };
        match self.root.wish(&mesh, self.cast.fragment_count(), &self.settings)? {
            RootWish::Grant(node, cast_id) => {
                self.send(Destination::Node(node), Body::StartGrant { node, cast_id })
            }
            RootWish::GrantRestart(node, cast_id) => {
                self.send(Destination::Node(node), Body::RestartGrant { node, cast_id })
            }
            RootWish::Fragment(index) => {
                let (source, sequence) = (self.settings.id, self.next_sequence());
                let piece = self.cast.fragment(index)?;
                let frame = Frame { source, sequence, body: Body::CastFragment(piece) };
                let length = frame.write(&mut self.frame).ok()?;
                Some(Output::SendFrame { to: Destination::Everybody, bytes: self.frame.get(..length)? })
            }
        }
    }

    fn poll_leaf<P: Platform>(&mut self, now: Instant, platform: &mut P) -> Option<Output<'_>> {
        if !self.mesh.joined {
            return None;
        }
        if let Some(bytes) = self.due_report(now, platform) {
            return Some(Output::SendFrame { to: Destination::Root, bytes: self.frame.get(..bytes)? });
        }
        if self.asks_to_go_on(now) && now >= self.request_at {
            let pause = (REPEAT_MS.0 << self.requests.min(6)).min(REPEAT_MS.1);
            self.requests = self.requests.saturating_add(1);
            self.request_at = now.after(pause + u64::from(platform.random()) % (pause / 2 + 1));
            let cast_id = self.updater.cast_id()?;
            let purpose = self.updater.purpose();
            let file = if purpose == StartPurpose::Download { self.updater.planned_file() } else { 0 };
            return self.send(Destination::Root, Body::StartRequest { cast_id, purpose, file });
        }
        if now >= self.hello_at {
            self.hello_at = now.after(self.settings.hello_ms.into());
            let hello = self.hello();
            return self.send(Destination::Root, Body::Hello(hello));
        }
        if now >= self.status_at {
            self.status_at = now.after(self.settings.hello_ms.into());
            let status = self.own_status(now);
            return self.send(Destination::Root, Body::Status(status));
        }
        None
    }

    /// Writes the report that is due into the frame buffer and says how long it is.
    fn due_report<P: Platform>(&mut self, now: Instant, platform: &mut P) -> Option<usize> {
        let step = self.steps.front()?.clone();
        let (sequence, tries) = match &self.in_flight {
            None => (self.next_sequence(), 0),
            Some(in_flight) if now >= in_flight.repeat_at => (in_flight.sequence, in_flight.tries),
            Some(_) => return None,
        };
        let pause = (REPEAT_MS.0 << tries.min(6)).min(REPEAT_MS.1);
        let repeat_at = now.after(pause + u64::from(platform.random()) % (pause / 2 + 1));
        self.in_flight = Some(InFlight { sequence, repeat_at, tries: tries.saturating_add(1) });
        self.last = (Some(step.state), step.error);
        let report = self.report_of(&step);
        Frame { source: self.settings.id, sequence, body: Body::Report(report) }.write(&mut self.frame).ok()
    }

    pub(super) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&mut self, to: Destination, body: Body<'_>) -> Option<Output<'_>> {
        let frame = Frame { source: self.settings.id, sequence: self.next_sequence(), body };
        let length = frame.write(&mut self.frame).ok()?;
        Some(Output::SendFrame { to, bytes: self.frame.get(..length)? })
    }

    fn publish_report(&mut self, report: &Report) -> Output<'_> {
        self.topic = self.settings.topics.report(report.device);
        let mut writer = SliceWriter::new(&mut self.payload);
        // MAX_REPORT_JSON_BYTES holds the longest report there is.
        let _ = report.write_json(&mut writer);
        let length = writer.used();
        Output::Publish {
            topic: &self.topic,
            payload: self.payload.get(..length).unwrap_or(&[]),
            qos: 1,
            retain: false,
        }
    }

    fn publish_status(&mut self, status: &NodeStatus) -> Output<'_> {
        self.topic = self.settings.topics.root_state();
        let mut writer = SliceWriter::new(&mut self.payload);
        let _ = status.write_json(&mut writer);
        let length = writer.used();
        Output::Publish {
            topic: &self.topic,
            payload: self.payload.get(..length).unwrap_or(&[]),
            qos: 0,
            retain: false,
        }
    }

    /// Retained, so that whoever comes later sees the root; the body leaves the matching last will with the broker.
    fn publish_presence(&mut self, now: Instant) -> Output<'_> {
        let status = self.own_status(now);
        let mut presence = Presence::new(self.settings.id, Dialect::Rootcast, true);
        presence.timestamp = self.unix_now(now);
        presence.firmware = status.firmware;
        presence.layer = status.layer;
        self.topic = self.settings.topics.root_state();
        let length = presence.to_json(&mut self.payload).unwrap_or(0);
        let payload = self.payload.get(..length).unwrap_or(&[]);
        Output::Publish { topic: &self.topic, payload, qos: 1, retain: true }
    }

    fn report_of(&self, step: &Step) -> Report {
        let mut report = Report::new(self.settings.id, self.settings.node_type.clone(), step.state);
        report.progress = step.progress;
        report.error = step.error;
        report.detail = step.detail.clone();
        report.target = step.target.map(|hash| hash.0);
        report.bytes = step.bytes;
        report.shared_bytes = step.shared_bytes;
        report.attempt = step.attempt;
        report.rollout = step.rollout.clone();
        report.layer = self.mesh.layer;
        report.parent = self.mesh.parent;
        report.unsigned_allowed = self.accepts_unsigned();
        if let Some(running) = &self.running {
            report.running = running.hash.0;
            report.version = Version::try_from(running.version.as_str()).unwrap_or_default();
        }
        report
    }

    fn hello(&self) -> Hello {
        let mut running = [0; 8];
        if let Some(facts) = &self.running {
            running.copy_from_slice(&facts.hash.0[..8]);
        }
        Hello {
            node_type: self.settings.node_type.clone(),
            is_root: self.settings.is_root,
            can_spread: self.settings.can_spread,
            unsigned_allowed: self.accepts_unsigned(),
            layer: self.mesh.layer,
            parent: self.mesh.parent,
            running,
            cast_id: self.heard_cast,
            state: self.update_state(),
            chip: self.settings.chip.0,
        }
    }
}
