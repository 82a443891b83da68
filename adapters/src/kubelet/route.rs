//! What a path asks for, read once: who may ask and what is answered are both decided from it, so that no spelling of
//! a path can be one thing to the one and another thing to the other.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use super::Refused;

/// A label of DNS-1123: names of namespaces and containers.
const LABEL_BYTES_MAX: usize = 63;
/// A subdomain of DNS-1123: names of pods.
const SUBDOMAIN_BYTES_MAX: usize = 253;
/// A UID is 36 bytes; static pods have a hash of 32.
const UID_BYTES_MAX: usize = 128;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    ContainerLogs,
    Exec,
    Attach,
    PortForward,
    Pods,
    RunningPods,
    StatsSummary,
    ResourceMetrics,
    Metrics,
    Healthz,
    /// Nothing that we have.
    Nothing,
}

impl Page {
    const ALL: [Page; 11] = [
        Page::ContainerLogs,
        Page::Exec,
        Page::Attach,
        Page::PortForward,
        Page::Pods,
        Page::RunningPods,
        Page::StatsSummary,
        Page::ResourceMetrics,
        Page::Metrics,
        Page::Healthz,
        Page::Nothing,
    ];

    /// Its path without names, as those who count know it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Page::ContainerLogs => "containerLogs",
            Page::Exec => "exec",
            Page::Attach => "attach",
            Page::PortForward => "portForward",
            Page::Pods => "pods",
            Page::RunningPods => "runningpods",
            Page::StatsSummary => "stats/summary",
            Page::ResourceMetrics => "metrics/resource",
            Page::Metrics => "metrics",
            Page::Healthz => "healthz",
            Page::Nothing => "other",
        }
    }
}

/// The names of all pages, by which requests are counted: few and fixed, whatever somebody asks for.
#[must_use]
pub fn page_names() -> [&'static str; 11] {
    Page::ALL.map(Page::name)
}

/// A path, read: its page, the right that opens it, and the names in it as they were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) page: Page,
    /// The subresource of `nodes` that opens it without `nodes/proxy`.
    fine: Option<&'static str>,
    /// It runs something, whatever the method: a WebSocket's handshake is a GET, and the right to `get` is given away
    /// as harmless.
    runs: bool,
    segments: Vec<&'a str>,
}

/// The names in a path, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) namespace: String,
    pub(super) pod: String,
    /// Empty where the path has none.
    pub(super) container: String,
    /// Where the path has one.
    pub(super) uid: Option<String>,
}

impl<'a> Route<'a> {
    /// Reads a path, escapes and all.
    pub(super) fn of(path: &'a str) -> Route<'a> {
        // Longer than any path of ours; the rest is not even looked at.
        let mut segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).splitn(7, '/').collect();
        let first = segments.remove(0);
        let page = match (first, segments.as_slice()) {
            ("containerLogs", [_, _, _]) => Page::ContainerLogs,
            ("exec", [_, _, _] | [_, _, _, _]) => Page::Exec,
            ("attach", [_, _, _] | [_, _, _, _]) => Page::Attach,
            ("portForward", [_, _] | [_, _, _]) => Page::PortForward,
            ("pods", [] | [""]) => Page::Pods,
            ("runningpods", [] | [""]) => Page::RunningPods,
            ("stats", ["summary"] | ["summary", ""]) => Page::StatsSummary,
            ("metrics", ["resource"] | ["resource", ""]) => Page::ResourceMetrics,
            ("metrics", [] | [""]) => Page::Metrics,
            ("healthz", [] | [""]) => Page::Healthz,
            _ => Page::Nothing,
        };
        // As a kubelet has it (`NodeRequestAttributesGetter`). `/logs/` is the host's, which we do not have.
        let fine = match first {
            "stats" => Some("stats"),
            "metrics" => Some("metrics"),
            "logs" => Some("log"),
            "pods" | "runningpods" => Some("pods"),
            "healthz" => Some("healthz"),
            "configz" => Some("configz"),
            _ => None,
        };
        let runs = matches!(first, "exec" | "attach" | "portForward" | "run");
        Route { page, fine, runs, segments }
    }

    /// The verb that must be allowed; `None` for a method that stands for none.
    pub(super) fn verb(&self, method: &Method) -> Option<&'static str> {
        match *method {
            _ if self.runs => Some("create"),
            Method::GET | Method::HEAD => Some("get"),
            Method::POST => Some("create"),
            Method::PUT => Some("update"),
            Method::PATCH => Some("patch"),
            Method::DELETE => Some("delete"),
            _ => None,
        }
    }

    /// The subresources of `nodes` of which one must be allowed, in the order in which they are asked about.
    pub(super) fn subresources(&self) -> impl Iterator<Item = &'static str> {
        self.fine.into_iter().chain(Some("proxy"))
    }

    /// The methods that the page has.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self.page {
            Page::Exec | Page::Attach | Page::PortForward => &[Method::GET, Method::POST],
            Page::Nothing => &[],
            Page::ContainerLogs
            | Page::Pods
            | Page::RunningPods
            | Page::StatsSummary
            | Page::ResourceMetrics
            | Page::Metrics
            | Page::Healthz => &[Method::GET],
        }
    }

    /// The names in it.
    ///
    /// # Errors
    /// 400 when one of them cannot be the name of anything.
    pub(super) fn names(&self) -> Result<Names, Refused> {
        let bad = |what: &str| Refused::bad_request(format!("the {what} in the path cannot be one"));
        let (namespace, pod, container, uid) = match (self.page, self.segments.as_slice()) {
            (Page::PortForward, [namespace, pod]) => (namespace, pod, None, None),
            (Page::PortForward, [namespace, pod, uid]) => (namespace, pod, None, Some(uid)),
            (_, [namespace, pod, container]) => (namespace, pod, Some(container), None),
            (_, [namespace, pod, uid, container]) => (namespace, pod, Some(container), Some(uid)),
            _ => return Err(Refused::not_found("404 page not found")),
        };
        let container = match container {
            Some(container) => decoded(container, is_label).ok_or_else(|| bad("container name"))?,
            None => String::new(),
        };
        Ok(Names {
            namespace: decoded(namespace, is_label).ok_or_else(|| bad("namespace"))?,
            pod: decoded(pod, is_subdomain).ok_or_else(|| bad("pod name"))?,
            container,
            uid: match uid {
                Some(uid) => Some(decoded(uid, is_uid).ok_or_else(|| bad("pod UID"))?),
                None => None,
            },
        })
    }
}

