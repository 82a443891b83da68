//! What a command in a container of the pod finds there.

use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::{Container, Pod, PodKey, Stage};
use crate::world::cloud::chance::mixed;
use crate::world::cloud::reply::Refusal;
use crate::world::cloud::request::Query;
use crate::world::cloud::shell::{Files, Space, System};

/// What goes wrong with an exec stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecFault {
    /// It closes without the frame that tells how the command ended.
    NoStatus,
    /// The connection is dropped at this time, or when the command ends if that is earlier.
    DropAt(u64),
}

/// A command in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// In which pod.
    pub key: PodKey,
    pub(in crate::world::cloud) uid: String,
    container: String,
    run: u32,
    /// The command, word by word.
    pub command: Vec<String>,
    /// Whether it reads what the caller writes.
    pub stdin: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// What goes wrong with it.
    pub fault: Option<ExecFault>,
}

impl Pod {
    /// Its address, once it has one.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.placement.map(|placement| placement.address)
    }

    /// The TCP ports that its containers declare.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.containers.iter().flat_map(|container: &Container| container.ports.iter().copied())
    }

    /// Begins to run a command, or says why it cannot be run (the texts are the API server's and the kubelet's).
    pub(in crate::world::cloud) fn open_exec(&self, query: &Query) -> Result<Exec, Refusal> {
        let (container, init) = self.container_named(&query.container)?;
        let container = container.name.clone();
        if self.placement.is_none() {
            return Err(Refusal::new(400, format!("pod {} does not have a host assigned", self.key.name)));
        }
        if init || self.stage != Stage::Running {
            let message = format!("unable to upgrade connection: container not found (\"{container}\")");
            return Err(Refusal::new(500, message));
        }
        if query.command.is_empty() {
            return Err(Refusal::new(400, "you must specify at least one command for the container"));
        }
        Ok(Exec {
            key: self.key.clone(),
            uid: self.uid.clone(),
            container,
            run: self.restarts,
            command: query.command.clone(),
            stdin: query.stdin,
            tty: query.tty,
            fault: None,
        })
    }

    /// Whether the container in which a command runs still does.
    pub(in crate::world::cloud) fn holds(&self, exec: &Exec) -> bool {
        self.uid == exec.uid && self.stage == Stage::Running && self.restarts == exec.run
    }

    /// Where a command runs. All containers of a pod share its files, for as long as the pod is there.
    pub(in crate::world::cloud) fn system(&mut self, exec: &Exec, space: &Space) -> System {
        let hostname = self.key.name.clone();
        let files =
            self.files.get_or_insert_with(|| Arc::new(Mutex::new(Files::new(&hostname, space.clone()))));
        System {
            files: Arc::clone(files),
            variables: self.variables(&exec.container),
            seed: mixed(self.id_seed, 2),
            hostname,
        }
    }

    /// The variables of a container that have a plain value.
    fn variables(&self, container: &str) -> Vec<(String, String)> {
        let spec: Value = serde_json::from_str(self.spec.get()).unwrap_or_default();
        let containers = spec["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let env = containers.iter().find(|spec| spec["name"] == container).map(|spec| &spec["env"]);
        let own = env.and_then(Value::as_array).into_iter().flatten().filter_map(|variable| {
            let value = variable["value"].as_str().unwrap_or_default();
            Some((variable["name"].as_str()?.to_owned(), value.to_owned()))
        });
        let usual = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOSTNAME", self.key.name.as_str()),
        ];
        let usual = usual.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let home = ("HOME".to_owned(), "/root".to_owned());
        usual.into_iter().chain(own).chain([home]).collect()
    }
}
