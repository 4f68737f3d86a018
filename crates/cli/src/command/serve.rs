//! `rootcast serve`

use crate::error::Error;
use crate::mqtt::BrokerTls;
use crate::output::Output;
use crate::{arguments, configuration, files, log};
use clap::Args;
use rootcast_control::broker::{Rule, TopicFilter, Users};
use rootcast_control::home_assistant::entity::DISCOVERY_PREFIX;
use rootcast_control::plane::{BrokerChoice, ControlPlane, Setup};
use rootcast_wire::Topics;
use rootcast_world::body::sockets::BrokerAddress;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Run the control plane, until Ctrl-C: registry, releases, rollouts, web page, REST API
///
/// Everything is embedded: an MQTT broker, an HTTPS host for firmware, a database (SQLite in the data folder). Each of
/// them can be replaced by one that is there: --broker, --database. The first start makes an administrator's token and
/// prints it once: log in with it on the web page, and put it into ROOTCAST_TOKEN for rootcast nodes, releases, rollout,
/// events and token. Without further options everything listens on this machine only.
#[derive(Args)]
#[command(after_help = "Examples:
  rootcast serve
  rootcast serve --listen 0.0.0.0:8080 --firmware 0.0.0.0:8443 --name 192.168.1.20 --mqtt 0.0.0.0:1883 --mqtt-users users.toml
  rootcast serve --config /etc/rootcast.toml
  rootcast serve --database postgres://rootcast@db/rootcast --broker mqtts://user:password@mqtt.example.com

Users of the embedded broker (--mqtt-users), one table a user:
  [home-root]
  password = \"…\"
  mesh = \"home\"                       # the mesh's prefix: its reports may be written, its orders read
  [watcher]
  password = \"…\"
  read = [\"home/switch/state/#\"]      # or topics, one by one")]
pub struct Serve {
    /// A file with settings (TOML): the options below, by their names; without it, rootcast.toml in the data folder, if there is one
    #[arg(long, value_name = "FILE", env = "ROOTCAST_CONFIG")]
    config: Option<PathBuf>,

    /// Where everything is kept; without it the platform's data folder
    #[arg(long, value_name = "DIR", env = "ROOTCAST_DATA")]
    data: Option<PathBuf>,

    /// The database: sqlite:FILE or postgres://USER:PASSWORD@HOST/NAME
    #[arg(long, value_name = "URL", env = "ROOTCAST_DATABASE", hide_env_values = true)]
    database: Option<String>,

    /// A broker that is there, in place of the embedded one
    #[arg(long, value_name = "URL", env = "ROOTCAST_BROKER", hide_env_values = true, value_parser = arguments::Broker,
        conflicts_with_all = ["mqtt", "mqtt_tls", "mqtt_users"])]
    broker: Option<BrokerAddress>,

    #[command(flatten)]
    broker_tls: BrokerTls,

    /// Where the embedded broker speaks MQTT; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1883", env = "ROOTCAST_MQTT")]
    mqtt: SocketAddr,

    /// Where the embedded broker speaks MQTT over TLS, if it is to
    #[arg(long, value_name = "ADDRESS", env = "ROOTCAST_MQTT_TLS")]
    mqtt_tls: Option<SocketAddr>,

    /// Who may use the embedded broker; without it, every program on this machine
    #[arg(long, value_name = "FILE", env = "ROOTCAST_MQTT_USERS")]
    mqtt_users: Option<PathBuf>,

    /// Tell Home Assistant of every node as an update entity, on the same broker, below this discovery prefix
    #[arg(long, value_name = "PREFIX", num_args = 0..=1, default_missing_value = DISCOVERY_PREFIX,
        env = "ROOTCAST_HOME_ASSISTANT")]
    home_assistant: Option<String>,

    /// Where uploaded images are kept; without it in the data folder. Several processes share one
    #[arg(long, value_name = "DIR", env = "ROOTCAST_FILES")]
    files: Option<PathBuf>,

    /// Where nodes find what lies there, if not at the firmware host
    #[arg(long, value_name = "URL", env = "ROOTCAST_FILES_URL")]
    files_url: Option<String>,

    /// Where the firmware host listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443", env = "ROOTCAST_FIRMWARE")]
    firmware: SocketAddr,

    /// Where the API listens: with TLS, unless it is on this machine only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", env = "ROOTCAST_LISTEN")]
    listen: SocketAddr,

    /// The API is behind a proxy that speaks TLS: plain HTTP on any address
    #[arg(long, env = "ROOTCAST_BEHIND_PROXY")]
    behind_proxy: bool,

    /// A name or address by which this machine is reached; may be given several times, the first stands in URLs
    #[arg(long, value_name = "NAME", value_delimiter = ',', env = "ROOTCAST_NAME")]
    name: Vec<String>,

    /// The certificate chain (PEM) of host, API and broker; without it, a development CA in the data folder issues one
    #[arg(long, value_name = "FILE", requires = "key", env = "ROOTCAST_CERT")]
    cert: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert", env = "ROOTCAST_KEY")]
    key: Option<PathBuf>,
}

/// A user of the embedded broker.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    password: String,
    #[serde(default)]
    mesh: Option<String>,
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    write: Vec<String>,
}

