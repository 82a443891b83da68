//! Tokens of service accounts: which ones a pod asks for, and how the cloud has them. CCI has no source of tokens for
//! volumes, so each volume that projects one reads it from a Secret, which is the pod's own.

use serde::Deserialize;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::TOKEN_VOLUME;

/// Which pods get the tokens that they ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceAccountTokens {
    /// Those that have the volume in their manifest. That which the API server adds to every pod is left out: most pods
    /// never read it, and each token is a call to the API server and a Secret in the cloud.
    #[default]
    Explicit,
    /// That volume as well. A pod whose token cannot be had starts without it.
    All,
}

/// One token that a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenWish {
    /// Whom it is for; empty for the API server.
    pub audience: String,
    /// How long it is to be good.
    pub expiration_s: u64,
}

/// The source of a projected volume.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TokenSource {
    audience: Option<String>,
    expiration_seconds: Option<u64>,
}

/// Without a word of it (Kubernetes API, ServiceAccountTokenProjection).
const EXPIRATION_S: u64 = 3_600;

/// What the API server writes into the volume that it adds by itself. A token that is asked for with just this number is good
/// for a year, because programs may not read it anew (kube-apiserver, `--service-account-extend-token-expiration`). One that
/// leaves the cluster is not to be: it is asked for without the seven seconds.
pub(super) const AUTOMATIC_EXPIRATION_S: u64 = 3_607;

impl TokenWish {
    /// What a source asks for.
    #[must_use]
    pub(crate) fn of(source: &Value) -> TokenWish {
        let source = TokenSource::deserialize(source).unwrap_or_default();
        let expiration_s = source.expiration_seconds.filter(|asked_s| *asked_s != AUTOMATIC_EXPIRATION_S);
        TokenWish {
            audience: source.audience.unwrap_or_default(),
            expiration_s: expiration_s.unwrap_or(EXPIRATION_S),
        }
    }

    /// All that a pod asks for, each once.
    #[must_use]
    pub(crate) fn all(manifest: &Value, tokens: ServiceAccountTokens) -> Vec<TokenWish> {
        let list = |at: Option<&Value>| at.and_then(Value::as_array).cloned().unwrap_or_default();
        let volumes = list(manifest.pointer("/spec/volumes"));
        let mut wishes: Vec<TokenWish> = Vec::new();
        for volume in
            volumes.iter().filter(|volume| tokens == ServiceAccountTokens::All || !is_token_volume(volume))
        {
            for source in list(volume.pointer("/projected/sources")) {
                wishes.extend(source.get("serviceAccountToken").map(TokenWish::of));
            }
        }
        wishes.sort();
        wishes.dedup();
        wishes
    }

    /// Its key in the Secret.
    #[must_use]
    pub(crate) fn key(&self) -> String {
        let TokenWish { audience, expiration_s } = self;
        format!("token-{:016x}", xxh3_64(format!("{expiration_s} {audience}").as_bytes()))
    }
}

/// Whether a volume is the one that the API server adds by itself.
pub(crate) fn is_token_volume(volume: &Value) -> bool {
    let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
    let sources = volume.pointer("/projected/sources").and_then(Value::as_array);
    name.starts_with(TOKEN_VOLUME)
        && sources.into_iter().flatten().any(|source| source.get("serviceAccountToken").is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_token_that_a_pod_asks_for_is_found_once() {
        let source = |audience: &str, expiration_s: u64| json!({"serviceAccountToken": {"audience": audience, "expirationSeconds": expiration_s, "path": "p"}});
        let automatic = json!({"name": "kube-api-access-x", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}, {"configMap": {"name": "c"}}
        ]}});
        let manifest = json!({"spec": {"volumes": [
            {"name": "e", "emptyDir": {}},
            {"name": "a", "projected": {"sources": [source("vault", 600), source("vault", 7_200), source("vault", 600)]}},
            {"name": "b", "projected": {"sources": [{"serviceAccountToken": {"path": "p"}}, null, "x"]}},
            automatic.clone(),
        ]}});
        let wish = |audience: &str, expiration_s| TokenWish { audience: audience.to_owned(), expiration_s };
        let explicit = vec![wish("", 3_600), wish("vault", 600), wish("vault", 7_200)];
        assert_eq!(TokenWish::all(&manifest, ServiceAccountTokens::Explicit), explicit);
        assert_eq!(TokenWish::all(&manifest, ServiceAccountTokens::All), explicit, "a year is not asked for");
        let automatic = json!({"spec": {"volumes": [automatic]}});
        assert_eq!(TokenWish::all(&automatic, ServiceAccountTokens::All), [wish("", 3_600)]);
        let keys: std::collections::BTreeSet<String> = explicit.iter().map(TokenWish::key).collect();
        assert_eq!(keys.len(), 3);
        assert_eq!(wish("vault", 600).key(), wish("vault", 600).key());
    }
}
