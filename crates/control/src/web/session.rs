//! Who looks at a page: a cookie holds the session's secret, and each handler names the least role by its argument's type.

use super::Site;
use super::error::Refused;
use crate::id::sha256_hex;
use crate::service::ServiceError;
use crate::service::sessions::LIFE;
use crate::service::tokens::{Principal, Role};
use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};

/// Somebody who is logged in.
#[derive(Clone)]
pub struct Session {
    /// Who.
    pub who: Principal,
    /// What every form has to carry: nobody who does not know the cookie can make it.
    pub form_token: String,
    /// What the cookie holds.
    pub secret: String,
}

impl Session {
    /// Whether this role is theirs.
    pub fn may(&self, role: Role) -> bool {
        self.who.role >= role
    }
}

/// The cookie's name. Under TLS its prefix makes browsers refuse it from any other host or over plain HTTP.
fn name(is_secure: bool) -> &'static str {
    if is_secure { "__Host-rootcast" } else { "rootcast" }
}

/// The cookie that opens a session; an empty secret takes it away.
pub fn cookie(secret: &str, is_secure: bool) -> String {
    let age = if secret.is_empty() { 0 } else { LIFE.as_secs() };
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}", name(is_secure))
}

/// The session that a request's cookie opens.
pub async fn find(site: &Site, headers: &HeaderMap) -> Result<Option<Session>, ServiceError> {
    let name = name(site.is_secure);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let secret = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name);
    // 64 hexadecimal digits: nothing else is worth a look into the database.
    let Some((_, secret)) =
        secret.filter(|(_, it)| it.len() == 64 && it.bytes().all(|c| c.is_ascii_hexdigit()))
    else {
        return Ok(None);
    };
    let who = site.service.session(secret).await?;
    Ok(who.map(|who| Session {
        who,
        form_token: sha256_hex(format!("form {secret}").as_bytes()),
        secret: secret.to_owned(),
    }))
}

/// A page for everybody who is logged in.
pub struct Viewer(pub Session);
/// A page for whoever may run rollouts.
pub struct Operator(pub Session);
/// A page for whoever may do everything.
pub struct Admin(pub Session);

fn session_of(parts: &Parts, least: Role) -> Result<Session, Refused> {
    let Some(session) = parts.extensions.get::<Session>() else {
        if parts.method != Method::GET {
            let text = "You are not logged in, or not any more. Nothing was done.";
            return Err(Refused::new(StatusCode::UNAUTHORIZED, text));
        }
        let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let query: String = form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        let place = if wanted == "/" { "/login".to_owned() } else { format!("/login?next={query}") };
        return Err(Refused::log_in_at(place));
    };
    if !session.may(least) {
        let (own, least) = (session.who.role.name(), least.name());
        let text = format!("This needs the role {least}; you are logged in as {own}.");
        return Err(Refused::new(StatusCode::FORBIDDEN, text));
    }
    Ok(session.clone())
}

macro_rules! extractor {
    ($name:ident) => {
        impl FromRequestParts<Site> for $name {
            type Rejection = Refused;

            async fn from_request_parts(parts: &mut Parts, _: &Site) -> Result<Self, Refused> {
                session_of(parts, Role::$name).map(Self)
            }
        }
    };
}

extractor!(Viewer);
extractor!(Operator);
extractor!(Admin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_of_plain_http_where_there_is_tls() {
        let plain = cookie("00", false);
        assert!(plain.starts_with("rootcast=00; ") && !plain.contains("Secure"), "{plain}");
        let secure = cookie("00", true);
        assert!(secure.starts_with("__Host-rootcast=00; ") && secure.ends_with("; Secure"), "{secure}");
        for cookie in [plain, secure] {
            for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
                assert!(cookie.contains(word), "{word}: {cookie}");
            }
        }
        assert!(cookie("", false).contains("Max-Age=0"));
    }
}
