//! Faults as data: requests that go wrong on demand.

use std::time::Duration;

use http::Method;

use super::Kubernetes;

/// Some requests that are to go wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Of which method; any when `None`.
    pub method: Option<Method>,
    /// About which resource, by its plural; any when `None`.
    pub resource: Option<&'static str>,
    /// About which subresource; `Some("")` is the object itself, any when `None`.
    pub subresource: Option<&'static str>,
    /// How many of them.
    pub times: u32,
    /// How.
    pub kind: FaultKind,
}

/// How a request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is refused and nothing happens.
    Refuse {
        /// The HTTP status code.
        code: u16,
        /// The seconds it says to wait, in the header and in the body.
        retry_after_s: Option<u32>,
    },
    /// It is carried out and the connection breaks before the answer's body is through.
    LoseAnswer,
    /// It is carried out after this time.
    Delay(Duration),
}

impl Kubernetes {
    /// The fault that a request meets; it counts as met.
    pub(super) fn fault_for(&self, method: &Method, resource: &str, subresource: &str) -> Option<FaultKind> {
        let mut faults = self.faults.lock();
        let met = |fault: &Fault| {
            fault.method.as_ref().is_none_or(|wanted| wanted == method)
                && fault.resource.is_none_or(|wanted| wanted == resource)
                && fault.subresource.is_none_or(|wanted| wanted == subresource)
        };
        let place = faults.iter().position(met)?;
        let kind = faults[place].kind;
        faults[place].times = faults[place].times.saturating_sub(1);
        if faults[place].times == 0 {
            faults.remove(place);
        }
        Some(kind)
    }
}
