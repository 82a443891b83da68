//! What is found wrong.

use std::fmt;

/// What sort of thing must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A second body for one pod.
    Duplicate,
    /// A body without a pod, or a pod that was released before its body was gone.
    Orphan,
    /// Something that was durable, or was acted on, is not in the log.
    Lost,
    /// Anything else.
    Wrong,
}

impl Sort {
    /// All of them, with their names.
    pub const ALL: [(Sort, &'static str); 4] = [
        (Sort::Duplicate, "duplicates"),
        (Sort::Orphan, "orphans"),
        (Sort::Lost, "lost"),
        (Sort::Wrong, "other breaches"),
    ];
}

/// Something that must not be, in a sentence. Whoever runs the trial adds which it was and where the evidence is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// What sort of thing.
    pub sort: Sort,
    what: String,
}

/// How a part of a trial went.
pub type Result<T> = std::result::Result<T, Breach>;

impl Breach {
    /// In a sentence.
    pub fn new(what: impl Into<String>) -> Breach {
        Breach::of(Sort::Wrong, what)
    }

    /// Of a sort.
    pub fn of(sort: Sort, what: impl Into<String>) -> Breach {
        Breach { sort, what: what.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<bench::load::Error> for Breach {
    fn from(error: bench::load::Error) -> Breach {
        Breach::new(error.to_string())
    }
}

/// An error of the system while something was done.
pub fn doing<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Breach {
    move |error| Breach::new(format!("cannot {what}: {error}"))
}
