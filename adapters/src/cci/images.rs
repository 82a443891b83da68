//! Images from other registries: what stands before an image's name is replaced, so that pods in the cloud pull from a
//! registry that is near and that they reach (CCI 1.0 user guide, image replacement).

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;

/// The add-on's annotation with a pod's own replacements: a JSON list of `repositoryPrefix` and `replaceWith`.
pub(super) const ANNOTATION: &str = "coordinator.cci.io/image-replacement";

/// Most replacements in one list: each container is held against all of them.
const RULES_MAX: usize = 64;
/// Longest prefix, as of an image's name without its tag (distribution specification).
const PREFIX_CHARS_MAX: usize = 255;

/// What is put in place of what: of an image, all before its last `/`, as a whole; nothing for an image without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRules(BTreeMap<String, String>);

/// One entry of the annotation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    repository_prefix: String,
    replace_with: String,
}

impl ImageRules {
    fn add(&mut self, prefix: &str, with: &str) -> Result<(), String> {
        let fits = |text: &str| {
            text.len() <= PREFIX_CHARS_MAX && !text.ends_with('/') && !text.contains(char::is_whitespace)
        };
        if !fits(prefix) || !fits(with) || with.is_empty() {
            return Err(format!(
                "{prefix:?} cannot be replaced with {with:?}: give a registry and path without a slash at the end"
            ));
        }
        if self.0.insert(prefix.to_owned(), with.to_owned()).is_some() {
            return Err(format!("give {prefix:?} once"));
        }
        if self.0.len() > RULES_MAX {
            return Err(format!("give at most {RULES_MAX} replacements"));
        }
        Ok(())
    }

    /// The replacements that a pod asks for by its annotation.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of_pod(manifest: &Value) -> Result<ImageRules, String> {
        let annotation = manifest["metadata"]["annotations"][ANNOTATION].as_str();
        let Some(annotation) = annotation else { return Ok(ImageRules::default()) };
        let entries: Vec<Entry> = serde_json::from_str(annotation)
            .map_err(|_| "it is no JSON list of {\"repositoryPrefix\", \"replaceWith\"}".to_owned())?;
        let mut rules = ImageRules::default();
        entries.iter().try_for_each(|entry| rules.add(&entry.repository_prefix, &entry.replace_with))?;
        Ok(rules)
    }

    /// The image that is pulled in place of another one, if it is another.
    pub(super) fn replace(&self, image: &str) -> Option<String> {
        let (prefix, name) = image.rsplit_once('/').unwrap_or(("", image));
        self.0.get(prefix).map(|with| format!("{with}/{name}"))
    }
}

impl FromStr for ImageRules {
    type Err = String;

    fn from_str(text: &str) -> Result<ImageRules, String> {
        let mut rules = ImageRules::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (prefix, with) = entry.split_once('=').ok_or_else(|| {
                format!("{entry:?} is no replacement: give PREFIX=WITH, such as harbor.corp/app=swr.example.com/app")
            })?;
            rules.add(prefix.trim(), with.trim())?;
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CCI 1.0 user guide: the prefix is matched as a whole, an empty one stands for images without any, and the order
    /// does not matter.
    #[test]
    fn what_stands_before_the_name_is_replaced_as_a_whole() {
        let rules: ImageRules =
            "harbor.corp/app=swr.a/acme, =swr.a/library, harbor.corp=swr.a".parse().unwrap();
        for (image, expected) in [
            ("harbor.corp/app/web:1", Some("swr.a/acme/web:1")),
            ("harbor.corp/app/web@sha256:0f", Some("swr.a/acme/web@sha256:0f")),
            ("harbor.corp/web", Some("swr.a/web")),
            ("nginx:1.27", Some("swr.a/library/nginx:1.27")),
            ("harbor.corp/app/sub/web", None),
            ("harbor.corp/application/web", None),
            ("library/nginx", None),
        ] {
            assert_eq!(rules.replace(image).as_deref(), expected, "{image}");
        }
    }

    #[test]
    fn a_replacement_that_says_two_things_or_nothing_is_refused() {
        for (text, expected) in [
            ("harbor.corp", "is no replacement"),
            ("a=b,a=c", "give \"a\" once"),
            ("a/=b", "without a slash"),
            ("a=b/", "without a slash"),
            ("a=", "cannot be replaced"),
            ("a b=c", "cannot be replaced"),
        ] {
            let error = text.parse::<ImageRules>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let many: Vec<String> = (0..65).map(|number| format!("r{number}=s")).collect();
        assert!(many.join(",").parse::<ImageRules>().unwrap_err().contains("at most 64"));
        assert_eq!("".parse(), Ok(ImageRules::default()));
    }

    #[test]
    fn a_pod_says_by_its_annotation_what_is_replaced() {
        let of = |text: &str| ImageRules::of_pod(&json!({"metadata": {"annotations": {ANNOTATION: text}}}));
        let list = r#"[{"repositoryPrefix":"harbor.corp/app","replaceWith":"swr.a/acme"}]"#;
        assert_eq!(of(list), "harbor.corp/app=swr.a/acme".parse());
        assert_eq!(ImageRules::of_pod(&json!({})), Ok(ImageRules::default()));
        assert!(of("harbor").is_err() && of(r#"[{"repositoryPrefix":"a"}]"#).is_err());
        assert!(of(r#"[{"repositoryPrefix":"a","replaceWith":"b/"}]"#).is_err());
    }
}
