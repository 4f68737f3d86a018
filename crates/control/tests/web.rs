//! The web page as a browser sees it, without one: who gets in, what a page of another origin can do, what is shown.

mod bare;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use bare::Bare;
use rootcast_control::{api, web};
use rootcast_image::ChipId;
use rootcast_image::writer::AppImageBuilder;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;
use tower::ServiceExt as _;

/// A control plane without a network, and a browser for each role.
struct Site {
    router: Router,
    bare: Bare,
    cookies: BTreeMap<&'static str, String>,
}

impl Deref for Site {
    type Target = Bare;

    fn deref(&self) -> &Bare {
        &self.bare
    }
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What the first hidden field of this name holds.
    fn field(&self, name: &str) -> String {
        let begin = format!("name=\"{name}\" value=\"");
        let (_, rest) =
            self.text.split_once(&begin).unwrap_or_else(|| panic!("no field {name}: {}", self.text));
        rest.split('"').next().unwrap().to_owned()
    }
}

const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

impl Site {
    async fn start(is_secure: bool) -> Self {
        let bare = Bare::start().await;
        let router = web::router(bare.service.clone(), api::routes(bare.service.clone()), is_secure);
        let mut site = Self { router, bare, cookies: BTreeMap::new() };
        for role in ROLES {
            let answer = site.login(&site.tokens[role], "").await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
            let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
            site.cookies.insert(role, cookie);
        }
        site
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 4 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into() }
    }

    fn request(&self, role: &str, method: &str, path: &str) -> axum::http::request::Builder {
        let request = Request::builder().method(method).uri(path).header("host", "here:8080");
        match self.cookies.get(role) {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    async fn get(&self, role: &str, path: &str) -> Answer {
        self.send(self.request(role, "GET", path).body(Body::empty()).unwrap()).await
    }

    /// Sends a form with the token of the page that `role` sees.
    async fn post(&self, role: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = match self.cookies.contains_key(role) {
            true => self.get(role, "/").await.field("form"),
            false => String::new(),
        };
        self.post_raw(role, path, &token, fields, &[("sec-fetch-site", "same-origin")]).await
    }

    async fn post_raw(
        &self,
        role: &str,
        path: &str,
        token: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("form", token);
        form.extend_pairs(fields);
        let mut request =
            self.request(role, "POST", path).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(form.finish())).unwrap()).await
    }

    async fn login(&self, token: &str, next: &str) -> Answer {
        let fields = [("token", token), ("next", next)];
        self.post_raw("nobody", "/login", "", &fields, &[("sec-fetch-site", "same-origin")]).await
    }

    /// Uploads an image as a browser does.
    async fn upload(&self, role: &str, token: &str, image: &[u8]) -> Answer {
        let mut body = Vec::new();
        let fields = [("form", token), ("type", ""), ("version", ""), ("notes", "<i>first</i>")];
        for (name, value) in fields {
            body.extend(
                format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
            );
        }
        body.extend(
            b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../../a.bin\"\r\n\r\n",
        );
        body.extend(image);
        body.extend(b"\r\n--x--\r\n");
        let request = self.request(role, "POST", "/releases").header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "multipart/form-data; boundary=x");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// A mesh of a root and two leaves, heard of and stored.
    async fn mesh(&self, prefix: &str) {
        self.hear_of_mesh(prefix).await;
        for _ in 0..400 {
            if self.service.all_nodes().await.unwrap().len() == 3 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the mesh was never heard of");
    }

    async fn release(&self) -> String {
        let token = self.get("operator", "/").await.field("form");
        let app = AppImageBuilder::new(ChipId::ESP32C3).version("1.1.0").size(20_000).build().unwrap();
        let answer = self.upload("operator", &token, &app).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.header("location").strip_prefix("/releases/").unwrap().to_owned()
    }
}

/// Every page with its least role.
const PAGES: [(&str, &str); 11] = [
    ("/", "viewer"),
    ("/mesh?name=", "viewer"),
    ("/nodes", "viewer"),
    ("/nodes/2", "viewer"),
    ("/releases", "viewer"),
    ("/rollouts", "viewer"),
    ("/events", "viewer"),
    ("/rollouts/new", "operator"),
    ("/audit", "admin"),
    ("/tokens", "admin"),
    ("/webhooks", "admin"),
];

