//! A rollout as people see it: how it stands and why, its waves, its nodes, what can be done with it.

use super::Site;
use super::layout::token;
use super::parts::{ago, badge, bar, counted, escape, hash, tone, words};
use super::session::Session;
use super::sight::mac;
use crate::service::ServiceError;
use crate::service::releases::ReleaseView;
use crate::service::rollouts::{RolloutView, UpdateView};
use maud::{Markup, html};
use rootcast_rollout::update::State;
use rootcast_rollout::{Moment, Phase, Wave, WaveSize};
use rootcast_wire::NodeId;
use std::collections::BTreeMap;

/// A rollout with its release.
pub struct Titled {
    /// The rollout.
    pub view: RolloutView,
    /// Its release.
    pub release: ReleaseView,
}

impl Titled {
    /// Puts the release to a rollout.
    pub async fn of(site: &Site, view: RolloutView) -> Result<Self, ServiceError> {
        let release = site.service.release(&view.release).await?;
        Ok(Self { view, release })
    }

    /// What it is called.
    pub fn label(&self) -> String {
        match self.view.name.as_str() {
            "" => format!("{} {}", self.release.project, self.release.version),
            name => name.to_owned(),
        }
    }
}

/// How many are in which state, in the order of the way.
fn in_order<'a>(counts: impl Iterator<Item = (&'a str, i64)>) -> Vec<(State, i64)> {
    let mut by_state: BTreeMap<State, i64> = BTreeMap::new();
    for (state, nodes) in counts.filter_map(|(name, nodes)| Some((State::from_name(name)?, nodes))) {
        *by_state.entry(state).or_insert(0) += nodes;
    }
    by_state.into_iter().collect()
}

/// A bar of how far nodes are, best first.
fn progress(counts: &[(State, i64)]) -> Markup {
    let sum = |wanted: &str| -> i64 {
        counts.iter().filter(|(state, _)| tone(state.name()) == wanted).map(|(_, nodes)| nodes).sum()
    };
    let shares = ["good", "busy", "bad", "off", "idle"].map(|tone| (tone, sum(tone)));
    let label: Vec<String> =
        counts.iter().map(|(state, nodes)| format!("{nodes} {}", words(state.name()))).collect();
    bar(&shares, &label.join(", "))
}

/// One rollout in a list.
pub fn line(rollout: &Titled, now: Moment) -> Markup {
    let view = &rollout.view;
    let counts = in_order(view.counts.iter().map(|count| (count.state.as_str(), count.nodes)));
    html! {
        li.row.rollout {
            div.row-main {
                a href={ "/rollouts/" (escape(&view.id)) } { b { (rollout.label()) } }
                " " (badge(&view.phase))
                div.small.dim {
                    @if !view.name.is_empty() { (rollout.release.project) " " (rollout.release.version) " · " }
                    (ago(&view.created_at, now)) " by " (view.created_by)
                }
                @if !view.reason.is_empty() { div.small.reason { (view.reason) } }
            }
            (progress(&counts))
        }
    }
}

/// How it stands, and why.
pub fn summary(rollout: &Titled, now: Moment) -> Markup {
    let view = &rollout.view;
    let tone = tone(&view.phase);
    html! {
        p.lead data-announce { (badge(&view.phase)) @if !view.reason.is_empty() { " " span.reason.strong[tone == "bad"] { (view.reason) } } }
        p.dim {
            "Release " a href={ "/releases/" (escape(&rollout.release.id)) } { (rollout.release.project) " " (rollout.release.version) }
            " · begun " (ago(&view.created_at, now)) " by " (view.created_by)
            @if let Some(ended) = &view.ended_at { " · ended " (ago(ended, now)) }
        }
        @if !view.holds.is_empty() {
            div.notice {
                h2 { "Waiting" }
                ul { @for (reason, nodes) in &view.holds { li { (counted(usize::try_from(*nodes).unwrap_or(0), "node")) ": " (reason) } } }
            }
        }
    }
}

/// The waves.
pub fn waves(view: &RolloutView) -> Markup {
    html! {
        ol.waves {
            @for (index, wave) in view.spec.waves.iter().enumerate() {
                @let number = i64::try_from(index).unwrap_or(i64::MAX - 1) + 1;
                @let counts = in_order(view.counts.iter().filter(|it| it.wave == number).map(|it| (it.state.as_str(), it.nodes)));
                @let nodes: i64 = counts.iter().map(|(_, nodes)| nodes).sum();
                @let is_done = counts.iter().all(|(state, _)| state.is_end());
                li.wave.open[number == view.wave && !is_done] {
                    div.wave-head {
                        h3 { "Wave " (number) @if index == 0 && view.spec.waves.len() > 1 { " · canary" } }
                        span.dim { (size(wave)) " · " (counted(usize::try_from(nodes).unwrap_or(0), "node")) }
                        span.wave-state {
                            @if nodes == 0 { "nobody in it" }
                            @else if is_done { "ended" }
                            @else if number <= view.wave { "open" }
                            @else { "waits" }
                        }
                    }
                    (progress(&counts))
                    ul.tally { @for (state, nodes) in &counts { li { (badge(state.name())) " " b { (nodes) } } } }
                    p.small.dim { (allowed(wave)) }
                }
            }
        }
    }
}

