//! Releases: what there is, and uploading.

use super::Site;
use super::error::Refused;
use super::forms::{Posted, TOKEN_FIELD, is_ours, not_ours};
use super::layout::{Frame, page, token};
use super::parts::{ago, bytes, counted, escape, further, hash};
use super::session::{Operator, Session, Viewer};
use crate::service::releases::{Before, NewImage, NewRelease, ReleaseView};
use crate::service::tokens::Role;
use axum::extract::multipart::MultipartError;
use axum::extract::{Multipart, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use rootcast_image::ChipId;
use rootcast_rollout::Moment;

/// Releases shown at once.
const RELEASES: u32 = 50;

/// Every release, and the form to upload one.
pub async fn list(
    State(site): State<Site>,
    Viewer(session): Viewer,
    Query(mut wish): Query<Before>,
) -> Result<Response, Refused> {
    wish.limit = Some(RELEASES);
    show_list(&site, &session, &wish, None).await
}

async fn show_list(
    site: &Site,
    session: &Session,
    wish: &Before,
    wrong: Option<&Refused>,
) -> Result<Response, Refused> {
    let found = site.service.releases(wish).await?;
    let now = site.service.clock.now();
    let next = found.next.map(|next| format!("/releases?before={}", escape(&next)));
    let content = html! {
        h1 { "Releases" }
        @if session.may(Role::Operator) { (upload(session, wrong)) (elsewhere(session)) }
        @if found.items.is_empty() { p.empty { "No release yet." } }
        ul.rows { @for release in &found.items { (line(release, session, now)) } }
        (further(next, "Older releases"))
    };
    let status = wrong.map_or(StatusCode::OK, Refused::status);
    Ok((status, page(&Frame::new("Releases", Some(session)).section("Releases"), &content)).into_response())
}

fn upload(session: &Session, wrong: Option<&Refused>) -> Markup {
    html! {
        section.card aria-labelledby="upload-title" {
            h2 #upload-title { "Upload a release" }
            @if let Some(wrong) = wrong { p.notice.bad role="alert" { (wrong.text()) } }
            form.grid method="post" action="/releases" enctype="multipart/form-data" {
                (token(session))
                div {
                    label for="file" { "App image" }
                    input #file type="file" name="file" accept=".bin,application/octet-stream" multiple required
                        aria-describedby="file-hint";
                    p #file-hint .hint {
                        "The " code { ".bin" } " that your build makes. Chip, version and hashes are read from it. "
                        "Several files make one release for several chips."
                    }
                }
                div {
                    label for="type" { "For node type " span.dim { "(optional)" } }
                    input #type name="type" maxlength="16" placeholder="every type";
                }
                div {
                    label for="version" { "Version " span.dim { "(optional)" } }
                    input #version name="version" maxlength="31" placeholder="as the image says";
                }
                div.wide {
                    label for="notes" { "Notes " span.dim { "(optional)" } }
                    textarea #notes name="notes" rows="2" maxlength="4000" {}
                }
                div.wide { button.primary { "Upload" } }
            }
        }
    }
}

fn elsewhere(session: &Session) -> Markup {
    html! {
        details.card {
            summary { "Or name a release that lies elsewhere" }
            form.grid method="post" action="/releases/elsewhere" {
                (token(session))
                div.wide {
                    label for="url" { "URL" }
                    input #url name="url" type="url" maxlength="2048" placeholder="https://" required aria-describedby="url-hint";
                    p #url-hint .hint {
                        "An app image, or a signed release (" code { "release.suit" } "). It stays there: it is checked now as nodes will check it, "
                        "and they are sent to it."
                    }
                }
                div.wide {
                    label for="url-ca" { "Certificates (PEM) that nodes trust there " span.dim { "(optional)" } }
                    textarea #url-ca name="ca" rows="2" {}
                }
                div.wide {
                    label for="url-notes" { "Notes " span.dim { "(optional)" } }
                    textarea #url-notes name="notes" rows="2" maxlength="4000" {}
                }
                div.wide { button.primary { "Check and add" } }
            }
        }
    }
}

/// Makes a release of what lies behind a URL.
pub async fn name(
    State(site): State<Site>,
    Operator(session): Operator,
    Posted(fields): Posted,
) -> Result<Response, Refused> {
    let new = NewRelease {
        url: Some(fields.get("url").to_owned()),
        ca: Some(fields.get("ca").to_owned()).filter(|ca| !ca.is_empty()),
        notes: fields.get("notes").replace("\r\n", "\n"),
        ..NewRelease::default()
    };
    match site.service.create_release(&new, &session.who.name).await {
        Ok(release) => Ok(Redirect::to(&format!("/releases/{}", escape(&release.id))).into_response()),
        Err(error) => {
            let newest = Before { before: None, limit: Some(RELEASES) };
            show_list(&site, &session, &newest, Some(&error.into())).await
        }
    }
}

fn line(release: &ReleaseView, session: &Session, now: Moment) -> Markup {
    html! {
        li.row {
            div.row-main {
                a href={ "/releases/" (escape(&release.id)) } { b { (release.version) } " " (release.project) }
                span.dim { " · " (counted(release.images.len(), "image")) " · " (ago(&release.created_at, now)) " by " (release.created_by) }
            }
            @if session.may(Role::Operator) {
                a.button href={ "/rollouts/new?release=" (escape(&release.id)) } {
                    "Roll out" span.unseen { " " (release.version) " " (release.project) }
                }
            }
        }
    }
}

