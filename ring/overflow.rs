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

/// The number of losses after which each poster that counts one has to settle them under the lock.
/// All posters at once cannot count the remaining 2^30 before one of them does, so the counter does
/// not wrap.  In tests it is small enough to be reached.
const MOST: u32 = if cfg!(any(test, fuzzing)) { 2 } else { 1 << 30 };

/// The result of [`Overflow::count`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// The message was counted as lost.
    Lost,
    /// The message was counted as lost, and the caller has to settle all losses under the lock.
    LostAndMustSettle,
    /// The message was not counted: the losses were settled meanwhile.  The caller takes the lock
    /// and posts it.
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

    /// Returns whether losses are counted here, until somebody settles them.
    ///
    /// This only reads, so that posts to a queue that is not full do not write to this cache line.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        // `ON` is the sign bit: a test of the sign takes one instruction less.
        (load_relaxed(&self.0) as i32) < 0
    }

    /// Counts a message as lost, unless the losses were settled meanwhile.
    #[inline(always)]
    pub(crate) fn count(&self) -> Counted {
        // INVARIANT: If losses are still counted, one more message was lost.  If not, it has come
        // too late, and the caller takes the lock.
        let before = self.0.fetch_add(1, Relaxed);
        if (before as i32) < (ON + MOST) as i32 {
            Counted::Lost
        } else if before >= ON {
            Counted::LostAndMustSettle
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
