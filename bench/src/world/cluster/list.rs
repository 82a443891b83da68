//! Lists: at the newest revision, at an exact one, in pages.

use std::sync::Arc;

use super::{Cluster, Kind, Object, Selector, Status};

/// What a list asks for besides which objects.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Most objects in the answer; 0 for no limit.
    pub limit: usize,
    /// Where the page before this one ended.
    pub continuation: Option<String>,
    /// `resourceVersion`.
    pub revision: Option<u64>,
    /// `resourceVersionMatch=Exact` (true) or `NotOlderThan` (false).
    pub exact: Option<bool>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct List {
    /// The objects, by namespace and name.
    pub objects: Vec<Arc<Object>>,
    /// The revision at which all pages are read.
    pub revision: u64,
    /// What to ask the next page with.
    pub continuation: Option<String>,
}

/// The place at which a page begins. Opaque to clients.
struct Continuation {
    /// `None` when consistency was given up.
    revision: Option<u64>,
    start: String,
}

impl Continuation {
    fn parse(text: &str) -> Result<Continuation, Status> {
        let parsed = text.split_once(':').and_then(|(revision, start)| {
            let revision = if revision.is_empty() { None } else { Some(revision.parse().ok()?) };
            Some(Continuation { revision, start: start.to_owned() })
        });
        parsed.ok_or_else(|| Status::bad_request("continue key is not valid: unable to parse the token"))
    }

    fn render(&self) -> String {
        format!("{}:{}", self.revision.map(|revision| revision.to_string()).unwrap_or_default(), self.start)
    }
}

impl Cluster {
    /// Lists the selected objects of a kind (Kubernetes API concepts, "Resource versions").
    ///
    /// # Errors
    /// 410 when the revision asked for, or that of the first page, has left the window; 504 when it has not
    /// been reached; 400 for options that do not go together.
    pub fn list(&self, kind: &Kind, selector: &Selector, options: &ListOptions) -> Result<List, Status> {
        let storage = self.storage(kind);
        let (revision, start) = match &options.continuation {
            Some(text) => {
                if options.revision.is_some_and(|revision| revision > 0) {
                    return Err(Status::bad_request(
                        "specifying resource version is not allowed when using continue",
                    ));
                }
                let token = Continuation::parse(text)?;
                let revision = token.revision.unwrap_or(self.revision());
                if revision < storage.forgotten() {
                    let onward = Continuation { revision: None, start: token.start };
                    return Err(Status::expired_continue(onward.render()));
                }
                (revision, token.start)
            }
            None => (self.list_revision(kind, options)?, String::new()),
        };
        // The watch cache answers resourceVersion=0 whole, whatever the limit.
        let unlimited = options.limit == 0 || (options.revision == Some(0) && options.continuation.is_none());
        let limit = if unlimited { usize::MAX } else { options.limit };
        let (objects, more) = storage.select_at(revision, selector, &start, limit);
        let continuation = objects.last().filter(|_| more).map(|last| {
            // The key after the last one: no name holds a character below '!'.
            Continuation { revision: Some(revision), start: format!("{}!", last.key()) }.render()
        });
        Ok(List { objects, revision, continuation })
    }

    fn list_revision(&self, kind: &Kind, options: &ListOptions) -> Result<u64, Status> {
        let current = self.revision();
        let Some(asked) = options.revision else {
            if options.exact.is_some() {
                return Err(Status::invalid_options(
                    "resourceVersionMatch",
                    "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            return Ok(current);
        };
        if asked == 0 {
            return Ok(current.saturating_sub(self.options.cache_lag).max(self.storage(kind).forgotten()));
        }
        if asked > current {
            return Err(Status::too_large_version(asked, current));
        }
        // A limit with a version and no match rule means the exact version, for the sake of old clients.
        if options.exact.unwrap_or(options.limit > 0) {
            if asked < self.storage(kind).forgotten() {
                return Err(Status::expired_list());
            }
            return Ok(asked);
        }
        Ok(current)
    }
}
