//! What the planner decides about a rollout becomes rows and messages.

use super::publish::Message;
use super::registry::db_id;
use super::run::Run;
use super::work::Engine;
use crate::clock::to_db;
use crate::mqtt;
use crate::store::Changes;
use crate::store::event::EventRow;
use crate::store::release::url_of;
use crate::store::rollout::TriggerRow;
use rootcast_rollout::{Action, Fleet, Moment, State, plan};
use rootcast_wire::text::from_hex;
use rootcast_wire::{Mode, NodeId};
use std::collections::BTreeMap;

impl Engine {
    /// Nodes that are being updated, with the rollout that does it.
    pub(super) fn in_flight(&self) -> BTreeMap<NodeId, String> {
        let of_run = |(id, run): (&String, &Run)| {
            let active = run
                .rollout
                .updates
                .iter()
                .filter(|(_, update)| update.state.is_in_flight() || update.state == State::Soaking);
            active.map(|(node, _)| (*node, id.clone())).collect::<Vec<_>>()
        };
        self.runs.iter().flat_map(of_run).collect()
    }

    pub(super) fn plan(
        &mut self,
        id: &str,
        fleet: &Fleet,
        now: Moment,
        changes: &mut Changes,
        messages: &mut Vec<Message>,
    ) {
        let Some(run) = self.runs.get_mut(id) else { return };
        let plan = plan(&run.rollout, fleet, now);
        let mut is_changed = false;
        if fleet.follows {
            // Whoever leads writes about the whole; a pause that it has not read yet must hold all the same.
            if plan.actions.iter().any(|action| matches!(action, Action::Trigger { .. })) {
                changes.must_be.push((id.to_owned(), run.stored.revision));
            }
        } else {
            let holds = serde_json::to_string(&plan.holds).unwrap_or_default();
            is_changed = !plan.actions.is_empty() || holds != run.stored.holds;
            run.stored.holds = holds;
        }
        let event = |kind: &str, node: Option<NodeId>, mesh: Option<&str>, text: String| EventRow {
            seq: 0,
            at: to_db(now),
            kind: kind.to_owned(),
            rollout_id: Some(id.to_owned()),
            node: node.map(db_id),
            mesh: mesh.map(str::to_owned),
            text,
        };
        for action in &plan.actions {
            let before = match action {
                Action::Move { node, .. } => run.rollout.updates.get(node).map(|update| update.state),
                _ => None,
            };
            run.rollout.apply(action, fleet, now);
            match action {
                Action::Begin { reason, .. } => {
                    run.stored.reason.clone_from(reason);
                    changes.events.push(event("rollout", None, None, reason.clone()));
                }
                Action::EnterWave { wave, reason } => {
                    let text = format!("{reason}; wave {} begins", wave + 1);
                    run.stored.reason.clone_from(&text);
                    changes.events.push(event("wave", None, None, text));
                }
                Action::End { phase, reason } => {
                    run.stored.reason.clone_from(reason);
                    changes.events.push(event("rollout", None, None, format!("{}: {reason}", phase.name())));
                }
                Action::Move { node, change } => {
                    run.dirty.insert(*node);
                    let from = before.map_or("", State::name);
                    let text = format!("{from} → {}: {}", change.to.name(), change.reason);
                    changes.events.push(event("update", Some(*node), None, text));
                }
                Action::Swap { above, below, reason } => {
                    run.dirty.extend([*above, *below]);
                    changes.events.push(event("wave", Some(*above), None, reason.clone()));
                }
                Action::Trigger { mesh, variant, attempt, nodes, reason } => {
                    run.dirty.extend(nodes);
                    run.triggered.extend(nodes);
                    for node in nodes {
                        run.progress.remove(node);
                    }
                    let made = trigger_message(run, mesh, *variant, *attempt, nodes, &self.parts.files_url);
                    log(run, "trigger", mesh, *attempt, nodes, reason, made, now, changes, messages);
                    let text = format!("{} nodes triggered: {reason}", nodes.len());
                    changes.events.push(event("trigger", None, Some(mesh), text));
                }
                Action::Drop { mesh, attempt, nodes } => {
                    run.dirty.extend(nodes);
                    let made = mqtt::abort(mesh, &run.token(*attempt)).map_err(|error| error.to_string());
                    let reason = "told to drop the update";
                    log(run, "abort", mesh, *attempt, nodes, reason, made, now, changes, messages);
                    changes.events.push(event(
                        "trigger",
                        None,
                        Some(mesh),
                        format!("{} nodes {reason}", nodes.len()),
                    ));
                }
            }
        }
        // What reports ended since the last round may be the last thing that was waited for.
        is_changed |= !fleet.follows && run.rollout.has_ended() && run.stored.ended_at.is_none();
        if is_changed {
            changes.rollouts.push(run.row(now));
        }
    }
}

/// The topic and message of a trigger, or why there is none.
fn trigger_message(
    run: &Run,
    mesh: &str,
    variant: usize,
    attempt: u32,
    nodes: &[NodeId],
    files_url: &str,
) -> Result<(String, String), String> {
    let image = run.images.get(variant).ok_or("the release has no such image")?;
    let (place, file) = match &run.manifest {
        // A signed release says itself which image is for whom, how long it is, and who takes a patch.
        Some(manifest) => (manifest, None),
        None => {
            let sha256 = from_hex(&image.sha256).ok_or("the image's SHA-256 cannot be read")?;
            let size = u32::try_from(image.size).map_err(|_| "the image is too large")?;
            (&image.file, Some((sha256, size)))
        }
    };
    let order = mqtt::Order {
        url: &url_of(place, files_url),
        file,
        version: &run.version,
        nodes,
        token: &run.token(attempt),
        mode: run.rollout.spec.mode.as_deref().and_then(Mode::from_name),
        max_parallel: run.rollout.spec.limits.max_parallel,
        force: run.rollout.spec.force,
    };
    mqtt::trigger(mesh, &order).map_err(|error| error.to_string())
}

/// Writes a message into the log of triggers, and lines it up for the broker.
#[expect(clippy::too_many_arguments, reason = "a row's columns")]
fn log(
    run: &Run,
    kind: &str,
    mesh: &str,
    attempt: u32,
    nodes: &[NodeId],
    reason: &str,
    made: Result<(String, String), String>,
    now: Moment,
    changes: &mut Changes,
    messages: &mut Vec<Message>,
) {
    let (topic, message) = match made {
        Ok((topic, payload)) => {
            messages.push(Message { topic: topic.clone(), payload: payload.clone() });
            (topic, payload)
        }
        Err(error) => (String::new(), format!("not sent: {error}")),
    };
    let ids: Vec<i64> = nodes.iter().map(|id| db_id(*id)).collect();
    changes.triggers.push(TriggerRow {
        seq: 0,
        at: to_db(now),
        rollout_id: run.stored.id.clone(),
        attempt: attempt.into(),
        mesh: mesh.to_owned(),
        kind: kind.to_owned(),
        nodes: serde_json::to_string(&ids).unwrap_or_default(),
        topic,
        message,
        reason: reason.to_owned(),
    });
}
