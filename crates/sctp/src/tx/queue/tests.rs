use std::time::Duration;

use super::*;

fn options() -> WriteOptions {
    WriteOptions { ppid: 53, ..WriteOptions::default() }
}

#[test]
fn messages_are_cut_by_the_room_and_streams_take_turns() {
    let now = Instant::now();
    let mut queue = SendQueue::new(Scheduler::RoundRobin);
    queue.push(now, 1, &options(), Bytes::from(vec![1; 1500]));
    queue.push(now, 1, &options(), Bytes::from(vec![2; 10]));
    queue.push(now, 2, &options(), Bytes::from(vec![3; 10]));
    assert_eq!(queue.peek(now, 1000), Some(1000));
    let first = queue.take(1000, 0).unwrap();
    assert!(first.flags.is_begin() && !first.flags.is_end());
    assert_eq!(queue.peek(now, FRAGMENT_MIN - 1), None, "500 octets are left: not worth a cut");
    assert_eq!(queue.peek(now, 1000), Some(500));
    assert!(queue.take(500, 0).unwrap().flags.is_end());
    queue.peek(now, 1000);
    assert_eq!(queue.take(10, 0).unwrap().stream, 2, "the other stream has its turn");
    queue.peek(now, 1000);
    let last = queue.take(10, 0).unwrap();
    assert_eq!((last.stream, last.number), (1, 1));
    assert!(queue.is_empty() && queue.octets() == 0);
}

#[test]
fn a_fall_is_named_once() {
    let now = Instant::now();
    let mut queue = SendQueue::new(Scheduler::RoundRobin);
    queue.push(now, 1, &options(), Bytes::from(vec![0; 1000]));
    assert_eq!(queue.poll_fallen(), None);
    queue.peek(now, 600);
    queue.take(600, 0);
    queue.peek(now, 600);
    queue.take(400, 0);
    assert_eq!((queue.buffered(1), queue.poll_fallen(), queue.poll_fallen()), (0, Some(1), None));
}

#[test]
fn an_expired_message_is_dropped_whole() {
    let now = Instant::now();
    let mut queue = SendQueue::new(Scheduler::RoundRobin);
    let life = Duration::from_millis(10);
    let options = WriteOptions { reliability: Reliability::MaxLifetime(life), ..options() };
    queue.push(now, 1, &options, Bytes::from_static(b"late"));
    assert_eq!(queue.peek(now + life, 1000), None);
    assert_eq!((queue.dropped(), queue.buffered(1), queue.is_empty()), (1, 0, true));
}

#[test]
fn the_number_of_tiny_messages_is_bounded() {
    let mut queue = SendQueue::new(Scheduler::RoundRobin);
    let mut taken = 0;
    while queue.has_room(1, 1, 64_000) {
        queue.push(Instant::now(), 1, &options(), Bytes::from_static(b"x"));
        taken += 1;
    }
    assert!(taken <= 1_250, "{taken}");
}

fn interleaved(window: usize) -> SendQueue {
    let mut queue = SendQueue::new(Scheduler::RoundRobin);
    queue.start(Format::Interleaved, window);
    queue
}

/// The streams of the next pieces.
fn turns(queue: &mut SendQueue, count: usize) -> Vec<u16> {
    let now = Instant::now();
    let next = |_| Some(queue.peek(now, 1000)?).and_then(|length| queue.take(length, 0)).map(|p| p.stream);
    (0..count).map_while(next).collect()
}

#[test]
fn pieces_of_different_streams_are_mixed() {
    let mut queue = interleaved(100_000);
    queue.push(Instant::now(), 1, &options(), Bytes::from(vec![1; 3000]));
    queue.push(Instant::now(), 2, &options(), Bytes::from(vec![2; 3000]));
    assert_eq!(turns(&mut queue, 9), [1, 2, 1, 2, 1, 2]);
    assert!(queue.is_empty());
}

