//! `rootcast trigger`

use crate::check::{Nodes, Passed, Shown};
use crate::error::Error;
use crate::mqtt::{BrokerError, BrokerTls, Link, Trust};
use crate::output::Output;
use crate::watch::{End, Fleet, Summary, View, follow};
use crate::{arguments, size};
use clap::Args;
use rootcast_control::mqtt::Endpoint;
use rootcast_hosting::check::{CheckOptions, check};
use rootcast_wire::trigger::Targets;
use rootcast_wire::{Command, Mode, Topics, Trigger, parse_command};
use rootcast_world::body::sockets::BrokerAddress;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;

/// Tell a mesh to update: publish one MQTT message, which its root casts to every node
///
/// First it looks at the URL as a node would (see rootcast check) and sends nothing that nodes would not accept; --no-check
/// leaves that out. Without --watch the command ends when the broker has the message. With --watch it follows every node until all have
/// come to an end, and succeeds only if all run the new image.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast trigger https://server/fw.bin --watch
  rootcast trigger https://firmware.local:8443/fw.bin --ca rootcast-ca.pem --chip c3
  rootcast trigger https://server/fw.bin --broker mqtts://ann@broker.example --targets relay8,root
  rootcast trigger https://server/fw.bin --broker mqtts://broker.example --broker-cert me.pem --broker-key me.key
  ROOTCAST_BROKER=mqtt://ann:secret@10.0.0.2 rootcast trigger https://server/fw.bin

The same without rootcast:
  mosquitto_pub -t /switch/cmd/root -m '{\"type\":\"ota_trigger\",\"url\":\"https://server/fw.bin\"}'")]
pub struct TriggerArguments {
    /// Where the nodes find the app image or release: http:// or https://
    url: String,

    #[command(flatten)]
    nodes: Nodes,

    /// Send it without a look at the URL: this machine does not reach the server, or the nodes are not all alike
    #[arg(long)]
    no_check: bool,

    /// The broker: mqtt://USER:PASSWORD@HOST:PORT or mqtts://…
    #[arg(long, env = "ROOTCAST_BROKER", hide_env_values = true, value_parser = arguments::Broker, default_value = "mqtt://127.0.0.1:1883")]
    broker: BrokerAddress,

    #[command(flatten)]
    broker_tls: BrokerTls,

    /// What stands before the mesh's topics
    #[arg(long, default_value = "")]
    prefix: String,

    /// Only these: node ids, MAC addresses, node types, or `root`; separated by commas
    #[arg(long, value_delimiter = ',')]
    targets: Vec<String>,

    /// How the image travels: every node fetches it (direct), or the root does and the mesh shares it (spread)
    #[arg(long, value_parser = arguments::mode)]
    mode: Option<Mode>,

    /// SHA-256 of the file, as sha256sum prints it; nodes refuse any other
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,

    /// Size of the file in bytes; nodes refuse any other
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    size: Option<u32>,

    /// The version it brings, for people
    #[arg(long, value_name = "TEXT")]
    version: Option<String>,

    /// How many nodes may download at once
    #[arg(long, value_name = "N")]
    max_parallel: Option<u16>,

    /// Not to begin before this time: RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,

    /// A name for this update; nodes give it back in their reports
    #[arg(long, value_name = "NAME")]
    rollout: Option<String>,

    /// Install even an image that failed its trial before
    #[arg(long)]
    force: bool,

    /// Follow the update, node by node, to its end
    #[arg(long)]
    watch: bool,

    /// With --watch: give up after this time (90s, 20m, 2h)
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = arguments::duration)]
    timeout: Duration,
}

#[derive(Serialize)]
struct Triggered<'a> {
    event: &'static str,
    broker: String,
    topic: &'a str,
    url: &'a str,
    message_bytes: usize,
}

