//! Pure models of the two sides, on virtual time: no clock, no socket, no thread. What is served on HTTP and
//! what the seeded simulator steps through is the same code.

pub mod cloud;
pub mod cluster;
