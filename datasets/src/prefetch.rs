//! An iterator that runs ahead on a thread of its own.

use std::panic;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

/// The items of another iterator, made ahead of time on a background thread.
///
/// One thread makes the items one after the other, so that neither their order nor their contents
/// depend on timing. Items can be results: an error is an item like any other. A panic of the
/// inner iterator goes on in the thread that asks for the next item. When this iterator is
/// dropped, the thread finishes the item it is making, and ends.
#[derive(Debug)]
pub struct Prefetch<T> {
    /// `None` once the last item has been taken.
    running: Option<(Receiver<T>, JoinHandle<()>)>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Runs `items` ahead: at most `depth` of them wait, while one more is made.
    ///
    /// # Panics
    ///
    /// If the operating system cannot start a thread.
    pub fn new(items: impl Iterator<Item = T> + Send + 'static, depth: usize) -> Prefetch<T> {
        let (sender, receiver) = mpsc::sync_channel(depth);
        let thread = thread::spawn(move || {
            for item in items {
                if sender.send(item).is_err() {
                    return; // the receiver was dropped: no one wants more
                }
            }
        });
        Prefetch { running: Some((receiver, thread)) }
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Ok(item) = self.running.as_ref()?.0.recv() {
            return Some(item);
        }
        let (_, thread) = self.running.take()?;
        thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        None
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        if let Some((receiver, thread)) = self.running.take() {
            // First the receiver, which wakes a thread that waits for room; then wait for its end.
            // A panic in an item that no one asked for is of no consequence.
            drop(receiver);
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn items_arrive_in_order_at_any_depth() {
        for depth in [0, 1, 5, 1000] {
            assert!(Prefetch::new(0..100, depth).eq(0..100));
        }
    }

    #[test]
    fn an_error_is_passed_on_in_its_place() {
        let items = [Ok(1), Err("no disk"), Ok(3)];
        assert!(Prefetch::new(items.into_iter(), 2).eq(items));
    }

    #[test]
    fn dropping_ends_a_thread_that_waits_for_room() {
        let (made, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let (counter, witness) = (Arc::clone(&made), Arc::clone(&alive));
        let endless = std::iter::repeat_with(move || {
            let _held_by_the_thread = &witness;
            counter.fetch_add(1, Ordering::SeqCst)
        });
        let mut ahead = Prefetch::new(endless, 3);
        assert_eq!(ahead.next(), Some(0));
        drop(ahead);
        assert_eq!(Arc::strong_count(&alive), 1, "the thread has let go of what it held");
        assert!(made.load(Ordering::SeqCst) <= 1 + 3 + 2, "one taken, three waiting, one in hand");
    }

    #[test]
    fn a_panic_goes_on_where_the_item_is_asked_for() {
        let items = (0..5).inspect(|&i| assert!(i < 2, "item {i} is broken"));
        let mut ahead = Prefetch::new(items, 1);
        assert_eq!((ahead.next(), ahead.next()), (Some(0), Some(1)));
        let panic = panic::catch_unwind(panic::AssertUnwindSafe(|| ahead.next())).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "item 2 is broken");
        assert_eq!(ahead.next(), None);
    }
}
