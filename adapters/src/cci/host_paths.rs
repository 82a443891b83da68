//! Volumes from the host's file system, which CCI has not: what is put in their place, where an operator says so (CCI 1.0
//! user guide, hostPath). Without that a pod that has one is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use engine::size::quantity::Quantity;
use serde_json::{Value, json};

use super::wire::parts::{CONTAINER_LISTS, items, items_mut, name_of};

/// Most paths in the list: each volume is held against all of them.
const PATHS_MAX: usize = 64;

/// What is put in the place of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stead {
    /// An empty directory, of that size at most.
    EmptyDir(Option<String>),
    /// Nothing: the volume and its mounts are left out.
    Nothing,
}

/// What is put in the place of which paths of the host, and of all below them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPaths(BTreeMap<String, Stead>);

impl HostPaths {
    /// The replacement of the longest path that `path` is at or below.
    fn stead(&self, path: &str) -> Option<&Stead> {
        let is_at = |above: &str| {
            let below = path.strip_prefix(above.trim_end_matches('/'));
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        };
        self.0
            .iter()
            .filter(|(above, _)| is_at(above))
            .max_by_key(|(above, _)| above.len())
            .map(|(_, stead)| stead)
    }

    fn of_volume(&self, volume: &Value) -> Option<&Stead> {
        let path = volume.pointer("/hostPath/path")?.as_str()?;
        // Nobody means what is somewhere else by a name like that.
        if path.split('/').any(|part| part == "..") { None } else { self.stead(path) }
    }

    /// The manifest with what is put in the place of its paths of the host.
    pub(super) fn replace<'a>(&self, manifest: &'a Value) -> Cow<'a, Value> {
        let volumes = items(manifest.pointer("/spec/volumes"));
        if !volumes.iter().any(|volume| self.of_volume(volume).is_some()) {
            return Cow::Borrowed(manifest);
        }
        let mut manifest = manifest.clone();
        let mut left_out: Vec<String> = Vec::new();
        for volume in items_mut(manifest.pointer_mut("/spec/volumes")) {
            match self.of_volume(volume) {
                Some(Stead::EmptyDir(size)) => {
                    let limit = size.as_ref().map_or(json!({}), |size| json!({ "sizeLimit": size }));
                    *volume = json!({ "name": name_of(volume), "emptyDir": limit });
                }
                Some(Stead::Nothing) => left_out.push(name_of(volume).to_owned()),
                None => {}
            }
        }
        let is_kept = |object: &Value| !left_out.iter().any(|name| name == name_of(object));
        let keep = |list: Option<&mut Value>| {
            if let Some(list) = list.and_then(Value::as_array_mut) {
                list.retain(is_kept);
            }
        };
        keep(manifest.pointer_mut("/spec/volumes"));
        for list in CONTAINER_LISTS {
            for container in items_mut(manifest["spec"].get_mut(list)) {
                keep(container.get_mut("volumeMounts"));
            }
        }
        Cow::Owned(manifest)
    }
}

impl FromStr for HostPaths {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPaths, String> {
        let mut paths = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (path, stead) = entry
                .split_once('=')
                .and_then(|(path, stead)| Some((path, Stead::of(stead)?)))
                .filter(|(path, _)| path.starts_with('/') && !path.split('/').any(|part| part == ".."))
                .ok_or_else(|| {
                    format!(
                        "{entry:?} is no replacement: give /PATH=emptyDir, /PATH=emptyDir:SIZE such as \
                         /var/log=emptyDir:10Gi, or /PATH=none"
                    )
                })?;
            if paths.insert(path.to_owned(), stead).is_some() {
                return Err(format!("give {path} once"));
            }
            if paths.len() > PATHS_MAX {
                return Err(format!("give at most {PATHS_MAX} paths"));
            }
        }
        Ok(HostPaths(paths))
    }
}

impl Stead {
    fn of(text: &str) -> Option<Stead> {
        match text.split_once(':') {
            None if text == "emptyDir" => Some(Stead::EmptyDir(None)),
            None if text == "none" => Some(Stead::Nothing),
            Some(("emptyDir", size)) => {
                Quantity::parse(size).ok().map(|_| Stead::EmptyDir(Some(size.to_owned())))
            }
            Some(_) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(path: &str) -> Value {
        let mounts = json!([{"name": "host", "mountPath": "/a"}, {"name": "data", "mountPath": "/b"}]);
        json!({"spec": {
            "containers": [{"name": "main", "volumeMounts": mounts}],
            "initContainers": [{"name": "init", "volumeMounts": mounts}],
            "volumes": [
                {"name": "host", "hostPath": {"path": path, "type": "Directory"}}, {"name": "data", "emptyDir": {}}
            ],
        }})
    }

    #[test]
    fn a_path_of_the_host_is_replaced_where_an_operator_says_so() {
        let paths: HostPaths =
            "/var/log=emptyDir:10Gi, /var/log/audit=emptyDir, /etc/localtime=none".parse().unwrap();
        let volume = |path: &str| paths.replace(&pod(path))["spec"]["volumes"][0].clone();
        for path in ["/var/log", "/var/log/", "/var/log/app"] {
            assert_eq!(volume(path), json!({"name": "host", "emptyDir": {"sizeLimit": "10Gi"}}), "{path}");
        }
        assert_eq!(
            volume("/var/log/audit"),
            json!({"name": "host", "emptyDir": {}}),
            "the longest path counts"
        );
        for path in ["/", "/var", "/var/logs", "/etc/localtime2", "/var/log/../../etc", "var/log"] {
            assert_eq!(*paths.replace(&pod(path)), pod(path), "{path}");
        }
        let without = paths.replace(&pod("/etc/localtime")).into_owned();
        assert_eq!(without["spec"]["volumes"], json!([{"name": "data", "emptyDir": {}}]));
        for list in CONTAINER_LISTS {
            let mounts = &without["spec"][list][0]["volumeMounts"];
            assert_eq!(*mounts, json!([{"name": "data", "mountPath": "/b"}]), "{list}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused() {
        let error = |text: &str| text.parse::<HostPaths>().unwrap_err();
        for text in ["/a", "/a=tmpfs", "a=emptyDir", "/a=emptyDir:much", "/a/../b=none", "/a=emptyDir:"] {
            assert!(error(text).contains("is no replacement"), "{text}: {}", error(text));
        }
        assert_eq!(error("/a=none,/a=emptyDir"), "give /a once");
        let many: Vec<String> = (0..65).map(|number| format!("/{number}=none")).collect();
        assert_eq!(error(&many.join(",")), "give at most 64 paths");
    }
}
