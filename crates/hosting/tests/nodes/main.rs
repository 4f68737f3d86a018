//! Virtual nodes, and what they do with what was published: they update from every kind of server, and where they do not, the check said so
//! before, with the very code that they report.

#[path = "../common/azure.rs"]
mod azure;
mod github;
#[path = "../common/images.rs"]
mod images;
mod mesh;
#[path = "../../../world/tests/sockets/operator.rs"]
#[allow(dead_code)]
mod operator;
#[path = "../common/peers.rs"]
mod peers;

mod agreement;
mod published;
mod release;
