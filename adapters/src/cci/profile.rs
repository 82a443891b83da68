//! What differs between the generations of CCI, as data: paths, templates, accepted fields.

mod one;
mod pod;
mod two;

use engine::size::SizePolicy;
use serde_json::Value;

/// A generation of CCI.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name in the log, such as `cci-1.0`.
    pub name: &'static str,
    /// Path in front of `/namespaces`.
    pub core_path: &'static str,
    /// Name of the cloud's own events in paths, below a namespace.
    pub events: &'static str,
    /// Path in front of the namespace of a network.
    pub network_path: &'static str,
    /// Name prefix of the namespace that the add-on of this generation keeps.
    pub namespace_prefix: &'static str,
    /// Name of the virtual node that this add-on registers.
    pub node_name: &'static str,
    /// The namespace.
    pub namespace: ObjectShape,
    /// The network.
    pub network: ObjectShape,
    /// The pod.
    pub pod: PodShape,
    /// How its pods may be sized; by the first unless another is asked for.
    pub size_policies: &'static [SizePolicy],
    /// Whether a namespace has quotas that can be read.
    pub has_quotas: bool,
    /// Where one reads what its pods use.
    pub usage: UsageSource,
}

/// Where one reads what pods use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageSource {
    /// In a list of all pods of a namespace, at this path in front of `/namespaces`.
    List {
        /// Group and version of the metrics API.
        path: &'static str,
    },
    /// At each pod's own exporter.
    Exporters {
        /// The port on the pod's address.
        port: u16,
    },
}

/// An object that must exist, and how one sees that it is ready.
#[derive(Clone, Debug)]
pub struct ObjectShape {
    /// The object as it is created, JSON. A string that is one `{placeholder}` is replaced by the setting of
    /// that name; the field is left out when there is no such setting.
    pub template: &'static str,
    /// Where the answer says what state the object is in (a JSON pointer).
    pub state: &'static str,
    /// The states in which it serves.
    pub ready: &'static [&'static str],
    /// The states that it does not leave by itself.
    pub failed: &'static [&'static str],
    /// Where the answer explains the state.
    pub message: &'static str,
    /// Where an object that is already there must agree with the template, when it says anything there.
    pub fixed: &'static [&'static str],
    /// Annotations that the cloud sets to the project's id.
    pub project_annotations: &'static [&'static str],
}

/// What a pod may hold. Fields that are not named here are left out.
#[derive(Clone, Debug)]
pub struct PodShape {
    /// `apiVersion` of a pod.
    pub api_version: &'static str,
    /// Fields of `spec`.
    pub spec: &'static [&'static str],
    /// Fields of `spec.securityContext`.
    pub security_context: &'static [&'static str],
    /// Fields of a container.
    pub container: &'static [&'static str],
    /// Fields of a container's `securityContext`.
    pub container_security_context: &'static [&'static str],
    /// Fields of a container's port.
    pub port: &'static [&'static str],
    /// Fields of a volume mount.
    pub volume_mount: &'static [&'static str],
    /// Kinds of volume. A volume of any other kind makes the pod unacceptable.
    pub volumes: &'static [&'static str],
    /// CSI drivers of the volumes that a claim may be bound to.
    pub claim_drivers: &'static [&'static str],
    /// Whether the cloud makes the volume of a claim itself, as it imports the file system; otherwise it is given one.
    pub imports_claims: bool,
    /// Kinds of source in a projected volume.
    pub projected_sources: &'static [&'static str],
    /// Ways to probe. Any other makes the pod unacceptable.
    pub probes: &'static [&'static str],
    /// Ways to probe whether a container has started. Any other makes the pod unacceptable.
    pub startup_probes: &'static [&'static str],
    /// What a lifecycle hook may do. Anything else makes the pod unacceptable.
    pub lifecycle: &'static [&'static str],
    /// Where the value of an environment variable may come from. Any other source makes the pod unacceptable.
    pub env_sources: &'static [&'static str],
    /// Most containers of a pod, those that run before it aside.
    pub containers_max: usize,
    /// What of a pod can be changed while it is there.
    pub in_place: &'static [&'static str],
}

impl Profile {
    /// All generations, the default first.
    pub const ALL: [Profile; 2] = [Profile::CCI_1_0, Profile::CCI_2_0];

    /// How its pods are sized unless another policy is asked for.
    #[must_use]
    pub fn size_policy(&self) -> SizePolicy {
        *self.size_policies.first().expect("every profile has a size policy")
    }

