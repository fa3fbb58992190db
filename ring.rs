// SPDX-License-Identifier: GPL-2.0

//! The ring: messages lying packed, byte after byte, between posters and readers.
//!
//! ```text
//!            tail                        head
//!             |                           |
//!   ----------+------+--------+-----+-----+---------------- memory, as if endless
//!    consumed | note | note   | note|note | free
//!   ----------+------+--------+-----+-----+----------------
//!                    ^ a loss lies here   ^ and one is pending here
//! ```
//!
//! A [`Ring`] is split into a [`Poster`] and a [`Reader`].  All posters share the poster behind a
//! lock that can be taken in any context.  All readers share the reader behind a lock of their own.
//! The two meet in three ways only:
//!
//! * [`Poster::post`] commits a message by storing the head with a release, after it has written
//!   the message; [`Reader::next`] loads the head with an acquire before it reads.
//! * What lies between tail and head does not change, so that a reader copies out of it without
//!   the posters' lock.
//! * [`Batch::consume`] needs both halves and thus both locks: the memory that it gives back to
//!   the poster was read before.
//!
//! A message has at most 127 bytes, and the ring has 128 bytes for each message of its capacity.
//! So there is room if there are fewer messages than the capacity.
//!
//! # Losses
//!
//! A loss is a property of the position in the stream after the last message that was delivered.
//! While no further message is delivered it is a number, [`Poster::lost`], to which
//! [`Poster::settle`] adds what was counted as an [`Overflow`].  The next message seals it: it
//! becomes a [`Loss`] that says where it lies.  There is at least one message behind each sealed
//! loss, so a ring for N messages has at most N of them, and the memory for them is set aside, too.
//!
//! A reader gets a loss in records, each of which counts up to [`note::MAX_LOST`] messages.

use core::fmt;

use crate::note::{self, Note};
use crate::overflow::Overflow;
use crate::platform::{share, Acquire, Arc, Atomic, Memory, OutOfMemory, Release};

/// The number of bytes of the ring for each message.
pub(crate) const NOTE_SIZE: usize = 128;

const _: () = assert!(NOTE_SIZE > note::MAX_LEN);

/// The number of bytes of the ring, beside those of [`NOTE_SIZE`], for the loss ahead of a message.
pub(crate) const LOSS_SIZE: usize = size_of::<Loss>();

const _: () = assert!(LOSS_SIZE == 16);

/// The largest capacity of a ring, for which it has a page less than 2 GiB.  So the size of all
/// that a ring can hold fits in half a [`Span`] and in an `int`.
pub(crate) const MAX_CAPACITY: u32 = (1 << 24) - 32;

const _: () = assert!(MAX_CAPACITY as usize * NOTE_SIZE == (1 << 31) - 4096);

/// A number of whole messages in the stream.
///
/// The upper half of the word is the number of messages, the lower half that of their bytes.  So
/// one addition does for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span(u64);

impl Span {
    /// The bytes of the record of a loss, which is not a message of the ring.
    pub(crate) const RECORD: Self = Self::of(0, note::MIN_LEN);

    /// Makes a span of `notes` messages with `bytes` bytes together.
    #[inline]
    const fn of(notes: u32, bytes: usize) -> Self {
        Self((notes as u64) << 32 | bytes as u64)
    }

    /// Returns the size of the messages, which are no more than a ring can hold.
    #[inline]
    pub(crate) fn bytes(self) -> usize {
        self.0 as u32 as usize
    }

