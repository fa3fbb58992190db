// SPDX-License-Identifier: GPL-2.0

//! The overflow: losses that are counted without the posters' lock.
//!
//! Once a queue is full and has lost a message, the next ones are lost as well, and at the same
//! position in the stream, until a reader makes room.  They only have to be counted.  So a source
//! that does not stop costs little once nothing of it is delivered.

use crate::platform::{load_relaxed, Atomic, Relaxed};

/// Whether losses are counted here, and how many were.
///
/// # Invariants
///
/// * With [`ON`], the rest is the number of messages that were lost since [`Overflow::begin`].
///   Without, posters have to take their lock, and the rest means nothing: it is how many came too
///   late to be counted.
/// * [`ON`] changes only with that lock held.  As long as it is there, the next message under the
///   lock would be lost, and not be the first.
pub(crate) struct Overflow(Atomic<u32>);

/// Losses are counted here.
const ON: u32 = 1 << 31;

/// The number of messages after which a poster has to take the lock, so that this is never more
/// than it can hold, with as many more as there can be posters at once: so small in tests that they
/// get there.
const MOST: u32 = if cfg!(any(test, fuzzing)) { 2 } else { 1 << 30 };

/// What has become of a message that was to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// It was counted as lost.
    Lost,
    /// As above, and so many were that [`Overflow::end`] has to be called.
    LostOneOfMany,
    /// It came too late to be counted.
    TooLate,
}

impl Counted {
    /// Returns whether the message is lost.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_lost(self) -> bool {
        self != Self::TooLate
    }
}

impl Overflow {
    pub(crate) fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Returns whether losses are counted here, which can change at once.
    ///
    /// Whoever posts to a queue that is not full only reads.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        // The sign is one instruction less than the bit.
        (load_relaxed(&self.0) as i32) < 0
    }

    /// Counts a message as lost if it still is sure to be.
    #[inline(always)]
    pub(crate) fn count(&self) -> Counted {
        // INVARIANT: If losses are still counted, one more message was lost.  If not, it has come
        // too late, and the caller takes the lock.
        let before = self.0.fetch_add(1, Relaxed);
        if (before as i32) < (ON + MOST) as i32 {
            Counted::Lost
        } else if before >= ON {
            Counted::LostOneOfMany
        } else {
            Counted::TooLate
        }
    }

    /// Begins to count: the next message is lost.
    ///
    /// The caller holds the posters' lock, under which a message has been lost since
    /// [`Overflow::end`].
    pub(crate) fn begin(&self) {
        // INVARIANT: No message has been counted.
        self.0.store(ON, Relaxed);
    }

    /// Ends the counting, and returns how many messages were counted.
    ///
    /// The caller holds the posters' lock.
    #[inline]
    pub(crate) fn end(&self) -> u32 {
        if load_relaxed(&self.0) < ON {
            return 0;
        }
        // INVARIANT: What is taken out here is the caller's to account for.
        self.0.xchg(0, Relaxed) & !ON
    }
}
