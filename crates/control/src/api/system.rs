//! Health, metrics and the OpenAPI document.

use super::Api;
use super::auth::Viewer;
use super::problem::Problem;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

/// The OpenAPI document.
pub async fn openapi(State(api): State<Api>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], api.document.to_string()).into_response()
}

/// The process runs.
pub async fn live() -> &'static str {
    "alive\n"
}

/// The process can do its work: the database answers and takes what is written, and there is a connection to the broker.
pub async fn ready(State(api): State<Api>) -> Response {
    let answers = api.service.store.ping().await.is_ok();
    let standing = api.service.standing().await.unwrap_or_default();
    let database = match (answers, standing.can_write) {
        (true, true) => "ok",
        (true, false) => "cannot be written",
        (false, _) => "unavailable",
    };
    let broker = if standing.is_connected { "ok" } else { "unavailable" };
    let is_ready = database == "ok" && standing.is_connected;
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("database {database}\nbroker {broker}\n")).into_response()
}

/// Metrics for Prometheus, text format 0.0.4.
pub async fn metrics(State(api): State<Api>, _: Viewer) -> Result<Response, Problem> {
    let (standing, counters) = (api.service.standing().await?, &api.service.metrics);
    let mut text = String::new();
    let mut put = |name: &str, kind: &str, help: &str, value: u64| {
        // Writing to a String cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    };
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    put(
        "rootcast_broker_connected",
        "gauge",
        "Whether there is a connection to the broker.",
        standing.is_connected.into(),
    );
    put(
        "rootcast_store_writable",
        "gauge",
        "Whether the last round could be written down.",
        standing.can_write.into(),
    );
    put("rootcast_nodes", "gauge", "Nodes known.", count(standing.nodes));
    put("rootcast_nodes_online", "gauge", "Nodes heard of lately.", count(standing.online));
    put(
        "rootcast_rollouts_open",
        "gauge",
        "Rollouts in which something may still happen.",
        count(standing.open_rollouts),
    );
    put("rootcast_updates_in_flight", "gauge", "Updates that are going on.", count(standing.in_flight));
    put(
        "rootcast_processes",
        "gauge",
        "Processes that share the work, this one among them.",
        count(standing.processes),
    );
    put("rootcast_meshes_held", "gauge", "Meshes that this process decides about.", count(standing.meshes));
    put(
        "rootcast_leads",
        "gauge",
        "Whether this process decides about rollouts as wholes.",
        standing.leads.into(),
    );
    let counts = [
        ("rootcast_mqtt_messages_total", "Messages of nodes that were understood.", &counters.messages),
        ("rootcast_mqtt_rejected_total", "Messages that were turned down.", &counters.rejected),
        (
            "rootcast_mqtt_dropped_total",
            "Messages dropped because they came faster than they could be taken in.",
            &counters.dropped,
        ),
        ("rootcast_reports_total", "Reports of updates among the messages.", &counters.reports),
        ("rootcast_triggers_published_total", "Triggers and aborts published.", &counters.published),
        (
            "rootcast_nodes_refused_total",
            "Nodes not taken up because there are too many.",
            &counters.refused_nodes,
        ),
        ("rootcast_rounds_total", "Rounds of the engine.", &counters.rounds),
        ("rootcast_rounds_failed_total", "Rounds that could not be written down.", &counters.failed_rounds),
        ("rootcast_unauthorized_total", "Requests without a valid token.", &counters.unauthorized),
        ("rootcast_webhooks_delivered_total", "Messages that webhooks took.", &counters.webhooks_delivered),
        (
            "rootcast_webhooks_failed_total",
            "Attempts that a webhook did not take.",
            &counters.webhooks_failed,
        ),
    ];
    for (name, help, counter) in counts {
        put(name, "counter", help, counter.load(Relaxed));
    }
    let longest = counters.longest_round_us.load(Relaxed);
    put("rootcast_round_longest_microseconds", "gauge", "The longest round since the start.", longest);
    // By phase and by state: what an alert is about.
    let phases = api.service.store.rollout_phases().await?;
    let _ = writeln!(text, "# HELP rootcast_rollouts Rollouts by phase.\n# TYPE rootcast_rollouts gauge");
    for (phase, number) in phases {
        let _ = writeln!(text, "rootcast_rollouts{{phase=\"{phase}\"}} {number}");
    }
    let states = api.service.store.update_states().await?;
    let _ = writeln!(
        text,
        "# HELP rootcast_updates Updates of all rollouts by state.\n# TYPE rootcast_updates gauge"
    );
    for (state, number) in states {
        let _ = writeln!(text, "rootcast_updates{{state=\"{state}\"}} {number}");
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
