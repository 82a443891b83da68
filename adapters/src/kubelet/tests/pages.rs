//! What there is, for somebody who may ask.

use serde_json::Value;

use super::served::Served;

#[tokio::test]
async fn what_we_do_not_have_is_not_there() {
    let served = Served::start().await;
    let admin = served.admin();
    for path in [
        "/",
        "/run/shop/web-0/main",
        "/debug/pprof/",
        "/checkpoint/shop/web-0/main",
        "/logs/",
        "/logs/../etc/passwd",
        "/configz",
        "/cri/exec/a",
        "/pods/../healthz",
        "//pods",
        "/%70ods",
        "/exec/shop/web-0",
        "/stats/container",
        "/metrics/cadvisor",
        "/metrics/probes",
    ] {
        assert_eq!(served.get(Some(&admin), path, "").await.code, 404, "{path}");
    }
    for (method, path, allow) in [
        ("POST", "/pods", "get"),
        ("DELETE", "/pods", "get"),
        ("PUT", "/healthz", "get"),
        ("PATCH", "/metrics", "get"),
        ("DELETE", "/exec/shop/web-0/main", "get, post"),
        ("POST", "/containerLogs/shop/web-0/main", "get"),
    ] {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let reply = served.ask(Some(&admin), &request).await;
        assert_eq!(reply.code, 405, "{method} {path}");
        assert!(reply.head.contains(&format!("allow: {allow}")), "{}", reply.head);
    }
    assert_eq!(served.lookups(), 0);
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_before_anything_is_asked() {
    let served = Served::start().await;
    let admin = served.admin();
    let long = "a".repeat(10_000);
    for kind in ["containerLogs", "exec", "attach"] {
        for names in [
            "../web-0/main",
            "shop/%2e%2e%2f/main",
            "shop/web-0/%00",
            "shop/web-0/ma%2fin",
            "shop/WEB/main",
            "shop//main",
            &format!("{long}/web-0/main"),
            &format!("shop/{long}/main"),
            &format!("shop/web-0/{long}"),
        ] {
            let reply = served.get(Some(&admin), &format!("/{kind}/{names}"), "").await;
            assert_eq!(reply.code, 400, "{kind} {}", &names[..names.len().min(40)]);
        }
    }
    assert_eq!(served.get(Some(&admin), "/portForward/shop/..", "").await.code, 400);
    let words = format!("/exec/shop/web-0/main?{}", "a&".repeat(2_000));
    assert_eq!(served.get(Some(&admin), &words, "").await.code, 400);
    let no_text = "/containerLogs/shop/web-0/main?tailLines=%ff";
    assert_eq!(served.get(Some(&admin), no_text, "").await.code, 400);
    assert_eq!(served.lookups(), 0, "nothing was asked");
}

#[tokio::test]
async fn a_pod_is_ours_whole_and_started_or_not_served() {
    let served = Served::start().await;
    let admin = served.admin();
    for (path, code, text) in [
        ("/containerLogs/shop/nobody/main", 404, "pod does not exist"),
        ("/containerLogs/other/web-0/main", 404, "pod does not exist"),
        ("/exec/shop/web-0/uid-other/main", 404, "pod does not exist"),
        ("/portForward/shop/web-0/uid-other", 404, "pod does not exist"),
        ("/exec/shop/web-0/nobody", 404, "container nobody not found in pod web-0"),
        (
            "/containerLogs/shop/new/main",
            400,
            "container \"main\" in pod \"new\" is waiting to start: ContainerCreating",
        ),
        (
            "/attach/shop/new/main",
            400,
            "container \"main\" in pod \"new\" is waiting to start: ContainerCreating",
        ),
        (
            "/containerLogs/shop/web-0/side",
            400,
            "container \"side\" in pod \"web-0\" is waiting to start: trying and failing to pull image",
        ),
        ("/portForward/shop/new", 400, "pod \"new\" is waiting to start: ContainerCreating"),
    ] {
        let reply = served.get(Some(&admin), path, "").await;
        assert_eq!((reply.code, reply.body.trim_end()), (code, text), "{path}");
    }
}

#[tokio::test]
async fn the_pods_are_those_of_the_api_server_and_of_the_cloud() {
    let served = Served::start().await;
    let admin = served.admin();
    let reply = served.get(Some(&admin), "/pods", "").await;
    assert_eq!(reply.code, 200);
    assert!(reply.body.contains("\"PodList\"") && reply.body.contains("web-0"), "{}", reply.body);
    assert_eq!(served.cluster.0.lock().lists, ["fieldSelector=spec.nodeName%3Dnode-1"]);
    let reply = served.get(Some(&admin), "/runningpods/", "").await;
    let list: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["metadata"]["uid"], "uid-web-0");
    assert_eq!(list["items"][0]["spec"]["containers"].as_array().unwrap().len(), 1, "only what runs");
    let reply = served.get(Some(&admin), "/metrics", "").await;
    assert_eq!((reply.code, &*reply.body), (200, "agent_up 1\n"));
}