    /// Returns the number of messages.
    #[inline]
    pub(crate) fn notes(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns the sum of two spans that are read at once, which is at most 2 GiB.
    #[inline]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

/// A position in the stream: the sum of all messages in front of it, as a [`Span`] adds them up.
///
/// It wraps around, and there is a carry from bytes to messages.  Neither matters: positions are
/// only compared and subtracted, and the difference of two sums is what lies between them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Position(u64);

impl Position {
    /// The start of a stream: so close to where positions wrap around that it happens in every test
    /// and on every machine, as with jiffies.
    const START: Self = Self(0_u64.wrapping_sub(Span::of(3, 512).0));

    /// Returns what lies between `start`, which is not behind `self`, and `self`.
    #[inline]
    fn since(self, start: Self) -> Span {
        Span(self.0.wrapping_sub(start.0))
    }

    /// Returns the position behind `span`, which begins here.
    #[inline]
    fn after(self, span: Span) -> Self {
        Self(self.0.wrapping_add(span.0))
    }

    /// Returns whether fewer messages lie between some position and this one than between that and
    /// `limit`, which is behind it by a number of messages, at most [`MAX_CAPACITY`], and no bytes.
    ///
    /// One message less outweighs all their bytes, which are less than 2^32.  If there are as many,
    /// their bytes make this the larger one.
    #[inline]
    fn is_before(self, limit: Self) -> bool {
        (self.0.wrapping_sub(limit.0) as i64) < 0
    }
}

/// The first number of sealed losses: close to where it wraps around, like
/// [`Position::START`].
const SEALED_AT_START: u32 = u32::MAX - 1;

/// The message was not delivered: it has been counted as lost.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A loss with a message behind it.
#[derive(Clone, Copy)]
pub(crate) struct Loss {
    at: Position,
    lost: u64,
}

/// The memory that posters and readers share.
///
/// # Invariants
///
/// * `bytes` has [`NOTE_SIZE`] bytes for each element of `losses`, and neither is empty.
/// * One [`Poster`] and one [`Reader`] exist for it, made together in [`split`].
/// * From the reader's position to the one published in `head`, `bytes` holds whole messages.  Only
///   the reader accesses them.  Only the poster accesses the rest of `bytes`.
/// * The elements of `losses` for the losses that are sealed and not reported are initialised, and
///   only the reader accesses them.  Only the poster accesses the rest of `losses`.  The losses are
///   in the order in which they lie in the stream.
struct Ring {
    bytes: Memory<u8>,
    losses: Memory<Loss>,
    head: Atomic<u64>,
    sealed: Atomic<u32>,
}

impl Ring {
    /// Returns the offset into `bytes` for `offset`, which is less than twice the size.
    #[inline]
    fn wrapped(&self, offset: usize) -> usize {
        if offset >= self.bytes.len() {
            offset.wrapping_sub(self.bytes.len())
        } else {
            offset
        }
    }

    fn loss_slot_after(&self, slot: usize) -> usize {
        let slot = slot.wrapping_add(1);
        if slot == self.losses.len() {
            0
        } else {
            slot
        }
    }
}

/// The half of a ring that is posted to.
///
/// # Invariants
///
/// * `ring` is `None` if and only if `capacity` is 0.
/// * `head` is the position behind the last message, as last stored in `ring.head`, and `offset` is
///   where in `ring.bytes` that is.
/// * `loss_slot` is where in `ring.losses` the next loss goes.
/// * `sealed` is [`SEALED_AT_START`] and the number of losses that have been sealed.
/// * `records` is the number of records that the sealed losses still take.
/// * `tail` is the position up to which messages have been consumed.  At most `capacity` of them
///   lie between that and the head.
/// * `limit` is `capacity` messages behind `tail`, or not behind the head while `lost` is not 0.
/// * `consumed` is the number of messages that have been consumed, `lost_before` that of the
///   messages that were lost and are not counted in `lost`, and `reported` that of the lost
///   messages that are in a record that has been read.
pub(crate) struct Poster {
    ring: Option<Arc<Ring>>,
    capacity: u32,
    /// If the head is before this, one more message is delivered without further checks.
    limit: Position,
    tail: Position,
    head: Position,
    offset: usize,
    loss_slot: usize,
    sealed: u32,
    records: u64,
    lost: u64,
    consumed: u64,
    lost_before: u64,
    reported: u64,
}

/// The numbers of messages since the queue was made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Messages that were delivered.
    pub(crate) delivered: u64,
    /// Messages that were lost.
    pub(crate) lost: u64,
}

/// A place in the stream, behind all that had been posted when [`Poster::mark`] was called.
///
/// It is the number of messages in front of it, lost ones included.
pub(crate) struct Mark(u64);

/// The half of a ring that is read from.
///
/// # Invariants
///
/// * `tail` is the position up to which messages have been consumed, and `offset` is where in
///   `ring.bytes` that is.
/// * `reported` is [`SEALED_AT_START`] and the number of sealed losses that have been reported,
///   and `loss_slot` is where in `ring.losses` the next one is.
pub(crate) struct Reader {
    ring: Arc<Ring>,
    tail: Position,
    offset: usize,
    loss_slot: usize,
    reported: u32,
}

/// The next thing in the stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Next<'r> {
    /// Nothing that is sealed.  There may be a loss pending: [`Poster::pending_loss`].
    Nothing,
    /// This many messages were lost here, and perhaps more, which are for the next record.
    Loss(u16),
    /// At least one message, and all of them fit.
    Notes(Batch<'r>),
    /// A message for which there is not enough room.
    TooLarge,
}

/// The result of [`Reader::find`]: [`Next`], but borrows nothing.
enum Found {
    Nothing,
    Loss(u64),
    /// The messages, and the room that is left for the next one.
    Notes(Span, usize),
    TooLarge,
}

/// Messages that a reader has found, and that do not change until they are consumed.
///
/// # Invariants
///
/// From the reader's position on there are the messages in `span`, which are written.
pub(crate) struct Batch<'r> {
    reader: &'r mut Reader,
    span: Span,
    rest: usize,
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.span.fmt(f)
    }
}

