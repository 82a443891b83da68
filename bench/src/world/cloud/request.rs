//! Calls as values: what an HTTP request to the service means.

use bytes::Bytes;
use serde_json::Value;

use super::faults::CallClass;
use super::profile::Generation;
use super::reply::{JSON, Refusal, Reply};

/// The metrics API, in front of `/namespaces` (CCI 1.0).
const METRICS_PATH: &str = "/apis/metrics.k8s.io/v1beta1";

/// The two collections of claims of CCI 1.0: files that are there are imported by the first.
const IMPORTS: &str = "/extended-persistentvolumeclaims";
const CLAIMS: &str = "/persistentvolumeclaims";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `POST` to a collection.
    Create,
    /// `GET` of one object.
    Get,
    /// `GET` of a collection.
    List,
    /// `PUT`.
    Replace,
    /// `PATCH`.
    Patch,
    /// `DELETE` of one object.
    Delete,
}

/// To what it is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// `namespaces`
    Namespaces,
    /// `networks`
    Networks,
    /// `pods`
    Pods,
    /// `pods/{name}/log`
    PodLog,
    /// `pods/{name}/exec`
    PodExec,
    /// `configmaps`
    ConfigMaps,
    /// `secrets`
    Secrets,
    /// `persistentvolumeclaims`
    PersistentVolumeClaims,
    /// `persistentvolumes`, which are in no namespace (CCI 2.0)
    PersistentVolumes,
    /// `events`
    Events,
    /// `resourcequotas` (CCI 1.0)
    ResourceQuotas,
    /// `pods` of the metrics API (CCI 1.0)
    PodMetrics,
}

impl Resource {
    const CORE: [Resource; 6] = [
        Resource::Pods,
        Resource::ConfigMaps,
        Resource::Secrets,
        Resource::PersistentVolumeClaims,
        Resource::Events,
        Resource::ResourceQuotas,
    ];

    /// Its name in paths.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Resource::Namespaces => "namespaces",
            Resource::Networks => "networks",
            Resource::Pods | Resource::PodLog | Resource::PodExec | Resource::PodMetrics => "pods",
            Resource::ConfigMaps => "configmaps",
            Resource::Secrets => "secrets",
            Resource::PersistentVolumeClaims => "persistentvolumeclaims",
            Resource::PersistentVolumes => "persistentvolumes",
            Resource::Events => "events",
            Resource::ResourceQuotas => "resourcequotas",
        }
    }

    /// The `kind` of its objects.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Resource::Namespaces => "Namespace",
            Resource::Networks => "Network",
            Resource::Pods | Resource::PodLog | Resource::PodExec => "Pod",
            Resource::ConfigMaps => "ConfigMap",
            Resource::Secrets => "Secret",
            Resource::PersistentVolumeClaims => "PersistentVolumeClaim",
            Resource::PersistentVolumes => "PersistentVolume",
            Resource::Events => "Event",
            Resource::ResourceQuotas => "ResourceQuota",
            Resource::PodMetrics => "PodMetrics",
        }
    }
}

