//! What is in a file: facts for people and for machines, found by the file's content, never by its name.
//!
//! | module | what it describes |
//! |---|---|
//! | [`app`] | app images and bootloaders, with their signatures |
//! | [`signature`] | Secure Boot V2 signature sectors |
//! | [`table`] | partition tables, binary and CSV |
//! | [`otadata`] | the two records that choose the slot to boot |
//! | [`release`] | signed releases: which image is for whom, by nobody's word |
//! | [`nvs`] | NVS partitions: names of keys, never their values |
//! | [`patch`] | patches between images, and where their bytes go |
//! | [`flash`] | whole flash images: all of the above, and which slot would boot |
//! | [`foreign`] | files that are mistaken for firmware: web pages, ELF files, archives |

mod app;
mod detect;
mod flash;
mod foreign;
mod nvs;
mod otadata;
mod patch;
mod release;
mod rows;
mod signature;
mod table;

pub use detect::{Flaw, NoFacts, Sought, inspect};
pub use patch::Account;
pub use rows::hex;
