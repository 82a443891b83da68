//! How much memory something takes while it runs, on the thread that runs it.

#![allow(unsafe_code, reason = "an allocator that counts wraps one that does not")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting: a test that asks [`peak_bytes`] makes it its global allocator.
pub struct Counted;

thread_local! {
    // Neither is lazily made nor dropped, so that an allocator may use them.
    static HELD_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn note(bytes: isize) {
    let held = HELD_BYTES.get() + bytes;
    HELD_BYTES.set(held);
    PEAK_BYTES.set(PEAK_BYTES.get().max(held));
}

// SAFETY: every call is passed on to the system's allocator unchanged; the counting allocates nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size as isize - layout.size() as isize);
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Runs something, and returns how many bytes it held at most, beside what was held before. Always 0 where
/// [`Counted`] is not the global allocator.
pub fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD_BYTES.get();
    PEAK_BYTES.set(before);
    let result = work();
    (result, PEAK_BYTES.get().saturating_sub(before).max(0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counted = Counted;

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
