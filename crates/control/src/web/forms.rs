//! What a form sent, and that it was one of ours.

use super::Site;
use super::error::Refused;
use super::session::Session;
use crate::id::sha256_hex;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};

/// The field that shows that a form is ours.
pub const TOKEN_FIELD: &str = "form";
/// The most fields of a form.
const MAX_FIELDS: usize = 5_000;

/// The fields of a form, in their order; a name may occur several times.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads what a browser sends, or what stands after the question mark.
    pub fn read(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().take(MAX_FIELDS).collect())
    }

    /// A field's text without the space around it; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
    }

    /// Every text of a field that may occur several times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.trim())
    }

    /// Whether a box is ticked.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Every field but those named.
    pub fn without<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        pairs.filter(|(key, _)| !names.contains(key))
    }

    /// Adds a field.
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }
}

/// Whether a form's token is the session's.
pub fn is_ours(session: &Session, token: &str) -> bool {
    // Hashes on both sides: what time a comparison takes says nothing.
    sha256_hex(token.as_bytes()) == sha256_hex(session.form_token.as_bytes())
}

/// The refusal of a form that is not ours, or not any more.
pub fn not_ours() -> Refused {
    let text = "The form is from another session. Nothing was done: open the page again.";
    Refused::new(StatusCode::FORBIDDEN, text)
}

/// A form of ours, sent by whoever opened the page that it was on. A handler names the least role before it.
pub struct Posted(pub Fields);

impl FromRequest<Site> for Posted {
    type Rejection = Refused;

    async fn from_request(request: Request, site: &Site) -> Result<Self, Refused> {
        let session = request.extensions().get::<Session>().cloned();
        let fields = read(request, site).await?;
        match session {
            Some(session) if is_ours(&session, fields.get(TOKEN_FIELD)) => Ok(Self(fields)),
            _ => Err(not_ours()),
        }
    }
}

/// Reads a form, whoever sent it.
pub async fn read(request: Request, site: &Site) -> Result<Fields, Refused> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This is no form."));
    }
    let body = axum::body::Bytes::from_request(request, site).await;
    let bytes = body.map_err(|rejection| Refused::new(rejection.status(), rejection.body_text()))?;
    Ok(Fields::read(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_browsers_send_it() {
        let fields = Fields::read(b"name=%3Cb%3E+x&mesh=a&mesh=&force=on");
        assert_eq!((fields.get("name"), fields.get("none")), ("<b> x", ""));
        assert_eq!(fields.all("mesh").collect::<Vec<_>>(), ["a", ""]);
        assert!(fields.has("force") && !fields.has("allow"));
        assert_eq!(fields.without(&["mesh", "name"]).collect::<Vec<_>>(), [("force", "on")]);
    }
}
