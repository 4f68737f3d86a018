//! The OpenAPI document against the running API, by schemathesis: whatever it makes up, well formed or not, no answer is a
//! server error, none is undocumented, nothing malformed is taken, and no route forgets to ask for a token. Skipped, with a
//! printed reason, where schemathesis is not installed.
#![cfg(unix)]

mod peers;

use rootcast_control::mqtt::{Endpoint, Link, Trust};
use rootcast_control::plane::{ControlPlane, Setup};
use rootcast_control::service::releases::{NewImage, NewRelease};
use rootcast_control::service::rollouts::RolloutRequest;
use rootcast_image::ChipId;
use rootcast_image::writer::AppImageBuilder;
use rootcast_rollout::Spec;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A stream without end: what it says is tested in `api.rs`.
const STREAM: &str = "/api/v1/events/stream";
/// Nothing documented says when a request that makes sense in form has to be taken: that depends on what there is.
const NOT_CHECKED: &str = "positive_data_acceptance";

struct Run<'a> {
    program: &'a Path,
    folder: &'a Path,
    plane: &'a ControlPlane,
    token: &'a str,
}

impl Run<'_> {
    fn passes(&self, arguments: &[&str]) {
        let output = Command::new(self.program)
            .arg("run")
            .arg(format!("{}/api/v1/openapi.json", self.plane.api_url()))
            .args(["-H", &format!("Authorization: Bearer {}", self.token)])
            .args(["--exclude-path", STREAM, "--checks", "all", "--exclude-checks", NOT_CHECKED])
            .args(["--seed", "1", "--no-color", "--request-timeout", "20", "--generation-database", "none"])
            .args(arguments)
            .current_dir(self.folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("generated"), "it tested something: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_as_its_document_says() {
    let Some(program) = peers::tool("schemathesis") else {
        peers::missing("schemathesis");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let plane =
        ControlPlane::start(Setup::loopback(folder.path().join("data")).on_free_ports()).await.unwrap();
    let token = plane.first_token().unwrap().to_owned();
    let (release, rollout) = something_to_look_at(&plane).await;
    let run = Run { program: &program, folder: folder.path(), plane: &plane, token: &token };
    tokio::task::block_in_place(|| {
        // Whoever may revoke tokens finds its own in the list: that route comes last.
        let revoke = "/api/v1/tokens/{id}";
        run.passes(&["--phases", "coverage,fuzzing", "--max-examples", "5", "--exclude-path", revoke]);
        // The same again with ids that there are.
        let ids = format!(
            "[[operations]]\ninclude-path-regex = \"/rollouts/\"\nparameters = {{ id = \"{rollout}\" }}\n\
             [[operations]]\ninclude-path-regex = \"/releases/\"\nparameters = {{ id = \"{release}\" }}\n\
             [[operations]]\ninclude-path-regex = \"/nodes/\"\nparameters = {{ id = \"7\" }}\n"
        );
        std::fs::write(folder.path().join("schemathesis.toml"), ids).unwrap();
        run.passes(&["--phases", "coverage", "--include-path-regex", "/(rollouts|releases|nodes)/.*id"]);
        run.passes(&["--phases", "coverage", "--include-path", revoke]);
    });
    plane.stop().await;
}

/// A node, a release and a rollout that waits; returns the ids of the latter two.
async fn something_to_look_at(plane: &ControlPlane) -> (String, String) {
    let service = plane.service();
    let port = plane.broker_addresses().unwrap().0.port();
    let endpoint = Endpoint { host: "127.0.0.1".into(), port, tls: false, login: None, identity: None };
    let link = Link::open(&endpoint, &Trust::PublicAuthorities, &[]).await.unwrap();
    let status = br#"{"deviceId":7,"type":"switch","isRoot":1,"parentId":7,"meshLayer":1,"chip":5,"version":"1.0.0","rootcast":1}"#;
    let deadline = Instant::now() + peers::PATIENCE;
    while service.all_nodes().await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the node is not heard of");
        link.publish("/switch/state/root", status).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let app = AppImageBuilder::new(ChipId::ESP32C3).version("1.1.0").size(20_000).build().unwrap();
    let file = service.upload(app).await.unwrap();
    let images = vec![NewImage { sha256: file.sha256, node_type: None }];
    let release = NewRelease { images, ..NewRelease::default() };
    let release = service.create_release(&release, "test").await.unwrap();
    let spec = Spec { start_at: Some(4_000_000_000), ..Spec::default() };
    let request = RolloutRequest { release: release.id.clone(), name: "later".into(), spec };
    let rollout = service.create_rollout(request, "test").await.unwrap();
    (release.id, rollout.id)
}
