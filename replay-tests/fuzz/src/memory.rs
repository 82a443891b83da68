//! How much memory something takes while it runs, on the thread that runs it.

/// Runs something, and returns how many bytes it held at most. To use it is to have an allocator that counts.
pub fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(work()));
    (result.expect("it has run"), usize::try_from(info.bytes_max).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_counted_and_not_the_sum() {
        let (kept, peak) = peak_bytes(|| {
            drop(Vec::<u8>::with_capacity(100_000));
            drop(Vec::<u8>::with_capacity(200_000));
            Vec::<u8>::with_capacity(10)
        });
        assert!((200_000..210_000).contains(&peak), "{peak}");
        assert_eq!(kept.capacity(), 10);
        assert_eq!(peak_bytes(|| ()).1, 0);
    }
}
