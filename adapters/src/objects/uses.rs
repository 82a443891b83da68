//! Which ConfigMaps, Secrets and claims a pod names, and where: read while the pod's spec is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use engine::{ObjectKind, ObjectRef, ObjectUse, PodRef};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::old_tokens::{ROOT_CA, is_mounted_so, is_named_so};
use super::{ImpliedNeeds, ServiceAccountTokens, ServiceVariables};
use crate::kubernetes::lean::null_is_default;

/// Most objects that one pod may name: their names go into the log, whose frames are bounded.
pub(crate) const OBJECTS_MAX: usize = 128;

/// Longest name of an object: a DNS subdomain (Kubernetes API conventions, names).
const NAME_BYTES_MAX: usize = 253;

/// Names of the pull secret for SWR. CCE renews `default-secret`, so that a copy would be of use for hours only (CCE,
/// `default-secret`); the cloud keeps one of its own in every namespace (CCI 2.0, `imagepull-secret`), which is named
/// instead and never copied.
const SWR_SECRETS: [&str; 2] = ["default-secret", "imagepull-secret"];

/// What the cloud calls its own pull secret.
pub(crate) const CLOUD_PULL_SECRET: &str = "imagepull-secret";

/// Whether a pull secret is one that the cloud has by itself.
pub(crate) fn is_swr_secret(name: &str) -> bool {
    SWR_SECRETS.contains(&name)
}

/// Name prefix of the volume that the API server adds for the service account's token.
pub(crate) const TOKEN_VOLUME: &str = "kube-api-access-";

/// The parts of a pod's spec that name objects.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SpecObjects<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    volumes: Vec<Volume<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    containers: Vec<Container<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    init_containers: Vec<Container<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    image_pull_secrets: Vec<Named<'a>>,
    enable_service_links: Option<bool>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    service_account_name: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    config_map: Option<Named<'a>>,
    #[serde(borrow)]
    secret: Option<SecretVolume<'a>>,
    #[serde(borrow)]
    projected: Option<Projected<'a>>,
    #[serde(borrow)]
    persistent_volume_claim: Option<ClaimVolume<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimVolume<'a> {
    #[serde(borrow)]
    claim_name: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretVolume<'a> {
    #[serde(borrow)]
    secret_name: Cow<'a, str>,
    optional: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Projected<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    sources: Vec<Source<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source<'a> {
    #[serde(borrow)]
    config_map: Option<Named<'a>>,
    #[serde(borrow)]
    secret: Option<Named<'a>>,
    service_account_token: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container<'a> {
    #[serde(borrow, deserialize_with = "null_is_default")]
    env: Vec<Variable<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    env_from: Vec<EnvSource<'a>>,
    #[serde(borrow, deserialize_with = "null_is_default")]
    volume_mounts: Vec<Mount<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mount<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    mount_path: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Variable<'a> {
    #[serde(borrow)]
    value_from: Option<ValueFrom<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ValueFrom<'a> {
    #[serde(borrow)]
    config_map_key_ref: Option<Named<'a>>,
    #[serde(borrow)]
    secret_key_ref: Option<Named<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EnvSource<'a> {
    #[serde(borrow)]
    config_map_ref: Option<Named<'a>>,
    #[serde(borrow)]
    secret_ref: Option<Named<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    optional: Option<bool>,
}

/// The objects named so far, each with whether anything of the pod cannot do without it.
#[derive(Default)]
struct Uses<'a> {
    mandatory: BTreeMap<(ObjectKind, &'a str), bool>,
}

impl<'a> Uses<'a> {
    fn add(&mut self, kind: ObjectKind, name: &'a str, mandatory: bool) {
        // The API server lets an empty name pass; it names nothing.
        if !name.is_empty() {
            *self.mandatory.entry((kind, name)).or_default() |= mandatory;
        }
    }

    fn named(&mut self, kind: ObjectKind, named: Option<&'a Named<'_>>) {
        if let Some(named) = named {
            self.add(kind, &named.name, named.optional != Some(true));
        }
    }
}

