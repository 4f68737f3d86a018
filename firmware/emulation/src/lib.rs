//! Emulated boards ([`machine`]), the air between them ([`air`]), the images that they run ([`image`]), and real servers
//! around them ([`peers`]): what a test needs to update a mesh of riscv32 machines.
//!
//! Start with [`mesh::Mesh`].

pub mod air;
pub mod image;
pub mod machine;
pub mod mesh;
pub mod peers;