#[derive(Serialize)]
struct Started<'a> {
    event: &'static str,
    api: &'a str,
    broker: &'a str,
    broker_tls: Option<SocketAddr>,
    files: &'a str,
    /// What nodes and clients have to trust, if it is the development CA.
    ca: Option<&'a Path>,
    /// The first administrator's token, if it was made just now.
    token: Option<&'a str>,
}

#[derive(Serialize)]
struct Stopped {
    event: &'static str,
}

impl Serve {
    /// The file with its settings.
    pub fn configuration(&self) -> Option<PathBuf> {
        let beside_data = || {
            let data = self.data.clone().or_else(|| arguments::data_folder().ok())?;
            Some(data.join(configuration::FILE)).filter(|path| path.exists())
        };
        self.config.clone().or_else(beside_data)
    }

    pub fn run(self, output: &mut Output) -> Result<(), Error> {
        log::start()?;
        let setup = self.setup()?;
        arguments::runtime()?.block_on(async {
            let plane = ControlPlane::start(setup).await?;
            output.show(&Started {
                event: "started",
                api: plane.api_url(),
                broker: plane.broker_url(),
                broker_tls: plane.broker_addresses().and_then(|(_, tls)| tls),
                files: plane.files_url(),
                ca: plane.ca(),
                token: plane.first_token(),
            })?;
            arguments::stopped().await;
            tokio::select! {
                () = plane.stop() => {}
                // The second time at once: what was written down is enough to go on from.
                () = arguments::stopped() => {}
            }
            output.show(&Stopped { event: "stopped" })
        })
    }

    /// What options require of each other, for those that come from a file.
    fn check(&self) -> Result<(), Error> {
        let needs = |what: &str, other: &str| Err(Error::Usage(format!("{what} needs {other} beside it")));
        match self {
            Self { cert: Some(_), key: None, .. } => needs("cert", "key"),
            Self { cert: None, key: Some(_), .. } => needs("key", "cert"),
            Self { broker: None, broker_tls, .. } => match broker_tls.given() {
                Some(option) => needs(option, "broker"),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn setup(self) -> Result<Setup, Error> {
        self.check()?;
        let data = match self.data {
            Some(folder) => folder,
            None => arguments::data_folder()?,
        };
        let broker = match &self.broker {
            Some(address) => {
                let (endpoint, trust) = self.broker_tls.reach(address)?;
                BrokerChoice::External { endpoint, trust }
            }
            None => {
                let users = self.mqtt_users.as_deref().map(read_users).transpose()?;
                BrokerChoice::Embedded { listen: self.mqtt, tls: self.mqtt_tls, users }
            }
        };
        Ok(Setup {
            database: self.database,
            files: self.files,
            files_url: self.files_url,
            broker,
            firmware: self.firmware,
            names: self.name,
            certificate: self.cert.zip(self.key),
            api: self.listen,
            home_assistant: self.home_assistant,
            is_behind_proxy: self.behind_proxy,
            data,
        })
    }
}

fn read_users(path: &Path) -> Result<Users, Error> {
    let wrong = |what: String| Error::Usage(format!("{}: {what}", path.display()));
    let text = String::from_utf8(files::read(path)?).map_err(|_| wrong("it is not UTF-8".to_string()))?;
    // The parser's own words would show the line, and with it the password.
    let entries: BTreeMap<String, UserEntry> =
        toml::from_str(&text).map_err(|error| wrong(error.message().to_string()))?;
    let mut users = Users::new().map_err(|_| wrong("the system gives no random numbers".to_string()))?;
    for (name, entry) in entries {
        if entry.password.len() < 8 {
            return Err(wrong(format!("the password of {name} has fewer than 8 characters")));
        }
        let (mut reads, mut writes) = (entry.read, entry.write);
        if let Some(mesh) = entry.mesh {
            let topics = Topics::new(&mesh).map_err(|error| wrong(format!("the mesh of {name}: {error}")))?;
            let prefix = topics.prefix();
            // A root writes what its mesh says, and reads what is said to its mesh.
            writes.extend(
                ["switch/state", "switch/ota", "relay/state"].map(|topic| format!("{prefix}/{topic}/#")),
            );
            reads.extend(["switch/cmd", "relay/cmd"].map(|topic| format!("{prefix}/{topic}/#")));
        }
        let filter =
            |text: &String| TopicFilter::new(text.clone()).map_err(|error| wrong(format!("{name}: {error}")));
        let mut rules = Vec::new();
        for text in &reads {
            rules.push(Rule::read(filter(text)?));
        }
        for text in &writes {
            rules.push(Rule::write(filter(text)?));
        }
        users = users.with_user(name, &entry.password, rules);
    }
    Ok(users)
}

impl fmt::Display for Started<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the control plane runs")?;
        writeln!(f, "  web page and API   {}", self.api)?;
        writeln!(f, "  broker             {}", self.broker)?;
        if let Some(address) = self.broker_tls {
            writeln!(f, "  broker with TLS    {address}")?;
        }
        writeln!(f, "  firmware           {}", self.files)?;
        if let Some(ca) = self.ca {
            writeln!(f, "  CA for the nodes   {}", ca.display())?;
        }
        if let Some(token) = self.token {
            writeln!(
                f,
                "\nThe administrator's token, shown this once:\n\n  export ROOTCAST_TOKEN={token}\n"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}
