//! What a node hears, and what it does about it.

use super::*;

impl<const PEERS: usize> Node<PEERS> {
    /// Something has happened.
    pub fn handle<P: Platform>(&mut self, now: Instant, input: Input<'_>, platform: &mut P) {
        match input {
            Input::Frame(bytes) => self.on_bytes(now, bytes, None, platform),
            Input::NeighbourFrame { bytes, signal_dbm } => {
                self.on_bytes(now, bytes, Some(signal_dbm), platform)
            }
            Input::Mesh(mesh) => {
                if mesh.joined && (!self.mesh.joined || mesh.parent != self.mesh.parent) {
                    self.hello_at = now;
                    self.status_at = now;
                }
                self.mesh = mesh;
            }
            Input::MqttConnected => {
                self.mqtt_connected = true;
                self.subscribe = true;
                self.greet = true;
                self.status_at = now;
            }
            Input::MqttDisconnected => self.mqtt_connected = false,
            Input::MqttMessage { topic, payload } => {
                if self.settings.is_root && topic == self.settings.topics.root_command().as_str() {
                    self.on_command(now, payload, platform);
                }
            }
            Input::StreamConnected => self.updater.connected(now),
            Input::StreamData(bytes) => {
                self.with_updater(now, platform, |updater, context| updater.received(bytes, context))
            }
            Input::StreamClosed => {
                self.with_updater(now, platform, |updater, context| updater.closed(context))
            }
            Input::StreamFailed(code) => {
                self.with_updater(now, platform, |updater, context| updater.stream_failed(code, context));
            }
            Input::ApplicationHealth(healthy) => {
                self.application_healthy = healthy;
                if let Some(trial) = &mut self.trial {
                    trial.unhealthy = !healthy;
                }
            }
            // Time before the newest time signed is wrong, whoever says so.
            Input::WallClock { unix_s } if !self.updater.may_be_now(unix_s) => {}
            Input::WallClock { unix_s } => self.unix_s = Some((unix_s, now)),
        }
        self.look_after_trial(now, platform);
        self.look_after_kept_cast(now, platform);
    }

    fn on_bytes<P: Platform>(
        &mut self,
        now: Instant,
        bytes: &[u8],
        signal_dbm: Option<i8>,
        platform: &mut P,
    ) {
        match Frame::parse(bytes) {
            Ok(frame) => self.on_frame(now, frame, signal_dbm, platform),
            Err(_) => self.on_data_frame(now, bytes, platform),
        }
    }

    fn on_frame<P: Platform>(
        &mut self,
        now: Instant,
        frame: Frame<'_>,
        signal_dbm: Option<i8>,
        platform: &mut P,
    ) {
        if frame.source == self.settings.id {
            return;
        }
        match frame.body {
            Body::CastFragment(piece) if !self.settings.is_root => {
                self.root_heard = true;
                if let Accepted::Complete(id) = self.cast.accept(&piece) {
                    self.heard_cast = id;
                    self.take_cast(now, id, platform);
                }
            }
            Body::ReportAck { node, sequence } if node == self.settings.id => {
                self.root_heard = true;
                self.on_ack(sequence, platform);
            }
            Body::StartGrant { node, cast_id } if node == self.settings.id => {
                self.root_heard = true;
                if self.is_meant_for_update(cast_id) {
                    self.with_updater(now, platform, |updater, context| updater.grant(context));
                }
            }
            Body::RestartGrant { node, cast_id } if node == self.settings.id => {
                self.root_heard = true;
                if self.is_meant_for_update(cast_id) {
                    self.with_updater(now, platform, |updater, context| updater.switch(context));
                }
            }
            Body::Spread { kind, bytes } => {
                self.on_spread_frame(now, frame.source, kind, bytes, signal_dbm, platform);
            }
            body if self.settings.is_root => self.on_frame_for_root(now, frame.source, frame.sequence, body),
            _ => {}
        }
    }

    /// Whether a leave that was given for this cast is one for the update that goes on: the root may have cast something newer
    /// for others meanwhile; a leave for an older cast is late.
    fn is_meant_for_update(&self, cast_id: CastId) -> bool {
        self.updater.cast_id().is_some_and(|own| !own.is_newer_than(cast_id))
    }

