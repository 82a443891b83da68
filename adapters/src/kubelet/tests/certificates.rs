//! Certificates that come, change and are refused.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use x509_parser::pem::Pem;

use super::authority::Authority;
use super::cluster::Cluster;
use super::served::{PATIENCE, Served, connect, write};
use crate::kubelet::signing::Signing;
use crate::kubelet::tls::Tls;
use crate::kubernetes::transport::ApiServer;

/// Tries until `is_so`.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    tokio::time::timeout(PATIENCE, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it comes to be so");
}

async fn shown(served: &Served) -> CertificateDer<'static> {
    let tls = served.connect(None).await.unwrap();
    tls.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn new_files_are_taken_up_and_bad_ones_are_not() {
    let served = Served::start().await;
    let first = shown(&served).await;
    // The key is another one's: neither is taken.
    let other = served.authority.server("other");
    std::fs::write(served.files.path().join("tls.key"), &other.key).unwrap();
    std::fs::write(served.files.path().join("ca.crt"), "no PEM").unwrap();
    assert_eq!(shown(&served).await, first);
    let second = served.authority.server("second");
    let certificate = second.der().0[0].clone();
    write(served.files.path(), "tls", &second);
    until(async || shown(&served).await == certificate).await;
    // The authority that was believed still is, until there is another one.
    let admin = served.admin();
    assert_eq!(served.get(Some(&admin), "/healthz", "").await.code, 200);
    let authority = Authority::new("next");
    std::fs::write(served.files.path().join("ca.crt"), authority.pem()).unwrap();
    let next = authority.client("admin", &[], |_| {});
    let text = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    until(async || served.try_ask(Some(&next), text).await.is_ok_and(|reply| reply.code == 200)).await;
    assert!(!served.try_ask(Some(&admin), text).await.is_ok_and(|reply| reply.code == 200));
}

#[tokio::test]
async fn a_certificate_is_asked_for_awaited_and_shown() {
    let (cluster, client) = Cluster::start().await;
    let authority = Authority::new("signer");
    let tls = Arc::new(Tls::new(None).unwrap());
    let mut signing =
        Signing::new(ApiServer::new(client), "node-1", vec!["127.0.0.1".into()], Arc::clone(tls.shown()));
    signing.look_period = Duration::from_millis(5);
    let cancel = CancellationToken::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = tls.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let _tls = accepted.acceptor().accept(tcp).await;
        }
    });
    assert!(connect(address, &authority, None).await.is_err(), "there is no certificate yet");
    let kept = tokio::spawn(signing.keep(cancel.clone()));
    until(async || !cluster.0.lock().requests.is_empty()).await;
    let asked = cluster.0.lock().requests[0].0.clone();
    assert_eq!(asked["spec"]["signerName"], "kubernetes.io/kubelet-serving");
    assert_eq!(asked["spec"]["usages"], json!(["digital signature", "server auth"]));
    assert!(connect(address, &authority, None).await.is_err(), "it is not approved yet");
    let pem = STANDARD.decode(asked["spec"]["request"].as_str().unwrap()).unwrap();
    let request = Pem::iter_from_buffer(&pem).next().unwrap().unwrap().contents;
    let chain = authority.issue(&request, 2200);
    cluster.0.lock().requests[0].1 = json!({
        "conditions": [{"type": "Approved"}], "certificate": STANDARD.encode(&chain)
    });
    until(async || connect(address, &authority, None).await.is_ok()).await;
    assert_eq!(cluster.0.lock().requests.len(), 1);
    cancel.cancel();
    kept.await.unwrap();
}
