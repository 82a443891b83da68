//! The simulated cloud, asked directly.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

use super::transport::{Session, Streaming, connect, failed, web_socket, wrong};
use crate::load::Error;
use crate::load::calibrate::plain_client;
use crate::load::simulator::Place;

/// The one protocol of commands that the cloud speaks.
const PROTOCOL: &str = "v4.channel.k8s.io";

/// For which pod of the cluster a pod of the cloud is.
const NAME: &str = "burst-agent.io/name";

/// The cloud, with a token for it.
#[derive(Clone)]
pub(super) struct Cloud {
    address: SocketAddr,
    token: String,
    /// The paths of pods, by their names in the cluster.
    pods: BTreeMap<String, String>,
}

impl Cloud {
    /// Signs in, with the credentials that the agent has as well.
    pub async fn sign_in(place: &Place) -> Result<Cloud, Error> {
        let doing = "sign in to the simulated cloud";
        let read = |name: &str| std::fs::read_to_string(place.credentials.join(name)).map_err(failed(doing));
        let user = json!({
            "name": read("username")?, "password": read("password")?, "domain": {"name": read("domain")?},
        });
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": place.project}},
        }});
        let request = plain_client()?.post(format!("{}/v3/auth/tokens", place.cloud));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        let answer = answer.map_err(failed(doing))?;
        let token = answer.headers().get("x-subject-token").and_then(|token| token.to_str().ok());
        let token = token.ok_or_else(|| wrong(doing, "there is no token"))?.to_owned();
        let address = place.cloud.trim_start_matches("http://").parse().map_err(failed(doing))?;
        Ok(Cloud { address, token, pods: BTreeMap::new() })
    }

    /// Finds out where the pods are.
    pub async fn look(&mut self) -> Result<(), Error> {
        let namespaces = self.list("/api/v1/namespaces").await?;
        for namespace in namespaces {
            let path = format!(
                "/api/v1/namespaces/{}/pods",
                namespace["metadata"]["name"].as_str().unwrap_or_default()
            );
            for pod in self.list(&path).await? {
                let metadata = &pod["metadata"];
                if let (Some(name), Some(own)) =
                    (metadata["annotations"][NAME].as_str(), metadata["name"].as_str())
                {
                    self.pods.insert(name.to_owned(), format!("{path}/{own}"));
                }
            }
        }
        Ok(())
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>, Error> {
        let body = self.session().await?.whole(path, Some(&self.token)).await?;
        let mut list: Value = serde_json::from_slice(&body).map_err(failed("read a list of the cloud"))?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    async fn session(&self) -> Result<Session, Error> {
        Session::on(connect(self.address).await?).await
    }

    fn path(&self, pod: &str) -> Result<&str, Error> {
        let path = self.pods.get(pod).map(String::as_str);
        path.ok_or_else(|| wrong("find a pod in the cloud", format!("{pod} is not there")))
    }

    /// The log of a pod's container.
    pub async fn log(&self, pod: &str, query: &str) -> Result<Streaming, Error> {
        let path = format!("{}/log?container=main&{query}", self.path(pod)?);
        Streaming::open(self.session().await?, &path, Some(&self.token)).await
    }

    /// `cat` in a pod's container.
    pub async fn cat(&self, pod: &str) -> Result<WebSocketStream<TcpStream>, Error> {
        let path = self.path(pod)?;
        let path =
            format!("{path}/exec?container=main&command=cat&stdin=true&stdout=true&stderr=true&tty=false");
        web_socket(connect(self.address).await?, &path, PROTOCOL, Some(&self.token)).await
    }
}
