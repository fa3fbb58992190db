// SPDX-License-Identifier: GPL-2.0

//! The overflow: losses that are counted without the posters' lock.
//!
//! Once a queue is full and has lost a message, the next ones are lost as well, and at the same
//! position in the stream, until a reader makes room.  They only have to be counted.  So a source
//! that does not stop costs little once nothing of it is delivered.

use crate::platform::{load_relaxed, Atomic, Relaxed};

/// The number of messages that can still be counted in this way.
///
/// # Invariants
///
/// * It is 0 if posters have to take their lock.  Else it is what [`Overflow::begin`] made it less
///   the number of messages that were lost since, and at least 1.
/// * It changes from 0 and to 0 only with that lock held.  As long as it is not 0, the next message
///   under the lock would be lost, and not be the first.
pub(crate) struct Overflow(Atomic<u32>);

/// One more than the number of messages that can be counted before a poster has to take the lock:
/// so small in tests that they get there.
const ALL: u32 = if cfg!(any(test, fuzzing)) {
    3
} else {
    u32::MAX
};

impl Overflow {
    pub(crate) fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Counts a message as lost if it is sure to be, and returns whether it was.
    #[inline(always)]
    pub(crate) fn count(&self) -> bool {
        let left = load_relaxed(&self.0);
        left > 1 && self.count_down(left)
    }

    /// Counts a message as lost if there are still `left`, and returns whether it was.
    // Where helpers are called, the exchange needs a variable in memory, and a function that has
    // one ends with no other as its last.  That would be each post.
    #[cfg_attr(CONFIG_RUST_INLINE_HELPERS, inline(always))]
    #[cfg_attr(all(CONFIG_RUST, not(CONFIG_RUST_INLINE_HELPERS)), inline(never))]
    fn count_down(&self, left: u32) -> bool {
        // INVARIANT: If this succeeds, the value was above 1 and is not 0 now, and one more message
        // was lost.  If another CPU came first, the caller takes the lock.
        self.0.cmpxchg(left, left.wrapping_sub(1), Relaxed).is_ok()
    }

    /// Begins to count: the next message is lost.
    ///
    /// The caller holds the posters' lock, under which a message has been lost since
    /// [`Overflow::end`].
    pub(crate) fn begin(&self) {
        // INVARIANT: No message has been counted.
        self.0.store(ALL, Relaxed);
    }

    /// Ends the counting, and returns how many messages were counted.
    ///
    /// The caller holds the posters' lock.
    #[inline]
    pub(crate) fn end(&self) -> u32 {
        if load_relaxed(&self.0) == 0 {
            return 0;
        }
        // INVARIANT: What is taken out here is the caller's to account for.
        ALL.wrapping_sub(self.0.xchg(0, Relaxed))
    }
}