impl PartialEq for Batch<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.span == other.span
    }
}

impl Batch<'_> {
    /// Returns how much it is.
    #[inline]
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Returns how much room is left for the next message: none, if there is one that does not fit.
    #[inline]
    pub(crate) fn rest(&self) -> usize {
        self.rest
    }

    /// Returns the bytes of the messages, unless they lie across the end of the memory.
    #[inline(always)]
    pub(crate) fn piece(&self) -> Option<&[u8]> {
        self.reader.piece(self.span)
    }

    /// Returns the bytes of the messages.  They are in two pieces if they lie across the end of the
    /// memory; otherwise the second piece is empty.
    #[inline(always)]
    pub(crate) fn pieces(&self) -> (&[u8], &[u8]) {
        self.reader.pieces(self.span)
    }

    /// Keeps only those of the messages that fit into `room`.
    #[inline]
    pub(crate) fn truncate(self, room: usize) -> Self {
        // INVARIANT: The first of the messages are written, too.
        Self {
            span: self.reader.whole_notes(self.span, room),
            ..self
        }
    }

    /// Gives the memory of the messages back to the poster.
    ///
    /// Returns whether there was no room for more before that.
    ///
    /// Does nothing if `poster` is not the other half of the ring.
    #[inline(always)]
    pub(crate) fn consume(self, poster: &mut Poster) -> bool {
        self.reader.consume(poster, self.span)
    }
}

/// Makes a ring for `capacity` messages, which is 1 to [`MAX_CAPACITY`], and splits it.
pub(crate) fn split(capacity: u32) -> Result<(Poster, Reader), OutOfMemory> {
    // INVARIANT: Nothing is written, so all of the memory is the poster's.
    let ring = share(Ring {
        bytes: Memory::new(capacity as usize * NOTE_SIZE)?,
        losses: Memory::new(capacity as usize)?,
        head: Atomic::new(Position::START.0),
        sealed: Atomic::new(SEALED_AT_START),
    })?;
    // INVARIANT: Nobody else has seen `ring`.
    let reader = Reader {
        ring: ring.clone(),
        tail: Position::START,
        offset: 0,
        loss_slot: 0,
        reported: SEALED_AT_START,
    };
    let poster = Poster {
        ring: Some(ring),
        capacity,
        limit: Position::START.after(Span::of(capacity, 0)),
        ..Poster::unsized_yet()
    };
    Ok((poster, reader))
}

