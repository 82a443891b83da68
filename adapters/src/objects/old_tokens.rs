//! The token volume of API servers before 1.22: a Secret with a token that never ends, mounted into every pod
//! (Kubernetes 1.22, BoundServiceAccountTokenVolume). Such a token does not leave the cluster: the volume is taken for the
//! one that a newer API server would have added in its place, whose token is bound to the pod and ends.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::TOKEN_VOLUME;
use super::tokens::AUTOMATIC_EXPIRATION_S;

/// Where containers look for a token.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The ConfigMap with the cluster's authority that each namespace has from 1.20 on.
pub(super) const ROOT_CA: &str = "kube-root-ca.crt";

/// What stands between the name of a service account and the drawn end of its Secret's name.
const INFIX: &str = "-token-";
const DRAWN_BYTES: usize = 5;

/// Whether a volume is called as the API server calls it, of this service account: as its Secret, whose name is that of the
/// account, cut where it is long, and a drawn end.
pub(super) fn is_named_so(account: &str, volume: &str, secret: &str) -> bool {
    let account = if account.is_empty() { "default" } else { account };
    volume == secret
        && secret.rsplit_once(INFIX).is_some_and(|(head, drawn)| {
            let is_drawn =
                drawn.len() == DRAWN_BYTES && drawn.bytes().all(|byte| byte.is_ascii_alphanumeric());
            is_drawn && !head.is_empty() && account.starts_with(head)
        })
}

/// Whether a mount is where the API server mounts it.
pub(super) fn is_mounted_so(path: &str) -> bool {
    path == TOKEN_PATH
}

/// The manifest with the newer volume in place of the old one.
pub(crate) fn with_bound_token(manifest: &Value) -> Cow<'_, Value> {
    let Some(name) = old_volume(manifest) else { return Cow::Borrowed(manifest) };
    let new_name = format!("{TOKEN_VOLUME}{}", &name[name.len() - DRAWN_BYTES..]);
    let mut manifest = manifest.clone();
    for volume in array(manifest.pointer_mut("/spec/volumes")).filter(|volume| volume["name"] == *name) {
        *volume = json!({"name": new_name, "projected": {
            "defaultMode": 420,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": AUTOMATIC_EXPIRATION_S, "path": "token"}},
                {"configMap": {
                    "name": ROOT_CA, "optional": true, "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }},
                {"downwardAPI": {"items": [
                    {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
                ]}},
            ],
        }});
    }
    for list in ["initContainers", "containers"] {
        for container in array(manifest["spec"].get_mut(list)) {
            let mounts = array(container.get_mut("volumeMounts"));
            mounts
                .filter(|mount| mount["name"] == *name)
                .for_each(|mount| mount["name"] = new_name.as_str().into());
        }
    }
    Cow::Owned(manifest)
}

/// The name of the old volume, where the pod has one that is mounted nowhere else.
fn old_volume(manifest: &Value) -> Option<String> {
    let spec = manifest.get("spec")?;
    let list = |at: &Value, name: &str| at.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let account = spec.get("serviceAccountName").and_then(Value::as_str).unwrap_or_default();
    let names = list(spec, "volumes").into_iter().filter_map(|volume| {
        let name = volume.get("name")?.as_str()?.to_owned();
        let secret = volume.pointer("/secret/secretName")?.as_str()?;
        is_named_so(account, &name, secret).then_some(name)
    });
    let containers = list(spec, "initContainers").into_iter().chain(list(spec, "containers"));
    let mounts: Vec<Value> = containers.flat_map(|container| list(&container, "volumeMounts")).collect();
    let is_elsewhere = |mount: &&Value| !mount["mountPath"].as_str().is_some_and(is_mounted_so);
    let mut names =
        names.filter(|name| !mounts.iter().filter(is_elsewhere).any(|mount| mount["name"] == **name));
    names.next()
}

fn array(at: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    at.and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(mount_path: &str, secret: &str) -> Value {
        json!({"spec": {
            "serviceAccountName": "builder",
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": secret, "secret": {"secretName": secret}}],
            "containers": [{"name": "a", "volumeMounts": [
                {"name": "data", "mountPath": "/data"}, {"name": secret, "mountPath": mount_path, "readOnly": true},
            ]}],
        }})
    }

    #[test]
    fn the_old_volume_becomes_the_one_of_a_newer_api_server() {
        let old = pod(TOKEN_PATH, "builder-token-xn7fl");
        let new = with_bound_token(&old);
        assert_eq!(new["spec"]["volumes"][1]["name"], "kube-api-access-xn7fl");
        assert!(crate::objects::is_token_volume(&new["spec"]["volumes"][1]));
        assert_eq!(new["spec"]["containers"][0]["volumeMounts"][1]["name"], "kube-api-access-xn7fl");
        assert_eq!(
            new["spec"]["containers"][0]["volumeMounts"][0],
            old["spec"]["containers"][0]["volumeMounts"][0]
        );
        assert!(matches!(with_bound_token(&new), Cow::Borrowed(_)));
    }

    #[test]
    fn what_a_person_wrote_stays() {
        for (path, secret) in [
            ("/etc/token", "builder-token-xn7fl"),
            (TOKEN_PATH, "other-token-xn7fl"),
            (TOKEN_PATH, "builder-token-mine1234"),
            (TOKEN_PATH, "builder"),
            (TOKEN_PATH, "-token-xn7fl"),
        ] {
            let pod = pod(path, secret);
            assert!(matches!(with_bound_token(&pod), Cow::Borrowed(_)), "{path} {secret}");
        }
        assert!(is_named_so("", "default-token-abcde", "default-token-abcde"));
        let long = "a".repeat(60);
        let cut = format!("{}-token-abcde", &long[..51]);
        assert!(is_named_so(&long, &cut, &cut), "the base of a drawn name has 58 bytes");
        assert!(!is_named_so("builder", "token", "builder-token-xn7fl"));
    }
}