fn size(wave: &Wave) -> String {
    match wave.size {
        WaveSize::Count(count) => format!("at most {count}"),
        WaveSize::Percent(share) => format!("{share} % of all"),
        WaveSize::Rest => "all others".to_owned(),
    }
}

fn allowed(wave: &Wave) -> String {
    let mut text = match (wave.max_failures, wave.max_failures_percent) {
        (0, 0) => "Stops at the first failure".to_owned(),
        (count, 0) => format!("Stops at more than {count} failures"),
        (0, share) => format!("Stops at more than {share} % failures"),
        (count, share) => format!("Stops at more than {count} failures or {share} %, whichever is more"),
    };
    if wave.min_success_percent > 0 {
        text.push_str(&format!("; the next wave needs {} % success", wave.min_success_percent));
    }
    text
}

/// What can be done with it now. Nothing needs a script: what cannot be taken back is behind a second button.
pub fn actions(view: &RolloutView, session: &Session) -> Markup {
    let phase = Phase::from_name(&view.phase);
    let at = |order: &str| format!("/rollouts/{}/{order}", escape(&view.id));
    let can_retry = view.ended_at.is_some()
        && view.counts.iter().any(|count| {
            State::from_name(&count.state).is_some_and(|state| state.is_failure() || state == State::Aborted)
        });
    html! {
        div.actions {
            @if matches!(phase, Some(Phase::Scheduled | Phase::Running)) {
                form method="post" action=(at("pause")) { (token(session)) button { "Pause" } }
            }
            @if phase == Some(Phase::Paused) {
                form method="post" action=(at("resume")) { (token(session)) button.primary { "Resume" } }
            }
            @if phase.is_some_and(|phase| !phase.is_over()) {
                details.confirm {
                    summary.button { "Abort…" }
                    form.card method="post" action=(at("abort")) {
                        (token(session))
                        p { "Nobody more is triggered, and whoever has not switched yet drops the update. Nodes that have switched go on to their end." }
                        button.danger { "Abort the rollout" }
                    }
                }
            }
            @if can_retry {
                details.confirm {
                    summary.button { "Retry…" }
                    form.card method="post" action=(at("retry")) {
                        (token(session))
                        p { "The nodes that did not make it are tried again, wave by wave." }
                        label.tick {
                            input type="checkbox" name="force"; " Install the image even where it failed its trial before"
                        }
                        button.primary { "Retry them" }
                    }
                }
            }
        }
    }
}

/// Nodes and their parts. `names` are what people call them.
pub fn updates(updates: &[UpdateView], names: &BTreeMap<u64, String>, now: Moment, label: &str) -> Markup {
    html! {
        table.stack role="table" aria-label=(label) {
            thead role="rowgroup" {
                tr role="row" {
                    @for title in ["Node", "Wave", "State", "Why", "Since"] { th scope="col" role="columnheader" { (title) } }
                }
            }
            tbody role="rowgroup" {
                @for it in updates {
                    tr role="row" {
                        th scope="row" role="rowheader" {
                            a href={ "/nodes/" (it.node) } { (names.get(&it.node).cloned().unwrap_or_else(|| mac(NodeId(it.node)))) }
                        }
                        td role="cell" data-label="Wave" { (it.wave) }
                        td role="cell" data-label="State" {
                            (badge(&it.state))
                            @if it.state == "downloading" {
                                " " (it.progress) " % "
                                progress max="100" value=(it.progress) aria-label="Downloaded" {}
                            }
                            @if it.attempt > 1 { span.dim { " attempt " (it.attempt) } }
                        }
                        td role="cell" data-label="Why" {
                            (it.reason)
                            @if let Some(code) = &it.code { " " code { (code) } }
                            @if it.reason.is_empty() && it.code.is_none() { span.dim { "–" } }
                        }
                        td role="cell" data-label="Since" { (ago(&it.since, now)) }
                    }
                }
            }
        }
    }
}

/// What was asked for, for the curious.
pub fn asked(view: &RolloutView) -> Markup {
    let json = serde_json::to_string_pretty(&view.spec).unwrap_or_default();
    html! {
        details.card {
            summary { "What was asked for" }
            p.small { "Id " code { (view.id) } " · release " (hash(&view.release)) }
            pre tabindex="0" { (json) }
        }
    }
}
