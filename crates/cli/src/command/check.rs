//! `rootcast check`

use crate::check::{Nodes, Shown};
use crate::error::Error;
use crate::output::Output;
use crate::{arguments, size};
use clap::Args;
use rootcast_hosting::check::{CheckOptions, check};
use std::time::Duration;

/// See what a node will see at a URL, step by step, before you trigger
///
/// It runs the nodes' own code: their HTTP client, their certificate and image verification. Everything that is wrong is
/// named with the code that a node would report and with what to do about it. A release is followed to every image.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast check https://server/fw.bin
  rootcast check https://server/fw.bin --ca ca.pem --chip c3 --trust 5f2c… --nodes 40
  rootcast check https://server/release.suit --release-key release-key.pub.pem

Exit status 0 only if nodes will accept the URL.")]
pub struct Check {
    /// Where the nodes will find the image or release: http:// or https://
    url: String,

    #[command(flatten)]
    nodes: Nodes,

    /// The `sha256` that the trigger will say
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    sha256: Option<[u8; 32]>,

    /// The `size` that the trigger will say
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    size: Option<u32>,

    /// How many nodes the time is estimated for
    #[arg(long = "nodes", value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,

    /// How long to wait for a server that says nothing
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = arguments::duration)]
    stall: Duration,
}

fn sha256(text: &str) -> Result<[u8; 32], String> {
    rootcast_image::ImageHash::from_hex(text)
        .map(|hash| hash.0)
        .ok_or_else(|| "a SHA-256 has 64 hexadecimal digits, as sha256sum prints it".to_string())
}

impl Check {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let options = CheckOptions {
            expected_sha256: self.sha256,
            expected_size: self.size,
            nodes: self.count,
            stall: self.stall,
            ..self.nodes.options()?
        };
        let report = arguments::runtime()?.block_on(async {
            tokio::select! {
                report = check(&self.url, &options) => Ok(report),
                _ = tokio::signal::ctrl_c() => Err(Error::Interrupted { what_now: "Nothing was changed." }),
            }
        })?;
        let accepted = report.accepted;
        output.show(&Shown::new(&report))?;
        if accepted { Ok(()) } else { Err(Error::NotAccepted { code: report.code.unwrap_or("failed") }) }
    }
}
