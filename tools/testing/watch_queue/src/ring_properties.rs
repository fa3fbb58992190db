// SPDX-License-Identifier: GPL-2.0

//! The ring against its model, with random and with chosen input.

use crate::{
    note::{self, Note, MAX_LEN, MAX_LOST, MIN_LEN},
    overflow::{Counted, Overflow},
    ring::{split, Next, Poster},
    ring_model::{check, count, message, Step},
};
use proptest::prelude::*;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (MIN_LEN..=MAX_LEN).prop_map(Step::Post),
        3 => prop_oneof![Just(0), 1..300_usize, Just(100_000)].prop_map(Step::Read),
        1 => (0..2000_usize, 0..2000_usize).prop_map(|(room, copied)| Step::Fault(room, copied)),
        1 => (0..3_u32).prop_map(Step::ReadLossWhilePosting),
        1 => (1..4_u16).prop_map(Step::ReadPartOfLoss),
        1 => prop_oneof![65_530..65_540_u32, 0..500_000_u32].prop_map(Step::LoseMore),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_ring_is_like_the_model(
        capacity in 1..6_u32,
        steps in prop::collection::vec(step(), 0..400),
    ) {
        check(capacity, &steps);
    }

    #[test]
    fn a_loss_is_divided_into_records(
        lost in prop_oneof![0..200_000_u64, any::<u32>().prop_map(u64::from), any::<u64>()],
    ) {
        prop_assert_eq!(note::records(lost), lost.div_ceil(MAX_LOST.into()));
    }
}

#[test]
fn ten_million_posts_into_a_full_ring_add_up() {
    const POSTS: u64 = 10_000_000;
    let (mut poster, mut reader) = split(32).unwrap();
    let overflow = Overflow::new();
    let bytes = message(MIN_LEN, 1);
    let note = Note::new(&bytes).unwrap();
    for _ in 0..POSTS {
        if !count(&overflow, &mut poster) {
            let _ = poster.post(note, &overflow);
        }
    }
    poster.settle(&overflow);

    let (mut received, mut lost, mut records) = (0, 0, 0);
    while poster.is_readable() {
        let unread = poster.pending_bytes();
        match reader.next(usize::MAX) {
            Next::Notes(batch) => {
                received += u64::from(batch.span().notes());
                batch.consume(&mut poster);
                // What is lost is sealed half of the time.
                poster.post(note, &overflow).unwrap();
            }
            Next::Loss(some) => {
                reader.report_loss(&mut poster, some);
                (lost, records) = (lost + u64::from(some), records + 1);
                assert_eq!(poster.pending_bytes(), unread - MIN_LEN as u64);
            }
            other => panic!("{other:?}"),
        }
        if records == 153 {
            break;
        }
    }
    assert_eq!((received, lost, records), (32, POSTS - 32, 153));
    // The message that sealed it.
    assert_eq!(poster.pending_bytes(), MIN_LEN as u64);
}

#[test]
fn a_ring_holds_as_many_of_the_longest_messages_as_it_was_made_for() {
    // The model knows how many that are, and that 8 are lost each time.
    let mut round = vec![Step::Post(MAX_LEN); 40];
    round.extend([Step::Read(100_000), Step::Read(100_000)]);
    check(32, &round.repeat(100));
}

#[test]
fn a_mark_is_passed_when_what_was_in_front_of_it_has_been_read() {
    let (mut poster, mut reader) = split(2).unwrap();
    let overflow = Overflow::new();
    let post = |poster: &mut Poster| {
        let _ = poster.post(Note::new(&message(8, 1)).unwrap(), &overflow);
        poster.settle(&overflow);
        poster.mark()
    };
    let mut read = |poster: &mut Poster| match reader.next(8) {
        Next::Notes(batch) => {
            batch.consume(poster);
        }
        Next::Loss(lost) => reader.report_loss(poster, lost),
        Next::Nothing => reader.report_loss(poster, poster.pending_loss()),
        Next::TooLarge => unreachable!(),
    };

    let nothing = poster.mark();
    assert!(poster.is_past(&nothing));
    let first = post(&mut poster);
    let second = post(&mut poster);
    assert!(poster.is_past(&nothing) && !poster.is_past(&first));
    let loss = post(&mut poster);
    read(&mut poster);
    assert!(poster.is_past(&first) && !poster.is_past(&second));
    read(&mut poster);
    assert!(poster.is_past(&second) && !poster.is_past(&loss));
    // This seals the loss.
    let behind = post(&mut poster);
    assert!(!poster.is_past(&loss));
    read(&mut poster);
    assert!(!poster.is_past(&behind));
    read(&mut poster);
    assert!(poster.is_past(&loss) && poster.is_past(&behind));
    // This one is not sealed.
    post(&mut poster);
    post(&mut poster);
    let pending = post(&mut poster);
    read(&mut poster);
    read(&mut poster);
    assert!(!poster.is_past(&pending));
    read(&mut poster);
    assert!(poster.is_past(&pending));
}

