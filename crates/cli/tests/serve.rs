//! `rootcast serve` and its clients, with a mesh of virtual nodes.

#[path = "common/ca.rs"]
mod ca;
mod common;
#[path = "common/house.rs"]
mod house;
#[path = "common/mosquitto.rs"]
mod mosquitto;
#[path = "common/processes.rs"]
mod processes;

use ca::broker_for_certificates;
use common::{fails, rootcast_with, succeeds, text};
use house::{FREE_PORTS, House, Plane, hash, image, lines};
use processes::python_host;
use rootcast_control::mqtt::{ClientIdentity, Endpoint, Event, Link, Trust};
use rootcast_hosting::check::read_release_key;
use rootcast_world::body::behaviour::{Behaviour, Behaviours};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_goes_from_upload_over_a_dry_run_and_a_canary_to_every_node() {
    let mut house = House::new(7, Behaviours::new()).await;
    let release = house.release("1.1.0-rc");

    let plan = house.json(&["rollout", "create", &release, "--dry-run"]);
    let count = plan.last().unwrap();
    assert_eq!((&count["assigned"], &count["unassigned"]), (&7.into(), &0.into()), "{plan:?}");
    assert_eq!(plan.iter().filter(|line| line["wave"] == 1).count(), 1, "one canary: {plan:?}");
    assert!(house.triggers().await.is_empty(), "a dry run does nothing");

    let output = house.run(&["rollout", "create", &release, "--soak", "2s", "--watch", "--json"]);
    let said = lines(&output);
    let last = said.last().unwrap();
    assert!(output.status.success(), "{}", text(&output.stdout));
    assert_eq!(
        (last["phase"].as_str(), last["reason"].as_str()),
        (Some("succeeded"), Some("7 of 7 nodes run the new image"))
    );
    let new = hash(&image("1.1.0-rc"));
    assert!(house.running().iter().all(|running| *running == Some(new)), "{:?}", house.running());

    // Each node once, and the canary alone before the others.
    let triggers = house.triggers().await;
    assert_eq!(triggers[0].nodes.len(), 1, "{triggers:?}");
    let mut nodes: Vec<u64> = triggers.iter().flat_map(|it| it.nodes.clone()).collect();
    let in_all = nodes.len();
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!((nodes.len(), in_all), (7, 7), "{triggers:?}");

    let again = house.json(&["rollout", "create", &release, "--dry-run"]);
    assert_eq!(again.last().unwrap()["unassigned"], 7, "nothing is left to do");
    assert_eq!(again[0]["reason"], "it runs this image already");
    house.plane.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_release_is_uploaded_with_its_patches_and_every_node_follows_it() {
    let makers = tempfile::tempdir().unwrap();
    let at = |name: &str| makers.path().join(name).to_str().unwrap().to_owned();
    succeeds(makers.path(), &["keygen", "keys", "--release"]);
    let key = read_release_key(&std::fs::read(at("keys/release-key.pub.pem")).unwrap()).unwrap();
    let mut house = House::that_trusts(5, key).await;
    for version in ["1.0.0", "1.1.0"] {
        std::fs::write(at(&format!("app-{version}.bin")), image(version)).unwrap();
    }
    let create = ["release", "create", "--version", "1.1.0", "--key", "keys/release-key.pem", "-o", "public"];
    let images = ["app-1.1.0.bin", "--patch-from", "app-1.0.0.bin"];
    succeeds(makers.path(), &[&create[..], &images].concat());

    let made = &house.json(&["releases", "add", &at("public/release.suit")])[0];
    let url = made["manifest_url"].as_str().unwrap();
    assert!(url.starts_with(house.plane.started["files"].as_str().unwrap()), "{made}");
    let old = hash(&image("1.0.0")).to_string();
    assert_eq!(made["images"][0]["patches_from"], serde_json::json!([old]), "{made}");
    let release = made["id"].as_str().unwrap();
    let plan = house.json(&["rollout", "create", release, "--dry-run"]);
    let by_patch = plan.iter().filter(|line| line["by_patch"] == true).count();
    assert_eq!((by_patch, &plan.last().unwrap()["assigned"]), (5, &5.into()), "{plan:?}");

    let output = house.run(&["rollout", "create", release, "--soak", "2s", "--watch", "--json"]);
    assert_eq!(lines(&output).last().unwrap()["phase"], "succeeded", "{}", text(&output.stdout));
    let new = hash(&image("1.1.0"));
    assert!(house.running().iter().all(|running| *running == Some(new)), "{:?}", house.running());
    assert!(house.json(&["releases"]).iter().any(|line| line["manifest_url"] == url), "it is listed");
    house.plane.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_crashes_on_boot_stops_in_the_canary_with_every_node_back() {
    let bad = image("1.1.0-bad");
    let behaviours: Behaviours = [(hash(&bad), Behaviour::Crashes { after_ms: 50 })].into();
    let house = House::new(7, behaviours).await;
    let release = house.release("1.1.0-bad");

    let output = house.run(&["rollout", "create", &release, "--soak", "2s", "--watch", "--json"]);
    let said = lines(&output);
    let last = said.last().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert_eq!(last["phase"], "stopped");
    let reason = last["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("stopped: 1 of 1 in the canary failed, 0 allowed: 1 × rolled back"),
        "{reason}"
    );

    let old = hash(&image("1.0.0"));
    assert!(house.running().iter().all(|running| *running == Some(old)), "{:?}", house.running());
    let triggers = house.triggers().await;
    let canaries: Vec<_> = triggers.iter().filter(|it| it.kind == "trigger").collect();
    assert_eq!(
        (canaries.len(), canaries[0].nodes.len()),
        (1, 1),
        "the rest was never triggered: {triggers:?}"
    );

    let rollout = last["id"].as_str().unwrap();
    let shown = text(&house.run(&["rollout", "show", rollout]).stdout);
    assert!(shown.contains("rolled back (trial_crashed)"), "{shown}");
    assert_eq!(shown.matches("aborted: the rollout stopped before its turn").count(), 6, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_killed_again_and_again_forgets_nothing_and_triggers_nobody_twice() {
    /// How long a node may take to answer before it is reminded.
    const ANSWER_S: i64 = 20;
    let mut house = House::new(9, Behaviours::new()).await;
    let release = house.release("1.1.0-rc");
    let spec = serde_json::json!({
        "waves": [{"size": {"count": 1}}, {"size": "rest"}],
        "soak_s": 1, "answer_s": ANSWER_S, "limits": {"per_mesh": 3},
    });
    std::fs::write(house.folder().join("spec.json"), spec.to_string()).unwrap();
    let created = house.json(&["rollout", "create", &release, "--spec", "spec.json"]);
    let rollout = created[0]["id"].as_str().unwrap().to_owned();
    for pause in [300, 1_700, 900, 2_300] {
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        house.kill_and_start();
    }
    house.until("the rollout ends", |house| {
        house.json(&["rollout", "show", &rollout]).last().unwrap()["ended_at"].is_string()
    });
    let shown = house.json(&["rollout", "show", &rollout]);
    assert_eq!(shown.last().unwrap()["phase"], "succeeded", "{shown:?}");
    let new = hash(&image("1.1.0-rc"));
    assert!(house.running().iter().all(|running| *running == Some(new)), "{:?}", house.running());
    let mut last = std::collections::BTreeMap::new();
    for trigger in house.triggers().await {
        for node in trigger.nodes {
            // The broker was killed too: what it had not passed on is said again, but only after the time to answer.
            if let Some(before) = last.insert(node, trigger.at) {
                assert!((trigger.at - before).whole_seconds() >= ANSWER_S, "node {node} was triggered twice");
            }
        }
    }
    assert_eq!(last.len(), 9, "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_mesh_joins_and_the_image_that_crashes_stops_in_its_canary() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path(), &FREE_PORTS);
    let (server, token) = (plane.api(), plane.started["token"].as_str().unwrap());
    let run = |arguments: &[&str]| {
        let environment = [("ROOTCAST_SERVER", server.as_str()), ("ROOTCAST_TOKEN", token)];
        rootcast_with(folder.path(), &[arguments, &["--json"]].concat(), &environment)
    };
    let broker = plane.started["broker"].as_str().unwrap();
    let mut mesh = Command::new(env!("CARGO_BIN_EXE_rootcast"))
        .args(["demo", "--attach", broker, "--ca", "data/rootcast-ca.pem", "--nodes", "3", "--json"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + house::PATIENCE;
    while lines(&run(&["nodes", "--online"])).last().unwrap()["online"] != 3 {
        assert!(Instant::now() < deadline, "the mesh never came: {:?}", mesh.try_wait());
        std::thread::sleep(Duration::from_millis(300));
    }
    let added = lines(&run(&["releases", "add", "rootcast-demo-1.2.0-crashes.bin"]));
    let release = added[0]["id"].as_str().unwrap();
    let output = run(&["rollout", "create", release, "--soak", "1s", "--watch"]);
    let said = lines(&output);
    let last = said.last().unwrap();
    assert_eq!((output.status.code(), last["phase"].as_str()), (Some(1), Some("stopped")), "{last}");
    assert!(last["reason"].as_str().unwrap().contains("1 of 1 in the canary failed"), "{last}");
    let nodes = lines(&run(&["nodes"]));
    let old = nodes.iter().filter(|node| node["version"] == "1.0.0").count();
    assert_eq!(old, 3, "every node is back on the old image: {nodes:?}");

    let stopped = Command::new("kill").args(["-TERM", &mesh.id().to_string()]).status().unwrap();
    assert!(stopped.success() && mesh.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn uploaded_files_lie_where_they_are_to_and_nodes_find_them_at_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path(), &[&FREE_PORTS[..], &["--files", "shared/images"]].concat());
    let app = image("1.1.0");
    let url = upload(&plane, folder.path(), &app);
    assert!(url.starts_with(plane.started["files"].as_str().unwrap()), "{url}: {}", plane.started);
    let name = url.rsplit_once('/').unwrap().1;
    assert_eq!(std::fs::read(folder.path().join("shared/images").join(name)).unwrap(), app);
    assert!(!folder.path().join("data/files").exists(), "and nowhere else");
    // What a node would see there, which trusts the CA that was printed.
    let check = ["check", &url, "--ca", "data/rootcast-ca.pem", "--chip", "c3"];
    succeeds(folder.path(), &check);
    let ca = std::fs::read(folder.path().join("data/rootcast-ca.pem")).unwrap();
    let ca = reqwest::Certificate::from_pem(&ca).unwrap();
    // Somebody may have installed one before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
    let found = client.get(&url).send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
    assert!(found == app, "{} bytes", found.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_sent_to_the_address_of_the_files_that_was_given_and_update_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_host, port)) = python_host(folder.path()) else { return };
    let address = format!("http://127.0.0.1:{port}/images");
    let arguments = ["--files", "images", "--files-url", &address];
    let mut house = House::on(folder, 1, &arguments).await;
    assert_eq!(house.plane.started["files"], format!("{address}/"));
    let url = upload(&house.plane, house.folder(), &image("1.1.0"));
    assert!(url.starts_with(&format!("{address}/")), "{url}");
    let release = house.release("1.1.0");
    let said = house.json(&["rollout", "create", &release, "--soak", "1s", "--watch"]);
    assert_eq!(said.last().unwrap()["phase"], "succeeded", "{said:?}");
    assert_eq!(house.running(), [Some(hash(&image("1.1.0")))]);
    let log = std::fs::read_to_string(house.folder().join("host.log")).unwrap();
    let path = url.strip_prefix(&format!("http://127.0.0.1:{port}")).unwrap();
    assert!(log.contains(&format!("GET {path}")), "{log}");
    house.plane.stop();

    for wrong in ["ftp://host/", "host/images", "https://host/?a=b", "https://ho st/"] {
        let arguments = ["serve", "--data", "other", "--files-url", wrong];
        let stderr = fails(house.folder(), 2, &[&arguments[..], &FREE_PORTS].concat());
        assert!(stderr.contains("cannot stand before the names of files"), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_goes_out_over_a_broker_that_wants_a_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(broker) = broker_for_certificates(folder) else { return };
    let url = format!("mqtts://localhost:{}", broker.port);
    let ports = ["--firmware", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let elsewhere = ["--broker", &url, "--broker-ca", "ca.pem"];
    let log = || std::fs::read_to_string(folder.join("serve.log")).unwrap();
    let foreign = ["--broker-cert", "foreign.pem", "--broker-key", "foreign.key"];
    let mut token = None;
    for (certificate, reason) in [
        (
            &[][..],
            "the broker asks for a client certificate, and none was given (--broker-cert, --broker-key)",
        ),
        (
            &foreign,
            "the broker refuses the client certificate (--broker-cert): it does not know who issued it",
        ),
    ] {
        // It goes on trying, and says why it does not come to a connection.
        let plane = Plane::start(folder, &[&ports[..], &elsewhere, certificate].concat());
        token = token.or(plane.started["token"].as_str().map(str::to_owned));
        let deadline = Instant::now() + house::PATIENCE;
        while !log().contains(reason) {
            assert!(Instant::now() < deadline, "never: {reason}: {}", log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    let ours = ["--broker-cert", "client.pem", "--broker-key", "client.key"];
    let plane = Plane::start(folder, &[&ports[..], &elsewhere, &ours].concat());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let identity = ClientIdentity::from_pem(&read("client.pem"), &read("client.key")).unwrap();
    let endpoint = Endpoint {
        host: "localhost".to_owned(),
        port: broker.port,
        tls: true,
        login: None,
        identity: Some(identity),
    };
    let ca = CertificateDer::from_pem_slice(&read("ca.pem")).unwrap();
    let command = "/switch/cmd/root".to_owned();
    let mut root = Link::open(&endpoint, &Trust::Authorities(vec![ca]), &[command]).await.unwrap();
    let status = format!(
        r#"{{"deviceId":7,"type":"switch","isRoot":1,"parentId":7,"meshLayer":1,"uptime":9,"chip":5,"running":"{}","rootcast":1}}"#,
        "11".repeat(32)
    );
    let (server, publisher) = (plane.api(), root.publisher());
    let token = token.expect("the first start makes it");
    let run = |arguments: &[&str]| {
        let environment = [("ROOTCAST_SERVER", server.as_str()), ("ROOTCAST_TOKEN", token.as_str())];
        rootcast_with(folder, &[arguments, &["--json"]].concat(), &environment)
    };
    while lines(&run(&["nodes"])).iter().all(|line| line["id"] != 7) {
        publisher.publish("/switch/state/root", status.as_bytes()).await.unwrap();
    }
    std::fs::write(folder.join("app.bin"), image("1.1.0")).unwrap();
    let release = lines(&run(&["releases", "add", "app.bin"]))[0]["id"].as_str().unwrap().to_owned();
    assert!(run(&["rollout", "create", &release]).status.success());
    let trigger = async {
        loop {
            if let Event::Message { payload, .. } = root.next().await {
                break String::from_utf8(payload).unwrap();
            }
        }
    };
    let trigger = tokio::time::timeout(house::PATIENCE, trigger).await.expect("a trigger");
    assert!(trigger.contains("\"ota_trigger\"") && trigger.contains("\"targets\":[7]"), "{trigger}");
    let key = String::from_utf8(read("client.key")).unwrap();
    assert!(!key.lines().any(|line| log().contains(line)), "{}", log());
}

/// Uploads an image as a client does, and returns the URL that was printed.
fn upload(plane: &Plane, folder: &std::path::Path, app: &[u8]) -> String {
    std::fs::write(folder.join("app.bin"), app).unwrap();
    let (server, token) = (plane.api(), plane.started["token"].as_str().unwrap());
    let environment = [("ROOTCAST_SERVER", server.as_str()), ("ROOTCAST_TOKEN", token)];
    let output = rootcast_with(folder, &["releases", "add", "app.bin", "--json"], &environment);
    assert!(output.status.success(), "{}", text(&output.stderr));
    lines(&output)[0]["images"][0]["url"].as_str().unwrap().to_owned()
}

#[test]
fn a_token_lets_its_holder_do_what_its_role_says_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path(), &FREE_PORTS);
    let (server, first) = (plane.api(), plane.started["token"].as_str().unwrap());
    let run = |token: &str, arguments: &[&str]| {
        let environment = [("ROOTCAST_SERVER", server.as_str()), ("ROOTCAST_TOKEN", token)];
        rootcast_with(folder.path(), arguments, &environment)
    };
    let made = lines(&run(first, &["token", "create", "the neighbour", "--json"]));
    let (token, id) = (made[0]["token"].as_str().unwrap(), made[0]["id"].as_str().unwrap());
    assert_eq!(made[0]["role"], "viewer", "the least, unless told otherwise");
    assert!(run(token, &["nodes"]).status.success());
    for arguments in [&["token", "list"][..], &["token", "create", "x"], &["token", "revoke", id]] {
        let refused = run(token, arguments);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("needs the role admin"), "{}", text(&refused.stderr));
    }
    let list = text(&run(first, &["token", "list"]).stdout);
    assert!(list.contains("the neighbour") && !list.contains(token), "{list}");
    assert!(run(first, &["token", "revoke", id]).status.success());
    assert_eq!(run(token, &["nodes"]).status.code(), Some(1), "revoked");
    assert!(text(&run(first, &["token", "list"]).stdout).contains(", revoked "));
    assert_eq!(run(first, &["token", "revoke", id]).status.code(), Some(1), "there is none that is valid");
    assert_eq!(run(first, &["token", "create", "x", "--role", "king"]).status.code(), Some(2));
}

#[test]
fn a_webhook_is_added_tried_switched_off_and_on_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path(), &FREE_PORTS);
    let (server, token) = (plane.api(), plane.started["token"].as_str().unwrap());
    let run = |arguments: &[&str]| {
        let environment = [("ROOTCAST_SERVER", server.as_str()), ("ROOTCAST_TOKEN", token)];
        rootcast_with(folder.path(), &[&["webhook"], arguments].concat(), &environment)
    };
    // Nobody listens there.
    let url = "http://127.0.0.1:9/hook";
    let made = lines(&run(&["add", url, "--events", "rollout,node", "--json"]));
    let (id, secret) = (made[0]["id"].as_str().unwrap(), made[0]["secret"].as_str().unwrap());
    assert!(secret.starts_with("whsec_"), "{made:?}");
    assert_eq!(made[0]["kinds"], serde_json::json!(["rollout", "node"]));
    let tried = run(&["test", id]);
    assert_eq!((tried.status.code(), text(&tried.stdout).as_str()), (Some(1), ""));
    let stderr = text(&tried.stderr);
    assert!(stderr.contains("did not take the test message: it cannot be reached"), "{stderr}");
    let tried = run(&["test", id, "--json"]);
    assert_eq!((tried.status.code(), &lines(&tried)[0]["delivered"]), (Some(1), &Value::Bool(false)));
    assert!(text(&run(&["off", id]).stdout).contains("off: switched off by first"));
    assert!(!text(&run(&["on", id, "--skip-missed"]).stdout).contains("off:"));
    let list = text(&run(&["list"]).stdout);
    assert!(list.contains(url) && list.contains("rollout,node") && !list.contains(secret), "{list}");
    assert!(run(&["remove", id]).status.success());
    assert_eq!(run(&["test", id]).status.code(), Some(1), "there is none");
    assert_eq!(text(&run(&["list"]).stdout), "");
    assert_eq!(run(&["add", url, "--events", "weather"]).status.code(), Some(2));
    let plain = run(&["add", "http://example.com/hook"]);
    assert_eq!(plain.status.code(), Some(1));
    assert!(text(&plain.stderr).contains("plain_http"), "{}", text(&plain.stderr));
}

#[test]
fn settings_come_from_a_file_before_which_come_the_environment_and_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "house.toml",
        "mqtt = \"127.0.0.1:0\"\nfirmware = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:1\"\nbehind_proxy = false\n\
         home-assistant = \"homeassistant\"\nname = [\"fw.example.com\", \"localhost\"]\nfiles_url = \"http://cdn.example.com/a\"\n",
    );
    let plane = Plane::start(folder.path(), &["--config", "house.toml", "--listen", "127.0.0.1:0"]);
    assert_eq!(plane.started["files"], "http://cdn.example.com/a/");
    assert_ne!(plane.port("api"), 1, "the command line comes first");
    drop(plane);
    // A file of this name in the data folder needs no option.
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    std::fs::rename(folder.path().join("house.toml"), folder.path().join("data/rootcast.toml")).unwrap();
    let environment = [("ROOTCAST_LISTEN", "127.0.0.1:0"), ("ROOTCAST_FILES_URL", "http://env.example.com")];
    let plane = Plane::start_with(folder.path(), &[], &environment);
    assert_eq!(plane.started["files"], "http://env.example.com/");
    drop(plane);

    for (text, words) in [
        ("lissten = \"127.0.0.1:0\"", "there is no setting \"lissten\"; there are data, database"),
        ("listen = true", "\"listen\" has to be text"),
        ("behind_proxy = \"yes\"", "\"behind_proxy\" has to be true or false"),
        ("name = [1.5]", "\"name\" has to be text, or a list"),
        ("listen = \"somewhere\"", "the value of \"listen\" cannot be used: invalid socket address"),
        ("broker = \"secret://user:hidden@host\"", "the value of \"broker\" cannot be used"),
        ("cert = \"chain.pem\"", "cert needs key"),
        ("listen", "bad.toml: "),
        ("config = \"other.toml\"", "there is no setting \"config\""),
    ] {
        write("bad.toml", text);
        let stderr = fails(folder.path(), 2, &["serve", "--data", "other", "--config", "bad.toml"]);
        assert!(stderr.contains(words) && !stderr.contains("hidden"), "{text}: {stderr}");
    }
    let stderr = fails(folder.path(), 1, &["serve", "--data", "other", "--config", "none.toml"]);
    assert!(stderr.contains("none.toml"), "{stderr}");
}

#[test]
fn clients_say_what_they_need() {
    let folder = tempfile::tempdir().unwrap();
    let stderr = fails(folder.path(), 2, &["nodes"]);
    assert!(stderr.contains("ROOTCAST_TOKEN"), "{stderr}");
    std::fs::write(folder.path().join("token"), "rc_0_0").unwrap();
    let nowhere = ["nodes", "--token-file", "token", "--server", "http://127.0.0.1:9"];
    let stderr = fails(folder.path(), 1, &nowhere);
    assert!(stderr.contains("cannot be reached") && stderr.contains("rootcast serve"), "{stderr}");
    let open = ["serve", "--data", "data", "--mqtt", "0.0.0.0:0", "--firmware", "127.0.0.1:0"];
    let stderr = fails(folder.path(), 1, &[&open[..], &["--listen", "127.0.0.1:0"]].concat());
    assert!(stderr.contains("needs users") && stderr.contains("--mqtt-users"), "{stderr}");
}
