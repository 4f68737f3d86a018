//! Sessions of the web page: a browser shows the token once, and from then on a secret that ends by itself. The store has
//! the secret's SHA-256. A session ends with its token.

use super::tokens::{Principal, Role, authenticate};
use super::{Service, ServiceError};
use crate::clock::to_db;
use crate::id::{random, sha256_hex};
use rootcast_wire::text::Hex;
use std::time::Duration;

/// How long a session lasts: a working day.
pub const LIFE: Duration = Duration::from_secs(12 * 3600);

impl Service {
    /// Opens a session with a token, and returns its secret; `None` if the token is nobody's, or was revoked.
    pub async fn open_session(&self, token: &str) -> Result<Option<(String, Principal)>, ServiceError> {
        let Some(principal) = authenticate(&self.store, token).await? else { return Ok(None) };
        let secret: [u8; 32] = random()?;
        let secret = Hex(&secret).to_string();
        let now = self.clock.now();
        let (at, until) = (to_db(now), to_db(now.after(LIFE)));
        self.store.add_session(&sha256_hex(secret.as_bytes()), &principal.token, at, until).await?;
        Ok(Some((secret, principal)))
    }

    /// Whose session this is, if it has not ended.
    pub async fn session(&self, secret: &str) -> Result<Option<Principal>, ServiceError> {
        let hash = sha256_hex(secret.as_bytes());
        let row = self.store.session_token(&hash, to_db(self.clock.now())).await?;
        let principal =
            |row: crate::store::access::TokenRow| Some((Role::from_name(&row.role)?, row.id, row.name));
        Ok(row.and_then(principal).map(|(role, token, name)| Principal { token, name, role }))
    }

    /// Ends a session.
    pub async fn close_session(&self, secret: &str) -> Result<(), ServiceError> {
        Ok(self.store.end_session(&sha256_hex(secret.as_bytes())).await?)
    }
}
