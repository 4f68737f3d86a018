//! `rootcast serve` as a process that can be killed and comes back on the same ports, and a client of its API.

use super::peers::free_port;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A control plane.
pub struct Plane {
    folder: PathBuf,
    arguments: Vec<String>,
    running: Option<(Child, BufReader<ChildStdout>)>,
    pub api: String,
    pub broker: String,
    pub token: String,
    client: reqwest::Client,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Plane {
    /// Starts one whose data is in `folder`; `token` is one that the database has, if it is not new.
    pub fn start(
        folder: &Path,
        database: Option<String>,
        broker: Option<String>,
        token: Option<String>,
    ) -> Self {
        // Somebody may have installed one before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        std::fs::create_dir_all(folder).unwrap();
        let mut arguments: Vec<String> =
            ["serve", "--json", "--data", "data", "--firmware", "127.0.0.1:0"].map(String::from).into();
        arguments.extend(["--listen".to_owned(), format!("127.0.0.1:{}", free_port())]);
        match broker {
            Some(url) => arguments.extend(["--broker".to_owned(), url]),
            None => arguments.extend(["--mqtt".to_owned(), format!("127.0.0.1:{}", free_port())]),
        }
        arguments.extend(database.into_iter().flat_map(|url| ["--database".to_owned(), url]));
        let mut plane = Self {
            folder: folder.to_owned(),
            arguments,
            running: None,
            api: String::new(),
            broker: String::new(),
            token: token.unwrap_or_default(),
            client: reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap(),
        };
        let started = plane.launch();
        let text = |what: &str| started[what].as_str().unwrap_or_default().to_owned();
        (plane.api, plane.broker) = (text("api"), text("broker"));
        if plane.token.is_empty() {
            plane.token = text("token");
        }
        plane
    }

    /// Starts the process, and returns what it says when it runs.
    pub fn launch(&mut self) -> Value {
        let log = File::options().create(true).append(true).open(self.folder.join("serve.log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_rootcast"))
            .args(&self.arguments)
            .current_dir(&self.folder)
            .env_remove("ROOTCAST_BROKER")
            .env_remove("ROOTCAST_DATABASE")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("rootcast serve starts");
        let (mut line, mut said) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
        said.read_line(&mut line).unwrap();
        let started: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("rootcast serve: {line} {}", self.log()));
        assert_eq!(started["event"], "started", "{started} {}", self.log());
        self.running = Some((child, said));
        started
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default()
    }

    /// Ends it as power does.
    pub fn kill(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Its memory in bytes; 0 while it does not run.
    pub fn memory(&self) -> u64 {
        self.running.as_ref().map_or(0, |(child, _)| super::peers::memory_of(child.id()))
    }

    /// What the API answers; an error while it does not.
    pub async fn get(&self, path: &str) -> Result<Value, String> {
        let request = self.client.get(format!("{}/api/v1{path}", self.api)).bearer_auth(&self.token);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let (status, body) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
        match status.is_success() {
            true => serde_json::from_str(&body).map_err(|error| error.to_string()),
            false => Err(format!("{path}: {status}: {body}")),
        }
    }

    /// Sends something that has to be taken.
    pub async fn post(&self, path: &str, body: Vec<u8>, kind: &str) -> Value {
        let request = self.client.post(format!("{}/api/v1{path}", self.api)).bearer_auth(&self.token);
        let answer = request.header("content-type", kind).body(body).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status}: {body}");
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// A number of its metrics; `None` while it does not answer.
    pub async fn metric(&self, name: &str) -> Option<u64> {
        let request = self.client.get(format!("{}/metrics", self.api)).bearer_auth(&self.token);
        let text = request.send().await.ok()?.text().await.ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse().ok()
    }

    /// Every page of a list, put together.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}?limit=1000{after}")).await.unwrap();
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return items,
            }
        }
    }
}
