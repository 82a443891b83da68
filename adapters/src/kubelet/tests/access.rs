//! Who is let in, and to what.

use std::sync::Arc;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use serde_json::json;
use tokio::net::TcpSocket;

use super::authority::Authority;
use super::cluster::{Cluster, Mood};
use super::served::{PATIENCE, Served, kubelet_of, own, pods, secure};
use crate::kubelet::{
    CertificateSource, ConnectionLimits, Front, FrontSettings, Open, SettingError, page_names,
};

/// Every kind of path, and some that there are not.
const PATHS: [&str; 16] = [
    "/",
    "/pods",
    "/runningpods/",
    "/stats/summary",
    "/metrics",
    "/metrics/resource",
    "/healthz",
    "/configz",
    "/containerLogs/shop/web-0/main",
    "/exec/shop/web-0/main",
    "/attach/shop/web-0/main",
    "/portForward/shop/web-0",
    "/run/shop/web-0/main",
    "/nothing",
    "/exec/../x/%00",
    "/debug/pprof/",
];

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[tokio::test]
async fn without_a_means_to_know_who_asks_it_does_not_start() {
    let (_, client) = Cluster::start().await;
    let found = Arc::default();
    let start = |client_ca: Option<&str>, token_review, certificate: CertificateSource| {
        let settings = FrontSettings {
            node: "node-1".into(),
            certificate,
            client_ca: client_ca.map(Into::into),
            token_review,
            connections: ConnectionLimits::default(),
        };
        Front::new(settings, client.clone(), kubelet_of(pods(), &found), own()).err()
    };
    let asked = || CertificateSource::Request { addresses: vec!["127.0.0.1".into()] };
    let error = start(None, false, asked()).unwrap();
    assert_eq!(error, SettingError::NoAuthentication);
    assert!(error.to_string().contains("client CA") && error.to_string().contains("review of tokens"));
    assert_eq!(start(None, true, asked()), None);
    assert!(matches!(start(Some("/nowhere"), true, asked()), Some(SettingError::File { .. })));
    assert!(matches!(start(Some("/dev/null"), true, asked()), Some(SettingError::File { .. })));
    let none = CertificateSource::Files { certificate: "/nowhere".into(), key: "/nowhere".into() };
    assert!(matches!(start(None, true, none), Some(SettingError::File { .. })));
    let nobody = CertificateSource::Request { addresses: Vec::new() };
    assert_eq!(start(None, true, nobody), Some(SettingError::NoAddress));
}

#[tokio::test]
async fn nobody_is_told_nothing_whatever_the_path() {
    let served = Served::start().await;
    let headers = [
        "",
        "X-Remote-User: admin\r\nX-Remote-Group: system:masters\r\n",
        "Impersonate-User: admin\r\n",
        "Authorization: Basic YWRtaW46YWRtaW4=\r\n",
        "Cookie: token=a\r\n",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    ];
    let mut bodies = std::collections::BTreeSet::new();
    for (path, headers) in PATHS.iter().map(|path| (*path, "")).chain(headers.map(|one| ("/pods", one))) {
        let reply = served.get(None, path, headers).await;
        assert_eq!(reply.code, 401, "{path} {headers}");
        assert!(!reply.head.contains("server:") && !reply.head.contains("allow:"), "{}", reply.head);
        bodies.insert(reply.body);
    }
    assert_eq!(bodies.into_iter().collect::<Vec<_>>(), ["Unauthorized\n"]);
    assert_eq!((served.lookups(), served.cluster.asked().len()), (0, 0), "nothing was asked of anybody");
    assert!(served.cluster.0.lock().reviewed.is_empty());
}