fn decoded(segment: &str, is_good: fn(&str) -> bool) -> Option<String> {
    // Three bytes of an escape stand for one.
    if segment.len() > 3 * SUBDOMAIN_BYTES_MAX {
        return None;
    }
    let text: Cow<'_, str> = percent_decode_str(segment).decode_utf8().ok()?;
    is_good(&text).then(|| text.into_owned())
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LABEL_BYTES_MAX).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Dots join parts of which each is as a label, of any length.
fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= SUBDOMAIN_BYTES_MAX && text.split('.').all(part)
}

fn is_uid(text: &str) -> bool {
    (1..=UID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(method: Method, path: &str) -> String {
        let route = Route::of(path);
        let subresources: Vec<&str> = route.subresources().collect();
        format!("{} {}", route.verb(&method).unwrap_or("-"), subresources.join(" "))
    }

    #[test]
    fn what_runs_something_asks_for_create_whatever_the_method() {
        for path in
            ["/exec/a/b/c", "/attach/a/b/c", "/portForward/a/b", "/run/a/b/c", "/exec", "/exec/../pods"]
        {
            for method in [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS] {
                assert_eq!(rights(method, path), "create proxy", "{path}");
            }
        }
    }

    #[test]
    fn a_fine_grained_right_opens_its_own_paths_only() {
        assert_eq!(rights(Method::GET, "/stats/summary"), "get stats proxy");
        assert_eq!(rights(Method::GET, "/metrics/resource"), "get metrics proxy");
        assert_eq!(rights(Method::GET, "/metrics"), "get metrics proxy");
        assert_eq!(rights(Method::GET, "/pods"), "get pods proxy");
        assert_eq!(rights(Method::GET, "/runningpods/"), "get pods proxy");
        assert_eq!(rights(Method::GET, "/healthz"), "get healthz proxy");
        assert_eq!(rights(Method::GET, "/configz"), "get configz proxy");
        assert_eq!(rights(Method::GET, "/logs/"), "get log proxy");
        for path in
            ["/containerLogs/a/b/c", "/healthzz", "/", "", "//stats", "/%73tats/summary", "/checkpoint"]
        {
            assert_eq!(rights(Method::GET, path), "get proxy", "{path}");
        }
        assert_eq!(rights(Method::DELETE, "/pods"), "delete pods proxy");
        assert_eq!(rights(Method::OPTIONS, "/pods"), "- pods proxy");
    }

    #[test]
    fn a_page_has_one_path() {
        let page = |path| Route::of(path).page;
        assert_eq!(page("/pods/"), Page::Pods);
        assert_eq!(page("/stats/summary/"), Page::StatsSummary);
        assert_eq!(page("/portForward/a/b/c"), Page::PortForward);
        for path in [
            "/pods/../exec/a/b/c",
            "/pods//",
            "/PODS",
            "/exec/a/b",
            "/exec/a/b/c/d/e",
            "/containerLogs/a/b/c/",
            "/logs/",
            "/run/a/b/c",
            "/debug/pprof",
            "/checkpoint/a/b/c",
            "/%65xec/a/b/c",
            "/stats",
        ] {
            assert_eq!(page(path), Page::Nothing, "{path}");
        }
    }

    #[test]
    fn names_are_those_that_kubernetes_has() {
        let names = |path: &str| Route::of(path).names();
        let long = "a".repeat(10_000);
        for path in [
            "/exec/../b/c",
            "/exec/%2e%2e%2f/b/c",
            "/exec/a/%00/c",
            "/exec/a/b/c%00",
            "/exec/a%2fb/b/c",
            "/exec/a/b/C",
            "/exec//b/c",
            "/exec/a/b/",
            "/exec/a/-b/c",
            "/exec/a/b..c/c",
            "/exec/a/b/u%2f/c",
            "/exec/a/b/%ff",
            "/exec/a/%c3%a9/c",
            &format!("/exec/{long}/b/c"),
            &format!("/exec/a/{long}/c"),
            &format!("/portForward/a/b/{long}"),
            &format!("/containerLogs/{}/b/c", "a".repeat(64)),
        ] {
            let refused = names(path).unwrap_err();
            assert_eq!(refused.status, http::StatusCode::BAD_REQUEST, "{path}");
            assert!(refused.text.len() < 100, "{}", refused.text);
        }
        let of = |namespace: &str, pod: &str, container: &str, uid: Option<&str>| Names {
            namespace: namespace.into(),
            pod: pod.into(),
            container: container.into(),
            uid: uid.map(str::to_owned),
        };
        assert_eq!(names("/exec/a/b-0.c/d").unwrap(), of("a", "b-0.c", "d", None));
        assert_eq!(names("/exec/a/%62/u-1/d").unwrap(), of("a", "b", "d", Some("u-1")));
        assert_eq!(names("/portForward/a/b/u-1").unwrap(), of("a", "b", "", Some("u-1")));
        assert_eq!(names(&format!("/exec/a/{}/c", "b".repeat(253))).unwrap().pod.len(), 253);
    }
}
