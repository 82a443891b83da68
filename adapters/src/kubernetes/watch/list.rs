//! The complete, most-recent list: the only thing that can tell what is not there.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use engine::{Event, Gone};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{PodWatch, Stop, count};
use crate::kubernetes::lean::{self, RESOURCE_VERSION_BYTES_MAX};
use crate::kubernetes::transport::{Call, Failure, WHOLE, escape};
use crate::place;

/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest page, in bytes: 500 pods of 64 KiB. When it is longer, half as many pods are asked for.
const PAGE_BYTES_MAX: usize = 32 << 20;
/// Most pods that a list is read for: ten times what a cluster's largest node is allowed. A list that goes on
/// and on is a fault of the server.
const LISTED_PODS_MAX: u32 = 50_000;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMetadata {
    resource_version: String,
    r#continue: String,
}

/// Reads a page. Any other object, and there are some with a resource version, would be taken for a list of nothing.
fn read_page(bytes: &[u8]) -> Result<Page<'_>, String> {
    let page: Page<'_> =
        serde_json::from_slice(bytes).map_err(|error| format!("not a list: {}", place(&error)))?;
    if page.kind == "PodList" { Ok(page) } else { Err("not a list of pods".to_owned()) }
}

impl PodWatch {
    /// Reads a whole list, reports what changed, then what it lacks, then its end. Returns the resource
    /// version to watch from. An error leaves the list cut: nothing is taken for absent.
    pub(super) async fn list(&self) -> Result<String, Stop> {
        count(&self.counts.lists);
        self.mirror.begin_list();
        let mut page_pods = self.settings.page_pods;
        let mut position = PageMetadata::default();
        let mut pods = 0;
        let mut unreadable = 0;
        loop {
            let bytes = self.page(&mut page_pods, &position.r#continue).await?;
            let page = read_page(&bytes).map_err(Stop::trouble)?;
            let items = page.items.unwrap_or_default();
            pods += items.len() as u32;
            for item in items {
                unreadable += u32::from(!self.item(item).await?);
            }
            // All pages of one list have one resource version; the first is the safe one to go on from.
            if position.resource_version.is_empty() {
                position.resource_version = page.metadata.resource_version;
            }
            position.r#continue = page.metadata.r#continue;
            if position.r#continue.is_empty() {
                break;
            }
            if pods > LISTED_PODS_MAX {
                return Err(Stop::trouble(format!("the list has more than {LISTED_PODS_MAX} pods")));
            }
        }
        if unreadable > 0 {
            return Err(Stop::trouble(format!("{unreadable} objects of the list have no readable uid")));
        }
        // It goes into the log, whose records are bounded.
        if !(1..=RESOURCE_VERSION_BYTES_MAX).contains(&position.resource_version.len()) {
            return Err(Stop::trouble("the list has no usable resource version"));
        }
        self.end_list(pods, &position.resource_version).await?;
        Ok(position.resource_version)
    }

    async fn end_list(&self, count: u32, resource_version: &str) -> Result<(), Stop> {
        for pod in self.mirror.end_list() {
            self.manifests.forget(&pod.uid);
            self.report(Event::PodGone { pod, how: Gone::Unlisted }).await?;
        }
        let resource_version = resource_version.to_owned();
        self.report(Event::PodsListed { resource_version, count }).await
    }

    /// One page; asks for fewer pods while it is too long. Without a resource version in the request the
    /// answer is the most recent there is.
    async fn page(&self, page_pods: &mut u32, token: &str) -> Result<Bytes, Stop> {
        loop {
            let path = format!(
                "/api/v1/pods?fieldSelector=spec.nodeName%3D{}&limit={page_pods}{}{}",
                escape(&self.settings.node),
                if token.is_empty() { "" } else { "&continue=" },
                escape(token),
            );
            match self.api.call_within(Call::get(&path, WHOLE), PAGE_TIMEOUT, PAGE_BYTES_MAX).await {
                Err(Failure::TooLong) if *page_pods > 1 => *page_pods /= 2,
                answer => return Ok(answer?),
            }
        }
    }

    /// One item; false when it cannot even be told which pod it is.
    async fn item(&self, item: &RawValue) -> Result<bool, Stop> {
        self.counts.sights.fetch_add(1, Ordering::Relaxed);
        match lean::parse_pod(item.get(), self.settings.implied) {
            Ok(facts) => {
                self.observed(facts, || Some(item)).await?;
                Ok(true)
            }
            Err(bad) => {
                self.bad(&bad);
                self.mirror.keep(&bad.uid);
                Ok(!bad.uid.0.is_empty())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fuzz::CANARY;
    use serde_json::Value;

    use super::*;

    /// A page is a list of pods by its own word, whole, and goes on where it says.
    fn check_page(input: &[u8]) {
        let (page, peak) = fuzz::peak_bytes(|| read_page(input));
        assert!(peak <= 16 * input.len() + 64 * 1024, "{peak} bytes for {}", input.len());
        let page = match page {
            Ok(page) => page,
            Err(words) => return assert!(!words.contains(CANARY), "{words}"),
        };
        let Ok(json) = serde_json::from_slice::<Value>(input) else { return };
        assert_eq!(json["kind"], "PodList", "no list is taken for an empty one");
        let items = json["items"].as_array().map_or(0, Vec::len);
        assert_eq!(page.items.unwrap_or_default().len(), items, "an item is left out");
        let text = |key: &str| json["metadata"][key].as_str().unwrap_or_default();
        assert_eq!(page.metadata.r#continue, text("continue"), "a page is left out");
        assert_eq!(page.metadata.resource_version, text("resourceVersion"));
    }

    #[test]
    fn what_is_no_list_of_pods_is_not_an_empty_one() {
        for other in [
            r#"{"metadata":{"resourceVersion":"7"}}"#,
            r#"{"kind":"Pod","metadata":{"resourceVersion":"7"}}"#,
            r#"{"kind":"ServiceList","metadata":{"resourceVersion":"7"},"items":[]}"#,
        ] {
            assert!(read_page(other.as_bytes()).is_err(), "{other}");
        }
        let none = br#"{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":null}"#;
        assert!(read_page(none).is_ok_and(|page| page.items.is_none()));
    }

    #[test]
    fn fuzz_list_page() {
        let recorded = |name: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/kubernetes/");
            std::fs::read(format!("{folder}{name}")).expect("it was recorded")
        };
        let (first, last) = (recorded("pods-page-1.list.json"), recorded("pods-page-4.list.json"));
        let none = format!(
            r#"{{"kind":"PodList","metadata":{{"resourceVersion":"7"}},"items":null,"x":"{CANARY}"}}"#
        );
        let few =
            r#"{"kind":"PodList","metadata":{"continue":"t","resourceVersion":"7"},"items":[{},{"a":[1]}]}"#;
        fuzz::target!(&[&first, &last, none.as_bytes(), few.as_bytes()], check_page);
    }
}
