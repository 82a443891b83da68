//! Logs that end before they should.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http::header::RETRY_AFTER;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::super::{Asked, Follow};
use super::LOG;
use crate::cci::{Cut, Profile};
use crate::kubelet::loopback::{Cloud, World, pod_with};
use crate::kubelet::{StreamLimits, Streams};

/// A log that ends as it should, or in the middle.
fn log(lines: impl Into<Bytes>, is_whole: bool) -> Response {
    let lines = stream::iter([Ok(lines.into())]);
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

/// A log that is cut when it is told to be.
fn cut_when_told(lines: &'static str, told: &Arc<Notify>) -> Response {
    let lines = stream::iter([Ok(Bytes::from_static(lines.as_bytes()))]);
    let told = told.clone();
    let cut = stream::once(async move {
        told.notified().await;
        Err(std::io::Error::other("cut"))
    });
    Body::from_stream(lines.chain(cut)).into_response()
}

/// The age that a query asks for.
pub(super) fn since_s(query: &str) -> u64 {
    let age = query.split('&').find_map(|pair| pair.strip_prefix("sinceSeconds="));
    age.unwrap_or_else(|| panic!("{query}")).parse().unwrap()
}

fn restarted(count: u32) -> Value {
    let mut pod = pod_with(&json!({"running": {}}));
    pod["status"]["containerStatuses"][0]["restartCount"] = json!(count);
    pod
}

fn ended() -> Value {
    pod_with(&json!({"terminated": {"exitCode": 0, "finishedAt": "2026-01-02T03:04:07Z"}}))
}

/// Reads a followed log, whose container ends once this is the whole of it.
async fn read_to(world: &World, query: &str, whole: &str) {
    let mut answer = world.get(&format!("{LOG}?{query}")).await;
    let mut told = String::new();
    while let Some(bytes) = answer.chunk().await.unwrap() {
        told.push_str(std::str::from_utf8(&bytes).unwrap());
        if told.len() >= whole.len() {
            *world.cloud.pod.lock() = ended();
        }
    }
    assert_eq!(told, whole, "{query}");
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
    read_to(&world, "follow=true&tailLines=3", "a\nb\nc\nin the middle\nend\n").await;
}

#[tokio::test]
async fn a_log_that_is_cut_before_its_first_line_is_asked_for_as_before() {
    let cloud = Cloud::with_log(|before, query| match before {
        0 => log("", false),
        _ => {
            assert!(query.ends_with("&tailLines=3&timestamps=true"), "{query}");
            assert!((61..70).contains(&since_s(query)), "{query}");
            log("2026-01-02T03:04:05Z a\n2026-01-02T03:04:06Z b\n", true)
        }
    });
    let world = World::of(cloud).await;
    read_to(&world, "follow=true&tailLines=3&sinceSeconds=60", "a\nb\n").await;
}

#[tokio::test]
async fn a_log_from_now_on_that_is_cut_before_its_first_line_begins_where_it_was_opened() {
    let cloud = Cloud::with_log(|before, query| match before {
        0 => log("", false),
        _ => {
            assert!(!query.contains("tailLines") && since_s(query) < 60, "{query}");
            let now = jiff::Timestamp::now();
            log(format!("2026-01-02T03:04:05Z old\n{now} new\n"), true)
        }
    });
    let world = World::of(cloud).await;
    read_to(&world, "follow=true&tailLines=0", "new\n").await;
}

#[tokio::test]
async fn the_time_that_is_asked_for_holds_after_a_cut() {
    let overlap = "2026-01-02T03:04:05Z too early\n";
    let cloud = Cloud::with_log(move |before, _| match before {
        0 => log(overlap, false),
        _ => log(format!("{overlap}2026-01-02T03:04:06Z a\n"), true),
    });
    let world = World::of(cloud).await;
    read_to(&world, "follow=true&sinceTime=2026-01-02T03:04:06Z", "a\n").await;
}

#[tokio::test]
async fn the_previous_log_stays_the_previous_one() {
    let world = World::of(Cloud::with_log(|_, _| log("2026-01-02T03:04:05Z a\n", false))).await;
    let query = "follow=true&previous=true&sinceTime=2026-01-02T03:04:05Z";
    for query in ["follow=true&previous=true", query] {
        assert!(world.get(&format!("{LOG}?{query}")).await.text().await.is_err(), "a cut is no end");
    }
    let seen = world.cloud.seen("/log");
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.query.starts_with("container=main&previous=true")));
}

