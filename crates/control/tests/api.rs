//! The REST API as a client sees it: roles on every route, errors, pages, repeated requests, the audit log, the stream.

mod bare;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use bare::Bare;
use rootcast_control::api;
use rootcast_image::ChipId;
use rootcast_image::writer::AppImageBuilder;
use rootcast_wire::{NodeId, NodeType, Report, UpdateState};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;
use tower::ServiceExt as _;

/// A control plane without a network, and its API.
struct Plane {
    router: Router,
    bare: Bare,
}

impl Deref for Plane {
    type Target = Bare;

    fn deref(&self) -> &Bare {
        &self.bare
    }
}

/// An answer, read.
struct Answer {
    status: StatusCode,
    kind: String,
    tag: Option<String>,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Plane {
    async fn start() -> Self {
        Self::of(Bare::start().await)
    }

    fn of(bare: Bare) -> Self {
        Self { router: api::router(bare.service.clone()), bare }
    }

    /// Another process on the same folder, after this one has ended.
    async fn restart(self) -> Self {
        Self::of(self.bare.restart().await)
    }

    async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn ask(
        &self,
        role: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = self.tokens.get(role) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.send(request.body(body).unwrap()).await;
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, kind, tag) =
            (response.status(), header("content-type").unwrap_or_default(), header("etag"));
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer { status, kind, tag, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn get(&self, role: &str, path: &str) -> Answer {
        self.ask(role, "GET", path, &[], Body::empty()).await
    }

    async fn post(&self, role: &str, path: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.ask(role, "POST", path, &json, Body::from(body.to_string())).await
    }

    /// Waits until a page says what is wanted.
    async fn until(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..300 {
            let page = self.get("admin", path).await.json();
            if holds(&page) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} never said it: {}", self.get("admin", path).await.text);
    }

    /// A mesh of a root and two leaves, heard of and stored.
    async fn mesh(&self) {
        self.hear_of_mesh("").await;
        self.until("/api/v1/nodes", |page| page["items"].as_array().is_some_and(|nodes| nodes.len() == 3))
            .await;
    }

    async fn release(&self) -> String {
        let app = AppImageBuilder::new(ChipId::ESP32C3).version("1.1.0").size(20_000).build().unwrap();
        let file = self.ask("operator", "POST", "/api/v1/files", &[], Body::from(app)).await;
        assert_eq!(file.status, StatusCode::CREATED, "{}", file.text);
        let new = json!({"images": [{"sha256": file.json()["sha256"]}]});
        let release = self.post("operator", "/api/v1/releases", &new).await;
        assert_eq!(release.status, StatusCode::CREATED, "{}", release.text);
        release.json()["id"].as_str().unwrap().to_owned()
    }
}

/// The least role for every operation of the document.
fn least_roles() -> BTreeMap<(&'static str, &'static str), &'static str> {
    BTreeMap::from([
        (("get", "/api/v1/nodes"), "viewer"),
        (("get", "/api/v1/nodes/{id}"), "viewer"),
        (("patch", "/api/v1/nodes/{id}"), "operator"),
        (("delete", "/api/v1/nodes/{id}"), "operator"),
        (("get", "/api/v1/meshes"), "viewer"),
        (("put", "/api/v1/meshes"), "operator"),
        (("post", "/api/v1/files"), "operator"),
        (("get", "/api/v1/host"), "viewer"),
        (("get", "/api/v1/releases"), "viewer"),
        (("post", "/api/v1/releases"), "operator"),
        (("get", "/api/v1/releases/{id}"), "viewer"),
        (("delete", "/api/v1/releases/{id}"), "operator"),
        (("get", "/api/v1/rollouts"), "viewer"),
        (("post", "/api/v1/rollouts"), "operator"),
        (("post", "/api/v1/rollouts/dry-run"), "viewer"),
        (("get", "/api/v1/rollouts/{id}"), "viewer"),
        (("get", "/api/v1/rollouts/{id}/updates"), "viewer"),
        (("post", "/api/v1/rollouts/{id}/pause"), "operator"),
        (("post", "/api/v1/rollouts/{id}/resume"), "operator"),
        (("post", "/api/v1/rollouts/{id}/abort"), "operator"),
        (("post", "/api/v1/rollouts/{id}/retry"), "operator"),
        (("get", "/api/v1/events"), "viewer"),
        (("get", "/api/v1/events/stream"), "viewer"),
        (("get", "/api/v1/triggers"), "viewer"),
        (("get", "/api/v1/tokens"), "admin"),
        (("post", "/api/v1/tokens"), "admin"),
        (("delete", "/api/v1/tokens/{id}"), "admin"),
        (("get", "/api/v1/audit"), "admin"),
        (("get", "/api/v1/whoami"), "viewer"),
        (("get", "/api/v1/webhooks"), "admin"),
        (("post", "/api/v1/webhooks"), "admin"),
        (("get", "/api/v1/webhooks/{id}"), "admin"),
        (("patch", "/api/v1/webhooks/{id}"), "admin"),
        (("delete", "/api/v1/webhooks/{id}"), "admin"),
        (("post", "/api/v1/webhooks/{id}/test"), "admin"),
    ])
}

#[tokio::test]
async fn every_route_lets_in_its_least_role_and_nobody_below_it() {
    let plane = Plane::start().await;
    let document: Value = serde_json::to_value(api::document()).unwrap();
    let mut expected = least_roles();
    let order = ["nobody", "viewer", "operator", "admin"];
    let rank = |role: &str| order.iter().position(|it| *it == role).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let least = expected.remove(&(method.as_str(), path.as_str()));
            let least = least.unwrap_or_else(|| panic!("{method} {path} is not in the list of roles"));
            for role in order {
                let what = format!("{method} {path} as {role}");
                let mut request = Request::builder()
                    .method(method.to_uppercase().parse::<Method>().unwrap())
                    .uri(path.replace("{id}", "1"));
                if let Some(token) = plane.tokens.get(role) {
                    request = request.header("authorization", format!("Bearer {token}"));
                }
                // The head is enough: the stream has no end.
                let status = plane.send(request.body(Body::empty()).unwrap()).await.status();
                match (role, rank(role) < rank(least)) {
                    ("nobody", _) => assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}"),
                    (_, true) => assert_eq!(status, StatusCode::FORBIDDEN, "{what}"),
                    (_, false) => {
                        assert!(![401, 403, 500].contains(&status.as_u16()), "{what}: {status}");
                    }
                }
            }
        }
    }
    assert!(expected.is_empty(), "not in the document: {expected:?}");
    assert_eq!(plane.get("nobody", "/metrics").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(plane.get("nobody", "/health/live").await.status, StatusCode::OK);
}

