//! Hostile input for every parser that reads what came from outside.
//!
//! A [`Target`] is a function that takes any bytes and panics when its parser breaks a promise. It is fed in
//! two ways:
//!
//! - by `cargo test` (`tests/replay.rs`), without any instrumentation: seeds made here, the inputs kept in
//!   `seeds/`, and some ten thousand mutations of them from a fixed random seed ([`mutate`]);
//! - by libFuzzer (`cargo xtask fuzz TARGET`), guided by coverage, for as long as one likes.
//!
//! | module | parsers of |
//! |---|---|
//! | [`image`] | `rootcast-image`: app images, partition tables, otadata, boot decision, signature sectors |
//! | [`wire`] | `rootcast-wire`: triggers, casts, mesh frames of three dialects, reports, status |
//! | [`http`] | `rootcast-node`: URLs, HTTP responses |
//! | [`release`] | `rootcast-trust`: releases, the record of trusted keys |
//! | [`certificate`] | `rootcast-trust`: the chain that a server shows |
//! | [`patch`] | `rootcast-patch`: patches, a decoder's saved state |
//! | [`spread`] | `rootcast-node`: messages of spreading nodes, and whole conversations |
//! | [`node`] | `rootcast-node`: a whole node, started on any flash and told anything |
//!
//! An input that once broke a promise goes to `seeds/TARGET/` with a name that says what it is.
//!
//! A new target is a line in its module's `TARGETS`, a file in `fuzz_targets/`, a `[[bin]]` in `Cargo.toml` and a
//! name in `tests/replay.rs`, which fails while one of them is missing.

pub mod certificate;
pub mod http;
pub mod image;
pub mod mutate;
pub mod node;
pub mod patch;
pub mod release;
pub mod spread;
pub mod wire;

/// A parser under fire.
pub struct Target {
    /// Its name, which is the name of its fuzzer too.
    pub name: &'static str,
    /// Feeds the parser; panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Valid inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Makes checksums right again, so that a mutation gets past them.
    pub repair: Option<fn(&mut Vec<u8>)>,
}

/// Every target.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    [
        image::TARGETS,
        wire::TARGETS,
        http::TARGETS,
        release::TARGETS,
        certificate::TARGETS,
        patch::TARGETS,
        spread::TARGETS,
        node::TARGETS,
    ]
    .into_iter()
    .flatten()
}

/// Feeds the target of this name, as a fuzzer does.
///
/// # Panics
/// When there is no such target, or when it finds a broken promise.
pub fn run(name: &str, input: &[u8]) {
    let target = targets().find(|target| target.name == name).expect("a target of this name");
    (target.run)(input);
}
