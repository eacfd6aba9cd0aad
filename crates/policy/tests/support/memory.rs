//! Counts what each thread holds, and the most that it held.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Less than nothing where a thread frees what another one gave it.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// From this size on the system's allocator maps pages of their own.
const MOVED_BYTES: usize = 128 << 10;

struct Counting;

fn add(bytes: usize) {
    // A thread that ends has nothing to count any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes.cast_signed());
        MOST.try_with(|most| most.set(most.get().max(held.get())))
    });
}

fn take(bytes: usize) {
    let _ = HELD.try_with(|held| held.set(held.get() - bytes.cast_signed()));
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; this one only counts and hands on"
)]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        take(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are held while the old one is copied; a large one is moved by remapping its pages.
        if size < MOVED_BYTES {
            add(size);
            take(layout.size());
        } else {
            take(layout.size());
            add(size);
        }
        // SAFETY: as our caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` gives, and the most bytes that it held at once on this thread.
pub(crate) fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let given = work();
    (given, usize::try_from(MOST.get() - before).unwrap_or(0))
}
