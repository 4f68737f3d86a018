//! The log of a command that runs on by itself, on standard error: what an operator has to know, a line each.

use crate::error::Error;
use std::io;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is logged instead of the usual: `debug`, `rootcast_control=debug,mqtt5=info`.
pub const VARIABLE: &str = "ROOTCAST_LOG";

/// Starts it: everything of ours from `info` on, of libraries only errors.
pub fn start() -> Result<(), Error> {
    let usual = Targets::new().with_target("rootcast", LevelFilter::INFO).with_default(LevelFilter::ERROR);
    let wanted = match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => text.parse().map_err(|_| {
            Error::Usage(format!("{VARIABLE} is a level (error, warn, info, debug) or MODULE=LEVEL,…"))
        })?,
        _ => usual,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false);
    // Somebody may have started one before, which is as good.
    let _ = tracing_subscriber::registry().with(wanted).with(lines).try_init();
    Ok(())
}
