//! `/stats/summary` and `/metrics/resource`.

use axum::response::Response;

use super::{Kubelet, Refused};

/// `/stats/summary`.
pub(super) async fn summary(_kubelet: &Kubelet) -> Result<Response, Refused> {
    Err(Refused::internal("to be written"))
}

/// `/metrics/resource`.
pub(super) async fn resource_metrics(_kubelet: &Kubelet) -> Result<Response, Refused> {
    Err(Refused::internal("to be written"))
}
