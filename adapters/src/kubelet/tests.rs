//! The port as it is found from outside: over TLS on loopback, with an API server on loopback behind it.

mod access;
pub(crate) mod authority;
mod certificates;
mod cluster;
mod connections;
mod hostile;
mod pages;
pub(crate) mod served;