impl Poster {
    /// Makes the poster of a queue without a size, in which every message is lost.
    pub(crate) const fn unsized_yet() -> Self {
        Self {
            ring: None,
            capacity: 0,
            limit: Position::START,
            tail: Position::START,
            head: Position::START,
            offset: 0,
            loss_slot: 0,
            sealed: SEALED_AT_START,
            records: 0,
            lost: 0,
            consumed: 0,
            lost_before: 0,
            reported: 0,
        }
    }

    /// Drops all messages, makes each later post a loss, and returns this half's reference to the
    /// memory, which the caller drops without the lock.
    pub(crate) fn close(&mut self) -> impl Sized {
        // INVARIANT: There is no ring, and no message in it.  Nobody asks for what was counted, as
        // no file is left.
        (self.capacity, self.tail, self.limit) = (0, self.head, self.head);
        self.ring.take()
    }

    /// Appends a message, or counts it as lost.
    ///
    /// If it is lost, `overflow` counts those that follow.  It is the same one every time.
    #[inline(always)]
    pub(crate) fn post(&mut self, note: Note<'_>, overflow: &Overflow) -> Result<(), Full> {
        if self.post_at_once(note) {
            Ok(())
        } else {
            self.post_slowly(note, overflow)
        }
    }

    /// Appends a message if nothing else is to be done for that.  Returns whether it did.
    #[inline(always)]
    pub(crate) fn post_at_once(&mut self, note: Note<'_>) -> bool {
        // SAFETY: By the invariants fewer messages are queued than the capacity.
        self.head.is_before(self.limit) && unsafe { self.append_in_one_piece(note) }
    }

    /// Appends a message across the end of the memory or behind a loss, or counts it as lost.
    #[cold]
    #[inline(never)]
    fn post_slowly(&mut self, note: Note<'_>, overflow: &Overflow) -> Result<(), Full> {
        if !self.head.is_before(self.limit) {
            return self.post_behind_loss(note, overflow);
        }
        // SAFETY: By the invariants fewer messages are queued than the capacity.
        unsafe { self.append(note) };
        Ok(())
    }

    /// Appends a message behind a loss, or counts it as lost.
    #[cold]
    #[inline(never)]
    fn post_behind_loss(&mut self, note: Note<'_>, overflow: &Overflow) -> Result<(), Full> {
        self.settle(overflow);
        if self.is_full() {
            self.lost += 1;
            // INVARIANT: A message is lost, so the next to be delivered seals that.
            self.limit = self.head;
            if self.ring.is_some() {
                overflow.begin();
            }
            return Err(Full);
        }
        self.seal_loss();
        // SAFETY: By the invariants no more messages are queued than the capacity.
        unsafe { self.append(note) };
        Ok(())
    }

    /// Counts among the lost messages those that `overflow` has.
    ///
    /// A post behind a loss begins with this, and so does `Queue::with_posts()`.
    #[inline]
    pub(crate) fn settle(&mut self, overflow: &Overflow) {
        let more = overflow.end();
        if more != 0 {
            self.lost += u64::from(more);
        }
    }

    /// Lets messages be delivered again up to the capacity, unless a loss has to be sealed first.
    fn lift_limit(&mut self) {
        if self.lost == 0 {
            self.limit = self.tail.after(Span::of(self.capacity, 0));
        }
    }

    /// Makes the pending loss one that has a message behind it, which is to be appended next.
    fn seal_loss(&mut self) {
        let Some(ring) = &self.ring else {
            return;
        };
        let loss = Loss {
            at: self.head,
            lost: self.lost,
        };
        // SAFETY: `loss_slot` is in bounds by the invariants.  It is not a loss that the
        // reader has yet to deliver: behind each of those is a message that is not consumed,
        // of which there are fewer than slots.  What the reader did with the slot before
        // happened before `Reader::consume()` of the message behind it, which had `self`.
        unsafe { ring.losses.write(self.loss_slot, &[loss]) };
        self.loss_slot = ring.loss_slot_after(self.loss_slot);
        self.sealed = self.sealed.wrapping_add(1);
        self.records += note::records(self.lost);
        // INVARIANT: What is no longer counted in `lost` is counted in `lost_before`.
        self.lost_before = self.lost_before.wrapping_add(self.lost);
        self.lost = 0;
        // INVARIANT: The loss is the reader's from here on.
        ring.sealed.store(self.sealed, Release);
        self.lift_limit();
    }