    fn on_frame_for_root(&mut self, now: Instant, source: NodeId, sequence: u32, body: Body<'_>) {
        match body {
            Body::Hello(hello) => {
                if hello.cast_id.is_newer_than(self.heard_cast) {
                    self.heard_cast = hello.cast_id;
                }
                self.root.heard_hello(source, &hello, now);
            }
            Body::StartRequest { cast_id, purpose, file } => {
                self.root.asked_to_start(source, cast_id, purpose, file, now);
            }
            // Without a broker the report stays with its node, which keeps repeating it.
            Body::Report(report) if self.mqtt_connected && self.forward.is_none() => {
                if self.root.heard_report(source, sequence, report.state, now) {
                    self.forward = Some(report);
                }
                let _ = self.acks.push_back((source, sequence));
            }
            Body::Status(status) => self.forward_status = Some(status),
            _ => {}
        }
    }

    fn on_ack<P: Platform>(&mut self, sequence: u32, platform: &mut P) {
        if self.in_flight.as_ref().is_some_and(|in_flight| in_flight.sequence == sequence) {
            self.in_flight = None;
            self.step_is_out(platform);
        }
    }

    /// The oldest step has reached the operator's side.
    pub(super) fn step_is_out<P: Platform>(&mut self, platform: &mut P) {
        if let Some(step) = self.steps.pop()
            && step.state == UpdateState::RolledBack
        {
            self.updater.close_reported(platform);
        }
    }

    fn on_command<P: Platform>(&mut self, now: Instant, payload: &[u8], platform: &mut P) {
        let id = match parse_command(payload) {
            Ok(Command::Trigger(trigger)) => {
                let id = self.cast.originate_trigger(&trigger, self.heard_cast);
                if let Ok(id) = id {
                    self.begin_cast(id, &trigger, now);
                }
                id
            }
            Ok(Command::Abort(abort)) => {
                let id = self.cast.originate_abort(&abort, self.heard_cast);
                if let Ok(id) = id {
                    self.root.cast(id, self.settings.max_parallel, false, None, now);
                }
                id
            }
            Ok(Command::Ignored) => return,
            Err(error) => {
                self.refuse_command(error.code(), &error);
                return;
            }
        };
        if let Ok(id) = id {
            self.heard_cast = id;
            self.take_cast(now, id, platform);
            self.keep_cast(id, now, platform);
        }
    }

    /// A trigger that cannot be understood changes nothing but is answered.
    fn refuse_command(&mut self, code: ErrorCode, error: &dyn core::fmt::Display) {
        let detail = rootcast_wire::text::cut_format(format_args!("{error}"));
        self.steps.push(Step {
            state: UpdateState::Refused,
            error: Some(code),
            detail,
            progress: 0,
            target: None,
            bytes: 0,
            shared_bytes: 0,
            attempt: 0,
            rollout: RolloutId::new(),
        });
    }

    /// Acts on a complete cast, once.
    pub(super) fn take_cast<P: Platform>(&mut self, now: Instant, id: CastId, platform: &mut P) {
        self.hello_at = now;
        if !id.is_newer_than(self.done_cast) {
            return;
        }
        let mut trigger = Trigger::new();
        let Some(Ok(parsed)) =
            self.cast.encoded().map(|encoded| rootcast_wire::cast::decode(encoded, &mut trigger))
        else {
            self.cast.collect_again();
            return;
        };
        self.done_cast = id;
        match parsed {
            Parsed::Trigger => {
                if !trigger.targets.include(self.settings.id, &self.settings.node_type, self.settings.is_root)
                {
                    return;
                }
                if self.trial.is_some() {
                    self.refuse_command(ErrorCode::Busy, &"the running image is still on trial");
                    return;
                }
                self.waiting_since = now;
                self.request_at = now;
                self.requests = 0;
                self.with_updater(now, platform, |updater, context| updater.begin(&trigger, id, context));
            }
            Parsed::Abort(abort) => {
                let rollout = self.updater.trigger().map(|trigger| trigger.rollout.clone());
                if rollout.is_some_and(|rollout| abort.means(rollout.as_deref())) {
                    self.with_updater(now, platform, |updater, context| updater.abort(context));
                }
            }
            Parsed::Ignored => {}
        }
    }
}
