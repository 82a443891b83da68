//! `/containerLogs/{namespace}/{pod}/{container}`.

use axum::response::Response;

use super::{Kubelet, Refused, Target};

/// The log of a container, as `query` asks for it.
pub(super) async fn container_logs(
    _kubelet: &Kubelet,
    _target: &Target,
    _query: &[(String, String)],
) -> Result<Response, Refused> {
    Err(Refused::internal("to be written"))
}
