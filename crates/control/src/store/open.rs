//! Opening.

use super::StoreError;
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Connection as _, Database};
use sqlx_core::transaction::TransactionManager as _;
use std::path::PathBuf;
use std::time::Duration;

/// Connections to PostgreSQL.
const MAX_CONNECTIONS: u32 = 10;
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An SQLite file.
    File(PathBuf),
    /// A URL: `sqlite:FILE` or `postgres://…`.
    Url(String),
}

/// The store. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) pool: AnyPool,
    pub(super) is_shared: bool,
}

impl Store {
    /// Opens the database, and brings its schema up to date.
    pub async fn open(place: &Place) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (url, is_sqlite) = match place {
            Place::File(path) => {
                if let Some(folder) = path.parent() {
                    let failed = |source| StoreError::Folder { path: folder.to_owned(), source };
                    std::fs::create_dir_all(folder).map_err(failed)?;
                }
                (format!("sqlite://{}?mode=rwc", escape(&path.to_string_lossy())), true)
            }
            Place::Url(url) => match url.split_once(':').unwrap_or((url, "")) {
                ("sqlite", rest) if rest.contains("mode=") => (url.clone(), true),
                ("sqlite", rest) => (format!("sqlite://{}?mode=rwc", rest.trim_start_matches("//")), true),
                ("postgres" | "postgresql", _) => (url.clone(), false),
                (scheme, _) => return Err(StoreError::Scheme(scheme.to_owned())),
            },
        };
        let options = AnyPoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_connections(if is_sqlite { 1 } else { MAX_CONNECTIONS })
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_sqlite {
                        // WAL with NORMAL loses nothing when the process dies, and only the last moments when the power does.
                        for pragma in [
                            "PRAGMA journal_mode = WAL",
                            "PRAGMA synchronous = NORMAL",
                            "PRAGMA foreign_keys = ON",
                        ] {
                            sqlx::query(pragma).execute(&mut *connection).await?;
                        }
                    }
                    Ok(())
                })
            })
            .after_release(move |connection, _| {
                Box::pin(async move {
                    if !is_sqlite {
                        return Ok(true);
                    }
                    // The ping waits for a rollback that is still to be done.
                    connection.ping().await?;
                    if connection.is_in_transaction() {
                        // When the disk is full, SQLite ends a transaction by itself, and sqlx, whose rollback then finds
                        // none, goes on counting it: every later transaction would be one within it, and its commit
                        // would write nothing. It gets one to roll back; that there is one already is no error.
                        let _ = sqlx::query("BEGIN").execute(&mut *connection).await;
                        <Any as Database>::TransactionManager::rollback(connection).await?;
                    }
                    Ok(!connection.is_in_transaction())
                })
            });
        let pool = options.connect(&url).await?;
        match is_sqlite {
            true => sqlx::migrate!("migrations/sqlite").run(&pool).await?,
            false => sqlx::migrate!("migrations/postgres").run(&pool).await?,
        }
        Ok(Self { pool, is_shared: !is_sqlite })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A path as the path of a URL.
fn escape(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}
