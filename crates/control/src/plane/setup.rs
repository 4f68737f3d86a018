//! What an operator may choose.

use crate::broker::Users;
use crate::mqtt::{Endpoint, Trust};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Which broker the meshes talk to.
#[derive(Clone, Debug)]
pub enum BrokerChoice {
    /// One in this process.
    Embedded {
        /// Where it speaks MQTT.
        listen: SocketAddr,
        /// Where it speaks MQTT over TLS, if it does.
        tls: Option<SocketAddr>,
        /// Who may use it; `None` = every program on this machine, and loopback only.
        users: Option<Users>,
    },
    /// One elsewhere.
    External {
        /// Where.
        endpoint: Endpoint,
        /// Whose certificates it may have.
        trust: Trust,
    },
}

/// How a control plane is set up. Begin with [`Setup::loopback`] and change fields.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The folder for everything that is kept.
    pub data: PathBuf,
    /// The database's URL; `None` = SQLite in the data folder.
    pub database: Option<String>,
    /// The folder of uploaded images; `None` = in the data folder. Processes that share a database share it.
    pub files: Option<PathBuf>,
    /// Where nodes find what lies there, if not at the firmware host.
    pub files_url: Option<String>,
    /// Which broker.
    pub broker: BrokerChoice,
    /// Where the firmware host listens.
    pub firmware: SocketAddr,
    /// Names and addresses by which nodes reach this machine; the first stands in URLs.
    pub names: Vec<String>,
    /// Certificate chain and key (PEM files) of host, API and broker; `None` = a development CA in the data folder.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Where the API listens. Beyond loopback it speaks TLS.
    pub api: SocketAddr,
    /// Tells Home Assistant of every node, by this discovery prefix on the same broker; `None` = does not.
    pub home_assistant: Option<String>,
    /// The API is behind a proxy that speaks TLS: plain HTTP even beyond loopback.
    pub is_behind_proxy: bool,
}

impl Setup {
    /// Everything embedded, on the usual ports of this machine only.
    pub fn loopback(data: PathBuf) -> Self {
        let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data,
            database: None,
            files: None,
            files_url: None,
            broker: BrokerChoice::Embedded { listen: here(1883), tls: None, users: None },
            firmware: here(8443),
            names: Vec::new(),
            certificate: None,
            api: here(8080),
            home_assistant: None,
            is_behind_proxy: false,
        }
    }

    /// The same on free ports.
    #[must_use]
    pub fn on_free_ports(mut self) -> Self {
        self.firmware.set_port(0);
        self.api.set_port(0);
        if let BrokerChoice::Embedded { listen, .. } = &mut self.broker {
            listen.set_port(0);
        }
        self
    }
}
