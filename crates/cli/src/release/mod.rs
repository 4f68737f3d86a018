//! Signed releases on the operator's side: what is given on the command line, and the folder that is hosted.
//!
//! | module | what it knows |
//! |---|---|
//! | [`image`] | an image and whom it is for: `app.bin:switch` |
//! | [`key`] | release keys: files, key ids, purposes |
//! | [`change`] | changes of the trusted keys |
//! | [`moment`] | times, as people write them |
//! | [`folder`] | the files of a release under names that never mean anything else |
//! | [`check`] | whether a release and the files beside it are what nodes would take |

pub mod change;
pub mod check;
pub mod folder;
pub mod image;
pub mod key;
pub mod moment;
