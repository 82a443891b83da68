//! The quotas of the namespace.

use std::collections::BTreeMap;

use super::*;
use crate::pace::{Calls, Pace, Rate};

async fn quota(
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> Result<BTreeMap<String, String>, Outcome> {
    let server = Server::start(move |seen| {
        assert_eq!((&*seen.method, &*seen.path), ("GET", "/api/v1/namespaces/cce-burst-c1/resourcequotas"));
        reply()
    })
    .await;
    let pace = Pace::new(Rate::default());
    let mut calls = Calls::of(&pace, pace.permit().await);
    client(&server.url()).quota(&mut calls).await
}

#[tokio::test]
async fn the_quota_of_the_namespace_is_read() {
    let hard = json!({"hard": {"cpu": "200", "pods": "100"}, "used": {"pods": "1"}});
    let list =
        json!({"kind": "ResourceQuotaList", "items": [{"metadata": {"name": "default"}, "status": hard}]});
    let read = quota(move || Reply::json(200, &list)).await.unwrap();
    let expected = [("cpu", "200"), ("pods", "100")].map(|(of, limit)| (of.to_owned(), limit.to_owned()));
    assert_eq!(read, BTreeMap::from(expected));
}

#[tokio::test]
async fn a_quota_that_cannot_be_read_is_not_taken_for_none() {
    let forbidden = quota(|| status(403, "Forbidden", "resourcequotas is forbidden", "")).await;
    assert!(matches!(forbidden, Err(Outcome::Refused(_))), "{forbidden:?}");
    let odd = quota(|| Reply::json(200, &json!({"kind": "Status"}))).await;
    assert!(odd.is_err(), "{odd:?}");
}