    /// Sees that its pods may be sized by a policy.
    ///
    /// # Errors
    /// What does not go together, and what would.
    pub fn check_policy(&self, policy: SizePolicy) -> Result<(), String> {
        if self.size_policies.contains(&policy) {
            return Ok(());
        }
        let names: Vec<&str> = self.size_policies.iter().map(|policy| policy.name()).collect();
        Err(format!("{} does not size pods of {}: give {}", policy.name(), self.name, names.join(" or ")))
    }

    /// Whether its network is made from this setting, by the name of its placeholder, such as `vpc_id`.
    #[must_use]
    pub fn needs(&self, placeholder: &str) -> bool {
        self.network.template.contains(&format!("\"{{{placeholder}}}\""))
    }

    /// The namespace that the add-on of this generation keeps for a cluster.
    #[must_use]
    pub fn namespace_of(&self, cluster_id: &str) -> String {
        format!("{}{cluster_id}", self.namespace_prefix)
    }
}

impl Default for Profile {
    fn default() -> Profile {
        Profile::CCI_1_0
    }
}

impl ObjectShape {
    /// The object with every placeholder filled in.
    pub(super) fn fill<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> Value {
        let template = serde_json::from_str(self.template).expect("the templates are tested");
        fill(template, &value_of).unwrap_or_default()
    }
}

/// `None` for a placeholder without a value, so that its field goes.
fn fill<'a>(template: Value, value_of: &impl Fn(&str) -> Option<&'a str>) -> Option<Value> {
    Some(match template {
        Value::String(text) => match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(placeholder) => Value::from(value_of(placeholder)?),
            None => Value::String(text),
        },
        Value::Array(items) => items.into_iter().filter_map(|item| fill(item, value_of)).collect(),
        Value::Object(fields) => {
            fields.into_iter().filter_map(|(key, field)| Some((key, fill(field, value_of)?))).collect()
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cci::tests::config;

    #[test]
    fn templates_are_filled_from_the_settings_and_lack_what_is_not_set() {
        let mut config = config("http://unused");
        config.network.cidr = None;
        let network = Profile::CCI_1_0.network.fill(|name| config.value_of(name));
        assert_eq!(network.pointer("/metadata/name").unwrap(), "burst-net");
        assert_eq!(network.pointer("/spec/subnetID").unwrap(), "subnet-1");
        assert_eq!(network.pointer("/spec/cidr"), None);
        let annotations = network.pointer("/metadata/annotations").unwrap();
        assert_eq!(annotations["network.alpha.kubernetes.io/project-id"], "project-1");

        let network = Profile::CCI_2_0.network.fill(|name| config.value_of(name));
        assert_eq!(
            network["spec"],
            json!({
                "networkType": "underlay_neutron", "ipFamilies": ["IPv4"], "securityGroups": ["group-1"],
                "subnets": [{"subnetID": "subnet-1"}],
            })
        );
        assert_eq!(network.pointer("/metadata/annotations/yangtse.io~1domain-id").unwrap(), "domain-1");
    }

    #[test]
    fn every_template_is_filled_to_the_last_placeholder() {
        let mut config = config("http://unused");
        config.network.availability_zone = Some("zone-1".to_owned());
        for profile in Profile::ALL {
            for shape in [&profile.namespace, &profile.network] {
                let object = shape.fill(|name| config.value_of(name));
                assert!(!object.to_string().contains("\"{"), "{object}");
                assert_eq!(object.to_string().matches("null").count(), 0, "{object}");
                let filled = shape.template.matches("\"{").count();
                let left_out = shape.fill(|_| None).to_string().matches("\"{").count();
                assert!(filled > 0 && left_out == 0, "{}", profile.name);
                for pointer in shape.fixed {
                    assert!(
                        object.pointer(pointer).is_some(),
                        "{pointer} is of no object of {}",
                        profile.name
                    );
                }
            }
        }
    }

    #[test]
    fn a_generation_needs_what_its_network_is_made_from() {
        for (placeholder, needed) in
            [("vpc_id", [true, false]), ("network_id", [true, false]), ("subnet_id", [true, true])]
        {
            assert_eq!(Profile::ALL.map(|profile| profile.needs(placeholder)), needed, "{placeholder}");
        }
    }

    #[test]
    fn the_names_are_the_add_ons() {
        assert_eq!(Profile::default().name, "cci-1.0");
        assert_eq!(
            Profile::ALL.map(|profile| profile.namespace_of("0f3c")),
            ["cce-burst-0f3c", "bursting-0f3c"]
        );
    }
}