/// The query parameters that the service reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Most objects on one page.
    pub limit: Option<usize>,
    /// Where the next page begins.
    pub continue_token: String,
    /// `labelSelector`
    pub label_selector: String,
    /// `fieldSelector`
    pub field_selector: String,
    /// `gracePeriodSeconds`
    pub grace_period_s: Option<u32>,
    /// Of which container (log, exec).
    pub container: String,
    /// How many lines from the end (log).
    pub tail_lines: Option<u64>,
    /// What was written in the last so many seconds (log).
    pub since_s: Option<u64>,
    /// Not more than so many bytes (log).
    pub limit_bytes: Option<u64>,
    /// Whether what will be written is awaited (log).
    pub follow: bool,
    /// Whether it is the run before the present one that is asked for (log).
    pub previous: bool,
    /// Whether each line begins with its time (log).
    pub timestamps: bool,
    /// What is to be run, word by word (exec).
    pub command: Vec<String>,
    /// Whether the command reads (exec).
    pub stdin: bool,
    /// Whether the command has a terminal (exec).
    pub tty: bool,
    /// Whether a watch is asked for, which the simulation does not serve.
    pub watch: bool,
    /// Whether the files of a claim go with it (CCI 1.0).
    pub delete_volume: Option<bool>,
    /// Where they are; to be said where they are to stay.
    pub storage_type: String,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// To which generation of the service.
    pub generation: Generation,
    /// What is to be done.
    pub verb: Verb,
    /// To what.
    pub resource: Resource,
    /// In which namespace; empty for namespaces themselves and for all namespaces.
    pub namespace: String,
    /// Its name; empty for a collection.
    pub name: String,
    /// Query parameters.
    pub query: Query,
    /// Whether a claim is made for files that are there (`extended-persistentvolumeclaims`, CCI 1.0).
    pub imports: bool,
    /// `Content-Type` of the body.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A call without query and body.
    #[must_use]
    pub fn new(
        generation: Generation,
        verb: Verb,
        resource: Resource,
        namespace: &str,
        name: &str,
    ) -> Request {
        Request {
            generation,
            verb,
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            query: Query::default(),
            imports: false,
            content_type: JSON.to_owned(),
            body: Bytes::new(),
        }
    }

    /// The same call with a body.
    #[must_use]
    pub fn with_body(mut self, body: &Value) -> Request {
        self.body = body.to_string().into();
        self
    }

    /// The same call with query parameters.
    #[must_use]
    pub fn with_query(mut self, query: Query) -> Request {
        self.query = query;
        self
    }

    /// The class of call it is limited and counted as.
    #[must_use]
    pub fn class(&self) -> CallClass {
        match self.verb {
            // Two methods for the same thing, which makes nothing.
            _ if self.resource == Resource::PodExec => CallClass::Read,
            Verb::Create | Verb::Replace | Verb::Patch => CallClass::Create,
            Verb::Get | Verb::List => CallClass::Read,
            Verb::Delete => CallClass::Delete,
        }
    }

    /// Whether it is this, done to this.
    pub(super) fn is(&self, verb: Verb, resource: Resource) -> bool {
        self.verb == verb && self.resource == resource
    }

    /// The gateway's answer to a path that leads nowhere.
    pub(super) fn unknown_path() -> Reply {
        Reply::gateway(404, "APIGW.0101", "The API does not exist", "unknown-path")
    }

    /// What an HTTP request means. `query` holds decoded pairs.
    ///
    /// # Errors
    /// The gateway's 404 for a path that the service does not have, its 405 for a method, or a 400 for a
    /// parameter that cannot be read.
    pub fn parse(method: &str, path: &str, query: &[(String, String)]) -> Result<Request, Box<Reply>> {
        let imported =
            path.strip_suffix(IMPORTS).filter(|_| method == "POST").map(|path| format!("{path}{CLAIMS}"));
        let (generation, resource, namespace, name) = Generation::ALL
            .into_iter()
            .filter(|generation| imported.is_none() || *generation == Generation::One)
            .find_map(|generation| place(generation, imported.as_deref().unwrap_or(path)))
            .ok_or_else(|| Box::new(Request::unknown_path()))?;
        let verb = match (method, name.is_empty()) {
            ("POST", true) => Verb::Create,
            ("POST", false) if resource == Resource::PodExec => Verb::Create,
            ("GET", true) => Verb::List,
            ("GET", false) => Verb::Get,
            ("PUT", false) => Verb::Replace,
            ("PATCH", false) => Verb::Patch,
            ("DELETE", false) => Verb::Delete,
            (_, _) => {
                let refusal = Refusal::new(405, format!("{method} is not served on {path}"));
                return Err(Box::new(refusal.into()));
            }
        };
        let mut request = Request::new(generation, verb, resource, namespace, name);
        request.imports = imported.is_some();
        request.query = parse_query(query).map_err(|refusal| Box::new(refusal.into()))?;
        Ok(request)
    }
}

