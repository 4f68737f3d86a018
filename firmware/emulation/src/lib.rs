//! Emulated boards ([`machine`]), the air between them ([`air`]), the images that they run ([`image`]), and real servers
//! around them ([`peers`]), and virtual nodes beside them ([`process`], [`bridge`]): what a test needs to update a mesh of riscv32 machines.
//!
//! Start with [`mesh::Mesh`].

pub mod air;
pub mod bridge;
pub mod image;
pub mod machine;
pub mod mesh;
pub mod peers;
pub mod process;