    /// Appends a message for which there is room.
    ///
    /// # Safety
    ///
    /// `queued` is less than `capacity`.
    unsafe fn append(&mut self, note: Note<'_>) {
        // SAFETY: There is room, as the caller has seen.
        if !unsafe { self.append_in_one_piece(note) } {
            // SAFETY: There is room, as the caller has seen, and the message reaches to the end.
            unsafe { self.append_across_end(note) };
        }
    }

    /// Appends a message, unless it reaches to the end of the memory.  Returns whether it did.
    ///
    /// # Safety
    ///
    /// As for [`Poster::append`].
    #[inline(always)]
    unsafe fn append_in_one_piece(&mut self, note: Note<'_>) -> bool {
        // SAFETY: By the invariants there is a ring where there is a capacity.
        let ring = unsafe { self.ring.as_ref().unwrap_unchecked() };
        let behind = self.offset.wrapping_add(note.bytes().len());
        if behind >= ring.bytes.len() {
            return false;
        }
        // SAFETY: The bytes are in bounds.  They are free: the caller has seen that fewer messages
        // are queued than the capacity, each of which has less than `NOTE_SIZE` bytes, so at least
        // `NOTE_SIZE` bytes are.  What the reader did with them happened before
        // `Reader::consume()`, which had `self`.
        unsafe { ring.bytes.write_note(self.offset, note) };
        self.offset = behind;
        commit(ring, &mut self.head, note);
        true
    }

    /// Appends a message that reaches to the end of the memory or across.
    ///
    /// # Safety
    ///
    /// As for [`Poster::append`], and it does reach there.
    #[cold]
    #[inline(never)]
    unsafe fn append_across_end(&mut self, note: Note<'_>) {
        let Some(ring) = &self.ring else {
            return;
        };
        let cut = ring.bytes.len().wrapping_sub(self.offset);
        // SAFETY: The caller has seen that the message reaches to the end, so `cut` is within it.
        let (head, tail) = unsafe { note.bytes().split_at_unchecked(cut) };
        // SAFETY: So the head reaches just there.  The bytes are free as in `append()`.
        unsafe { ring.bytes.write(self.offset, head) };
        // SAFETY: As above, and a message is no longer than the ring.
        unsafe { ring.bytes.write(0, tail) };
        self.offset = tail.len();
        commit(ring, &mut self.head, note);
    }

