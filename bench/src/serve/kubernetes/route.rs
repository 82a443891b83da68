//! What a path is about.

use crate::world::cluster::Kind;

/// What a path is about.
#[derive(Debug)]
pub(super) enum Route<'p> {
    /// A document about the API.
    Document(Document<'p>),
    /// An object, or the objects, of a resource.
    Resource(ResourcePath<'p>),
    /// A question of who somebody is and what somebody may do.
    Review(Review),
    /// What is used of CPU and memory.
    Metrics(MetricsPath<'p>),
    /// What a node is to answer: the node as the path has it, and the path from there.
    Node(&'p str, &'p str),
    /// Nothing.
    Unknown,
}

/// The documents about the API.
#[derive(Debug)]
pub(super) enum Document<'p> {
    /// `/version`
    Version,
    /// `/healthz`, `/livez`, `/readyz`
    Health,
    /// `/api`
    Core,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group(&'p str),
    /// `/api/v1`, `/apis/GROUP/VERSION`
    Resources(&'p str, &'p str),
    /// `/`
    Paths,
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiIndex,
    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/GROUP/VERSION`
    OpenApi(&'p str, &'p str),
}

/// What people ask about themselves, and nodes about others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Review {
    /// `selfsubjectaccessreviews`: may I do this?
    Access,
    /// `selfsubjectrulesreviews`: what may I do?
    Rules,
    /// `selfsubjectreviews`: who am I?
    Subject,
    /// `tokenreviews`: whose token is this?
    Token,
    /// `subjectaccessreviews`: may they do this?
    OtherAccess,
}

/// A path of `metrics.k8s.io/v1beta1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MetricsPath<'p> {
    /// Of nodes, or of pods.
    pub nodes: bool,
    /// In which namespace.
    pub namespace: Option<&'p str>,
    /// Of which name; the list when `None`.
    pub name: Option<&'p str>,
}

/// A path below a group and version.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResourcePath<'p> {
    /// Of which resource.
    pub kind: &'static Kind,
    /// In which namespace.
    pub namespace: Option<&'p str>,
    /// Of which name; the collection when `None`.
    pub name: Option<&'p str>,
    /// Which subresource; empty for the object itself.
    pub subresource: &'p str,
}

impl<'p> Route<'p> {
    /// Reads a path.
    pub fn of(path: &'p str) -> Route<'p> {
        if let Some((node, inside)) = below_node(path) {
            return Route::Node(node, inside);
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            ["version"] => Route::Document(Document::Version),
            ["healthz" | "livez" | "readyz", ..] => Route::Document(Document::Health),
            ["api"] => Route::Document(Document::Core),
            ["apis"] => Route::Document(Document::Groups),
            ["apis", group] => Route::Document(Document::Group(group)),
            ["api", version] => Route::Document(Document::Resources("", version)),
            ["apis", group, version] => Route::Document(Document::Resources(group, version)),
            [] => Route::Document(Document::Paths),
            ["openapi", "v2"] => Route::Document(Document::OpenApiV2),
            ["openapi", "v3"] => Route::Document(Document::OpenApiIndex),
            ["openapi", "v3", "api", version] => Route::Document(Document::OpenApi("", version)),
            ["openapi", "v3", "apis", group, version] => Route::Document(Document::OpenApi(group, version)),
            ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"] => {
                Route::Review(Review::Access)
            }
            ["apis", "authorization.k8s.io", "v1", "selfsubjectrulesreviews"] => Route::Review(Review::Rules),
            ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"] => Route::Review(Review::Subject),
            ["apis", "authentication.k8s.io", "v1", "tokenreviews"] => Route::Review(Review::Token),
            ["apis", "authorization.k8s.io", "v1", "subjectaccessreviews"] => {
                Route::Review(Review::OtherAccess)
            }
            ["apis", "metrics.k8s.io", "v1beta1", rest @ ..] => {
                MetricsPath::of(rest).map_or(Route::Unknown, Route::Metrics)
            }
            ["api", version, rest @ ..] => Route::below("", version, rest),
            ["apis", group, version, rest @ ..] => Route::below(group, version, rest),
            _ => Route::Unknown,
        }
    }

    fn below(group: &str, version: &str, rest: &[&'p str]) -> Route<'p> {
        let (namespace, rest) = match rest {
            // `namespaces/NAME/status` is about the namespace, `namespaces/NAME/pods` about what is in it.
            ["namespaces", _, "status" | "finalize"] => (None, rest),
            ["namespaces", namespace, inside @ ..] if !inside.is_empty() => (Some(*namespace), inside),
            _ => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, ""),
            [plural, name] => (plural, Some(*name), ""),
            [plural, name, subresource] => (plural, Some(*name), *subresource),
            _ => return Route::Unknown,
        };
        let Some(kind) = Kind::at(group, version, plural) else { return Route::Unknown };
        let placed = namespace.is_some() == kind.namespaced || (kind.namespaced && name.is_none());
        let known = subresource.is_empty() || kind.subresources.contains(&subresource);
        if !placed || !known {
            return Route::Unknown;
        }
        Route::Resource(ResourcePath { kind, namespace, name, subresource })
    }
}

/// What a path says of a node and of what is to be asked of it: `/api/v1/nodes/ID/proxy/…`. What follows is the node's, to
/// the last slash.
fn below_node(path: &str) -> Option<(&str, &str)> {
    let (node, rest) = path.strip_prefix("/api/v1/nodes/")?.split_once('/')?;
    let inside = rest.strip_prefix("proxy")?;
    (!node.is_empty() && (inside.is_empty() || inside.starts_with('/'))).then_some((node, inside))
}

impl<'p> MetricsPath<'p> {
    fn of(parts: &[&'p str]) -> Option<MetricsPath<'p>> {
        let (nodes, namespace, name) = match parts {
            ["nodes"] => (true, None, None),
            ["nodes", name] => (true, None, Some(*name)),
            ["pods"] => (false, None, None),
            ["namespaces", namespace, "pods"] => (false, Some(*namespace), None),
            ["namespaces", namespace, "pods", name] => (false, Some(*namespace), Some(*name)),
            _ => return None,
        };
        Some(MetricsPath { nodes, namespace, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<(&'static str, Option<&str>, Option<&str>, &str)> {
        match Route::of(path) {
            Route::Resource(at) => Some((at.kind.plural, at.namespace, at.name, at.subresource)),
            Route::Document(_) | Route::Review(_) | Route::Metrics(_) | Route::Node(..) | Route::Unknown => {
                None
            }
        }
    }

    #[test]
    fn paths_are_read_as_the_api_lays_them_out() {
        assert_eq!(read("/api/v1/pods"), Some(("pods", None, None, "")));
        assert_eq!(
            read("/api/v1/namespaces/n/pods/p/status"),
            Some(("pods", Some("n"), Some("p"), "status"))
        );
        assert_eq!(read("/api/v1/namespaces/n"), Some(("namespaces", None, Some("n"), "")));
        assert_eq!(read("/api/v1/namespaces/n/finalize"), Some(("namespaces", None, Some("n"), "finalize")));
        let scale = read("/apis/apps/v1/namespaces/n/deployments/d/scale");
        assert_eq!(scale, Some(("deployments", Some("n"), Some("d"), "scale")));
    }

    #[test]
    fn what_a_node_answers_keeps_its_path() {
        let read = |path| {
            let Route::Node(node, inside) = Route::of(path) else { return None };
            Some((node, inside))
        };
        assert_eq!(read("/api/v1/nodes/n/proxy"), Some(("n", "")));
        assert_eq!(read("/api/v1/nodes/https:n:10250/proxy/pods/"), Some(("https:n:10250", "/pods/")));
        assert_eq!(read("/api/v1/nodes/n/proxyx"), None);
        assert_eq!(read("/api/v1/nodes//proxy/"), None);
    }

    #[test]
    fn what_is_not_served_is_not_found() {
        for path in
            ["/nothing", "/api/v2/pods", "/apis/apps/v1/pods", "/api/v1/pods/p", "/api/v1/namespaces/n/nodes"]
        {
            assert_eq!(read(path), None, "{path}");
        }
        assert_eq!(read("/api/v1/namespaces/n/configmaps/c/status"), None);
    }
}