#[test]
fn a_mark_behind_a_loss_is_passed_although_more_is_lost() {
    let bytes = message(MIN_LEN, 1);
    let overflow = Overflow::new();
    let lose = |poster: &mut Poster| {
        let _ = poster.post(Note::new(&bytes).unwrap(), &overflow);
        poster.settle(&overflow);
        poster.mark()
    };
    // Without a ring, and with one that inherits what was lost and read before.
    let mut before = Poster::unsized_yet();
    lose(&mut before);
    let second = lose(&mut before);
    lose(&mut before);
    before.report_pending_loss(1);
    assert!(!before.is_past(&second));
    before.report_pending_loss(1);
    assert!(before.is_past(&second) && before.is_readable());

    let (mut poster, mut reader) = split(1).unwrap();
    let third = before.mark();
    poster.inherit(&before);
    assert!(poster.is_past(&second) && !poster.is_past(&third));
    poster.report_pending_loss(1);
    assert!(poster.is_past(&third) && !poster.is_readable());
    let message = lose(&mut poster);
    let pending = lose(&mut poster);
    lose(&mut poster);
    let Next::Notes(batch) = reader.next(100) else {
        panic!("no message");
    };
    assert!(!poster.is_past(&message));
    batch.consume(&mut poster);
    assert!(poster.is_past(&message) && !poster.is_past(&pending));
    reader.report_loss(&mut poster, 1);
    assert!(poster.is_past(&pending) && poster.is_readable());
}

#[test]
fn without_a_ring_everything_is_lost_and_the_next_ring_inherits_that() {
    let mut before = Poster::unsized_yet();
    let bytes = message(16, 1);
    for _ in 0..3 {
        assert!(before
            .post(Note::new(&bytes).unwrap(), &Overflow::new())
            .is_err());
    }
    assert!(before.is_readable());
    assert_eq!(before.pending_loss(), 3);

    let (mut poster, mut reader) = split(2).unwrap();
    poster.inherit(&before);
    assert!(poster
        .post(Note::new(&bytes).unwrap(), &Overflow::new())
        .is_ok());
    assert_eq!(reader.next(100), Next::Loss(3));
    reader.report_loss(&mut poster, 3);
    assert!(matches!(reader.next(100), Next::Notes(_)));
}

#[test]
fn a_reader_gives_nothing_back_to_the_poster_of_another_ring() {
    let (mut one, mut reader) = split(2).unwrap();
    let (mut other, _) = split(2).unwrap();
    let bytes = message(16, 1);
    one.post(Note::new(&bytes).unwrap(), &Overflow::new())
        .unwrap();
    other
        .post(Note::new(&bytes).unwrap(), &Overflow::new())
        .unwrap();
    let Next::Notes(batch) = reader.next(100) else {
        panic!("no message");
    };
    assert!(!batch.consume(&mut other));
    assert_eq!((one.queued(), other.queued()), (1, 1));
    assert!(matches!(reader.next(100), Next::Notes(_)));
}

#[test]
fn places_wrap_around_at_every_remainder_of_bytes() {
    for length in MIN_LEN..=MAX_LEN {
        let steps: Vec<_> = (0..200)
            .flat_map(|round| {
                let post = Step::Post(length);
                let read = Step::Read(if round % 3 == 0 { 0 } else { 1000 });
                [post, read]
            })
            .collect();
        let wraps = check(3, &steps);
        assert_eq!((wraps.messages, wraps.bytes), (1, 1), "{length} bytes each");
    }
}