/// Every form with its least role.
const FORMS: [(&str, &str); 17] = [
    ("/mesh", "operator"),
    ("/nodes/2", "operator"),
    ("/nodes/2/forget", "operator"),
    ("/releases/elsewhere", "operator"),
    ("/releases/l1/remove", "operator"),
    ("/rollouts/new", "operator"),
    ("/rollouts/r1/pause", "operator"),
    ("/rollouts/r1/resume", "operator"),
    ("/rollouts/r1/abort", "operator"),
    ("/rollouts/r1/retry", "operator"),
    ("/tokens", "admin"),
    ("/tokens/0/revoke", "admin"),
    ("/webhooks", "admin"),
    ("/webhooks/w0/test", "admin"),
    ("/webhooks/w0/on", "admin"),
    ("/webhooks/w0/off", "admin"),
    ("/webhooks/w0/remove", "admin"),
];

fn rank(role: &str) -> usize {
    ["nobody", "viewer", "operator", "admin"].iter().position(|it| *it == role).unwrap()
}

#[tokio::test]
async fn every_page_lets_in_its_least_role_and_sends_strangers_to_the_log_in() {
    let site = Site::start(false).await;
    site.mesh("").await;
    for (path, least) in PAGES {
        let stranger = site.get("nobody", path).await;
        assert_eq!(stranger.status, StatusCode::SEE_OTHER, "{path}");
        assert!(stranger.header("location").starts_with("/login"), "{path}");
        assert!(!stranger.text.contains("switch"), "nothing is shown to a stranger");
        for role in ROLES {
            let answer = site.get(role, path).await;
            let expected = if rank(role) < rank(least) { StatusCode::FORBIDDEN } else { StatusCode::OK };
            assert_eq!(answer.status, expected, "{path} as {role}: {}", answer.text);
            assert!(answer.text.starts_with("<!DOCTYPE html>"), "{path} as {role}");
        }
    }
    for (path, least) in FORMS {
        for role in ["nobody", "viewer", "operator", "admin"] {
            let answer = site.post(role, path, &[]).await;
            match (role, rank(role) < rank(least)) {
                ("nobody", _) => assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}"),
                (_, true) => assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} as {role}"),
                (_, false) => {
                    assert!(
                        ![401, 403, 500].contains(&answer.status.as_u16()),
                        "{path} as {role}: {}",
                        answer.status
                    );
                }
            }
        }
    }
    // The one form that is no list of fields.
    let app = AppImageBuilder::new(ChipId::ESP32C3).version("1.1.0").size(20_000).build().unwrap();
    for (role, status) in [
        ("nobody", StatusCode::UNAUTHORIZED),
        ("viewer", StatusCode::FORBIDDEN),
        ("operator", StatusCode::SEE_OTHER),
        ("admin", StatusCode::SEE_OTHER),
    ] {
        let token = match role {
            "nobody" => String::new(),
            _ => site.get(role, "/").await.field("form"),
        };
        let releases = site.service.releases(&Default::default()).await.unwrap().items.len();
        let answer = site.upload(role, &token, &app).await;
        assert_eq!(answer.status, status, "an upload as {role}: {}", answer.text);
        let more = site.service.releases(&Default::default()).await.unwrap().items.len() - releases;
        assert_eq!(more, usize::from(status == StatusCode::SEE_OTHER), "releases made by {role}");
    }
}

#[tokio::test]
async fn a_viewer_sees_no_button_but_the_one_to_log_out() {
    let site = Site::start(false).await;
    site.mesh("").await;
    site.release().await;
    for (path, _) in PAGES.iter().filter(|(_, least)| *least == "viewer") {
        let page = site.get("viewer", path).await.text;
        assert_eq!(page.matches("method=\"post\"").count(), 1, "{path}: {page}");
        assert!(page.contains("action=\"/logout\"") && !page.contains("/rollouts/new"), "{path}");
        assert!(!page.contains("href=\"/tokens\"") && !page.contains("href=\"/audit\""), "{path}");
    }
}