impl TriggerArguments {
    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        let trigger = self.trigger()?;
        let topics = Topics::new(&self.prefix).map_err(|error| Error::Usage(error.to_string()))?;
        let broker = self.broker_tls.reach(&self.broker)?;
        let options = self.nodes.options()?;
        arguments::runtime()?.block_on(async {
            if !self.no_check {
                self.check(&trigger, options, output).await?;
            }
            self.send(&trigger, topics, &broker, output).await
        })
    }

    /// Looks at the URL as a node would, and refuses what nodes would refuse.
    async fn check(
        &self,
        trigger: &Trigger,
        options: CheckOptions,
        output: &mut Output,
    ) -> Result<(), Error> {
        let options =
            CheckOptions { expected_sha256: trigger.sha256, expected_size: trigger.size, ..options };
        let report = tokio::select! {
            report = check(&self.url, &options) => report,
            _ = tokio::signal::ctrl_c() => {
                return Err(Error::Interrupted { what_now: "Nothing was triggered." });
            }
        };
        if report.accepted {
            return output.show(&Passed::new(&report));
        }
        output.show(&Shown::failures(&report))?;
        Err(Error::NotTriggered { code: report.code.unwrap_or("failed") })
    }

    /// The trigger, checked by the rules by which the root will check it.
    fn trigger(&self) -> Result<Trigger, Error> {
        let mut message = Map::from_iter([
            ("type".to_string(), json!("ota_trigger")),
            ("url".to_string(), json!(self.url)),
            ("force".to_string(), json!(self.force)),
        ]);
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                message.insert(name.to_string(), value);
            }
        };
        add("targets", (!self.targets.is_empty()).then(|| json!(self.targets)));
        add("mode", self.mode.map(|mode| json!(mode.name())));
        add("sha256", self.sha256.as_ref().map(|digits| json!(digits)));
        add("size", self.size.map(|size| json!(size)));
        add("version", self.version.as_ref().map(|version| json!(version)));
        add("max_parallel", self.max_parallel.map(|count| json!(count)));
        add("rollout", self.rollout.as_ref().map(|name| json!(name)));
        add(
            "not_before",
            self.not_before.as_ref().map(|time| match time.parse::<u64>() {
                Ok(seconds) => json!(seconds),
                Err(_) => json!(time),
            }),
        );
        match parse_command(Value::Object(message).to_string().as_bytes()) {
            Ok(Command::Trigger(trigger)) => Ok(trigger),
            Ok(_) => Err(Error::Usage("nothing to trigger".to_string())),
            Err(error) => Err(Error::Usage(format!("no root would take this trigger: {error}"))),
        }
    }

    async fn send(
        &self,
        trigger: &Trigger,
        topics: Topics,
        (endpoint, trust): &(Endpoint, Trust),
        output: &mut Output,
    ) -> Result<(), Error> {
        let failed = |error: BrokerError| Error::Broker { broker: self.broker.to_string(), error };
        let filters = match self.watch {
            true => vec![topics.all_reports().to_string(), topics.root_state().to_string()],
            false => Vec::new(),
        };
        let mut link = Link::open(endpoint, trust, &filters).await.map_err(failed)?;
        let mut message = String::new();
        // Writing to a String cannot fail.
        let _ = trigger.write_json(&mut message);
        let topic = topics.root_command();
        link.publish(&topic, message.as_bytes()).await.map_err(failed)?;
        output.show(&Triggered {
            event: "triggered",
            broker: self.broker.to_string(),
            topic: &topic,
            url: &self.url,
            message_bytes: message.len(),
        })?;
        let followed = match self.watch {
            true => self.follow(&mut link, topics, trigger.targets.clone(), output).await,
            false => Ok(()),
        };
        link.close().await;
        followed
    }

    /// Follows the update to its end.
    async fn follow(
        &self,
        link: &mut Link,
        topics: Topics,
        targets: Targets,
        output: &mut Output,
    ) -> Result<(), Error> {
        let mut fleet = Fleet::new(topics, targets, self.rollout.clone());
        let view = View::new(output, format!("Updating from {}", self.url));
        let (end, time) = follow(link, &mut fleet, view, output, self.timeout, |_| Vec::new()).await?;
        let summary = Summary::of(&fleet, time);
        output.show(&summary)?;
        match end {
            End::Interrupted => {
                Err(Error::Interrupted { what_now: "The update goes on without being watched." })
            }
            End::Timeout if fleet.has_answered() => Err(Error::NotFinished { after: self.timeout }),
            End::Timeout => Err(Error::NoAnswer { after: self.timeout }),
            End::Done if summary.is_success() => Ok(()),
            End::Done => Err(Error::NotUpdated { nodes: summary.not_updated }),
        }
    }
}

impl fmt::Display for Triggered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "triggered {} on {} at {}", self.url, self.topic, self.broker)
    }
}