    /// Returns the number of messages that were lost since the last one was delivered.
    #[inline]
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Puts the number of messages lost since the last one was delivered to `lost`, which takes
    /// hours to get to one by one.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn pretend_lost(&mut self, lost: u64) {
        (self.lost, self.limit) = (lost, self.head);
    }

    /// Returns the two halves of the head, which wrap around.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn head(&self) -> (u32, u32) {
        ((self.head.0 >> 32) as u32, self.head.0 as u32)
    }

    /// Takes over what was lost before there was a ring.
    pub(crate) fn inherit(&mut self, unsized_yet: &Self) {
        self.lost += unsized_yet.lost;
        if self.lost != 0 {
            self.limit = self.head;
        }
        self.lost_before = self.lost_before.wrapping_add(unsized_yet.lost_before);
        self.reported = self.reported.wrapping_add(unsized_yet.reported);
    }

    /// Returns the number of messages lost at the reader's position, if that is the head, as the
    /// next record counts them.
    ///
    /// Only then the loss is not among what [`Reader::next`] finds.
    #[inline]
    pub(crate) fn pending_loss(&self) -> u16 {
        if self.is_at_end() {
            note::first_record(self.lost)
        } else {
            0
        }
    }

    /// Strikes off `lost` messages of the pending loss, of which userspace gets a record.
    pub(crate) fn report_pending_loss(&mut self, lost: u16) {
        // INVARIANT: What is no longer counted in `lost` is counted in `lost_before`.
        let lost = u64::from(lost).min(self.lost);
        self.lost = self.lost.wrapping_sub(lost);
        self.lost_before = self.lost_before.wrapping_add(lost);
        self.reported = self.reported.wrapping_add(lost);
        self.lift_limit();
    }

    /// Returns whether there is no message to read.
    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.head == self.tail
    }

    /// Returns the number of bytes that can be read, records of losses included.
    pub(crate) fn pending_bytes(&self) -> u64 {
        let records = self.records + note::records(self.lost);
        let notes = self.head.since(self.tail);
        notes.bytes() as u64 + records * note::MIN_LEN as u64
    }

    /// Returns the number of messages that can be read.
    #[inline]
    pub(crate) fn queued(&self) -> u32 {
        self.head.since(self.tail).notes()
    }

    /// Returns the numbers of messages so far.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            delivered: self.consumed.wrapping_add(u64::from(self.queued())),
            lost: self.lost_before.wrapping_add(self.lost),
        }
    }

    /// Returns the place behind all that has been posted so far.
    pub(crate) fn mark(&self) -> Mark {
        let Totals { delivered, lost } = self.totals();
        Mark(delivered.wrapping_add(lost))
    }

    /// Returns whether all that is in front of a mark has been read.
    pub(crate) fn is_past(&self, mark: &Mark) -> bool {
        // The stream is read in order, so it is enough to know how much of it was.
        self.consumed.wrapping_add(self.reported) >= mark.0
    }

    /// Returns whether there is something to read.
    #[inline]
    pub(crate) fn is_readable(&self) -> bool {
        // A sealed loss has a message behind it.
        !self.is_at_end() || self.lost != 0
    }

    /// Returns whether the next message would be lost.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.queued() == self.capacity
    }

    /// Returns the number of messages that there is memory for.
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }
}

/// Makes `note`, which has been written at `head`, the reader's, and moves `head` behind it.
#[inline(always)]
fn commit(ring: &Ring, head: &mut Position, note: Note<'_>) {
    *head = head.after(Span::of(1, note.bytes().len()));
    // INVARIANT: The message is whole, and the reader's from here on.
    ring.head.store(head.0, Release);
}

