"""The memory of past latents: what it keeps, at which resolution, for how long, and that a wipe erases it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from glasses.memory.latent_memory import (
    TIERS,
    LatentMemory,
    PastReplies,
    PastReply,
    Tier,
    pool,
    tiers_within,
)
from glasses.memory.policy import MemoryPolicy
from glasses.runtime.modalities import memory_policies
from glasses.types import NS_PER_S, Latents, Modality


def window(
    t_s: float, *, seconds: float = 2.0, rate: int = 50, width: int = 8, modality: Modality = "sound"
) -> Latents:
    """Every row holds the second in which it was heard, counted from the window's first."""
    n = int(seconds * rate)
    rows = np.repeat(np.arange(n)[:, None] / rate, width, axis=1).astype(np.float32)
    return Latents(int(t_s * NS_PER_S), int(seconds * NS_PER_S), modality, rows, "encoder:1")


def picture(t_s: float) -> Latents:
    return Latents(int(t_s * NS_PER_S), 0, "image", np.full((49, 16), t_s, np.float32), "eye:1")


def filled(seconds: int) -> LatentMemory:
    memory = LatentMemory(memory_policies())
    for t_s in range(0, seconds, 2):
        memory.remember(window(t_s))
        memory.remember(picture(t_s + 1))
    return memory


def test_latent_memory_recent_sound_comes_back_within_half_precision() -> None:
    memory = LatentMemory(memory_policies())
    memory.remember(window(10))
    memory.remember(window(12))
    (got,) = memory.recall("sound", 20 * NS_PER_S)
    assert (got.t_ns, got.duration_ns, got.modality, got.space) == (10 * NS_PER_S, 4 * NS_PER_S, "sound", "encoder:1")
    assert got.data.shape == (200, 8)
    assert np.abs(got.data[:, 0] - np.tile(np.arange(100) / 50, 2)).max() < 0.001
    assert not got.data.flags.writeable


