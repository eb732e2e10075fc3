"""Sequence numbers, acknowledgement, credit, order, time-outs: one channel against another, without a wire."""

from __future__ import annotations

import random

from firmware_bridge.channel import FIRST_CREDIT, Pace, ReceiveChannel, RoundTrip, SendChannel
from firmware_bridge.protocol import MAX_WINDOW

RTO_US = 100_000


def drain(sender: SendChannel, now_us: int) -> list[tuple[int, bytes, bool]]:
    due = []
    while (taken := sender.take_due(now_us, RTO_US)) is not None:
        due.append(taken)
    return due


def test_send_channel_sends_no_more_than_the_credit() -> None:
    sender = SendChannel(100)
    assert all(sender.push(b"%d" % i) for i in range(60))
    assert len(drain(sender, 0)) == FIRST_CREDIT
    sender.acknowledge(0, 20, 0, 0)
    assert len(drain(sender, 0)) == 20 - FIRST_CREDIT
    sender.acknowledge(0, 65535, 0, 0)  # credit beyond any window is not believed
    assert drain(sender, 0) == []


def test_send_channel_full_queue_refuses_a_message() -> None:
    sender = SendChannel(3)
    assert [sender.push(b"x") for _ in range(4)] == [True, True, True, False]
    drain(sender, 0)
    assert not sender.push(b"x")  # in flight is still a promise
    sender.acknowledge(2, 10, 0, 0)
    assert sender.pending == 1
    assert sender.push(b"x")


def test_send_channel_resends_only_what_is_missing() -> None:
    sender = SendChannel(100)
    for i in range(4):
        sender.push(b"%d" % i)
    assert [seq for seq, _, again in drain(sender, 0) if not again] == [0, 1, 2, 3]
    sender.acknowledge(1, 30, 0b10, 10)  # 0 arrived, and 3
    assert drain(sender, RTO_US - 1) == []
    assert [(seq, again) for seq, _, again in drain(sender, RTO_US)] == [(1, True), (2, True)]
    assert drain(sender, 2 * RTO_US - 1) == []  # the wait grows from the second time on
    assert sender.wake_us() == 2 * RTO_US


def test_send_channel_old_and_impossible_acknowledgements_change_nothing() -> None:
    sender = SendChannel(100)
    for i in range(4):
        sender.push(b"%d" % i)
    drain(sender, 0)
    assert sender.acknowledge(3, 30, 0, 0)
    assert not sender.acknowledge(1, 30, 0, 0)
    assert not sender.acknowledge(9, 30, 0, 0)
    assert sender.pending == 1


def test_receive_channel_restores_order_and_delivers_each_once() -> None:
    receiver = ReceiveChannel()
    receiver.acknowledgement()
    assert receiver.accept(1, b"b", 5, 0) == []
    assert receiver.ack_due_us == 0  # out of order: the sender is told at once
    assert receiver.acknowledgement() == (0, MAX_WINDOW, 1, 5)
    assert receiver.accept(1, b"b", 6, 0) is None
    assert receiver.accept(0, b"a", 7, 0) == [b"a", b"b"]
    assert receiver.accept(0, b"a", 8, 0) is None
    assert receiver.acknowledgement()[0] == 2


def test_receive_channel_message_not_taken_gives_no_credit() -> None:
    receiver = ReceiveChannel()
    for seq in range(MAX_WINDOW):
        assert receiver.accept(seq, b"x", 0, 0) == [b"x"]
    next_seq, limit, _, _ = receiver.acknowledgement()
    assert limit == next_seq == MAX_WINDOW
    assert receiver.accept(MAX_WINDOW, b"x", 0, 0) is None
    for _ in range(MAX_WINDOW // 2):
        receiver.taken()
    assert receiver.ack_due_us == 0
    assert receiver.acknowledgement()[1] == MAX_WINDOW + MAX_WINDOW // 2


def test_receive_channel_in_order_frames_share_an_acknowledgement() -> None:
    receiver = ReceiveChannel()
    receiver.acknowledgement()
    for seq in range(3):
        receiver.accept(seq, b"x", 100 + seq, 1000 * seq)
    assert receiver.ack_due_us == 10_000
    receiver.accept(3, b"x", 103, 3000)
    assert receiver.ack_due_us == 0
    assert receiver.acknowledgement()[3] == 100  # the echo of the one that waited longest


def test_channel_sequence_numbers_wrap_without_loss() -> None:
    rng = random.Random(3)
    sender, receiver = SendChannel(40), ReceiveChannel()
    sent = got = now_us = 0
    while got < 70_000:
        while sender.push(sent.to_bytes(4, "little")):
            sent += 1
        for seq, message, _ in drain(sender, now_us):
            if rng.random() < 0.9:
                for ready in receiver.accept(seq, message, 0, now_us) or []:
                    assert int.from_bytes(ready, "little") == got
                    got += 1
                    receiver.taken()
        next_seq, limit, mask, _ = receiver.acknowledgement()
        sender.acknowledge(next_seq, limit, mask, now_us)
        now_us += RTO_US
    assert got > 1 << 16


def test_send_channel_reset_by_a_restarted_peer_counts_what_is_lost() -> None:
    sender = SendChannel(100)
    for _ in range(6):
        sender.push(b"x")
    drain(sender, 0)
    assert sender.reset() == 6
    assert sender.pending == 0


def test_round_trip_time_out_follows_the_samples() -> None:
    round_trip = RoundTrip()
    for _ in range(50):
        round_trip.add(200_000)
    assert 200_000 <= round_trip.rto_us < 240_000
    for sample in (150_000, 300_000) * 20:
        round_trip.add(sample)
    assert round_trip.rto_us > 350_000


def test_pace_slows_down_for_a_growing_queue_and_not_for_noise() -> None:
    round_trip = RoundTrip()
    pace = Pace(round_trip)
    round_trip.add(20_000)
    for at in range(100):
        pace.arrived(8, at * 20_000)
    grown = pace.frames
    assert grown == MAX_WINDOW
    pace.lost(3_000_000)
    assert pace.frames == grown
    for _ in range(40):
        round_trip.add(500_000)
    for at in range(100):
        pace.arrived(1, 4_000_000 + at * 600_000)
    assert pace.frames == 4
