//! From a request to its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED, LOCATION, RANGE, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode, Version};

use super::body::{Answer, EarlyEnd, Record, Source};
use super::events::{Journal, RequestEvent};
use super::limits::{Limits, MeshKey};
use super::range::{Wanted, wanted};
use super::upload::{Uploads, receive};
use crate::content::{Files, Resource, Stored};
use crate::faults::{EtagFault, Fault, FaultSource, RequestView, gzip_stored};

/// Longest `User-Agent` kept in an event.
const MAX_USER_AGENT_BYTES: usize = 200;
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// What every connection of a host shares.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) files: Files,
    pub(crate) journal: Arc<Journal>,
    pub(crate) limits: Limits,
    pub(crate) mesh_key: MeshKey,
    pub(crate) faults: Option<FaultSource>,
    pub(crate) uploads: Option<Uploads>,
}

/// Answers one request.
pub(crate) async fn answer(
    site: Arc<Site>,
    client: SocketAddr,
    request: Request<Incoming>,
) -> Response<Answer> {
    let (head, body) = request.into_parts();
    let number = site.journal.next_number();
    let mesh = site.mesh_key.of(client.ip(), head.uri.query());
    let event = RequestEvent {
        number,
        client,
        mesh,
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        version: version_name(head.version),
        status: 0,
        range_start: None,
        length: 0,
        sent: 0,
        complete: false,
        millis: 0,
        user_agent: user_agent(&head.headers),
    };
    let record = Record { journal: site.journal.clone(), event: Some(event), begun: Instant::now() };
    let fault = match &site.faults {
        Some(FaultSource(faults)) => faults.fault(&RequestView {
            number,
            method: head.method.as_str(),
            target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
            range: head.headers.get(RANGE).and_then(|range| range.to_str().ok()),
        }),
        None => Fault::default(),
    };
    if !fault.delay.is_zero() {
        tokio::time::sleep(fault.delay).await;
    }
    let reply = Reply { site: &site, record };
    if let Some(location) = &fault.redirect {
        let mut response = reply.page(StatusCode::FOUND, "Found");
        set(response.headers_mut(), LOCATION, location);
        return response;
    }
    if let Some(status) = fault.status.and_then(|status| StatusCode::from_u16(status).ok()) {
        return reply.page(status, status.canonical_reason().unwrap_or("made up"));
    }
    if let (&Method::PUT, Some(uploads)) = (&head.method, &site.uploads) {
        let (status, text) =
            receive(&site.files, uploads, client, head.uri.path(), &head.headers, body).await;
        return reply.page(status, &text);
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        let allowed = if site.uploads.is_some() { "GET, HEAD, PUT" } else { "GET, HEAD" };
        let mut response = reply.page(StatusCode::METHOD_NOT_ALLOWED, "this method is not offered here");
        set(response.headers_mut(), ALLOW, allowed);
        return response;
    }
    match find(&site.files, head.uri.path()).await {
        Some(resource) => reply.resource(resource, &head.method, &head.headers, fault),
        None => reply.page(StatusCode::NOT_FOUND, "no such file here"),
    }
}

/// Files from a folder may have to be read and hashed: not on the thread that serves everyone.
async fn find(files: &Files, path: &str) -> Option<Resource> {
    if let Some(resource) = files.find_in_memory(path) {
        return Some(resource);
    }
    if !files.has_folder() {
        return None;
    }
    let (files, path) = (files.clone(), path.to_owned());
    tokio::task::spawn_blocking(move || files.find(&path)).await.ok().flatten()
}

struct Reply<'a> {
    site: &'a Site,
    record: Record,
}

