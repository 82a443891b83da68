//! Pure models of the two sides, on virtual time: no clock, no socket, no thread. [`crate::serve`] puts them on HTTP.

pub mod cloud;
pub mod cluster;
