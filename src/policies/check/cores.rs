//! Work on all cores, results in order.

use std::{
    num::NonZero,
    panic,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// More threads than this gain nothing: reading, splitting and printing are one thread's work.
const MAX_THREADS: usize = 16;
/// How many items a thread takes at a time; fewer than twice as many are not worth a second thread.
const AT_A_TIME: usize = 8;

/// What `work` makes of each item, in the order of the items.
pub(super) fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (items.len() / AT_A_TIME).clamp(1, cores.min(MAX_THREADS));
    let next = AtomicUsize::new(0);
    let take_turns = || {
        let mut done = Vec::new();
        loop {
            let start = next.fetch_add(AT_A_TIME, Ordering::Relaxed);
            let Some(rest) = items.get(start..).filter(|rest| !rest.is_empty()) else {
                return done;
            };
            let results: Vec<R> = rest.iter().take(AT_A_TIME).map(&work).collect();
            done.push((start, results));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take_turns)).collect();
        let mut done = take_turns();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(start, _)| *start);
    done.into_iter().flat_map(|(_, results)| results).collect()
}

/// What all cores together may have in hand.
#[derive(Debug)]
pub(super) struct Room {
    whole: usize,
    left: Mutex<usize>,
    freed: Condvar,
}

/// A part of the room, until it is dropped.
pub(super) struct Taken<'r> {
    room: &'r Room,
    size: usize,
}

// === impl Room ===

impl Room {
    pub(super) fn new(whole: usize) -> Self {
        Self {
            whole,
            left: Mutex::new(whole),
            freed: Condvar::new(),
        }
    }

    /// Waits until there is room for `size`; what is larger than the whole has it alone.
    pub(super) fn take(&self, size: usize) -> Taken<'_> {
        let size = size.min(self.whole);
        let left = self.left();
        let waited = self.freed.wait_while(left, |left| *left < size);
        *waited.unwrap_or_else(PoisonError::into_inner) -= size;
        Taken { room: self, size }
    }

    fn left(&self) -> MutexGuard<'_, usize> {
        // A number is never half written.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Taken ===

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.room.left() += self.size;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for count in [0, 1, 7, 8, 9, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(on_all_cores(&items, |item| item * 2), expected);
        }
    }
    #[test]
    fn no_more_is_in_hand_than_there_is_room_for() {
        let (room, in_hand) = (Room::new(10), AtomicUsize::new(0));
        let sizes: Vec<usize> = (0..1_000).map(|number| number % 14).collect();
        on_all_cores(&sizes, |&size| {
            let _taken = room.take(size);
            let size = size.min(10);
            let before = in_hand.fetch_add(size, Ordering::SeqCst);
            assert!(before + size <= 10, "{before} and {size}");
            in_hand.fetch_sub(size, Ordering::SeqCst);
        });
    }
}
