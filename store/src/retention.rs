//! What is not needed any more: which segments and which snapshots go when there is a new snapshot.
//!
//! A start needs the newest snapshot, one to fall back to, and the records after that one. A replay needs a
//! snapshot where the kept history begins: records before which no state is known cannot be told. So history is
//! dropped up to a snapshot, and a few are kept on the way for it to be dropped up to later on.

use engine::Seq;

use crate::backend::Name;
use crate::recover::Sealed;
use crate::snapshot::SNAPSHOTS_KEPT;

/// Into how many parts the snapshots on the way divide the history that is kept: so much more of it is kept than
/// was asked for, at most.
const PARTS: u64 = 4;

/// The names that are not needed any more, in the order in which they may go. `sealed` are the segments and
/// `snapshots` the positions, both oldest first and the new snapshot included.
pub(crate) fn needless(sealed: &[Sealed], snapshots: &[Seq], history_bytes: u64) -> Vec<Name> {
    let Some(older) = snapshots.len().checked_sub(SNAPSHOTS_KEPT) else { return Vec::new() };
    let bytes_up_to = |seq: Seq| -> u64 {
        sealed.iter().filter(|segment| segment.last <= seq).map(|segment| segment.bytes).sum()
    };
    let total_bytes: u64 = sealed.iter().map(|segment| segment.bytes).sum();
    // Where the history is to begin, and where it begins.
    let anchor = (0..=older).rev().find(|at| total_bytes - bytes_up_to(snapshots[*at]) >= history_bytes);
    let dropped_from = sealed.first().is_some_and(|segment| segment.first > Seq(1));
    let start = anchor.or(dropped_from.then_some(0));

    let mut names: Vec<Name> =
        snapshots[..start.unwrap_or(0)].iter().map(|seq| Name::Snapshot(*seq)).collect();
    let mut before_bytes = start.map_or(0, |at| bytes_up_to(snapshots[at]));
    let on_the_way = start.map_or(0, |at| at + 1)..older;
    for seq in snapshots.get(on_the_way).unwrap_or_default() {
        let bytes = bytes_up_to(*seq);
        if bytes - before_bytes >= history_bytes / PARTS {
            before_bytes = bytes;
        } else {
            names.push(Name::Snapshot(*seq));
        }
    }
    if let (Some(at), Some((_, but_the_last))) = (anchor, sealed.split_last()) {
        // The last one stays: it ties the snapshots to the log.
        let dropped = but_the_last.iter().filter(|segment| segment.last <= snapshots[at]);
        names.extend(dropped.map(|segment| Name::Sealed(segment.first)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of ten records and a hundred bytes each.
    fn sealed(from: u64, to: u64) -> Vec<Sealed> {
        let segment = |first: u64| Sealed { first: Seq(first), last: Seq(first + 9), bytes: 100 };
        (from..=to).step_by(10).map(segment).collect()
    }

    fn names(segments: impl IntoIterator<Item = u64>, snapshots: impl IntoIterator<Item = u64>) -> Vec<Name> {
        let snapshots = snapshots.into_iter().map(|seq| Name::Snapshot(Seq(seq)));
        snapshots.chain(segments.into_iter().map(|first| Name::Sealed(Seq(first)))).collect()
    }

    fn check(sealed: &[Sealed], snapshots: &[u64], history_bytes: u64, expected: Vec<Name>) {
        let snapshots: Vec<Seq> = snapshots.iter().map(|seq| Seq(*seq)).collect();
        assert_eq!(needless(sealed, &snapshots, history_bytes), expected);
    }

    #[test]
    fn without_history_what_the_older_snapshot_covers_goes() {
        check(&sealed(1, 91), &[], 0, vec![]);
        check(&sealed(1, 91), &[45], 0, vec![]);
        check(&sealed(1, 91), &[45, 80], 0, names([1, 11, 21, 31], []));
        check(&sealed(1, 91), &[20, 45, 80], 0, names([1, 11, 21, 31], [20]));
        check(&sealed(1, 91), &[100, 100], 0, names((1..91).step_by(10), []));
    }

    #[test]
    fn history_begins_where_a_snapshot_tells_how_things_stood() {
        // 500 bytes are wanted: from #51 on, and the newest snapshot before that is the one at #45.
        check(&sealed(1, 91), &[20, 45, 60, 80, 95], 500, names([1, 11, 21, 31], [20]));
        check(&sealed(1, 91), &[60, 80, 95], 500, vec![]);
    }

    #[test]
    fn a_few_snapshots_are_kept_on_the_way() {
        let every_ten: Vec<u64> = (10..=400).step_by(10).collect();
        let gone =
            needless(&sealed(1, 391), &every_ten.iter().map(|seq| Seq(*seq)).collect::<Vec<_>>(), 2_000);
        let kept: Vec<u64> =
            every_ten.into_iter().filter(|seq| !gone.contains(&Name::Snapshot(Seq(*seq)))).collect();
        assert_eq!(kept, [200, 250, 300, 350, 390, 400]);
        assert!(gone.contains(&Name::Sealed(Seq(191))) && !gone.contains(&Name::Sealed(Seq(201))));
    }

    #[test]
    fn the_first_snapshot_of_a_log_that_was_dropped_from_stays() {
        check(&sealed(51, 91), &[50, 60, 80, 95], 100_000, names([], [60]));
        check(&sealed(1, 91), &[50, 60, 80, 95], 100_000, names([], [50, 60]));
    }
}