#[test]
fn the_document_describes_everything_that_it_refers_to() {
    let document: Value = serde_json::to_value(api::document()).unwrap();
    let text = document.to_string();
    let references: Vec<&str> =
        text.split("\"#/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.contains(&"components/schemas/Problem"), "{references:?}");
    for reference in references {
        assert!(document.pointer(&format!("/{reference}")).is_some(), "{reference} is described nowhere");
    }
}

#[tokio::test]
async fn errors_say_what_is_wrong_in_the_form_of_rfc_9457() {
    let plane = Plane::start().await;
    plane.mesh().await;
    let release = plane.release().await;
    let cases = [
        (plane.get("viewer", "/api/v1/nodes?limit=0").await, 400, "\"limit\" is 0"),
        (plane.get("viewer", "/api/v1/nodes?lmit=1").await, 400, "lmit"),
        (plane.get("viewer", "/api/v1/nodes/x").await, 400, "is no node id"),
        (plane.get("viewer", "/api/v1/nodes/99").await, 404, "there is no node 99"),
        (plane.get("viewer", "/api/v1/nothing").await, 404, "there is no such page"),
        (plane.get("viewer", "/api/v1/rollouts/%2e%2e%2f").await, 404, "there is no such rollout"),
        (
            plane.post("operator", "/api/v1/rollouts", &json!({"release": "l0"})).await,
            404,
            "there is no release l0",
        ),
        (
            plane
                .post("operator", "/api/v1/rollouts", &json!({"release": release, "spec": {"waves": []}}))
                .await,
            422,
            "\"waves\" is empty",
        ),
        (
            plane.post("operator", "/api/v1/rollouts", &json!({"release": release, "spek": {}})).await,
            400,
            "unknown field `spek`",
        ),
        (
            plane.post("operator", "/api/v1/releases", &json!({"images": [{"sha256": "../../etc"}]})).await,
            422,
            "is no SHA-256",
        ),
        (
            plane.ask("operator", "POST", "/api/v1/files", &[], Body::from("no image")).await,
            422,
            "no app image",
        ),
        (
            plane.ask("operator", "POST", "/api/v1/files", &[], Body::from(vec![0xe9; (16 << 20) + 1])).await,
            413,
            "length limit",
        ),
        (
            plane.post("operator", "/api/v1/tokens", &json!({"name": "x", "role": "admin"})).await,
            403,
            "needs the role admin",
        ),
        (
            plane.post("admin", "/api/v1/tokens", &json!({"name": "x\u{0}", "role": "admin"})).await,
            422,
            "control character",
        ),
    ];
    for (answer, status, words) in cases {
        assert_eq!(answer.kind, "application/problem+json", "{}", answer.text);
        let problem = answer.json();
        assert_eq!((answer.status.as_u16(), &problem["status"]), (status, &json!(status)), "{}", answer.text);
        assert!(problem["detail"].as_str().unwrap().contains(words), "{words}: {}", answer.text);
    }
}

#[tokio::test]
async fn names_with_sql_and_html_come_back_as_they_went_in() {
    let plane = Plane::start().await;
    plane.mesh().await;
    let name = "'); DROP TABLE nodes; --<script>alert(1)</script>";
    let json_type = [("content-type", "application/json")];
    let change = json!({"name": name, "tags": ["<b>", "' OR 1=1"]}).to_string();
    let changed = plane.ask("operator", "PATCH", "/api/v1/nodes/2", &json_type, Body::from(change)).await;
    assert_eq!((changed.status, changed.json()["name"].as_str()), (StatusCode::OK, Some(name)));
    let found = plane.get("viewer", "/api/v1/nodes?tag=%27%20OR%201%3D1").await.json();
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
}

#[tokio::test]
async fn a_page_leads_to_the_next_and_the_last_one_to_none() {
    let plane = Plane::start().await;
    plane.mesh().await;
    let first = plane.get("viewer", "/api/v1/nodes?limit=2").await.json();
    assert_eq!((first["items"].as_array().unwrap().len(), first["next"].as_str()), (2, Some("2")));
    let second = plane.get("viewer", "/api/v1/nodes?limit=2&after=2").await.json();
    assert_eq!((second["items"][0]["id"].as_u64(), &second["next"]), (Some(3), &Value::Null));
}

#[tokio::test]
async fn the_same_request_twice_begins_one_rollout_and_a_stale_order_is_refused() {
    let plane = Plane::start().await;
    plane.mesh().await;
    let body = json!({"release": plane.release().await, "spec": {"start_at": 4_000_000_000_u64}});
    let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
    let ask = |body: Value| {
        plane.ask("operator", "POST", "/api/v1/rollouts", &headers, Body::from(body.to_string()))
    };
    let (first, second) = (ask(body.clone()).await, ask(body).await);
    assert_eq!((first.status, &first.text), (StatusCode::CREATED, &second.text));
    assert_eq!(ask(json!({"release": "other"})).await.status, StatusCode::CONFLICT, "the key is taken");
    let rollouts = plane.get("viewer", "/api/v1/rollouts").await.json();
    assert_eq!(rollouts["items"].as_array().unwrap().len(), 1);

    let path = format!("/api/v1/rollouts/{}", first.json()["id"].as_str().unwrap());
    let tag = plane.get("viewer", &path).await.tag.unwrap();
    let unchanged = plane.ask("viewer", "GET", &path, &[("if-none-match", &tag)], Body::empty()).await;
    assert_eq!((unchanged.status, unchanged.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let order = |order: &str, tag: &str| {
        let (path, tag) = (format!("{path}/{order}"), tag.to_owned());
        let plane = &plane;
        async move { plane.ask("operator", "POST", &path, &[("if-match", tag.as_str())], Body::empty()).await }
    };
    assert_eq!(order("pause", &tag).await.json()["phase"], "paused");
    assert_eq!(
        order("resume", &tag).await.status,
        StatusCode::PRECONDITION_FAILED,
        "somebody else paused it"
    );
    let tag = plane.get("viewer", &path).await.tag.unwrap();
    assert_eq!(order("abort", &tag).await.json()["phase"], "aborted");
    let again = order("abort", "*").await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST, "{}", again.text);
    let again = plane.post("operator", &format!("{path}/abort"), &Value::Null).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text);
}

#[tokio::test]
async fn of_two_rollouts_to_the_same_nodes_that_are_begun_together_one_is_refused() {
    let plane = Plane::start().await;
    plane.mesh().await;
    let body = json!({"release": plane.release().await, "spec": {"start_at": 4_000_000_000_u64}});
    let begin = |body: Value| async { plane.post("operator", "/api/v1/rollouts", &{ body }).await };
    let (one, other) = tokio::join!(begin(body.clone()), begin(body.clone()));
    let (begun, refused) = if one.status == StatusCode::CREATED { (one, other) } else { (other, one) };
    assert_eq!(
        (begun.status, refused.status),
        (StatusCode::CREATED, StatusCode::CONFLICT),
        "{}",
        refused.text
    );
    let id = begun.json()["id"].as_str().unwrap().to_owned();
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains(&format!("and 2 more: rollout {id} has it already and is scheduled")),
        "{detail}"
    );

    // The same key at the same moment leads to one and the same.
    plane.post("operator", &format!("/api/v1/rollouts/{id}/abort"), &Value::Null).await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
    let ask = || plane.ask("operator", "POST", "/api/v1/rollouts", &headers, Body::from(body.to_string()));
    let (one, other) = tokio::join!(ask(), ask());
    assert_eq!(
        (one.status, &one.text),
        (StatusCode::CREATED, &other.text),
        "the aborted one has no node any more"
    );

    // A rollout to the others is none of its business.
    let dry = json!({"release": body["release"], "spec": {"selection": {"nodes": [2]}}});
    let dry = plane.post("viewer", "/api/v1/rollouts/dry-run", &dry).await.json();
    let note = dry["assigned"][0]["note"].as_str().unwrap();
    assert!(note.contains(one.json()["id"].as_str().unwrap()), "{note}");
}

