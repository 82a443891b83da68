//! What a path is about.

use crate::world::cluster::Kind;

/// What a path is about.
#[derive(Debug)]
pub(super) enum Route<'p> {
    /// A document about the API.
    Document(Document<'p>),
    /// An object, or the objects, of a resource.
    Resource(ResourcePath<'p>),
    /// A question of who one is and what one may do.
    Review(Review),
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

/// What people ask about themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Review {
    /// `selfsubjectaccessreviews`: may I do this?
    Access,
    /// `selfsubjectrulesreviews`: what may I do?
    Rules,
    /// `selfsubjectreviews`: who am I?
    Subject,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<(&'static str, Option<&str>, Option<&str>, &str)> {
        match Route::of(path) {
            Route::Resource(at) => Some((at.kind.plural, at.namespace, at.name, at.subresource)),
            Route::Document(_) | Route::Review(_) | Route::Unknown => None,
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
    fn what_is_not_served_is_not_found() {
        for path in
            ["/nothing", "/api/v2/pods", "/apis/apps/v1/pods", "/api/v1/pods/p", "/api/v1/namespaces/n/nodes"]
        {
            assert_eq!(read(path), None, "{path}");
        }
        assert_eq!(read("/api/v1/namespaces/n/configmaps/c/status"), None);
    }
}
