use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::StatusCode;
use serde_json::json;
use tokio::sync::mpsc;

use crate::cci::Profile;
use crate::kubelet::Streams;
use crate::kubelet::loopback::{Cloud, World, pod_with};
use crate::kubelet::places::Places;

const LOG: &str = "containerLogs/shop/web-0/main";

/// A log that ends as it should, or in the middle.
fn log(lines: &'static str, is_whole: bool) -> Response {
    let lines = stream::iter([Ok(Bytes::from_static(lines.as_bytes()))]);
    if is_whole {
        return Body::from_stream(lines).into_response();
    }
    let cut = stream::once(async {
        // The server writes what it has before it waits.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("cut"))
    });
    Body::from_stream(lines.chain(cut)).into_response()
}

#[tokio::test]
async fn a_log_passes_through_and_asks_for_what_was_asked() {
    for profile in Profile::ALL {
        let cloud = Cloud::with_log(|_, _| "first line\nsecond line\n".into_response());
        let world = World::with(&profile, cloud, Streams::default()).await;
        let query = "tailLines=1&limitBytes=5&sinceSeconds=90&previous=true&timestamps=true&unknown=1";
        let answer = world.get(&format!("{LOG}?{query}")).await;
        assert_eq!(
            (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
            (200, "first line\nsecond line\n")
        );
        let seen = world.cloud.seen("/log").remove(0);
        assert!(
            seen.path.starts_with(profile.core_path) && seen.path.ends_with("/pods/shop-web-0-x/log"),
            "{seen:?}"
        );
        assert_eq!(
            seen.query,
            "container=main&limitBytes=5&previous=true&sinceSeconds=90&tailLines=1&timestamps=true"
        );
        assert!(seen.headers.contains_key("authorization"), "signed as any other call");
    }
}

#[tokio::test]
async fn what_the_caller_sends_besides_does_not_reach_the_cloud() {
    let world = World::of(Cloud::with_log(|_, _| "x".into_response())).await;
    let request = reqwest::Client::new().get(format!("http://{}/{LOG}", world.address));
    let answer = request
        .header("cookie", "c=1")
        .header("impersonate-user", "root")
        .header("authorization", "Bearer t");
    answer.send().await.unwrap();
    let headers = world.cloud.seen("/log").remove(0).headers;
    assert!(!headers.contains_key("cookie") && !headers.contains_key("impersonate-user"));
    assert!(headers["authorization"].to_str().unwrap().starts_with("SDK-HMAC-SHA256"));
}

#[tokio::test]
async fn a_wrong_query_is_refused_without_a_call() {
    let world = World::of(Cloud::new()).await;
    for query in
        ["tailLines=-1", "limitBytes=0", "sinceTime=x", "sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z"]
    {
        assert_eq!(world.get(&format!("{LOG}?{query}")).await.status(), 400, "{query}");
    }
    assert_eq!(world.cloud.seen("").len(), 0);
}

#[tokio::test]
async fn refusals_come_with_a_status_whose_text_is_shown() {
    let status = |code: u16, reason: &str, message: &str| {
        let body = json!({"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": code});
        (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
    };
    let waiting = "container \"main\" in pod \"shop-web-0-x\" is waiting to start: ContainerCreating";
    type Case = (u16, &'static str, u16, &'static str);
    let cases: [Case; 6] = [
        (
            400,
            "BadRequest",
            400,
            "container \"main\" in pod \"web-0\" is waiting to start: ContainerCreating\n",
        ),
        (404, "NotFound", 500, "pod \"web-0\" is not in the cloud\n"),
        (403, "Forbidden", 500, "the cloud: 403: container"),
        (401, "Unauthorized", 500, "the cloud: 401: container"),
        (429, "TooManyRequests", 500, "the cloud takes no more calls for now: 429: container"),
        (302, "Found", 500, "the cloud: 302: container"),
    ];
    for (code, reason, expected, text) in cases {
        let world = World::of(Cloud::with_log(move |_, _| {
            let mut answer = status(code, reason, waiting);
            answer.headers_mut().insert("location", "http://127.0.0.1:9/".parse().unwrap());
            answer
        }))
        .await;
        for query in ["", "?follow=true"] {
            let answer = world.get(&format!("{LOG}{query}")).await;
            assert_eq!(answer.status(), expected, "{code}");
            let told = answer.text().await.unwrap();
            assert!(told.starts_with(text), "{code}: {told}");
            assert!(!told.contains("canary"), "{told}");
        }
    }
}

#[tokio::test]
async fn a_time_to_begin_at_becomes_an_age_and_earlier_lines_are_dropped() {
    let world = World::of(Cloud::with_log(|_, _| {
        "2026-01-02T03:04:05Z old\n2026-01-02T03:04:06Z at\n2026-01-02T03:04:07Z new\n".into_response()
    }))
    .await;
    let answer = world.get(&format!("{LOG}?sinceTime=2026-01-02T03:04:06Z")).await;
    assert_eq!(answer.text().await.unwrap(), "at\nnew\n");
    let query = world.cloud.seen("/log").remove(0).query;
    assert!(
        query.contains("&sinceSeconds=")
            && query.contains("&timestamps=true")
            && !query.contains("sinceTime")
    );
}

#[tokio::test]
async fn a_log_that_is_cut_goes_on_at_the_right_line() {
    let cloud = Cloud::with_log(|before, query| match before {
        0 => {
            assert_eq!(query, "container=main&follow=true&tailLines=3&timestamps=true");
            log(
                "2026-01-02T03:04:05Z a\n2026-01-02T03:04:06Z b\n2026-01-02T03:04:06Z c\n2026-01-02T03:04:06Z in the m",
                false,
            )
        }
        1 => StatusCode::BAD_GATEWAY.into_response(),
        2 => {
            assert!(query.starts_with("container=main&follow=true&sinceSeconds="), "{query}");
            log("2026-01-02T03:04:06Z b\n2026-01-02T03:04:06Z c\n2026-01-02T03:04:06Z in the middle\n", true)
        }
        _ => log(
            "2026-01-02T03:04:06Z b\n2026-01-02T03:04:06Z c\n2026-01-02T03:04:06Z in the middle\n2026-01-02T03:04:07Z end\n",
            true,
        ),
    });
    let world = World::of(cloud).await;
    let mut answer = world.get(&format!("{LOG}?follow=true&tailLines=3")).await;
    let mut told = String::new();
    while let Some(bytes) = answer.chunk().await.unwrap() {
        told.push_str(std::str::from_utf8(&bytes).unwrap());
        if told.ends_with("end\n") {
            *world.cloud.pod.lock() =
                pod_with(&json!({"terminated": {"exitCode": 0, "finishedAt": "2026-01-02T03:04:07Z"}}));
        }
    }
    assert_eq!(told, "a\nb\nc\nin the middle\nend\n");
}

#[tokio::test]
async fn what_a_container_wrote_before_it_was_restarted_is_not_lost() {
    let cloud = Cloud::with_log(|before, query| match before {
        0 => log("2026-01-02T03:04:05Z a\n", false),
        _ => {
            assert!(query.starts_with("container=main&previous=true&sinceSeconds="), "{query}");
            log("2026-01-02T03:04:05Z a\n2026-01-02T03:04:06Z last words\n", true)
        }
    });
    let mut pod = pod_with(&json!({"running": {}}));
    pod["status"]["containerStatuses"][0]["restartCount"] = json!(1);
    *cloud.pod.lock() = pod;
    let world = World::of(cloud).await;
    let answer = world.get(&format!("{LOG}?follow=true")).await;
    assert_eq!(answer.text().await.unwrap(), "a\nlast words\n");
    assert_eq!(world.cloud.seen("/log").len(), 2, "the log of the next container is another one");
}

#[tokio::test]
async fn the_limit_counts_over_all_calls() {
    let cloud = Cloud::with_log(|before, _| match before {
        0 => log("2026-01-02T03:04:05Z abc\n", false),
        _ => log("2026-01-02T03:04:05Z abc\n2026-01-02T03:04:06Z defghi\n", true),
    });
    let world = World::of(cloud).await;
    let answer = world.get(&format!("{LOG}?follow=true&limitBytes=6")).await;
    assert_eq!(answer.text().await.unwrap(), "abc\nde");
}

#[tokio::test]
async fn followers_are_counted_and_one_that_leaves_ends_its_call() {
    let (ended, mut has_ended) = mpsc::unbounded_channel::<()>();
    let ended = Arc::new(ended);
    let cloud = Cloud::with_log(move |_, _| {
        // Told when the cloud's connection ends.
        struct Told(Arc<mpsc::UnboundedSender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let told = Told(ended.clone());
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"2026-01-02T03:04:05Z a\n"))]);
        let silence = stream::once(async move {
            let _told = told;
            std::future::pending().await
        });
        Body::from_stream(first.chain(silence)).into_response()
    });
    let streams = Streams { followers: Places::new("followed logs", 2, 1), ..Streams::default() };
    let world = World::with(&Profile::CCI_1_0, cloud, streams).await;
    let mut first = world.get(&format!("{LOG}?follow=true")).await;
    assert_eq!(first.chunk().await.unwrap().unwrap(), "a\n");
    let second = world.get(&format!("{LOG}?follow=true")).await;
    assert_eq!(second.status(), 429);
    assert_eq!(second.text().await.unwrap(), "there are 1 followed logs of this pod already\n");
    drop(first);
    has_ended.recv().await.unwrap();
    let third = world.get(&format!("{LOG}?follow=true")).await;
    assert_eq!(third.status(), 200, "the place is free again");
}
