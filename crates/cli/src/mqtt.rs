//! A client of the operator's MQTT broker, given its address as the command line has it.

use rootcast_control::mqtt::Endpoint;
pub use rootcast_control::mqtt::{BrokerError, Event, Link, Trust};
use rootcast_world::body::sockets::BrokerAddress;

/// Where a broker is, as a link wants it.
pub fn endpoint(address: &BrokerAddress) -> Endpoint {
    let BrokerAddress { host, port, tls, login } = address.clone();
    Endpoint { host, port, tls, login }
}