/// A followed log of one line that is cut when the container has been restarted so often; and the rest of the answer.
async fn rest_after(
    restarts: u32,
    rest: impl Fn(usize, &str) -> Response + Send + Sync + 'static,
) -> (Option<String>, usize) {
    let told = Arc::new(Notify::new());
    let cut = told.clone();
    let world = World::of(Cloud::with_log(move |before, query| match before {
        0 => cut_when_told("2026-01-02T03:04:05Z a\n", &cut),
        _ => rest(before, query),
    }))
    .await;
    let mut answer = world.get(&format!("{LOG}?follow=true")).await;
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "a\n");
    *world.cloud.pod.lock() = restarted(restarts);
    told.notify_one();
    (answer.text().await.ok(), world.cloud.seen("/log").len())
}

#[tokio::test]
async fn what_a_container_wrote_before_it_was_restarted_is_not_lost() {
    let rest = rest_after(1, |before, query| {
        assert!(query.starts_with("container=main&previous=true&sinceSeconds="), "{query}");
        log("2026-01-02T03:04:05Z a\n2026-01-02T03:04:06Z last words\n", before > 1)
    });
    let (rest, calls) = rest.await;
    assert_eq!(rest.as_deref(), Some("last words\n"));
    assert_eq!(calls, 3, "it is read again when it is cut; the log of the next container is another one");
}

#[tokio::test]
async fn what_is_gone_after_a_cut_is_no_end_in_good_order() {
    let gone = |_: usize, _: &str| {
        let message = "previous terminated container \"main\" in pod \"shop-web-0-x\" not found";
        let body = json!({"kind": "Status", "status": "Failure", "message": message, "reason": "BadRequest", "code": 400});
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    };
    assert_eq!(rest_after(1, gone).await, (None, 2));
    assert_eq!(rest_after(2, gone).await, (None, 1), "the previous container is another one by now");
}

#[tokio::test]
async fn a_restart_before_the_log_was_opened_is_none_since() {
    let cloud = Cloud::with_log(|before, query| match before {
        0 => log("2026-01-02T03:04:05Z a\n", false),
        _ => {
            assert!(query.starts_with("container=main&follow=true&sinceSeconds="), "{query}");
            log("2026-01-02T03:04:05Z a\n2026-01-02T03:04:06Z b\n", true)
        }
    });
    // Our own state, which is older, knows of none.
    *cloud.pod.lock() = restarted(1);
    let world = World::of(cloud).await;
    read_to(&world, "follow=true", "a\nb\n").await;
}

/// A followed log whose stream ends in good order again and again while its container runs, read until it is given up.
async fn given_up(streams: Streams, idle: Duration) -> (World, Cut) {
    let cloud = Cloud::with_log(|_, _| log("2026-01-02T03:04:05Z a\n", true));
    let limits = StreamLimits { idle, ..StreamLimits::default() };
    let world = World::bounded(&Profile::CCI_1_0, cloud, streams, limits).await;
    let taking = world.kubelet.streams.followers.take(&world.target.pod.pod).unwrap();
    let asked = Asked { follow: true, ..Asked::default() };
    let mut follow = Follow::open(&world.kubelet, &world.target, &asked, taking).await.unwrap();
    assert_eq!(follow.next().await.unwrap().unwrap(), "a\n");
    let cut = follow.next().await.unwrap_err();
    (world, cut)
}

#[tokio::test]
async fn a_stream_that_is_opened_anew_is_no_sign_of_life_and_each_end_asks_once_how_the_container_stands() {
    let (world, cut) = given_up(Streams::default(), Duration::from_secs(2)).await;
    assert!(cut.0.contains("idle"), "{cut}");
    let (logs, pods) = (world.cloud.seen("/log").len(), world.cloud.seen("/shop-web-0-x").len());
    assert!(logs >= 3 && pods <= logs + 1, "{logs} logs, {pods} pods");
}

#[tokio::test]
async fn the_cloud_is_asked_again_in_turn() {
    let streams = Streams::default();
    let _all = streams.reopening.all().await;
    let (world, _) = given_up(streams, Duration::from_millis(500)).await;
    assert_eq!((world.cloud.seen("/log").len(), world.cloud.seen("/shop-web-0-x").len()), (1, 1));
}

/// All of them rest when one is told to, or a gateway that comes back is asked by each of a thousand.
#[tokio::test]
async fn the_cloud_is_not_asked_again_before_the_time_that_it_asked_for() {
    let asked_at = Arc::new(Mutex::new(Vec::new()));
    let at = asked_at.clone();
    let cloud = Cloud::with_log(move |before, _| {
        at.lock().push(Instant::now());
        match before {
            0 => log("2026-01-02T03:04:05Z a\n", false),
            1 => (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "2")]).into_response(),
            _ => log("2026-01-02T03:04:05Z a\n2026-01-02T03:04:06Z b\n", true),
        }
    });
    let world = World::of(cloud).await;
    read_to(&world, "follow=true", "a\nb\n").await;
    let asked_at = asked_at.lock();
    assert!(asked_at[2] - asked_at[1] >= Duration::from_secs(2), "{asked_at:?}");
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
