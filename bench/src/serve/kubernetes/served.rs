//! Everything that discovery names: the resources that are stored, and those that are only asked.

use std::collections::BTreeSet;

use crate::world::cluster::{KINDS, Kind, PLAIN};

/// The verbs of what is stored.
const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The group of what is used.
const METRICS: &str = "metrics.k8s.io";

/// A resource and what may be done to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    /// The resource.
    pub kind: &'static Kind,
    verbs: &'static [&'static str],
}

const fn review(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
) -> Kind {
    Kind { group, kind, plural, singular, namespaced: false, ..PLAIN }
}

static REVIEWS: [Kind; 5] = [
    review("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview"),
    review("authentication.k8s.io", "TokenReview", "tokenreviews", "tokenreview"),
    review(
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
    ),
    review(
        "authorization.k8s.io",
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
    ),
    review("authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview"),
];

/// As metrics-server serves them, which leaves the singular empty.
static USED: [Kind; 2] = [
    Kind {
        group: METRICS,
        version: "v1beta1",
        kind: "NodeMetrics",
        plural: "nodes",
        namespaced: false,
        ..PLAIN
    },
    Kind { group: METRICS, version: "v1beta1", kind: "PodMetrics", plural: "pods", ..PLAIN },
];

impl Served {
    /// Its verbs: nobody deletes all namespaces at once.
    pub fn verbs(&self) -> Vec<&'static str> {
        let served = |verb: &&&str| self.kind.plural != "namespaces" || **verb != "deletecollection";
        self.verbs.iter().filter(served).copied().collect()
    }
}

/// The resources of a group; the core group's name is empty.
pub(super) fn of_group(group: &str) -> impl Iterator<Item = Served> {
    let stored = KINDS.iter().map(|kind| Served { kind, verbs: VERBS });
    let asked = REVIEWS.iter().map(|kind| Served { kind, verbs: &["create"] });
    let used = USED.iter().map(|kind| Served { kind, verbs: &["get", "list"] });
    stored.chain(asked).chain(used).filter(move |served| served.kind.group == group)
}

/// The named groups, in order.
pub(super) fn groups() -> Vec<&'static str> {
    let kinds = KINDS.iter().chain(&REVIEWS).chain(&USED);
    let named = kinds.map(|kind| kind.group).filter(|group| !group.is_empty());
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The one version in which a group is served.
pub(super) fn version(group: &str) -> &'static str {
    of_group(group).next().map_or("v1", |served| served.kind.version)
}