impl Reader {
    /// Returns what can be read next into `room` bytes.
    #[inline(always)]
    pub(crate) fn next(&mut self, room: usize) -> Next<'_> {
        match self.find(room) {
            Found::Nothing => Next::Nothing,
            Found::Loss(lost) => Next::Loss(note::first_record(lost)),
            // INVARIANT: These messages are written.  Only a batch consumes them, for which the
            // reader is borrowed.
            Found::Notes(span, rest) => Next::Notes(Batch {
                reader: self,
                span,
                rest,
            }),
            Found::TooLarge => Next::TooLarge,
        }
    }

    #[inline(always)]
    fn find(&self, room: usize) -> Found {
        let ring = &self.ring;
        // In this order: a loss in front of a message that was written is sealed.
        let mut head = Position(ring.head.load(Acquire));
        if ring.sealed.load(Acquire) != self.reported {
            // SAFETY: The slot is in bounds and the loss, by the invariants, the reader's.
            let loss = unsafe { ring.losses.read(self.loss_slot) };
            if loss.at == self.tail {
                return Found::Loss(loss.lost);
            }
            // If it was sealed after `head` was loaded, this lies behind that.  The messages in
            // front of the loss were written before it was sealed.
            head = loss.at;
        }

        let all = head.since(self.tail);
        if all.notes() == 0 {
            return Found::Nothing;
        }
        if all.bytes() <= room {
            return Found::Notes(all, room.wrapping_sub(all.bytes()));
        }
        // Most such reads are for one message.
        let at = ring.wrapped(self.offset.wrapping_add(note::LENGTH_OFFSET));
        // SAFETY: This is a byte of a message that is written and not consumed.
        let first = note::length_from(unsafe { ring.bytes.read(at) });
        if first > room {
            return Found::TooLarge;
        }
        if room.wrapping_sub(first) < note::MIN_LEN {
            return Found::Notes(Span::of(1, first), 0);
        }
        Found::Notes(self.whole_notes(all, room), 0)
    }

    /// Returns those of the messages in `all`, which [`Reader::find`] found, that fit into `room`.
    #[inline]
    fn whole_notes(&self, all: Span, room: usize) -> Span {
        let ring = &self.ring;
        if room >= all.bytes() {
            return all;
        }
        // As the messages have more bytes than there is room for, that runs out first.
        let (mut notes, mut left) = (0, room);
        let mut at = self.offset.wrapping_add(note::LENGTH_OFFSET);
        while left >= note::MIN_LEN {
            at = ring.wrapped(at);
            // SAFETY: This is a byte of a message that is written and not consumed.
            let length = note::length_from(unsafe { ring.bytes.read(at) });
            if length > left {
                break;
            }
            left = left.wrapping_sub(length);
            notes += 1;
            at = at.wrapping_add(length);
        }
        Span::of(notes, room.wrapping_sub(left))
    }

    /// Returns the bytes of the messages in `span`, which [`Reader::find`] found, if they lie in
    /// one piece.
    #[inline(always)]
    fn piece(&self, span: Span) -> Option<&[u8]> {
        let ring = &self.ring;
        if span.bytes() > ring.bytes.len().wrapping_sub(self.offset) {
            return None;
        }
        // SAFETY: As in `pieces()`, and the end of the memory is not in between.
        Some(unsafe { ring.bytes.slice(self.offset, span.bytes()) })
    }

    /// Returns the bytes of the messages in `span`, which [`Reader::find`] found.
    fn pieces(&self, span: Span) -> (&[u8], &[u8]) {
        let ring = &self.ring;
        let first = span.bytes().min(ring.bytes.len().wrapping_sub(self.offset));
        let second = span.bytes().wrapping_sub(first);
        // SAFETY: The messages from the tail on are written.  Only the reader accesses them until
        // it consumes them, for which it must not be borrowed.
        unsafe {
            (
                ring.bytes.slice(self.offset, first),
                ring.bytes.slice(0, second),
            )
        }
    }

    /// Gives the messages in `span`, which [`Reader::find`] found, back to the poster.
    #[inline]
    fn consume(&mut self, poster: &mut Poster, span: Span) -> bool {
        if !self.is_half_of(poster) {
            return false;
        }
        let queued = poster.queued();
        self.offset = self.ring.wrapped(self.offset.wrapping_add(span.bytes()));
        self.tail = self.tail.after(span);
        // INVARIANT: The memory is the poster's from here on.
        poster.tail = self.tail;
        if poster.lost == 0 {
            poster.limit = poster.limit.after(span);
        }
        poster.consumed = poster.consumed.wrapping_add(u64::from(span.notes()));
        queued == poster.capacity
    }

    #[inline]
    fn is_half_of(&self, poster: &Poster) -> bool {
        let ring = poster.ring.as_deref();
        // Null is no ring, so this is one comparison.
        ring.map_or(core::ptr::null(), core::ptr::from_ref) == &*self.ring
    }

    /// Strikes off `lost` messages of the loss at the tail, of which userspace gets a record.
    /// Their number is one that [`Reader::next`] or [`Poster::pending_loss`] returned.
    ///
    /// Messages that this record does not count stay.
    pub(crate) fn report_loss(&mut self, poster: &mut Poster, lost: u16) {
        if !self.is_half_of(poster) || self.reported == poster.sealed {
            poster.report_pending_loss(lost);
            return;
        }
        // A pending loss may have been sealed only now, by a message that came while the record was
        // copied.
        //
        // SAFETY: The slot is in bounds and the loss, by the invariants, the reader's.
        let loss = unsafe { self.ring.losses.read(self.loss_slot) };
        let rest = Loss {
            lost: loss.lost.saturating_sub(u64::from(lost)),
            ..loss
        };
        poster.reported = poster
            .reported
            .wrapping_add(loss.lost.wrapping_sub(rest.lost));
        // INVARIANT: What the rest takes is what the loss took less what is struck off.
        poster.records -= note::records(loss.lost) - note::records(rest.lost);
        if rest.lost != 0 {
            // SAFETY: As above.
            unsafe { self.ring.losses.write(self.loss_slot, &[rest]) };
        } else {
            // INVARIANT: The slot is the poster's from here on.
            self.loss_slot = self.ring.loss_slot_after(self.loss_slot);
            self.reported = self.reported.wrapping_add(1);
        }
    }
}