/// One release.
pub async fn show(
    State(site): State<Site>,
    Viewer(session): Viewer,
    Path(id): Path<String>,
) -> Result<Response, Refused> {
    let release = site.service.release(&id).await?;
    let title = format!("{} {}", release.project, release.version).trim().to_owned();
    let content = html! {
        p.crumbs { a href="/releases" { "Releases" } }
        h1 { (title) }
        p.dim { "Made " (ago(&release.created_at, site.service.clock.now())) " by " (release.created_by) " · " code { (release.id) } }
        @if !release.notes.is_empty() { p.notes { (release.notes) } }
        @if session.may(Role::Operator) {
            p { a.button.primary href={ "/rollouts/new?release=" (escape(&release.id)) } { "Roll out" } }
        }
        @if let (Some(url), Some(number)) = (&release.manifest_url, release.sequence_number) {
            p.break { "Signed release " (number) ": " code { (url) } }
        }
        h2 { "Images" }
        ul.rows {
            @for image in &release.images {
                li.row {
                    div.row-main {
                        b { (u16::try_from(image.chip).map(|chip| ChipId(chip).to_string()).unwrap_or_default()) }
                        " for " (image.node_type.as_deref().unwrap_or("every type"))
                        span.dim { " · " (bytes(image.size)) " · " @if image.signed { "signed" } @else { "unsigned" } }
                        div.small { "Image hash " (hash(&image.image_hash)) " · SHA-256 " (hash(&image.sha256)) }
                        div.small.break { code { (image.url) } }
                        @if !image.patches_from.is_empty() {
                            div.small { "By patch from " @for from in &image.patches_from { (hash(from)) " " } }
                        }
                    }
                }
            }
        }
        @if session.may(Role::Operator) {
            details.card {
                summary { "Remove this release" }
                form method="post" action={ "/releases/" (escape(&release.id)) "/remove" } {
                    (token(&session))
                    p { "A release that a rollout names stays: its history needs it." }
                    button.danger { "Remove" }
                }
            }
        }
    };
    Ok(page(&Frame::new(&title, Some(&session)).section("Releases"), &content))
}

/// What the upload form sent.
#[derive(Default)]
struct Upload {
    files: Vec<axum::body::Bytes>,
    node_type: Option<String>,
    version: Option<String>,
    notes: String,
}

impl Upload {
    /// Reads the form; its token comes before the files, so that nothing of a foreign form is kept in memory.
    async fn read(session: &Session, mut form: Multipart) -> Result<Self, Refused> {
        let broken = |error: MultipartError| Refused::new(error.status(), error.body_text());
        let (mut upload, mut ours) = (Self::default(), false);
        while let Some(field) = form.next_field().await.map_err(broken)? {
            let name = field.name().unwrap_or_default().to_owned();
            if name == TOKEN_FIELD {
                ours = is_ours(session, &field.text().await.map_err(broken)?);
                continue;
            }
            if !ours {
                return Err(not_ours());
            }
            match name.as_str() {
                "file" => {
                    let bytes = field.bytes().await.map_err(broken)?;
                    // A form without a chosen file sends an empty one.
                    upload.files.extend((!bytes.is_empty()).then_some(bytes));
                }
                "type" | "version" | "notes" => {
                    let text = field.text().await.map_err(broken)?.trim().to_owned();
                    match name.as_str() {
                        "notes" => upload.notes = text.replace("\r\n", "\n"),
                        "type" => upload.node_type = Some(text).filter(|text| !text.is_empty()),
                        _ => upload.version = Some(text).filter(|text| !text.is_empty()),
                    }
                }
                _ => {}
            }
        }
        if ours { Ok(upload) } else { Err(not_ours()) }
    }

    async fn keep(self, site: &Site, by: &str) -> Result<ReleaseView, Refused> {
        if self.files.is_empty() {
            return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "Choose an app image to upload."));
        }
        let mut images = Vec::new();
        for bytes in self.files {
            let sha256 = site.service.upload(bytes).await?.sha256;
            images.push(NewImage { sha256, node_type: self.node_type.clone() });
        }
        let new = NewRelease { version: self.version, notes: self.notes, images, ..NewRelease::default() };
        Ok(site.service.create_release(&new, by).await?)
    }
}

/// Uploads images and makes a release of them.
pub async fn create(
    State(site): State<Site>,
    Operator(session): Operator,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<Response, Refused> {
    let form = form.map_err(|rejection| Refused::new(rejection.status(), rejection.body_text()))?;
    let upload = Upload::read(&session, form).await?;
    match upload.keep(&site, &session.who.name).await {
        Ok(release) => Ok(Redirect::to(&format!("/releases/{}", escape(&release.id))).into_response()),
        Err(wrong) => {
            let newest = Before { before: None, limit: Some(RELEASES) };
            show_list(&site, &session, &newest, Some(&wrong)).await
        }
    }
}

/// Removes a release.
pub async fn remove(
    State(site): State<Site>,
    Operator(_): Operator,
    Path(id): Path<String>,
    _: Posted,
) -> Result<Response, Refused> {
    site.service.remove_release(&id).await?;
    Ok(Redirect::to("/releases").into_response())
}
