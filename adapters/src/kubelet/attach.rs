//! `/attach/…`.

use axum::extract::Request;
use axum::response::Response;

use super::{Kubelet, Refused, Target};

/// Answers with an upgrade.
pub(super) async fn attach(
    _kubelet: &Kubelet,
    _target: &Target,
    _request: Request,
) -> Result<Response, Refused> {
    Err(Refused::internal("to be written"))
}
