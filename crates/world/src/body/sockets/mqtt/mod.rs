//! The root's connection to the broker: MQTT 3.1.1 (OASIS, 2014), which every broker speaks.
//!
//! | module | what it knows |
//! |---|---|
//! | [`address`](BrokerAddress) | `mqtt://user:password@host:port`, and never the password in a message |
//! | `packet` | the packets that a root sends and receives |
//! | `client` | a connection that comes back by itself and loses no message of QoS 1 |

mod address;
mod client;
mod packet;

pub use address::{BrokerAddress, BrokerAddressError};
pub(super) use client::{Mqtt, MqttEvent, ToBroker};
pub(super) use packet::Message;
