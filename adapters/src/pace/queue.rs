//! Where effects stand while their class of calls is paced.

use std::collections::{BTreeMap, VecDeque};

/// A queue that serves its namespaces in turn: one team's thousand pods do not stand before another's first.
///
/// Its length is bounded by the reducer: at most one effect in flight a pod, and a handful beside them.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    waiting: BTreeMap<String, VecDeque<T>>,
    served: String,
}

impl<T> Default for FairQueue<T> {
    fn default() -> FairQueue<T> {
        FairQueue { waiting: BTreeMap::new(), served: String::new() }
    }
}

impl<T> FairQueue<T> {
    pub(crate) fn push(&mut self, namespace: &str, item: T) {
        match self.waiting.get_mut(namespace) {
            Some(queue) => queue.push_back(item),
            None => {
                self.waiting.insert(namespace.to_owned(), VecDeque::from([item]));
            }
        }
    }

    /// The oldest item of the namespace after the one that was served last.
    pub(crate) fn pop(&mut self) -> Option<T> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = (Excluded(self.served.as_str()), Unbounded);
        let next = self.waiting.range::<str, _>(after).next().or_else(|| self.waiting.iter().next());
        let namespace = next.map(|(namespace, _)| namespace.clone())?;
        let queue = self.waiting.get_mut(&namespace)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&namespace);
        }
        self.served = namespace;
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_served_in_turn() {
        let mut queue = FairQueue::default();
        for i in 0..3 {
            queue.push("a", format!("a{i}"));
        }
        queue.push("b", "b0".to_owned());
        queue.push("c", "c0".to_owned());
        let order: Vec<String> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["a0", "b0", "c0", "a1", "a2"]);
    }
}