// These are to see that the kernel's memory and atomics do what `platform` says.
#[cfg(CONFIG_WATCH_QUEUE_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(watch_queue_ring)]
mod tests {
    use super::*;
    use crate::overflow::Counted;

    /// Posts a message of `length` bytes, each of which is `value` but the one that says so.
    fn post(
        poster: &mut Poster,
        overflow: &Overflow,
        length: usize,
        value: u8,
    ) -> Result<(), Full> {
        let mut bytes = [value; note::MAX_LEN];
        bytes[note::LENGTH_OFFSET] = length as u8;
        poster.post(Note::new(&bytes[..length]).ok_or(Full)?, overflow)
    }

    /// Reads all messages that are there, and returns how many there were and how many of their
    /// bytes were `value`.
    fn read(poster: &mut Poster, reader: &mut Reader, value: u8) -> (u32, usize) {
        let Next::Notes(batch) = reader.next(usize::MAX) else {
            return (0, 0);
        };
        let (first, second) = batch.pieces();
        let right = first.iter().chain(second).filter(|&&byte| byte == value);
        let (notes, right) = (batch.span().notes(), right.count());
        batch.consume(poster);
        (notes, right)
    }

    #[test]
    fn a_ring_in_kernel_memory_wraps() {
        let (mut poster, mut reader) = split(32).expect("memory for a ring");
        let overflow = Overflow::new();
        for round in 1..200_u8 {
            // 7 times 93 bytes: neither divides the size.
            for _ in 0..7 {
                assert!(post(&mut poster, &overflow, 93, round) == Ok(()));
            }
            // All bytes are of that value but those that hold the length.
            let (notes, right) = read(&mut poster, &mut reader, round);
            assert_eq!(notes, 7);
            assert!(right == 7 * 92 || round == 93);
        }
    }

    #[test]
    fn a_full_ring_counts_what_it_loses() {
        let (mut poster, mut reader) = split(32).expect("memory for a ring");
        let overflow = Overflow::new();
        for _ in 0..32 {
            assert!(post(&mut poster, &overflow, note::MAX_LEN, 1) == Ok(()));
        }
        assert!(poster.is_full());
        assert!(!overflow.is_on());
        assert!(post(&mut poster, &overflow, 8, 1) == Err(Full));
        assert!(post(&mut poster, &overflow, 8, 1) == Err(Full));
        for _ in 0..3 {
            assert!(overflow.is_on());
            assert!(overflow.count() == Counted::Lost);
        }
        poster.settle(&overflow);
        assert!(!overflow.is_on());
        assert_eq!(read(&mut poster, &mut reader, 1).0, 32);
        assert_eq!(poster.pending_loss(), 5);
        let totals = Totals {
            delivered: 32,
            lost: 5,
        };
        assert!(poster.totals() == totals);
        assert!(post(&mut poster, &overflow, 8, 1) == Ok(()));
        assert!(reader.next(100) == Next::Loss(5));
        reader.report_loss(&mut poster, 5);
        assert_eq!(read(&mut poster, &mut reader, 1).0, 1);
        assert!(!poster.is_readable());
        let totals = Totals {
            delivered: 33,
            lost: 5,
        };
        assert!(poster.totals() == totals);
    }
}