#[tokio::test]
async fn a_limit_on_bytes_spaces_the_starts_says_until_when_and_outlives_a_restart() {
    let plane = Plane::start().await;
    plane.mesh().await;
    let release = plane.release().await;
    let limited = |rate: u64| json!({"release": release, "spec": {"waves": [{"size": "rest"}], "limits": {"bytes_per_second": rate}}});
    let plan = plane.post("viewer", "/api/v1/rollouts/dry-run", &limited(20)).await.json();
    let image = plane.get("viewer", "/api/v1/releases").await.json()["items"][0]["images"][0]["size"].clone();
    assert_eq!(
        plan["least_s"].as_u64(),
        image.as_u64().map(|size| 2 * size / 20),
        "three images, the first at once"
    );
    let refused = plane.post("operator", "/api/v1/rollouts", &limited(3)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("is 3 bytes/s: one image of"), "{}", refused.text);

    let rollout = plane.post("operator", "/api/v1/rollouts", &limited(20)).await.json();
    assert_eq!(rollout["spec"]["limits"]["bytes_per_second"], 20);
    let path = format!("/api/v1/rollouts/{}", rollout["id"].as_str().unwrap());
    // Until the first has answered, the next waits for that.
    plane.until(&path, |page| page["counts"].to_string().contains("triggered")).await;
    let mut accepted = Report::new(NodeId(2), NodeType::Switch, UpdateState::Accepted);
    accepted.running = [0x11; 32];
    accepted.rollout = format!("{}.1", rollout["id"].as_str().unwrap()).as_str().try_into().unwrap();
    let mut json = String::new();
    accepted.write_json(&mut json).unwrap();
    plane.hear("/switch/ota/2", &json).await;
    let is_held =
        |page: &Value| page["holds"].to_string().contains("limit of 20 bytes/s allows the next start at");
    let held = plane.until(&path, is_held).await;
    let triggered = |page: &Value| {
        let counts = page["counts"].as_array().unwrap().iter();
        counts.filter(|it| it["state"] == "triggered").map(|it| it["nodes"].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!(triggered(&held), 1, "{held}");
    // The hold is the same from round to round: a time, not a countdown.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let later = plane.get("viewer", &path).await.json();
    assert_eq!((&later["holds"], &later["revision"]), (&held["holds"], &held["revision"]));

    let plane = plane.restart().await;
    plane.mesh().await;
    let again = plane.until(&path, is_held).await;
    assert_eq!(
        (&again["holds"], triggered(&again)),
        (&held["holds"], 1),
        "what was started is still to be paid for"
    );
}

#[tokio::test]
async fn a_node_whose_slot_is_too_small_is_left_out_and_named_before_anything_is_triggered() {
    let plane = Plane::start().await;
    plane.mesh().await;
    let small = json!({"deviceId": 3, "type": "switch", "isRoot": 0, "parentId": 1, "meshLayer": 2, "uptime": 100,
        "chip": 5, "version": "1.0.0", "running": "11".repeat(32), "rootcast": 1, "slotBytes": 16_384});
    plane.hear("/switch/state/root", &small.to_string()).await;
    plane.until("/api/v1/nodes/3", |node| node["slot_bytes"] == 16_384).await;
    // One status without it, as of an older firmware, does not make the slot larger.
    let mut silent = small.clone();
    silent.as_object_mut().unwrap().remove("slotBytes");
    plane.hear("/switch/state/root", &silent.to_string()).await;
    let plan = json!({"release": plane.release().await});
    let plan = plane.post("viewer", "/api/v1/rollouts/dry-run", &plan).await.json();
    assert_eq!(plan["assigned"].as_array().unwrap().len(), 2, "{plan}");
    let left_out = &plan["unassigned"][0];
    assert_eq!(left_out["node"], 3, "{plan}");
    let reason = left_out["reason"].as_str().unwrap();
    assert!(reason.starts_with("its update slot has 16384 bytes, the image has "), "{reason}");
}

#[tokio::test]
async fn the_audit_log_has_each_change_with_who_what_and_how_it_ended_and_nothing_else() {
    let plane = Plane::start().await;
    plane.release().await;
    plane.get("viewer", "/api/v1/nodes").await;
    plane.post("viewer", "/api/v1/releases", &json!({"images": []})).await;
    plane.post("nobody", "/api/v1/releases", &json!({"images": []})).await;
    let made = plane.post("admin", "/api/v1/tokens", &json!({"name": "ci", "role": "operator"})).await.json();
    let page = plane.get("admin", "/api/v1/audit").await.json();
    let lines: Vec<String> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let who = line["who"].as_str().unwrap().split(' ').next().unwrap().to_owned();
            format!(
                "{who} {} {} {}",
                line["method"].as_str().unwrap(),
                line["path"].as_str().unwrap(),
                line["status"]
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "operator POST /api/v1/files 201",
            "operator POST /api/v1/releases 201",
            "viewer POST /api/v1/releases 403",
            "admin POST /api/v1/tokens 201",
        ]
    );
    assert!(!page.to_string().contains(made["token"].as_str().unwrap()), "no secret in the log");
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_and_no_token_is_stored() {
    let mut plane = Plane::start().await;
    let made = plane.post("admin", "/api/v1/tokens", &json!({"name": "ci", "role": "admin"})).await.json();
    plane.bare.tokens.insert("ci", made["token"].as_str().unwrap().to_owned());
    let who = plane.get("ci", "/api/v1/whoami").await.json();
    assert_eq!((who["name"].as_str(), who["role"].as_str()), (Some("ci"), Some("admin")));
    let list = plane.get("ci", "/api/v1/tokens").await.text;
    let secret = made["token"].as_str().unwrap().rsplit_once('_').unwrap().1;
    assert!(!list.contains(secret), "{list}");
    let database = std::fs::read(plane.folder.path().join("test.db")).unwrap();
    let log = std::fs::read(plane.folder.path().join("test.db-wal")).unwrap_or_default();
    for bytes in [database, log] {
        assert!(
            !bytes.windows(secret.len()).any(|part| part == secret.as_bytes()),
            "the secret is on the disk"
        );
    }
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    let revoked = plane.ask("admin", "DELETE", &path, &[], Body::empty()).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(plane.get("ci", "/api/v1/whoami").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_stream_gives_the_past_after_a_number_and_then_what_happens() {
    use tokio_stream::StreamExt as _;
    let plane = Plane::start().await;
    plane.mesh().await;
    let request = Request::builder()
        .uri("/api/v1/events/stream")
        .header("authorization", format!("Bearer {}", plane.tokens["viewer"]))
        .header("last-event-id", "0");
    let mut body = plane.send(request.body(Body::empty()).unwrap()).await.into_body().into_data_stream();
    let mut text = String::new();
    let mut said = String::new();
    while !text.contains("made release 1.1.0") {
        if text.contains("first heard of") && said.is_empty() {
            said = plane.release().await;
        }
        let part = tokio::time::timeout(Duration::from_secs(20), body.next()).await;
        let part = part.unwrap_or_else(|_| panic!("the stream stands still after {text}"));
        text.push_str(&String::from_utf8_lossy(&part.unwrap().unwrap()));
    }
    let ids: Vec<i64> = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert!(ids.len() >= 5 && ids.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order: {ids:?}");
    // An engine that ends ends the stream.
    plane.service.engine.stop().await;
    let rest = tokio::time::timeout(Duration::from_secs(20), async { while body.next().await.is_some() {} });
    rest.await.expect("the stream ends");
}

#[tokio::test]
async fn the_stream_of_a_token_that_is_revoked_ends_and_the_others_go_on() {
    use tokio_stream::StreamExt as _;
    let plane = Plane::start().await;
    let made =
        plane.post("admin", "/api/v1/tokens", &json!({"name": "guest", "role": "viewer"})).await.json();
    let open = async |token: &str| {
        let request = Request::builder().uri("/api/v1/events/stream");
        let request = request.header("authorization", format!("Bearer {token}"));
        let response = plane.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().into_data_stream()
    };
    let mut stream = open(made["token"].as_str().unwrap()).await;
    let mut other = open(&plane.tokens["viewer"]).await;
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(plane.ask("admin", "DELETE", &path, &[], Body::empty()).await.status, StatusCode::NO_CONTENT);
    let end = async { while stream.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(20), end).await.expect("it ends though nothing happens");
    plane.mesh().await;
    let part = tokio::time::timeout(Duration::from_secs(20), other.next()).await.unwrap().unwrap().unwrap();
    assert!(String::from_utf8_lossy(&part).contains("event: "), "{part:?}");
}

#[tokio::test]
async fn metrics_and_health_say_how_things_stand() {
    let plane = Plane::start().await;
    assert_eq!(plane.get("nobody", "/health/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    plane.mesh().await;
    let ready = plane.get("nobody", "/health/ready").await;
    assert_eq!((ready.status, ready.text.as_str()), (StatusCode::OK, "database ok\nbroker ok\n"));
    plane.hear("/switch/state/root", "garbage").await;
    plane.until("/api/v1/nodes", |_| true).await;
    let text = plane.get("viewer", "/metrics").await.text;
    for line in ["rootcast_nodes 3", "rootcast_nodes_online 3", "rootcast_broker_connected 1"] {
        assert!(text.lines().any(|it| it == line), "{line}:\n{text}");
    }
    assert!(!text.contains("rootcast_mqtt_messages_total 0"), "{text}");
}