#[tokio::test]
async fn whoever_counts_is_told_of_every_answer_and_what_is_open() {
    let served = Served::start().await;
    let _silent = served.connect(None).await.unwrap();
    served.get(None, "/exec/shop/web-0/main", "").await;
    served.get(None, "/a/path/that/somebody/made/up", "").await;
    let admin = served.admin();
    served.get(Some(&admin), "/metrics", "").await;
    let told = served.answered.lock().clone();
    assert_eq!(told, [("exec", 401), ("other", 401), ("metrics", 200)]);
    assert!(told.iter().all(|(page, _)| page_names().contains(page)));
    // Those that were closed are forgotten a moment later.
    let one = Open { strangers: 1, ..Open::default() };
    let counted = async {
        while served.open.now() != one {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("only the silent one is left");
}

#[tokio::test]
async fn a_certificate_that_is_not_a_good_clients_is_no_way_in() {
    let served = Served::start().await;
    served.admin();
    let of = |change: fn(&mut CertificateParams)| served.authority.client("admin", &[], change);
    let year_ends = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let bad = [
        ("expired", of(year_ends)),
        ("not yet valid", of(|params| params.not_before = date_time_ymd(4000, 1, 1))),
        ("a server's", of(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
        ("for nothing said", of(|params| params.extended_key_usages.clear())),
        ("nobody's", of(|params| params.distinguished_name = rcgen::DistinguishedName::new())),
        ("another authority's", Authority::new("ca").client("admin", &["system:masters"], |_| {})),
    ];
    for (what, certificate) in bad {
        let text = "GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
        match served.try_ask(Some(&certificate), text).await {
            Ok(reply) => assert_eq!((reply.code, &*reply.body), (401, "Unauthorized\n"), "{what}"),
            Err(_) => continue,
        }
    }
    let good = served.get(Some(&served.authority.client("admin", &[], |_| {})), "/healthz", "").await;
    assert_eq!((good.code, &*good.body), (200, "ok"));
}

#[tokio::test]
async fn the_api_server_is_asked_as_a_kubelet_asks() {
    let served = Served::start().await;
    let dev = served.authority.client("dev", &["team-a", "team-b"], |_| {});
    let reply = served.get(Some(&dev), "/containerLogs/shop/web-0/main?follow=true", "").await;
    assert_eq!(reply.code, 403);
    assert_eq!(reply.body, "Forbidden (user=dev, verb=get, resource=nodes, subresource(s)=[proxy])\n");
    let asked = served.cluster.0.lock().last_access["spec"].clone();
    assert_eq!(
        asked,
        json!({
            "user": "dev", "groups": ["team-a", "team-b", "system:authenticated"],
            "resourceAttributes": {
                "verb": "get", "group": "", "version": "v1", "resource": "nodes", "subresource": "proxy", "name": "node-1"
            }
        })
    );
    served.cluster.token("token-1", "robot");
    let reply = served.get(None, "/stats/summary", &bearer("token-1")).await;
    assert_eq!(
        reply.body,
        "Forbidden (user=robot, verb=get, resource=nodes, subresource(s)=[stats proxy])\n"
    );
    let asked = served.cluster.0.lock().last_access["spec"].clone();
    assert_eq!((&asked["uid"], &asked["extra"]), (&json!("uid-of-user"), &json!({"scope": ["a"]})));
    assert_eq!(asked["groups"], json!(["testers", "system:authenticated"]));
}

#[tokio::test]
async fn who_may_only_get_runs_nothing() {
    let served = Served::start().await;
    served.cluster.allow("reader get proxy");
    let reader = served.authority.client("reader", &[], |_| {});
    let upgrades = [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: mjClAh7NfFyVG5NHfzbE0w==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n",
        "",
    ];
    for path in
        ["/exec/shop/web-0/main?command=id&output=1", "/attach/shop/web-0/main", "/portForward/shop/web-0"]
    {
        for upgrade in upgrades {
            let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\n{upgrade}\r\n");
            let reply = served.ask(Some(&reader), &request).await;
            assert_eq!(reply.code, 403, "{path}");
            assert_eq!(
                reply.body,
                "Forbidden (user=reader, verb=create, resource=nodes, subresource(s)=[proxy])\n"
            );
        }
    }
    assert_eq!(served.lookups(), 0);
    assert_eq!(served.cluster.asked(), ["reader create proxy"], "and the answer was kept");
}

#[tokio::test]
async fn a_fine_grained_right_opens_what_it_is_for() {
    for (right, opens) in [
        ("pods", &["/pods", "/pods/", "/runningpods/", "/runningpods"][..]),
        ("metrics", &["/metrics", "/metrics/"]),
        ("healthz", &["/healthz", "/healthz/"]),
    ] {
        let served = Served::start().await;
        served.cluster.allow(&format!("scraper get {right}"));
        let scraper = served.authority.client("scraper", &[], |_| {});
        for path in opens {
            assert_eq!(served.get(Some(&scraper), path, "").await.code, 200, "{path}");
        }
        let other = |path: &&&str| !opens.contains(*path) && !path.starts_with("/metrics/");
        for path in PATHS.iter().filter(other) {
            assert_eq!(served.get(Some(&scraper), path, "").await.code, 403, "{path} with {right}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let path = opens[0];
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            );
            assert_eq!(served.ask(Some(&scraper), &request).await.code, 403, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_review_that_fails_opens_nothing_and_is_not_kept() {
    let served = Served::start().await;
    served.cluster.token("token-1", "robot");
    served.cluster.allow("robot get healthz");
    served.cluster.0.lock().token_mood = Mood::Failing;
    assert_eq!(served.get(None, "/healthz", &bearer("token-1")).await.code, 401);
    served.cluster.0.lock().token_mood = Mood::Well;
    served.cluster.0.lock().access_mood = Mood::Failing;
    let reply = served.get(None, "/healthz", &bearer("token-1")).await;
    assert_eq!(reply.code, 500);
    let text = "Authorization error (user=robot, verb=get, resource=nodes, subresource=healthz)\n";
    assert_eq!(reply.body, text);
    served.cluster.0.lock().access_mood = Mood::Well;
    assert_eq!(served.get(None, "/healthz", &bearer("token-1")).await.code, 200);
    // What is kept is believed without a question.
    served.cluster.0.lock().access_mood = Mood::Failing;
    served.cluster.0.lock().token_mood = Mood::Failing;
    assert_eq!(served.get(None, "/healthz", &bearer("token-1")).await.code, 200);
    assert_eq!(served.get(None, "/pods", &bearer("token-1")).await.code, 500);
}

#[tokio::test]
async fn a_review_that_is_not_answered_opens_nothing() {
    let served = Served::start().await;
    served.cluster.token("token-1", "robot");
    served.cluster.0.lock().access_mood = Mood::Silent;
    let token = bearer("token-1");
    let slow = served.get(None, "/healthz", &token);
    let certified = served.authority.client("dev", &[], |_| {});
    let also_slow = served.get(Some(&certified), "/exec/shop/web-0/main", "");
    let (slow, also_slow) = tokio::join!(slow, also_slow);
    assert_eq!((slow.code, also_slow.code), (500, 500));
    served.cluster.0.lock().token_mood = Mood::Silent;
    assert_eq!(served.get(None, "/healthz", &bearer("token-2")).await.code, 401);
    assert_eq!(served.lookups(), 0);
}

#[tokio::test]
async fn a_flood_of_wrong_tokens_is_no_flood_of_the_api_server() {
    let served = Arc::new(Served::start().await);
    let admin = served.admin();
    let mut floods = tokio::task::JoinSet::new();
    for stream in 0..8 {
        let served = Arc::clone(&served);
        floods.spawn(async move {
            let mut codes = Vec::new();
            for number in 0..40 {
                let token = format!("wrong-{}", stream * 40 + number);
                codes.push(served.get(None, "/healthz", &bearer(&token)).await.code);
            }
            codes
        });
    }
    // Those with a certificate do not notice.
    assert_eq!(served.get(Some(&admin), "/healthz", "").await.code, 200);
    let codes: Vec<u16> = floods.join_all().await.into_iter().flatten().collect();
    let reviewed = served.cluster.0.lock().reviewed.len();
    assert_eq!(codes.len(), 320);
    assert!(codes.iter().all(|code| matches!(code, 401 | 429)), "{codes:?}");
    assert_eq!(
        codes.iter().filter(|code| **code == 401).count(),
        reviewed,
        "what is not reviewed is told so"
    );
    for _ in 0..10 {
        served.get(None, "/healthz", &bearer("wrong-0")).await;
    }
    let again = served.cluster.0.lock().reviewed.iter().filter(|token| **token == "wrong-0").count();
    assert_eq!(again, 1, "a wrong token is asked about once");
}

#[tokio::test]
async fn a_flood_of_wrong_tokens_does_not_keep_out_good_ones_from_elsewhere() {
    let served = Served::start().await;
    served.cluster.token("good", "robot");
    served.cluster.allow("robot get healthz");
    let mut code = 0;
    for number in 0..200 {
        code = served.get(None, "/healthz", &bearer(&format!("wrong-{number}"))).await.code;
        if code == 429 {
            break;
        }
    }
    assert_eq!(code, 429, "its share is used up");
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let tcp = socket.connect(served.address).await.unwrap();
    let tls = secure(tcp, &served.authority, None).await.unwrap();
    let request =
        format!("GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{}\r\n", bearer("good"));
    assert_eq!(served.try_ask_on(tls, &request).await.unwrap().code, 200);
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Logged(Arc<parking_lot::Mutex<String>>);

impl tracing::field::Visit for Logged {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.lock().push_str(&format!("{field}={value:?} "));
    }
}

impl tracing::Subscriber for Logged {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_denial_is_in_the_log_and_a_token_is_not() {
    let logged = Logged::default();
    // Everything of this test runs on this thread.
    let _guard = tracing::subscriber::set_default(logged.clone());
    let served = Served::start().await;
    served.cluster.token("canary-1", "robot");
    assert_eq!(served.get(None, "/healthz", &bearer("canary-1")).await.code, 403);
    served.cluster.0.lock().token_mood = Mood::Failing;
    assert_eq!(served.get(None, "/healthz", &bearer("canary-2")).await.code, 401);
    let logged = logged.0.lock().clone();
    assert!(logged.contains("user=robot") && logged.contains("verb=\"get\""), "{logged}");
    assert!(logged.contains("a token cannot be reviewed"), "{logged}");
    assert!(!logged.contains("canary"), "{logged}");
}
