//! `/stats/summary` and `/metrics/resource`.

mod resource;
mod summary;

#[cfg(test)]
mod tests;

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use super::{Kubelet, Refused};

/// Prometheus, text-based format: what a kubelet answers with unless another form is asked for.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/stats/summary`.
pub(super) async fn summary(kubelet: &Kubelet) -> Result<Response, Refused> {
    let records = kubelet.usage.look(&kubelet.lookup, &kubelet.cloud).await?;
    let body = summary::render(kubelet.cloud.node(), &records)
        .map_err(|error| Refused::internal(format!("the summary cannot be written: {error}")))?;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// `/metrics/resource`.
pub(super) async fn resource_metrics(kubelet: &Kubelet) -> Result<Response, Refused> {
    let records = kubelet.usage.look(&kubelet.lookup, &kubelet.cloud).await?;
    Ok(([(CONTENT_TYPE, TEXT)], resource::render(&records)).into_response())
}
