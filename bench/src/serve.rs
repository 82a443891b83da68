//! The worlds on HTTP.

pub mod cci;
pub mod kubernetes;