/// Where a path leads in one generation: resource, namespace and name.
fn place(generation: Generation, path: &str) -> Option<(Generation, Resource, &str, &str)> {
    let profile = generation.profile();
    let below = |prefix: &str| path.strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
    if let Some(rest) = below(profile.network_path) {
        let parts: Vec<&str> = rest[1..].trim_end_matches('/').split('/').collect();
        return match parts[..] {
            ["namespaces", namespace, "networks"] => Some((generation, Resource::Networks, namespace, "")),
            ["namespaces", namespace, "networks", name]
            | ["namespaces", namespace, "networks", name, "status"] => {
                Some((generation, Resource::Networks, namespace, name))
            }
            _ => None,
        };
    }
    if let Some(rest) = below(METRICS_PATH).filter(|_| generation == Generation::One) {
        let parts: Vec<&str> = rest[1..].trim_end_matches('/').split('/').collect();
        return match parts[..] {
            ["namespaces", namespace, "pods"] => Some((generation, Resource::PodMetrics, namespace, "")),
            ["namespaces", namespace, "pods", name] => {
                Some((generation, Resource::PodMetrics, namespace, name))
            }
            _ => None,
        };
    }
    let parts: Vec<&str> = below(profile.core_path)?[1..].trim_end_matches('/').split('/').collect();
    let core = |plural: &str| {
        let served =
            |resource: &Resource| generation == Generation::One || *resource != Resource::ResourceQuotas;
        Resource::CORE.into_iter().filter(served).find(|resource| resource.plural() == plural)
    };
    match parts[..] {
        ["namespaces"] => Some((generation, Resource::Namespaces, "", "")),
        ["pods"] => Some((generation, Resource::Pods, "", "")),
        ["persistentvolumes"] if generation == Generation::Two => {
            Some((generation, Resource::PersistentVolumes, "", ""))
        }
        ["persistentvolumes", name] if generation == Generation::Two => {
            Some((generation, Resource::PersistentVolumes, "", name))
        }
        ["namespaces", name] => Some((generation, Resource::Namespaces, "", name)),
        ["namespaces", namespace, plural] => Some((generation, core(plural)?, namespace, "")),
        ["namespaces", namespace, plural, name] => Some((generation, core(plural)?, namespace, name)),
        ["namespaces", namespace, "pods", name, "status"] => {
            Some((generation, Resource::Pods, namespace, name))
        }
        ["namespaces", namespace, "pods", name, "log"] => {
            Some((generation, Resource::PodLog, namespace, name))
        }
        ["namespaces", namespace, "pods", name, "exec"] => {
            Some((generation, Resource::PodExec, namespace, name))
        }
        _ => None,
    }
}

/// Booleans of a query as Kubernetes reads them: everything is true but these.
fn is_true(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("false")
}