#[test]
fn a_ring_goes_round_many_times() {
    let steps: Vec<_> = (0..20_000)
        .flat_map(|round| {
            let post = Step::Post(MIN_LEN + round % (MAX_LEN - MIN_LEN + 1));
            let read = Step::Read(if round % 3 == 0 { 0 } else { 1000 });
            [post, read]
        })
        .collect();
    check(3, &steps);
}

#[test]
fn the_number_of_lost_messages_grows_beyond_32_bits() {
    const MAX: u64 = u32::MAX as u64;

    let bytes = message(MIN_LEN, 1);
    let note = Note::new(&bytes).unwrap();
    let overflow = Overflow::new();

    // One by one, without a ring.
    let mut before = Poster::unsized_yet();
    before.pretend_lost(MAX - 1);
    for more in 0..3 {
        assert!(before.post(note, &overflow).is_err());
        assert_eq!(before.lost(), MAX + more);
    }

    // By what a ring inherits.
    let (mut poster, _reader) = split(1).unwrap();
    poster.pretend_lost(7);
    poster.inherit(&before);
    assert_eq!(poster.lost(), MAX + 9);

    // By what was counted without the lock.
    let (mut poster, _reader) = split(1).unwrap();
    poster.post(note, &overflow).unwrap();
    poster.post(note, &overflow).unwrap_err();
    assert!(overflow.count().is_lost());
    assert!(overflow.count().is_lost());
    poster.pretend_lost(MAX - 1);
    poster.settle(&overflow);
    assert_eq!(poster.lost(), MAX + 1);
    assert_eq!(poster.totals().lost, MAX + 1);
}

#[test]
fn what_a_record_does_not_hold_of_a_sealed_loss_stays() {
    let (mut poster, mut reader) = split(1).unwrap();
    let overflow = Overflow::new();
    let bytes = message(MIN_LEN, 1);
    let note = Note::new(&bytes).unwrap();
    poster.pretend_lost(100_000);
    poster.post(note, &overflow).unwrap();
    assert_eq!(poster.pending_bytes(), 3 * MIN_LEN as u64);
    assert_eq!(reader.next(100), Next::Loss(65_535));
    reader.report_loss(&mut poster, 65_535);
    assert_eq!(poster.pending_bytes(), 2 * MIN_LEN as u64);
    assert_eq!(reader.next(100), Next::Loss(34_465));
    reader.report_loss(&mut poster, 34_465);
    assert_eq!(poster.pending_bytes(), MIN_LEN as u64);
    assert!(matches!(reader.next(100), Next::Notes(_)));
}

#[test]
fn losses_that_take_no_lock_are_counted_to_the_last() {
    let overflow = Overflow::new();
    assert!(!overflow.is_on());
    assert_eq!(overflow.count(), Counted::TooLate);
    assert_eq!(overflow.end(), 0);
    overflow.begin();
    assert!(overflow.is_on());
    assert_eq!(overflow.end(), 0);
    assert!(!overflow.is_on());
    overflow.begin();
    let counted: Vec<_> = (0..4).map(|_| overflow.count()).collect();
    // There is an end to it, and whoever gets there has to take the lock.
    let (lost, many) = (Counted::Lost, Counted::LostAndMustSettle);
    assert_eq!(counted, [lost, lost, many, many]);
    assert_eq!(overflow.end(), 4);
    assert_eq!(overflow.end(), 0);
    assert_eq!(overflow.count(), Counted::TooLate);
}

#[test]
fn spans_add_up_in_messages_and_in_bytes() {
    let (mut poster, mut reader) = split(2).unwrap();
    for length in [MIN_LEN, MAX_LEN] {
        let bytes = message(length, 1);
        let note = Note::new(&bytes).unwrap();
        poster.post(note, &Overflow::new()).unwrap();
    }
    let [one, two] = [MIN_LEN, 1000].map(|room| match reader.next(room) {
        Next::Notes(batch) => batch.span(),
        _ => panic!("no messages"),
    });
    let both = one.and(two);
    assert_eq!((both.notes(), both.bytes()), (3, 2 * MIN_LEN + MAX_LEN));
}
