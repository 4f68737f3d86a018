//! The main job over real sockets: TLS to a firmware host, MQTT to a broker, a mesh in this process or of processes.

mod failures;
mod mesh;
mod nginx;
mod operator;
mod peers;
mod scene;
