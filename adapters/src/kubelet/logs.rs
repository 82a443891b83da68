//! `/containerLogs/{namespace}/{pod}/{container}`.

mod follow;
mod lines;
mod query;
mod waits;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use engine::{ContainerStatus, PodStatus};
use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::{Kubelet, Refused, Target};
use crate::cci::{LogOptions, NotOpened, Why};
pub(super) use follow::Follow;
pub(super) use query::Asked;

/// The log of a container, as `query` asks for it.
///
/// A log that is not followed passes through as the cloud gives it. One that is followed comes with its times from the
/// cloud, whoever asks, so that it goes on at the right line after a cut; and so does one from a time on, since the
/// cloud knows ages only.
///
/// # Errors
/// 400 when the query is wrong or the cloud says that what is asked for is, 429 when too many logs are being read, and 500,
/// whose text kubectl shows, for all else that is the cloud's.
pub(super) async fn container_logs(
    kubelet: &Kubelet,
    target: &Target,
    query: &[(String, String)],
) -> Result<Response, Refused> {
    let asked = Asked::read(query)?;
    let places = if asked.follow { &kubelet.streams.followers } else { &kubelet.streams.logs };
    let taking = places.take(&target.pod.pod)?;
    let body = if asked.follow || asked.since_time.is_some() {
        let follow = Follow::open(kubelet, target, &asked, taking).await;
        let follow = follow.map_err(|refused| refusal(target, refused))?;
        // Dropped with the answer, and the call to the cloud with it.
        Body::from_stream(stream::try_unfold(follow, |mut follow| async move {
            Ok::<_, crate::cci::Cut>(follow.next().await?.map(|bytes| (bytes, follow)))
        }))
    } else {
        let options = LogOptions {
            container: target.container.clone(),
            follow: false,
            previous: asked.previous,
            timestamps: asked.timestamps,
            since_s: asked.since_s,
            tail_lines: asked.tail_lines,
            limit_bytes: asked.limit_bytes,
        };
        let log = kubelet.cloud.open_log(&target.pod.cloud_name, &options).await;
        let log = log.map_err(|refused| refusal(target, refused))?;
        Body::from_stream(stream::try_unfold((log, taking), |(mut log, taking)| async move {
            Ok::<_, crate::cci::Cut>(log.next().await?.map(|bytes| (bytes, (log, taking))))
        }))
    };
    Ok((StatusCode::OK, [(CONTENT_TYPE, "text/plain")], body).into_response())
}

/// What the caller is told when the cloud gives no stream. Our own credential, the cloud's moods and a pod that it has
/// lost are not of the caller's doing: they are all an internal error, the only other status whose text is shown.
pub(super) fn refusal(target: &Target, refused: NotOpened) -> Refused {
    let pod = &target.pod;
    // The caller knows the pod by its own name.
    let message = refused.message.replace(&*pod.cloud_name.0, &pod.pod.name);
    match refused.why {
        Why::Asked => Refused::bad_request(message),
        Why::Absent => Refused::internal(format!("pod \"{}\" is not in the cloud", pod.pod.name)),
        Why::Throttled => Refused::internal(format!("the cloud takes no more calls for now: {message}")),
        Why::Cloud => Refused::internal(format!("the cloud: {message}")),
    }
}

/// The status of a container of any kind.
pub(super) fn container<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let kinds = [&status.containers, &status.init_containers, &status.ephemeral_containers];
    kinds.into_iter().flatten().find(|container| container.name == name)
}

#[cfg(test)]
mod tests;
