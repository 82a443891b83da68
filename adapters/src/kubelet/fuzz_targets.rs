//! Hostile requests and certificates: no spelling of a path gets past the right that it needs, and what is believed of
//! them is within its bounds.

use http::Method;

use super::authenticate::Holder;
use super::query;
use super::route::{Page, Route};
use super::tests::authority::Authority;

/// Beside what is kept, a parser holds what it decodes.
const MEMORY_PER_BYTE: usize = 64;
const MEMORY_BYTES: usize = 64 * 1024;

/// Names as Kubernetes has them, said in another way than the code says it.
fn is_name(text: &str, more: &str, bytes_max: usize) -> bool {
    let allowed = |c: char| c.is_ascii_digit() || c.is_ascii_lowercase() || c == '-' || more.contains(c);
    !text.is_empty() && text.len() <= bytes_max && text.chars().all(allowed)
}

fn check_request(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    let ((), peak) = fuzz::peak_bytes(|| {
        let route = Route::of(path);
        let runs = matches!(route.page, Page::Exec | Page::Attach | Page::PortForward);
        for method in [Method::GET, Method::POST, Method::HEAD, Method::DELETE, Method::TRACE] {
            let verb = route.verb(&method);
            assert!(!runs || verb == Some("create"), "{verb:?} runs something");
        }
        let rights: Vec<&str> = route.subresources().collect();
        assert_eq!(rights.last(), Some(&"proxy"));
        assert!(!(runs || route.page == Page::ContainerLogs) || rights.len() == 1, "{rights:?}");
        assert_eq!(route.page == Page::Nothing, route.methods().is_empty());
        if let Ok(names) = route.names() {
            assert!(is_name(&names.namespace, "", 63), "{names:?}");
            assert!(is_name(&names.pod, ".", 253) && !names.pod.contains(".."), "{names:?}");
            assert!(names.container.is_empty() || is_name(&names.container, "", 63), "{names:?}");
            assert!(names.container.is_empty() == (route.page == Page::PortForward), "{names:?}");
            assert!(names.uid.is_none_or(|uid| !uid.is_empty() && !uid.contains(['/', '.', '%'])));
        }
        if let Ok(pairs) = query::parse(query) {
            let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(bytes <= query.len() && pairs.len() <= query.len());
            assert!(!pairs.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')));
        }
    });
    assert!(peak <= MEMORY_PER_BYTE * input.len() + MEMORY_BYTES, "{peak} bytes for {}", input.len());
}

#[test]
fn fuzz_kubelet_request() {
    let requests: [&[u8]; 7] = [
        b"/exec/shop/web-0/main?command=sh&command=-c&command=a+%26%26b&input=1&output=1&tty=1",
        b"/attach/shop/web-0.a/01-uid/main?error=1",
        b"/portForward/shop/web-0/01-uid",
        b"/containerLogs/shop/%77eb-0/main?follow=true&sinceTime=2026-01-02T01%3A04%3A05Z",
        b"/pods/../exec/%2e%2e%2f/%00/%ff",
        b"/stats/summary/",
        b"/metrics/resource",
    ];
    fuzz::target!(&requests, check_request);
}

fn check_certificate(input: &[u8]) {
    let (holder, peak) = fuzz::peak_bytes(|| Holder::of(input));
    assert!(peak <= MEMORY_PER_BYTE * input.len() + MEMORY_BYTES, "{peak} bytes for {}", input.len());
    if let Some(user) = holder.as_ref().map(Holder::user) {
        assert!(!user.name.is_empty() && user.uid.is_empty() && user.extra.is_empty());
        assert!(user.groups.iter().any(|group| group == "system:authenticated"));
    }
}

#[test]
fn fuzz_kubelet_certificate() {
    let authority = Authority::new("ca");
    let client = authority.client("dev", &["team-a", "team-b"], |_| {}).der().0;
    let server = authority.server("node-1").der().0;
    fuzz::target!(&[&client[0], &server[0]], check_certificate);
}
