//! Volumes that project a service account's token, as the cloud takes them: from the Secret that has the pod's tokens.

use engine::{ObjectRef, PodRef};
use serde_json::{Map, Value, json};

use super::parts::{CONTAINER_LISTS, items_mut, name_of};
use crate::objects::{TokenWish, is_token_volume};

/// Takes the volume out that the API server adds by itself, and its mounts.
pub(super) fn leave_out(spec: &mut Map<String, Value>) {
    let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) else { return };
    let mut removed = Vec::new();
    volumes.retain(|volume| {
        let token = is_token_volume(volume);
        if token {
            removed.push(name_of(volume).to_owned());
        }
        !token
    });
    for list in CONTAINER_LISTS {
        for container in items_mut(spec.get_mut(list)) {
            if let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) {
                mounts.retain(|mount| !removed.iter().any(|name| name == name_of(mount)));
            }
        }
    }
}

/// Lets each volume that projects a token read it from the pod's Secret. A pod starts without the one that it has not
/// asked for.
pub(super) fn project(spec: &mut Map<String, Value>, owner: &PodRef, node: &str) {
    let secret = ObjectRef::tokens_of(owner).cloud_name(node);
    for volume in items_mut(spec.get_mut("volumes")) {
        let is_automatic = is_token_volume(volume);
        for source in items_mut(volume.pointer_mut("/projected/sources")) {
            let Some(token) = source.get("serviceAccountToken") else { continue };
            let items = json!([{"key": TokenWish::of(token).key(), "path": token["path"]}]);
            *source = json!({"secret": {"name": secret.0, "items": items}});
            if is_automatic {
                source["secret"]["optional"] = true.into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::Uid;

    use super::*;
    use crate::objects::ServiceAccountTokens;

    #[test]
    fn a_token_is_read_from_the_secret_that_it_is_written_to() {
        let owner = PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-1".into()) };
        let manifest = json!({"spec": {"volumes": [
            {"name": "a", "projected": {"defaultMode": 256, "sources": [
                {"serviceAccountToken": {"audience": "vault", "expirationSeconds": 600, "path": "vault-token"}},
                {"configMap": {"name": "c"}}
            ]}},
            {"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        ]}});
        let mut spec = manifest["spec"].as_object().cloned().unwrap();
        project(&mut spec, &owner, "virtual-kubelet");
        let wishes = TokenWish::all(&manifest, ServiceAccountTokens::All);
        let (default, vault) = (wishes[0].key(), wishes[1].key());
        let name = ObjectRef::tokens_of(&owner).cloud_name("virtual-kubelet").0;
        let expected = json!([
            {"name": "a", "projected": {"defaultMode": 256, "sources": [
                {"secret": {"name": name, "items": [{"key": vault, "path": "vault-token"}]}},
                {"configMap": {"name": "c"}}
            ]}},
            {"name": "kube-api-access-x", "projected": {"sources": [
                {"secret": {"name": name, "items": [{"key": default, "path": "token"}], "optional": true}}
            ]}},
        ]);
        assert_eq!(spec["volumes"], expected);
    }
}
