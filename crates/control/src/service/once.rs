//! The same request twice is done once: whoever gives a request a key gets the first answer again, also after a restart, for
//! a day. The REST API takes the key from `Idempotency-Key`, the web page makes one for each form.

use super::Service;
use crate::clock::to_db;
use crate::store::StoreError;
use crate::store::access::AnswerRow;
use tokio::sync::Mutex;

/// How long answers are kept, in milliseconds.
const KEEP_MS: i64 = 24 * 3600 * 1000;

/// One deed with a key at a time: of two that come together, the second finds the answer of the first. Another process on
/// the same database is not kept out by this: there, a second rollout to the same nodes is refused.
static AT_WORK: Mutex<()> = Mutex::const_new(());

/// What comes of a request with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once {
    /// The answer to it, now or from before.
    Answer(String),
    /// The key was used for another request.
    Taken,
}

impl Service {
    /// Does something, unless it was done under this key of this token before. `request` tells requests apart; `status` is
    /// what is answered with.
    pub async fn once<E: From<StoreError>>(
        &self,
        (token, key): (&str, &str),
        request: String,
        status: i64,
        deed: impl Future<Output = Result<String, E>>,
    ) -> Result<Once, E> {
        let _alone = AT_WORK.lock().await;
        if let Some(answer) = self.store.answer(token, key).await? {
            return Ok(if answer.request == request { Once::Answer(answer.body) } else { Once::Taken });
        }
        let body = deed.await?;
        let now = to_db(self.clock.now());
        let answer = AnswerRow { request, status, body };
        self.store.keep_answer(token, key, &answer, now, now.saturating_sub(KEEP_MS)).await?;
        Ok(Once::Answer(answer.body))
    }
}
