mod cuts;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::IntoResponse;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use serde_json::json;
use tokio::sync::mpsc;

use crate::cci::{LogOptions, Profile};
use crate::kubelet::Streams;
use crate::kubelet::loopback::{Cloud, World};
use crate::kubelet::places::Places;

const LOG: &str = "containerLogs/shop/web-0/main";

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

#[tokio::test]
async fn a_log_that_is_not_followed_has_a_place_too() {
    let cloud = Cloud::with_log(|_, _| {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"a\n"))]);
        Body::from_stream(first.chain(stream::pending())).into_response()
    });
    let streams = Streams { logs: Places::new("logs being read", 2, 1), ..Streams::default() };
    let world = World::with(&Profile::CCI_1_0, cloud, streams).await;
    let mut first = world.get(LOG).await;
    assert_eq!(first.chunk().await.unwrap().unwrap(), "a\n");
    for query in ["", "?sinceTime=2026-01-02T03:04:06Z", "?follow=true&previous=true"] {
        let second = world.get(&format!("{LOG}{query}")).await;
        assert_eq!(second.status(), 429, "{query}");
        assert_eq!(second.text().await.unwrap(), "there are 1 logs being read of this pod already\n");
    }
    assert_eq!(world.get(&format!("{LOG}?follow=true")).await.status(), 200, "those are counted apart");
}

#[tokio::test]
async fn a_large_piece_of_a_log_is_given_in_small_ones() {
    let large = vec![b'x'; 1_000_000];
    let sent = large.clone();
    let world = World::of(Cloud::with_log(move |_, _| sent.clone().into_response())).await;
    let options = LogOptions { container: "main".to_owned(), ..LogOptions::default() };
    let mut log = world.kubelet.cloud.open_log(&world.target.pod.cloud_name, &options).await.unwrap();
    let mut read = Vec::new();
    while let Some(piece) = log.next().await.unwrap() {
        assert!(piece.len() <= 32 * 1024, "{}", piece.len());
        read.extend_from_slice(&piece);
    }
    assert_eq!(read, large);
}

#[tokio::test]
async fn a_cloud_whose_clock_is_ahead_is_asked_for_an_age_by_its_clock() {
    let world = World::of(Cloud::with_log(|_, _| {
        let date = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        ([("date", date)], "2026-01-02T03:04:07Z new\n").into_response()
    }))
    .await;
    let answer = world.get(&format!("{LOG}?sinceTime=2026-01-02T03:04:06Z")).await;
    assert_eq!(answer.text().await.unwrap(), "new\n");
    let ages: Vec<u64> = world.cloud.seen("/log").iter().map(|seen| cuts::since_s(&seen.query)).collect();
    assert_eq!(ages.len(), 2, "{ages:?}");
    assert!((3_590..=3_610).contains(&(ages[1] - ages[0])), "{ages:?}");
}