fn parse_query(pairs: &[(String, String)]) -> Result<Query, Refusal> {
    fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<Option<T>, Refusal> {
        let refuse = |_| {
            Refusal::new(400, format!("query parameter {key}: `{value}` is no number")).code("CCI.02.400117")
        };
        value.parse().map(Some).map_err(|_| refuse(()))
    }
    let mut query = Query::default();
    for (key, value) in pairs {
        match key.as_str() {
            "limit" => query.limit = number(key, value)?,
            "continue" => query.continue_token.clone_from(value),
            "labelSelector" => query.label_selector.clone_from(value),
            "fieldSelector" => query.field_selector.clone_from(value),
            "gracePeriodSeconds" => query.grace_period_s = number(key, value)?,
            "container" => query.container.clone_from(value),
            "tailLines" => query.tail_lines = number(key, value)?,
            "sinceSeconds" => query.since_s = number(key, value)?,
            "limitBytes" => query.limit_bytes = number(key, value)?,
            "follow" => query.follow = is_true(value),
            "previous" => query.previous = is_true(value),
            "timestamps" => query.timestamps = is_true(value),
            "command" => query.command.push(value.clone()),
            "stdin" => query.stdin = is_true(value),
            "tty" => query.tty = is_true(value),
            // To carry out what was only to be tried would be worse than to say that we cannot.
            "dryRun" => return Err(Refusal::new(405, "dry runs are not simulated")),
            "deleteVolume" => query.delete_volume = Some(is_true(value)),
            "storageType" => query.storage_type.clone_from(value),
            "watch" => query.watch = matches!(value.as_str(), "" | "1" | "true"),
            _ => {}
        }
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, path: &str) -> Option<(Generation, Verb, Resource, String, String)> {
        let request = Request::parse(method, path, &[]).ok()?;
        Some((request.generation, request.verb, request.resource, request.namespace, request.name))
    }

    #[test]
    fn both_generations_have_their_paths() {
        for (generation, core, network) in [
            (Generation::One, "/api/v1", "/apis/networking.cci.io/v1beta1"),
            (Generation::Two, "/apis/cci/v2", "/apis/yangtse/v2"),
        ] {
            let expected = |verb, resource, namespace: &str, name: &str| {
                Some((generation, verb, resource, namespace.to_owned(), name.to_owned()))
            };
            let core = |rest| format!("{core}{rest}");
            let network = |rest| format!("{network}{rest}");
            assert_eq!(
                parse("POST", &core("/namespaces")),
                expected(Verb::Create, Resource::Namespaces, "", "")
            );
            assert_eq!(
                parse("DELETE", &core("/namespaces/n")),
                expected(Verb::Delete, Resource::Namespaces, "", "n")
            );
            assert_eq!(
                parse("GET", &core("/namespaces/n/pods")),
                expected(Verb::List, Resource::Pods, "n", "")
            );
            assert_eq!(parse("GET", &core("/pods")), expected(Verb::List, Resource::Pods, "", ""));
            assert_eq!(
                parse("GET", &core("/namespaces/n/pods/p/log")),
                expected(Verb::Get, Resource::PodLog, "n", "p")
            );
            assert_eq!(
                parse("GET", &network("/namespaces/n/networks/d")),
                expected(Verb::Get, Resource::Networks, "n", "d")
            );
        }
        assert_eq!(parse("GET", "/apis/cci/v2/namespaces/n/resourcequotas"), None);
        let usage = parse("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/n/pods");
        let list = (Generation::One, Verb::List, Resource::PodMetrics, "n".to_owned(), String::new());
        assert_eq!(usage, Some(list));
        assert_eq!(parse("GET", "/apis/metrics.k8s.io/v1beta1/nodes"), None);
        assert_eq!(parse("GET", "/api/v1/persistentvolumes/v"), None, "volumes came with CCI 2.0");
        let import =
            Request::parse("POST", "/api/v1/namespaces/n/extended-persistentvolumeclaims", &[]).unwrap();
        assert_eq!((import.resource, import.imports), (Resource::PersistentVolumeClaims, true));
        assert_eq!(parse("POST", "/apis/cci/v2/namespaces/n/extended-persistentvolumeclaims"), None);
        let volume = parse("GET", "/apis/cci/v2/persistentvolumes/v");
        assert_eq!(
            volume,
            Some((Generation::Two, Verb::Get, Resource::PersistentVolumes, String::new(), "v".to_owned()))
        );
        assert_eq!(parse("GET", "/api/v1beta1/namespaces"), None);
        assert_eq!(parse("POST", "/api/v1/namespaces/n"), None);
    }

    #[test]
    fn unreadable_parameters_are_refused() {
        let refused = Request::parse("GET", "/api/v1/pods", &[("limit".into(), "many".into())]).unwrap_err();
        assert_eq!((refused.status, &refused.json()["errorCode"]), (400, &"CCI.02.400117".into()));
        let path = "/api/v1/namespaces/n/pods/p";
        let refused = Request::parse("DELETE", path, &[("dryRun".into(), "All".into())]).unwrap_err();
        assert_eq!(refused.status, 405);
    }
}