def test_latent_memory_older_sound_is_coarser_and_older_pictures_fewer() -> None:
    memory, newest_s = filled(1700), 1700
    for age_s, worst in ((30, 0.001), (200, 0.05), (1500, 0.5)):  # half of the time that became one latent
        at_ns = (newest_s - age_s) * NS_PER_S
        (got, *_) = memory.between(at_ns, at_ns + 1, modality="sound")
        error = np.abs(got.data[:, 0] - np.arange(100) / 50).max()
        assert worst / 10 <= error + 0.001 <= worst + 0.002
    ages_s = [newest_s - one.t_ns // NS_PER_S for one in memory.between(0, newest_s * NS_PER_S, modality="image")]
    for (younger_s, older_s), gap_s in (((0, 58), 2), ((64, 296), 10), ((310, 1700), 60)):
        inside = [age_s for age_s in ages_s if younger_s <= age_s <= older_s]
        assert len(inside) > 3
        assert {before - after for before, after in itertools.pairwise(inside)} == {gap_s}


def test_latent_memory_is_bounded_in_time_and_in_bytes() -> None:
    memory = filled(4000)
    assert memory.span_ns is not None
    assert memory.span_ns[0] >= (4000 - TIERS[-1].until_s - 4) * NS_PER_S
    held = memory.n_bytes
    assert filled(8000).n_bytes <= 1.02 * held
    small = LatentMemory(memory_policies(), max_bytes=10_000)
    for t_s in range(0, 400, 2):
        small.remember(window(t_s))
        assert small.n_bytes <= 10_000
    assert small.span_ns is not None
    assert small.span_ns[1] == 400 * NS_PER_S, "the oldest goes, never the newest"


def test_latent_memory_last_sound_skips_speech_and_ends_at_silence() -> None:
    memory = LatentMemory(memory_policies())
    memory.remember(window(0))
    memory.remember(window(10))
    memory.remember(window(12), talk=True)
    (got,) = memory.recall("sound", 20 * NS_PER_S)
    assert (got.t_ns, got.duration_ns) == (10 * NS_PER_S, 2 * NS_PER_S)
    assert memory.recall("sound", 9 * NS_PER_S)
    assert memory.recall("sound", 100 * NS_PER_S, within_s=30) == ()
    assert memory.recall("sound", 1) == ()


def test_latent_memory_last_sound_is_of_one_encoder_and_bounded() -> None:
    memory = LatentMemory(memory_policies())
    memory.remember(window(0))
    newer = window(2)
    memory.remember(Latents(newer.t_ns, newer.duration_ns, "sound", newer.data, "encoder:2"))
    (got,) = memory.recall("sound", 9 * NS_PER_S)
    assert (got.space, got.t_ns) == ("encoder:2", 2 * NS_PER_S)
    steady = filled(60)
    (long,) = steady.recall("sound", 60 * NS_PER_S)
    assert long.duration_ns == 10 * NS_PER_S


def test_latent_memory_recall_is_by_the_policies_of_the_modalities() -> None:
    """A modality that none of the code knows by name is kept and recalled as its policy says."""
    policies = {"radar": MemoryPolicy("views", "thinned", "picture"), "audio": MemoryPolicy()}
    memory = LatentMemory(policies, tiers=(Tier(10, 50, 0), Tier(100, 50, 20)))
    for t_s in range(0, 60, 2):
        memory.remember(replace(picture(t_s), modality="radar"))
        memory.remember(window(t_s, modality="audio"))
    (last,) = memory.recall("picture", 60 * NS_PER_S)
    assert (last.modality, last.t_ns) == ("radar", 58 * NS_PER_S)
    assert memory.recall("sound", 60 * NS_PER_S) == memory.recall("", 60 * NS_PER_S) == ()
    old = [one.t_ns // NS_PER_S for one in memory.between(0, 45 * NS_PER_S, modality="radar")]
    assert old == [0, 20, 40]


def test_latent_memory_last_picture_is_the_newest_within_the_time() -> None:
    memory = filled(20)
    (got,) = memory.recall("picture", 12 * NS_PER_S)
    assert got.t_ns == 11 * NS_PER_S
    assert got.data.shape == (49, 16)
    assert memory.recall("picture", 200 * NS_PER_S, within_s=60) == ()


def test_latent_memory_wipe_overwrites_what_it_drops() -> None:
    memory = filled(400)
    held = [kept.data for tier in memory._kept for kept in tier]
    assert any(data.any() for data in held)
    assert memory.wipe() == len(held)
    assert not any(data.any() for data in held)
    assert (memory.n_bytes, memory.span_ns, memory.recall("sound", 400 * NS_PER_S)) == (0, None, ())


def test_latent_memory_wipe_of_a_time_span_keeps_the_rest() -> None:
    memory = filled(40)
    memory.wipe(from_ns=11 * NS_PER_S, to_ns=19 * NS_PER_S)
    left = [one.t_ns // NS_PER_S for one in memory.between(0, 40 * NS_PER_S, modality="sound")]
    assert left == [0, 2, 4, 6, 8, *range(20, 40, 2)]


def test_pool_rows_left_over_keep_their_mean() -> None:
    rows = np.arange(7, dtype=np.float16)[:, None].repeat(2, axis=1)
    assert pool(rows, 3)[:, 0].tolist() == [1.0, 4.0, 6.0]


def test_latent_memory_single_tier_is_enough() -> None:
    memory = LatentMemory(memory_policies(), tiers=(Tier(10, 50, 0),))
    for t_s in range(0, 100, 2):
        memory.remember(window(t_s))
    assert memory.span_ns is not None
    assert memory.span_ns[0] >= 86 * NS_PER_S


@pytest.mark.parametrize(
    ("longest_s", "until_s"), [(30, [30]), (60, [60]), (61, [60, 61]), (600, [60, 300, 600]), (1800, [60, 300, 1800])]
)
def test_tiers_within_a_chosen_time_end_there(longest_s: float, until_s: list[float]) -> None:
    tiers = tiers_within(longest_s)
    assert [tier.until_s for tier in tiers] == until_s
    memory = LatentMemory(memory_policies(), tiers=tiers)
    for t_s in range(0, 3600, 10):
        memory.remember(window(t_s))
    assert memory.span_ns is not None
    assert (memory.span_ns[1] - memory.span_ns[0]) / NS_PER_S <= longest_s + 12


def test_past_replies_are_bounded_and_wiped() -> None:
    replies = PastReplies(3)
    for i in range(5):
        replies.add(PastReply(i, i, str(i)))
    assert [one.text for one in replies.last(2)] == ["3", "4"]
    assert len(replies.last(99)) == 3
    replies.wipe()
    assert replies.last() == []
