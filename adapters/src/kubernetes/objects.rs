//! ConfigMaps, Secrets, claims with their volumes and Services, each read by its name: no right to list or to watch Secrets is
//! needed, and none is asked for.

use engine::{ObjectKind, ObjectRef, ObjectVersion, Uid};
use serde::Deserialize;
use serde_json::Value;

use super::lean::RESOURCE_VERSION_BYTES_MAX;
use super::transport::{ApiServer, Call, Failure, METADATA_ONLY, WHOLE, escape};

/// Longest UID we take, as of a pod.
const UID_BYTES_MAX: usize = 128;

/// What a read of an object came to.
#[derive(Debug, PartialEq)]
pub enum ReadObject<T> {
    /// It is there.
    There(ObjectVersion, T),
    /// It is not, by the API server's own word.
    Absent,
    /// It may not be read, or what was read cannot be used; asking again soon changes nothing. Without a word of its
    /// content.
    Unreadable(String),
}

impl<T> ReadObject<T> {
    /// The same with another content.
    pub(super) fn map<U>(self, of: impl FnOnce(T) -> U) -> ReadObject<U> {
        match self {
            ReadObject::There(version, content) => ReadObject::There(version, of(content)),
            ReadObject::Absent => ReadObject::Absent,
            ReadObject::Unreadable(message) => ReadObject::Unreadable(message),
        }
    }
}

/// Reads objects. Cheap to clone.
#[derive(Clone)]
pub struct ObjectReader {
    pub(super) api: ApiServer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    uid: String,
    resource_version: String,
}

impl ObjectReader {
    /// Reads through `client`.
    #[must_use]
    pub fn new(client: kube::Client) -> ObjectReader {
        ObjectReader { api: ApiServer::new(client) }
    }

    /// The object with its content, in memory only. It is at most as long as any object (1.5 MiB, and its fields'
    /// owners): a longer answer is not read.
    ///
    /// # Errors
    /// When there was no answer that says anything of the object.
    pub async fn whole(&self, object: &ObjectRef) -> Result<ReadObject<Value>, Failure> {
        if object.kind == ObjectKind::ServiceVariables {
            return self.service_variables(object).await;
        }
        Ok(parsed(self.read(object, WHOLE).await?))
    }

    /// The volume of this name, whole.
    ///
    /// # Errors
    /// As [`ObjectReader::whole`].
    pub async fn volume(&self, name: &str) -> Result<ReadObject<Value>, Failure> {
        let path = format!("/api/v1/persistentvolumes/{}", escape(name));
        Ok(parsed(self.read_at(&path, "persistentvolumes", WHOLE).await?))
    }

    /// Which version of the object is there; its content is not asked for.
    ///
    /// # Errors
    /// As [`ObjectReader::whole`].
    pub async fn version(&self, object: &ObjectRef) -> Result<ReadObject<()>, Failure> {
        if object.kind == ObjectKind::ServiceVariables {
            return Ok(self.service_variables(object).await?.map(drop));
        }
        Ok(match self.read(object, METADATA_ONLY).await? {
            ReadObject::There(version, _) => ReadObject::There(version, ()),
            ReadObject::Absent => ReadObject::Absent,
            ReadObject::Unreadable(message) => ReadObject::Unreadable(message),
        })
    }

    async fn read(
        &self,
        object: &ObjectRef,
        accept: &'static str,
    ) -> Result<ReadObject<bytes::Bytes>, Failure> {
        let plural = object.kind.plural();
        let (namespace, name) = (escape(&object.namespace), escape(&object.name));
        self.read_at(&format!("/api/v1/namespaces/{namespace}/{plural}/{name}"), plural, accept).await
    }

    /// Reads what is at this path, and of which kind its name in paths says.
    pub(super) async fn read_at(
        &self,
        path: &str,
        plural: &str,
        accept: &'static str,
    ) -> Result<ReadObject<bytes::Bytes>, Failure> {
        let bytes = match self.api.call(Call::get(path, accept)).await {
            Ok(bytes) => bytes,
            Err(Failure::Answered(answered)) if answered.absent == plural => return Ok(ReadObject::Absent),
            Err(Failure::TooLong) => return Ok(ReadObject::Unreadable("it is too long".to_owned())),
            Err(Failure::Answered(answered)) if matches!(answered.code, 400 | 403 | 404 | 422) => {
                return Ok(ReadObject::Unreadable(answered.message));
            }
            Err(failure) => return Err(failure),
        };
        let Metadata { uid, resource_version } =
            serde_json::from_slice::<Head>(&bytes).unwrap_or_default().metadata;
        let fits = |text: &str, bytes_max| !text.is_empty() && text.len() <= bytes_max;
        if !fits(&uid, UID_BYTES_MAX) || !fits(&resource_version, RESOURCE_VERSION_BYTES_MAX) {
            return Err(Failure::Lost(format!("the answer is none of {plural}")));
        }
        Ok(ReadObject::There(ObjectVersion { uid: Uid(uid.into()), resource_version }, bytes))
    }
}

fn parsed(read: ReadObject<bytes::Bytes>) -> ReadObject<Value> {
    match read {
        ReadObject::There(version, bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => ReadObject::There(version, value),
            Err(error) => ReadObject::Unreadable(crate::place(&error)),
        },
        ReadObject::Absent => ReadObject::Absent,
        ReadObject::Unreadable(message) => ReadObject::Unreadable(message),
    }
}
