use super::server::Seen;
use super::*;
use crate::pace::{Calls, Pace, Rate};

fn page(kind: &str, next: &str, items: &[Value]) -> Reply {
    Reply::json(
        200,
        &json!({"kind": kind, "metadata": {"continue": next, "resourceVersion": ""}, "items": items}),
    )
}

fn pod(name: &str) -> Value {
    let mut pod = cloud_pod();
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["uid"] = json!(format!("cloud-{name}"));
    pod
}

async fn listed(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Result<Listing, Outcome> {
    let server = Server::start(script).await;
    list(&client(&server.url())).await
}

/// A list whose class of calls has not heard anything yet.
async fn list(client: &CciClient) -> Result<Listing, Outcome> {
    let pace = Pace::new(Rate::default());
    let mut calls = Calls::of(&pace, pace.permit().await);
    client.list_pods(|_| false, &mut calls).await
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.pods.iter().map(|pod| &*pod.name.0).collect()
}

fn expired() -> Reply {
    status(410, "Expired", "the continue parameter is too old", "")
}

#[tokio::test]
async fn a_complete_list_says_what_each_pod_is_billed_for() {
    let server = Server::start(|seen| {
        let mut sized = pod("sized");
        let amounts = |cpu: &str| json!({"cpu": cpu, "memory": "2Gi"});
        let size = json!({"asked": amounts("300m"), "billed": amounts("1"), "rules": ["whole-gib"]});
        sized["metadata"]["annotations"]["burst-agent.io/size"] = size.to_string().into();
        match seen.query.as_str() {
            "limit=500" => page("PodList", "", &[sized, pod("of-an-older-agent")]),
            other => panic!("{other}"),
        }
    })
    .await;
    let client = client(&server.url());
    let sizes = client.pod_sizes();
    assert!(sizes.read().is_empty());
    list(&client).await.unwrap();
    let [size] = &sizes.read()[..] else { panic!("{:?}", sizes.read()) };
    assert_eq!((size.asked.cpu_milli, size.billed.cpu_milli), (300, 1_000));
    let pace = Pace::new(Rate::default());
    let mut calls = Calls::of(&pace, pace.permit().await);
    let again = client.list_pods(|_| true, &mut calls).await.unwrap();
    assert_eq!((again.unchanged, sizes.read().len()), (2, 1), "what is not read again is as it was");
}

#[tokio::test]
async fn all_pages_are_read_and_foreign_pods_are_left_out() {
    let server = Server::start(|seen| {
        let mut snapshot = pod("cci-imagesnapshot-1");
        snapshot["metadata"]["annotations"] = Value::Null;
        let mut other_node = pod("other");
        other_node["metadata"]["annotations"]["burst-agent.io/node"] = json!("n2");
        match seen.query.as_str() {
            "limit=500" => page("PodList", "t/1=", &[pod("a"), snapshot]),
            "continue=t%2F1%3D&limit=500" => page("PodList", "t2", &[other_node, pod("c")]),
            "continue=t2&limit=500" => page("PodList", "", &[pod("b")]),
            other => panic!("{other}"),
        }
    })
    .await;
    let listing = list(&client(&server.url())).await.unwrap();
    assert_eq!(names(&listing), ["a", "b", "c"]);
    assert!(listing.complete);
    assert_eq!(listing.unreadable, 0);
    assert_eq!(server.count(PODS), 3);
}

#[tokio::test]
async fn an_empty_list_is_complete_when_it_says_so() {
    for kind in ["PodList", "List"] {
        let listing = listed(move |_| page(kind, "", &[])).await.unwrap();
        assert_eq!(listing, Listing { complete: true, ..Listing::default() });
    }
}

#[tokio::test]
async fn what_is_no_list_is_never_an_empty_one() {
    for body in [
        "",
        "<html>log in</html>",
        "[]",
        "{}",
        r#"{"kind":"PodList"}"#,
        r#"{"kind":"Status","items":[]}"#,
        r#"{"kind":"PodList","items":["#,
    ] {
        let outcome = listed(move |_| Reply::text(200, body)).await.unwrap_err();
        assert_eq!(later_reason(&outcome), LaterReason::Transient, "{body}");
    }
    let torn = listed(|_| Reply::Torn { status: 200, body: r#"{"kind":"PodList","items":["# }).await;
    assert_eq!(later_reason(&torn.unwrap_err()), LaterReason::Transient);
}

fn too_many(retry_after_s: &str) -> Reply {
    status(429, "TooManyRequests", "slow", "").with("retry-after", retry_after_s)
}

#[tokio::test]
async fn a_page_that_fails_fails_the_list() {
    let outcome = listed(|seen| match seen.query.as_str() {
        "limit=500" => page("PodList", "t1", &[pod("a")]),
        _ => status(503, "ServiceUnavailable", "ill", ""),
    })
    .await
    .unwrap_err();
    assert_eq!(later_reason(&outcome), LaterReason::Transient);
}

#[tokio::test]
async fn a_page_that_is_one_call_too_many_is_read_again() {
    let refusals = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |seen| match seen.query.as_str() {
        "limit=500" => page("PodList", "t1", &[pod("a")]),
        _ if refusals.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 => too_many("0"),
        _ => page("PodList", "", &[pod("b")]),
    })
    .await;
    let listing = list(&client(&server.url())).await.unwrap();
    assert_eq!((names(&listing), listing.complete), (vec!["a", "b"], true));
    assert_eq!(server.count(PODS), 4, "the first page is not read again");
}

#[tokio::test]
async fn a_page_is_not_read_for_ever() {
    for (retry_after_s, tries) in [("0", 4), ("31", 1)] {
        let server = Server::start(move |seen| match seen.query.as_str() {
            "limit=500" => page("PodList", "t1", &[pod("a")]),
            _ => too_many(retry_after_s),
        })
        .await;
        let outcome = list(&client(&server.url())).await.unwrap_err();
        assert_eq!(later_reason(&outcome), LaterReason::Throttled);
        assert_eq!(server.count(PODS), 1 + tries, "{retry_after_s}");
    }
}

#[tokio::test]
async fn a_list_that_contradicts_itself_is_not_complete() {
    let repeated = listed(|_| page("PodList", "same", &[pod("a")])).await.unwrap();
    assert_eq!((names(&repeated), repeated.complete), (vec!["a"], false));

    let kinds = listed(|seen| match seen.query.as_str() {
        "limit=500" => page("PodList", "t1", &[pod("a")]),
        _ => page("List", "", &[pod("b")]),
    });
    let kinds = kinds.await.unwrap();
    assert_eq!((names(&kinds), kinds.complete), (vec!["a", "b"], false));

    let mut elsewhere = pod("b");
    elsewhere["metadata"]["namespace"] = json!("other");
    let elsewhere = listed(move |_| page("PodList", "", &[pod("a"), elsewhere.clone()])).await.unwrap();
    assert_eq!((names(&elsewhere), elsewhere.complete), (vec!["a"], false));

    let mut twin = pod("a");
    twin["metadata"]["uid"] = json!("cloud-twin");
    let twins = listed(move |_| page("PodList", "", &[pod("a"), twin.clone()])).await.unwrap();
    assert!(!twins.complete);
}

#[tokio::test]
async fn a_pod_of_ours_that_cannot_be_read_is_counted_not_missed() {
    let mut broken = pod("broken");
    broken["status"] = json!(7);
    let mut foreign = broken.clone();
    foreign["metadata"]["annotations"] = Value::Null;
    let listing =
        listed(move |_| page("PodList", "", &[pod("a"), broken.clone(), foreign.clone()])).await.unwrap();
    assert_eq!((names(&listing), listing.complete, listing.unreadable), (vec!["a"], false, 1));
}

#[tokio::test]
async fn an_expired_page_token_starts_the_list_again_once() {
    let starts = std::sync::atomic::AtomicUsize::new(0);
    let healed = listed(move |seen| match seen.query.as_str() {
        "limit=500" => {
            let start = starts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            page("PodList", &format!("t{start}"), &[pod("a")])
        }
        "continue=t0&limit=500" => expired(),
        _ => page("PodList", "", &[pod("b")]),
    });
    let healed = healed.await.unwrap();
    assert_eq!((names(&healed), healed.complete), (vec!["a", "b"], true));

    let server = Server::start(|seen| match seen.query.as_str() {
        "limit=500" => page("PodList", "t1", &[pod("a")]),
        _ => expired(),
    })
    .await;
    let listing = list(&client(&server.url())).await.unwrap();
    assert_eq!((names(&listing), listing.complete), (vec!["a"], false));
    assert_eq!(server.count(PODS), 4, "twice from the start, no more");

    assert!(listed(|_| expired()).await.is_err(), "without a token there is nothing to expire");
}
