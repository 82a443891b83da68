//! What the containers of a pod wrote.

use super::{Pod, Stage};
use crate::world::cloud::reply::Refusal;
use crate::world::cloud::time::rfc3339;

impl Pod {
    /// What its containers wrote, or why there is nothing to read (CCI API, pod log).
    pub(in crate::world::cloud) fn log(
        &self,
        container: &str,
        tail_lines: Option<usize>,
    ) -> Result<String, Refusal> {
        let names: Vec<&str> = self.containers.iter().map(|container| container.name.as_str()).collect();
        let name = match names[..] {
            [only] if container.is_empty() => only,
            _ if container.is_empty() => {
                let message = format!(
                    "a container name must be specified for pod {}, choose one of: [{}]",
                    self.key.name,
                    names.join(" ")
                );
                return Err(Refusal::new(400, message));
            }
            _ => *names.iter().find(|name| **name == container).ok_or_else(|| {
                Refusal::new(400, format!("container {container} is not valid for pod {}", self.key.name))
            })?,
        };
        if matches!(
            self.stage,
            Stage::Accepted | Stage::Creating | Stage::PullFailed { .. } | Stage::Broken { .. }
        ) {
            let message = format!(
                "container \"{name}\" in pod \"{}\" is waiting to start: ContainerCreating",
                self.key.name
            );
            return Err(Refusal::new(400, message));
        }
        let mut lines = vec![format!("{} {name} started", rfc3339(self.started_us))];
        if self.stage != Stage::Running {
            lines.push(format!("{} {name} ended with {}", rfc3339(self.last_run_us.1), self.exit_code));
        }
        let first = tail_lines.map_or(0, |count| lines.len().saturating_sub(count));
        Ok(lines[first..].iter().map(|line| format!("{line}\n")).collect())
    }
}