impl Reply<'_> {
    /// A short page: errors and redirects.
    fn page(mut self, status: StatusCode, text: &str) -> Response<Answer> {
        if let Some(event) = &mut self.record.event {
            event.status = status.as_u16();
        }
        let text = format!("{} {text}\n", status.as_u16());
        let mut response = Response::new(Answer::new(
            Source::Memory(text.into()),
            Vec::new(),
            EarlyEnd::default(),
            self.record,
        ));
        *response.status_mut() = status;
        set(response.headers_mut(), CONTENT_TYPE, "text/plain; charset=utf-8");
        response
    }

    fn resource(
        mut self,
        stored: Resource,
        method: &Method,
        request: &HeaderMap,
        fault: Fault,
    ) -> Response<Answer> {
        let true_tag = stored.etag();
        let mut resource = stored;
        if let Some(content) = fault.content {
            resource = Resource { content_type: resource.content_type, ..Resource::from_bytes(content) };
        }
        if fault.gzip {
            let plain = match &resource.body {
                Stored::Memory(bytes) => bytes.clone(),
                Stored::Disk(..) => Bytes::new(),
            };
            resource.body = Stored::Memory(gzip_stored(&plain));
        }
        let etag = match &fault.etag {
            EtagFault::True => Some(resource.etag()),
            EtagFault::Stale => Some(true_tag),
            EtagFault::Missing => None,
            EtagFault::Weak => Some(format!("W/{}", resource.etag())),
            EtagFault::Is(tag) => Some(tag.clone()),
        };
        let plan = match fault.etag {
            // A host that hides a change by its tag also takes `If-Range` with that tag for a match.
            EtagFault::Stale => {
                let mut unconditional = request.clone();
                unconditional.remove(hyper::header::IF_RANGE);
                wanted(&unconditional, &resource, method == Method::GET && !fault.no_range)
            }
            _ => wanted(request, &resource, method == Method::GET && !fault.no_range),
        };
        let length = resource.len();
        let (status, from, to) = match plan {
            Wanted::All => (StatusCode::OK, 0, length),
            Wanted::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
            Wanted::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
            Wanted::PreconditionFailed => {
                return self.page(StatusCode::PRECONDITION_FAILED, "the content is another");
            }
            Wanted::Unsatisfiable => {
                let mut response =
                    self.page(StatusCode::RANGE_NOT_SATISFIABLE, "the content ends before this range");
                set(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{length}"));
                return response;
            }
        };
        if let Some(event) = &mut self.record.event {
            event.status = status.as_u16();
            event.range_start = (status == StatusCode::PARTIAL_CONTENT).then_some(from);
        }
        let limits =
            self.record.event.as_ref().map(|event| self.site.limits.of(&event.mesh)).unwrap_or_default();
        let source = match &resource.body {
            Stored::Memory(bytes) => Source::Memory(part(bytes, from, to)),
            Stored::Disk(file, _) => Source::Disk { file: file.clone(), at: from, end: to },
        };
        let early = EarlyEnd {
            stall_after: fault.stall_after,
            cut_after: fault.cut_after,
            length_unknown: fault.no_content_length || fault.content_length.is_some(),
        };
        let mut response = Response::new(Answer::new(source, limits, early, self.record));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if let Some(etag) = etag {
            set(headers, ETAG, &etag);
            set(headers, LAST_MODIFIED, &httpdate::fmt_http_date(resource.modified));
        }
        if status == StatusCode::NOT_MODIFIED {
            return response;
        }
        if !fault.no_range {
            set(headers, ACCEPT_RANGES, "bytes");
        }
        set(headers, CONTENT_TYPE, fault.content_type.as_deref().unwrap_or(resource.content_type));
        if fault.gzip {
            set(headers, CONTENT_ENCODING, "gzip");
        } else {
            set(headers, REPR_DIGEST, &resource.repr_digest());
        }
        // Caches may keep it but must ask again: the same name can carry new content.
        set(headers, CACHE_CONTROL, "no-cache");
        if status == StatusCode::PARTIAL_CONTENT {
            set(headers, CONTENT_RANGE, &format!("bytes {from}-{}/{length}", to.saturating_sub(1)));
        }
        if !fault.no_content_length {
            set(headers, CONTENT_LENGTH, &fault.content_length.unwrap_or(to - from).to_string());
        }
        response
    }
}

fn part(bytes: &Bytes, from: u64, to: u64) -> Bytes {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(place(from).min(place(to))..place(to))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP",
    }
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(MAX_USER_AGENT_BYTES).collect())
}
