//! The Services of a namespace, read for the variables that its pods are told of them.

use engine::ObjectRef;
use serde::Deserialize;
use serde_json::{Value, json};

use super::objects::{ObjectReader, ReadObject};
use super::transport::{Call, Failure, WHOLE, escape};
use crate::objects::{
    KUBERNETES_NAMESPACE, KUBERNETES_SERVICE, Service, ServiceVariables, variables, version,
};

#[derive(Deserialize)]
struct ServiceList {
    kind: String,
    items: Option<Vec<Service>>,
}

impl ObjectReader {
    /// The variables that `object` stands for, as the content of a ConfigMap, and which they are.
    ///
    /// # Errors
    /// As [`ObjectReader::whole`].
    pub(super) async fn service_variables(&self, object: &ObjectRef) -> Result<ReadObject<Value>, Failure> {
        // The API server's own comes first, and gives way to one of that name in the namespace.
        let mut services = match self.kubernetes_service().await? {
            ReadObject::There(_, service) => vec![service],
            ReadObject::Absent => Vec::new(),
            ReadObject::Unreadable(message) => return Ok(ReadObject::Unreadable(message)),
        };
        if *object.name == *ServiceVariables::Links.name() {
            match self.list_services(&object.namespace).await? {
                Ok(own) => services.extend(own),
                Err(message) => return Ok(ReadObject::Unreadable(message)),
            }
        }
        Ok(match variables(&services) {
            Ok(variables) => ReadObject::There(version(&variables), json!({"data": variables})),
            Err(message) => ReadObject::Unreadable(message),
        })
    }

    async fn kubernetes_service(&self) -> Result<ReadObject<Service>, Failure> {
        let path = format!("/api/v1/namespaces/{KUBERNETES_NAMESPACE}/services/{KUBERNETES_SERVICE}");
        let read = self.read_at(&path, "services", WHOLE).await?;
        Ok(read.map(|bytes| serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    async fn list_services(&self, namespace: &str) -> Result<Result<Vec<Service>, String>, Failure> {
        let path = format!("/api/v1/namespaces/{}/services", escape(namespace));
        let bytes = match self.api.call(Call::get(&path, WHOLE)).await {
            Ok(bytes) => bytes,
            Err(Failure::TooLong) => return Ok(Err("the list of Services is too long".to_owned())),
            Err(Failure::Answered(answered)) if matches!(answered.code, 400 | 403 | 404 | 422) => {
                return Ok(Err(answered.message));
            }
            Err(failure) => return Err(failure),
        };
        match serde_json::from_slice::<ServiceList>(&bytes) {
            Ok(list) if list.kind == "ServiceList" => Ok(Ok(list.items.unwrap_or_default())),
            Ok(_) => Err(Failure::Lost("the answer is no list of Services".to_owned())),
            Err(error) => Err(Failure::Lost(format!("the list of Services: {}", crate::place(&error)))),
        }
    }
}