#[tokio::test]
async fn a_form_of_another_page_changes_nothing() {
    let site = Site::start(false).await;
    site.mesh("").await;
    let token = site.get("operator", "/").await.field("form");
    let foreign = site.get("admin", "/").await.field("form");
    let name = [("name", "taken over")];
    let tries: [(&str, &[(&str, &str)]); 6] = [
        ("", &[("sec-fetch-site", "same-origin")]),
        (&foreign, &[("sec-fetch-site", "same-origin")]),
        (&token, &[("sec-fetch-site", "cross-site")]),
        (&token, &[("sec-fetch-site", "same-site")]),
        (&token, &[("origin", "https://evil.example")]),
        (&token, &[("origin", "null")]),
    ];
    for (token, headers) in tries {
        let answer = site.post_raw("operator", "/nodes/2", token, &name, headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}: {}", answer.text);
    }
    let upload = site.upload("operator", &foreign, b"\xe9").await;
    assert_eq!(upload.status, StatusCode::FORBIDDEN, "{}", upload.text);
    // Nor does logging somebody in from elsewhere.
    let fields = [("token", site.tokens["admin"].as_str())];
    let login = site.post_raw("nobody", "/login", "", &fields, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!((login.status, login.header("set-cookie")), (StatusCode::FORBIDDEN, ""));
    // The cookie opens nothing in the API.
    let api = site.get("admin", "/api/v1/nodes").await;
    assert_eq!(api.status, StatusCode::UNAUTHORIZED);
    // A token does, beside the pages as without them.
    let request = Request::builder().uri("/api/v1/nodes/2");
    let request = request.header("authorization", format!("Bearer {}", site.tokens["viewer"]));
    let node = site.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(
        (node.status, node.header("content-type")),
        (StatusCode::OK, "application/json"),
        "{}",
        node.text
    );
    let nothing = site.get("admin", "/api/v1/nothing").await;
    assert_eq!(
        (nothing.status, nothing.header("content-type")),
        (StatusCode::NOT_FOUND, "application/problem+json")
    );
    assert_eq!(site.service.all_nodes().await.unwrap()[1].name, None);
    let answer =
        site.post_raw("operator", "/nodes/2", &token, &name, &[("origin", "http://here:8080")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "our own page may: {}", answer.text);
}

#[tokio::test]
async fn names_with_html_and_sql_are_shown_as_text_everywhere() {
    let site = Site::start(false).await;
    site.mesh("").await;
    let evil = "\"><script>alert('1')</script>'); DROP TABLE nodes;--";
    let shown = "&quot;&gt;&lt;script&gt;alert('1')&lt;/script&gt;'); DROP TABLE nodes;--";
    let named = site.post("operator", "/nodes/2", &[("name", evil), ("tags", "<b>x</b>")]).await;
    assert_eq!(named.status, StatusCode::SEE_OTHER, "{}", named.text);
    let titled =
        site.post("operator", "/mesh", &[("name", ""), ("title", evil), ("zone", "Europe/Warsaw")]).await;
    assert_eq!(titled.status, StatusCode::SEE_OTHER, "{}", titled.text);
    let release = site.release().await;
    let rollout = site
        .post(
            "operator",
            "/rollouts/new",
            &[
                ("do", "start"),
                ("once", "1"),
                ("release", &release),
                ("name", evil),
                ("waves", "1, rest"),
                ("canary_failures", "0"),
                ("failures", "0"),
                ("success", "0"),
                ("soak", "60"),
                ("deadline", "60"),
                ("life", "60"),
                ("total", "1"),
                ("per_mesh", "1"),
                ("per_subtree", "1"),
                ("start", "2090-01-01T00:00"),
            ],
        )
        .await;
    assert_eq!(rollout.status, StatusCode::SEE_OTHER, "{}", rollout.text);
    let rollout = rollout.header("location").to_owned();
    site.service
        .create_token(rootcast_control::service::tokens::NewToken {
            name: evil.to_owned(),
            role: rootcast_control::service::tokens::Role::Viewer,
        })
        .await
        .unwrap();
    let release = format!("/releases/{release}");
    let mut pages: Vec<&str> = PAGES.iter().map(|(path, _)| *path).collect();
    pages.extend([rollout.as_str(), release.as_str(), "/nodes?q=%22%3E%3Cscript%3Ealert"]);
    let mut seen = 0;
    for path in pages {
        let page = site.get("admin", path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
        for raw in ["<script>alert", "<b>x</b>", "<i>first</i>"] {
            assert!(!page.text.contains(raw), "{path} shows {raw}: {}", page.text);
        }
        // The only scripts and styles are our own files.
        assert_eq!(page.text.matches("<script").count(), page.text.matches("<script src=\"/assets/").count());
        for inline in ["<style", " style=", " onclick=", " onload=", " onerror=", "javascript:"] {
            assert!(!page.text.contains(inline), "{path} has {inline}");
        }
        seen += usize::from(page.text.contains(shown));
    }
    assert!(seen >= 8, "shown as text on {seen} pages");
}

#[tokio::test]
async fn answers_tell_browsers_to_load_nothing_from_elsewhere_and_to_keep_nothing() {
    let site = Site::start(true).await;
    let login = site.login(&site.tokens["viewer"], "/rollouts").await;
    assert_eq!(login.header("location"), "/rollouts");
    let cookie = login.header("set-cookie");
    for word in ["__Host-rootcast=", "HttpOnly", "SameSite=Strict", "Secure"] {
        assert!(cookie.contains(word), "{word}: {cookie}");
    }
    for path in ["/", "/login", "/nothing", "/api/docs"] {
        let page = site.get("viewer", path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        for word in ["script-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"] {
            assert!(policy.contains(word), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(
            (page.header("cache-control"), page.header("x-content-type-options")),
            ("no-store", "nosniff")
        );
        for address in page.text.split("href=\"").chain(page.text.split("src=\"")).skip(1) {
            assert!(address.starts_with(['/', '#', '<']), "{path}: {address:.60}");
        }
    }
    assert_eq!(site.get("viewer", "/nothing").await.status, StatusCode::NOT_FOUND);
    let style = site.get("nobody", "/assets/rootcast.css").await;
    assert_eq!((style.status, style.header("content-type")), (StatusCode::OK, "text/css; charset=utf-8"));
    assert!(!style.text.contains("url(") && !style.text.contains("@import"));
}

#[tokio::test]
async fn a_session_ends_with_its_log_out_and_with_its_token() {
    let site = Site::start(false).await;
    let wrong = site.login("rc_0000000000000000_00", "//evil.example").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (StatusCode::UNAUTHORIZED, ""));
    assert_eq!(wrong.field("next"), "/", "no way to another host");

    let out = site.post("viewer", "/logout", &[]).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(site.get("viewer", "/").await.status, StatusCode::SEE_OTHER, "the secret opens nothing more");

    let (id, _) = site.tokens["operator"].strip_prefix("rc_").unwrap().split_once('_').unwrap();
    assert_eq!(site.get("operator", "/").await.status, StatusCode::OK);
    let revoked = site.post("admin", &format!("/tokens/{id}/revoke"), &[]).await;
    assert_eq!(revoked.status, StatusCode::SEE_OTHER, "{}", revoked.text);
    assert_eq!(site.get("operator", "/").await.status, StatusCode::SEE_OTHER);
    let stale = site.post_raw("operator", "/nodes/2", "", &[], &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(stale.status, StatusCode::UNAUTHORIZED);
    // No secret of a session is in the database.
    let secret = site.cookies["admin"].split_once('=').unwrap().1.to_owned();
    for file in ["test.db", "test.db-wal"] {
        let bytes = std::fs::read(site.folder.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{file}");
    }
}

#[tokio::test]
async fn an_open_page_hears_nothing_more_after_its_log_out() {
    let site = Site::start(false).await;
    let open = async |role: &str| {
        let request = site.request(role, "GET", "/live").body(Body::empty()).unwrap();
        let response = site.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body()
    };
    let (stream, revoked) = (open("viewer").await, open("operator").await);
    site.post("viewer", "/logout", &[]).await;
    let (id, _) = site.tokens["operator"].strip_prefix("rc_").unwrap().split_once('_').unwrap();
    site.post("admin", &format!("/tokens/{id}/revoke"), &[]).await;
    for stream in [stream, revoked] {
        let rest = axum::body::to_bytes(stream, 1 << 20);
        tokio::time::timeout(Duration::from_secs(20), rest).await.expect("it ends").unwrap();
    }
}

#[tokio::test]
async fn what_is_done_on_the_page_is_in_the_audit_log() {
    let site = Site::start(false).await;
    site.mesh("").await;
    site.post("operator", "/nodes/2", &[("name", "hall")]).await;
    site.post("viewer", "/nodes/2", &[("name", "mine")]).await;
    site.get("viewer", "/nodes/2").await;
    let lines = site.service.newest_audit(None, 100).await.unwrap().items;
    let lines: Vec<String> = lines
        .iter()
        .rev()
        .map(|line| {
            format!("{} {} {} {}", line.who.split(' ').next().unwrap(), line.method, line.path, line.status)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "viewer POST /login 303",
            "operator POST /login 303",
            "admin POST /login 303",
            "operator POST /nodes/2 303",
            "viewer POST /nodes/2 403",
        ]
    );
    let page = site.get("admin", "/audit").await.text;
    assert!(page.contains("POST /nodes/2") && page.contains("refused"), "{page}");
}

#[tokio::test]
async fn a_rollout_is_tried_on_paper_and_begun_once_however_often_the_button_is_pressed() {
    let site = Site::start(false).await;
    site.mesh("home").await;
    let release = site.release().await;
    let form = site.get("operator", &format!("/rollouts/new?release={release}")).await;
    assert!(form.text.contains(&format!("<option value=\"{release}\" selected>")), "{}", form.text);
    let fields: Vec<(&str, &str)> = vec![
        ("release", &release),
        ("mesh", "home"),
        ("waves", "1, rest"),
        ("canary_failures", "0"),
        ("failures", "0"),
        ("success", "0"),
        ("soak", "1h"),
        ("deadline", "2h"),
        ("life", "1d"),
        ("total", "9"),
        ("per_mesh", "9"),
        ("per_subtree", "9"),
    ];
    let tried = site.post("operator", "/rollouts/new", &fields).await;
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.text);
    assert!(tried.text.contains("<b>3 nodes</b> would get rootcast-demo 1.1.0"), "{}", tried.text);
    assert!(site.get("viewer", "/rollouts").await.text.contains("None yet."), "nothing was done");

    let once = tried.field("once");
    let start = [fields.as_slice(), &[("do", "start"), ("once", &once)]].concat();
    // Twice at the same moment, and once more.
    let press = || site.post("operator", "/rollouts/new", &start);
    let (begun, too) = tokio::join!(press(), press());
    assert_eq!(begun.header("location"), too.header("location"), "{}", too.text);
    assert_eq!(site.service.rollouts(&Default::default()).await.unwrap().items.len(), 1);
    let place = begun.header("location").to_owned();
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text);
    let again = site.post("operator", "/rollouts/new", &start).await;
    assert_eq!(again.header("location"), place, "the same one");
    // Another form, for the same nodes: not before this one is over.
    let other = site.post("operator", "/rollouts/new", &fields).await;
    assert!(other.text.contains("has it already"), "the dry run says so: {}", other.text);
    let once = other.field("once");
    let other = [fields.as_slice(), &[("do", "start"), ("once", &once)]].concat();
    let refused = site.post("operator", "/rollouts/new", &other).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("abort it, or leave the node out"), "{}", refused.text);
    let page = site.get("operator", &place).await.text;
    for words in ["Wave 1 · canary", "Wave 2", "Pause", "Abort the rollout", "1.1.0"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let aborted = site.post("operator", &format!("{place}/abort"), &[]).await;
    assert_eq!(aborted.status, StatusCode::SEE_OTHER, "{}", aborted.text);
    let page = site.get("viewer", &place).await.text;
    assert!(page.contains("aborted by operator") && !page.contains("Abort the rollout"), "{page}");
    let twice = site.post("operator", &format!("{place}/abort"), &[]).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    assert!(twice.text.contains("role=\"alert\""), "{}", twice.text);

    let wrong = [fields.as_slice(), &[("tags", "<x>"), ("nodes", "nonsense")]].concat();
    let wrong = site.post("operator", "/rollouts/new", &wrong).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        wrong.text.contains("is no node") && wrong.text.contains("value=\"&lt;x&gt;\""),
        "what was typed stays"
    );
}

#[tokio::test]
async fn a_file_that_no_node_would_take_is_refused_with_its_reason() {
    let site = Site::start(false).await;
    let token = site.get("operator", "/").await.field("form");
    for (file, words) in
        [(&b"no image"[..], "no app image that a node would take"), (b"", "Choose an app image")]
    {
        let answer = site.upload("operator", &token, file).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        assert!(answer.text.contains(words), "{words}: {}", answer.text);
    }
    let large = site.upload("operator", &token, &vec![0xe9; 17 << 20]).await;
    assert!([413, 422].contains(&large.status.as_u16()), "{}", large.status);
    assert!(site.service.releases(&Default::default()).await.unwrap().items.is_empty());
}
