//! The same request twice is done once: whoever gives a request a key gets the first answer again, also after a restart, for
//! a day. The REST API takes the key from `Idempotency-Key`, the web page makes one for each form.

use super::Service;
use crate::clock::to_db;
use crate::store::StoreError;
use crate::store::access::AnswerRow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use tokio::sync::Mutex;

/// How long answers are kept, in milliseconds.
const KEEP_MS: i64 = 24 * 3600 * 1000;

/// A lock for each key of a token.
type Locks = BTreeMap<(String, String), Arc<Mutex<()>>>;

/// The keys that are being worked on. Another process on the same database is not kept out by this: there, a second rollout
/// to the same nodes is refused.
static AT_WORK: StdMutex<Locks> = StdMutex::new(Locks::new());

/// One deed with a key at a time: of two that come together, the second finds the answer of the first. Other keys do not wait:
/// a deed may take minutes, such as looking at a release behind a slow URL.
fn lock_of(token: &str, key: &str) -> Arc<Mutex<()>> {
    let mut at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
    // What nobody holds any more is forgotten.
    at_work.retain(|_, lock| Arc::strong_count(lock) > 1);
    at_work.entry((token.to_owned(), key.to_owned())).or_default().clone()
}

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
        let lock = lock_of(token, key);
        let _alone = lock.lock().await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_of_the_same_token_waits_and_what_is_done_is_forgotten() {
        let first = lock_of("token", "key");
        let held = first.try_lock();
        assert!(held.is_ok() && lock_of("token", "key").try_lock().is_err());
        assert!(lock_of("token", "another").try_lock().is_ok());
        assert!(lock_of("somebody", "key").try_lock().is_ok());
        drop(held);
        drop(first);
        let _last = lock_of("token", "last");
        let at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!at_work.contains_key(&("token".to_owned(), "key".to_owned())));
    }
}