impl SpecObjects<'_> {
    /// The objects that `pod` names, each once, in order. A pull secret that is missing does not keep a pod from
    /// starting: the pull is tried without it (Kubernetes, images).
    ///
    /// # Errors
    /// When there are more of them, or longer names, than can be taken.
    pub(crate) fn uses(&self, pod: &PodRef, implied: ImpliedNeeds) -> Result<Vec<ObjectUse>, &'static str> {
        let mut uses = Uses::default();
        let mut wants_tokens = None;
        for volume in &self.volumes {
            let is_old = self.has_old_token(volume);
            let (has_tokens, is_automatic) = (is_old || volume.has_tokens(), is_old || volume.is_automatic());
            if is_automatic && implied.tokens == ServiceAccountTokens::Explicit {
                continue;
            }
            if is_old {
                uses.add(ObjectKind::ConfigMap, ROOT_CA, false);
            } else {
                volume.add_to(&mut uses);
            }
            if has_tokens {
                wants_tokens = Some(wants_tokens.unwrap_or_default() || !is_automatic);
            }
        }
        for container in self.init_containers.iter().chain(&self.containers) {
            for source in &container.env_from {
                uses.named(ObjectKind::ConfigMap, source.config_map_ref.as_ref());
                uses.named(ObjectKind::Secret, source.secret_ref.as_ref());
            }
            for from in container.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
                uses.named(ObjectKind::ConfigMap, from.config_map_key_ref.as_ref());
                uses.named(ObjectKind::Secret, from.secret_key_ref.as_ref());
            }
        }
        for secret in self.image_pull_secrets.iter().filter(|secret| !is_swr_secret(&secret.name)) {
            uses.add(ObjectKind::Secret, &secret.name, false);
        }
        let uses = uses.mandatory;
        if uses.len() > OBJECTS_MAX || uses.keys().any(|(_, name)| name.len() > NAME_BYTES_MAX) {
            return Err("too many ConfigMaps, Secrets and claims, or too long a name of one");
        }
        let each = |((kind, name), mandatory): ((ObjectKind, &str), bool)| ObjectUse {
            kind,
            name: name.into(),
            mandatory,
        };
        let mut uses: Vec<ObjectUse> = uses.into_iter().map(each).collect();
        uses.extend(wants_tokens.map(|mandatory| {
            let ObjectRef { kind, name, .. } = ObjectRef::tokens_of(pod);
            ObjectUse { kind, name, mandatory }
        }));
        if implied.service_variables {
            let name = ServiceVariables::of(self.enable_service_links).name().into();
            uses.push(ObjectUse { kind: ObjectKind::ServiceVariables, name, mandatory: false });
        }
        Ok(uses)
    }
}

impl SpecObjects<'_> {
    /// Whether a volume is the one that an older API server has added by itself, as in
    /// [`with_bound_token`](super::with_bound_token).
    fn has_old_token(&self, volume: &Volume<'_>) -> bool {
        let Some(secret) = &volume.secret else { return false };
        is_named_so(&self.service_account_name, &volume.name, &secret.secret_name)
            && self.init_containers.iter().chain(&self.containers).all(|container| {
                let mut mounts = container.volume_mounts.iter().filter(|mount| mount.name == volume.name);
                mounts.all(|mount| is_mounted_so(&mount.mount_path))
            })
    }
}

impl Volume<'_> {
    fn has_tokens(&self) -> bool {
        let mut sources = self.projected.iter().flat_map(|projected| &projected.sources);
        sources.any(|source| source.service_account_token.is_some())
    }

    /// Whether the API server has added it by itself.
    fn is_automatic(&self) -> bool {
        self.name.starts_with(TOKEN_VOLUME) && self.has_tokens()
    }

    fn add_to<'a>(&'a self, uses: &mut Uses<'a>) {
        uses.named(ObjectKind::ConfigMap, self.config_map.as_ref());
        if let Some(secret) = &self.secret {
            uses.add(ObjectKind::Secret, &secret.secret_name, secret.optional != Some(true));
        }
        if let Some(claim) = &self.persistent_volume_claim {
            uses.add(ObjectKind::PersistentVolumeClaim, &claim.claim_name, true);
        }
        for source in self.projected.iter().flat_map(|projected| &projected.sources) {
            uses.named(ObjectKind::ConfigMap, source.config_map.as_ref());
            uses.named(ObjectKind::Secret, source.secret.as_ref());
        }
    }
}
