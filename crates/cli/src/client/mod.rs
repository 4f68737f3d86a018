//! A client of the control plane's REST API.

mod error;

pub use error::ClientError;

use crate::error::Error;
use crate::files;
use clap::Args;
use reqwest::{Certificate, Method, RequestBuilder};
use rootcast_control::api::problem::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take, an upload over a slow line included.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The environment variable with the token: as an argument, everybody on the machine could read it.
const TOKEN_VARIABLE: &str = "ROOTCAST_TOKEN";

/// Where the control plane is, and who asks. The token is in ROOTCAST_TOKEN or in a file.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Control plane")]
pub struct Server {
    /// The control plane's address
    #[arg(long, value_name = "URL", env = "ROOTCAST_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,

    /// A file with the token; without it, the token is in ROOTCAST_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// CA certificates (PEM) to trust besides the public ones: DATA/rootcast-ca.pem of rootcast serve
    #[arg(long, value_name = "FILE", env = "ROOTCAST_CA")]
    server_ca: Option<PathBuf>,
}

/// A client of one control plane.
pub struct Client {
    http: reqwest::Client,
    server: String,
    token: String,
}

impl Server {
    /// A client of this control plane.
    pub fn client(&self) -> Result<Client, Error> {
        let token = match &self.token_file {
            Some(path) => String::from_utf8_lossy(&files::read(path)?).trim().to_string(),
            None => std::env::var(TOKEN_VARIABLE).unwrap_or_default().trim().to_string(),
        };
        if token.is_empty() {
            return Err(Error::Usage(format!(
                "the control plane wants a token: put it into {TOKEN_VARIABLE}, or name a file with --token-file; \
                 rootcast serve printed the first one"
            )));
        }
        let server = self.server.trim_end_matches('/').to_string();
        if !server.starts_with("http://") && !server.starts_with("https://") {
            return Err(Error::Usage(format!(
                "--server: \"{server}\" is no URL; an example is http://127.0.0.1:8080"
            )));
        }
        let mut certificates = Vec::new();
        if let Some(path) = &self.server_ca {
            for der in files::read_certificates(path)? {
                let flaw = "holds a certificate that cannot be used";
                let certificate = Certificate::from_der(&der);
                certificates.push(certificate.map_err(|_| Error::Flawed { path: path.clone(), flaw })?);
            }
        }
        // Fails only if somebody installed one before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let built = reqwest::Client::builder()
            .user_agent(concat!("rootcast/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .tls_certs_merge(certificates)
            .build();
        let http = built.map_err(|error| ClientError::unreachable(&server, &error))?;
        Ok(Client { http, server, token })
    }
}

impl Client {
    /// The token that requests are sent with.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Error> {
        self.json(self.request(Method::GET, path).query(query)).await
    }

    /// Sends something.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    /// Gives an order that needs no words.
    pub async fn order<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Error> {
        self.json(self.request(Method::POST, path).query(query)).await
    }

    /// Uploads a file.
    pub async fn upload<T: DeserializeOwned>(&self, path: &str, bytes: Vec<u8>) -> Result<T, Error> {
        let request = self.request(Method::POST, path).header("content-type", "application/octet-stream");
        self.json(request.body(bytes)).await
    }

    /// Changes something.
    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Error> {
        self.json(self.request(Method::PATCH, path).json(body)).await
    }

    /// Removes something.
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        self.send(self.request(Method::DELETE, path)).await.map(|_| ())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.server)).bearer_auth(&self.token)
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let answer = self.send(request).await?;
        let read = answer.json().await;
        Ok(read.map_err(|error| ClientError::Answer {
            server: self.server.clone(),
            reason: error.to_string(),
        })?)
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, Error> {
        let sent = request.send().await;
        let answer = sent.map_err(|error| ClientError::unreachable(&self.server, &error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let detail = match answer.json::<Problem>().await {
            Ok(problem) => problem.detail,
            Err(_) => format!("it answers {status}"),
        };
        Err(ClientError::Refused { status: status.as_u16(), detail }.into())
    }
}

/// A part of a path: what a user typed must not lead elsewhere.
pub fn part(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