#[test]
fn no_more_is_begun_than_the_other_side_can_hold() {
    let mut queue = interleaved(20_000);
    // Two large ones; then as many small ones as half of the window holds.
    for stream in [1, 2] {
        queue.push(Instant::now(), stream, &options(), Bytes::from(vec![0; 10_000]));
    }
    for stream in [3, 4, 5] {
        queue.push(Instant::now(), stream, &options(), Bytes::from(vec![0; 4_000]));
    }
    queue.push(Instant::now(), 6, &options(), Bytes::from(vec![0; 100]));
    let order = turns(&mut queue, 100);
    let first = |stream| order.iter().position(|&s| s == stream).unwrap();
    let last = |stream| order.iter().rposition(|&s| s == stream).unwrap();
    assert!(first(2) > last(1), "{order:?}");
    assert!(first(5) > last(3).min(last(4)) && first(4) < last(3), "{order:?}");
    assert!(first(6) < 6, "what fits into one packet always goes: {order:?}");
    assert!(queue.is_empty() && queue.begun == 0 && !queue.begun_large);
}

#[test]
fn a_message_in_parts_goes_in_full_pieces_until_its_end_is_known() {
    let now = Instant::now();
    for format in [Format::Data, Format::Interleaved] {
        let mut queue = SendQueue::new(Scheduler::RoundRobin);
        queue.start(format, 100_000);
        queue.begin(now, 1, &options());
        assert_eq!((queue.peek(now, 1000), queue.is_unfinished(1)), (None, true));
        queue.append(1, Bytes::from(vec![1; 1000]));
        assert_eq!(queue.peek(now, 1000), None, "it may be the last");
        queue.append(1, Bytes::from(vec![2; 1500]));
        for _ in 0..2 {
            assert_eq!(queue.peek(now, 1000), Some(1000));
            let piece = queue.take(1000, 0).unwrap();
            assert!(!piece.flags.is_end());
        }
        assert_eq!(queue.peek(now, 1000), None);
        queue.push(now, 2, &options(), Bytes::from_static(b"other"));
        let interrupts = format == Format::Interleaved;
        assert_eq!(queue.peek(now, 1000), interrupts.then_some(5), "{format:?}");
        assert!(queue.finish(1));
        while let Some(length) = queue.peek(now, 1000) {
            let piece = queue.take(length, 0).unwrap();
            assert!(piece.flags.is_end() && (piece.stream == 2 || piece.fsn == 2));
        }
        assert!(queue.is_empty() && queue.is_idle() && !queue.is_unfinished(1));
    }
}

#[test]
fn a_message_in_parts_can_be_given_up_before_and_after_its_start() {
    let now = Instant::now();
    let mut queue = interleaved(100_000);
    queue.begin(now, 1, &options());
    assert!(!queue.finish(1), "there are no empty messages");
    queue.append(1, Bytes::from_static(b"part"));
    assert!(queue.cancel(1).is_none() && queue.is_empty());
    queue.begin(now, 1, &options());
    queue.append(1, Bytes::from(vec![1; 1500]));
    assert_eq!(queue.peek(now, 1000), Some(1000));
    queue.take(1000, 77);
    let last = queue.cancel(1).unwrap();
    assert_eq!((last.number, last.fsn, last.previous, last.flags.is_end()), (0, 1, 77, true));
    assert!(queue.is_empty() && !queue.begun_large);
    queue.push(now, 1, &options(), Bytes::from_static(b"next"));
    queue.peek(now, 1000);
    assert_eq!(queue.take(4, 78).unwrap().number, 1);
}

#[test]
fn a_full_buffer_leaves_room_for_small_messages_of_other_streams() {
    let now = Instant::now();
    let mut queue = SendQueue::new(Scheduler::RoundRobin);
    let limit = 1 << 20;
    queue.push(now, 1, &options(), Bytes::from(vec![0; limit]));
    assert!(!queue.has_room(1, 100, limit));
    assert!(queue.has_room(2, 100, limit));
    let mut streams = 0;
    while queue.has_room(2 + streams, 50_000, limit) {
        queue.push(now, 2 + streams, &options(), Bytes::from(vec![0; 50_000]));
        streams += 1;
    }
    assert!((1..=5).contains(&streams), "{streams}");
}
