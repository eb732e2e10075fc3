"""The echo suppressor in a simulated room, and the clock that places its two streams."""

from __future__ import annotations

import numpy as np

from firmware_bridge.sample_clock import SampleClock
from glasses.assistant.turn_manager import CONFIRM_STEPS
from glasses.audio.echo_canceller import EchoSuppressor
from glasses.audio.vad import STEP
from glasses.types import SAMPLE_RATE_HZ, AudioChunk

_CHUNK = SAMPLE_RATE_HZ // 50
_START_NS = 10**12


def voice_like(seconds: float, seed: int) -> np.ndarray:
    """Noise with the band and the syllables of a voice, float (N,), peak 0.5."""
    rng = np.random.default_rng(seed)
    n = int(seconds * SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ)
    spectrum[(hz < 150) | (hz > 4000)] = 0
    pcm = np.fft.irfft(spectrum, n) * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * np.arange(n) / SAMPLE_RATE_HZ + seed))
    return 0.5 * pcm / np.abs(pcm).max()


def reverberated(pcm: np.ndarray, delay_ms: int) -> np.ndarray:
    rng = np.random.default_rng(9)
    path = 0.15 * rng.standard_normal(800) * np.exp(-np.arange(800) / 120)
    path[0] = 1
    delayed = np.concatenate([np.zeros(delay_ms * SAMPLE_RATE_HZ // 1000), pcm])[: len(pcm)]
    return np.convolve(delayed, path)[: len(pcm)]


def through(gate: EchoSuppressor, played: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, list[bool]]:
    out, own = [], []
    far, mic = ((np.clip(x, -1, 1) * 32767).astype(np.int16) for x in (played, near))
    for i in range(0, len(mic) - _CHUNK + 1, _CHUNK):
        t_ns = _START_NS + i * 1_000_000_000 // SAMPLE_RATE_HZ
        gate.played([(t_ns, far[i : i + _CHUNK])])
        out.append(gate.clean(AudioChunk(t_ns, i, mic[i : i + _CHUNK], SAMPLE_RATE_HZ)).pcm)
        own.append(gate.own_voice())
    return np.concatenate(out).astype(float), own


def test_echo_suppressor_own_voice_is_removed_and_another_stays() -> None:
    played, wearer = voice_like(12, 1), voice_like(12, 2)
    wearer[: 8 * SAMPLE_RATE_HZ] = 0
    near = 0.5 * reverberated(played, 90) + wearer
    out, _ = through(EchoSuppressor(SAMPLE_RATE_HZ), played, near)
    echo_db = 10 * np.log10(
        (out[4 * SAMPLE_RATE_HZ : 8 * SAMPLE_RATE_HZ] ** 2).mean()
        / (32767**2 * (near**2)[4 * SAMPLE_RATE_HZ : 8 * SAMPLE_RATE_HZ].mean())
    )
    assert echo_db < -20
    said = 32767 * wearer[9 * SAMPLE_RATE_HZ : len(out)]
    alike = np.corrcoef(np.abs(np.fft.rfft(said)), np.abs(np.fft.rfft(out[9 * SAMPLE_RATE_HZ :])))[0, 1]
    assert alike > 0.7


def test_echo_suppressor_bare_echo_is_known_and_a_voice_over_it_is_not() -> None:
    played, wearer = voice_like(6, 1), voice_like(6, 2)
    wearer[: 3 * SAMPLE_RATE_HZ] = 0
    near = 0.5 * np.concatenate([np.zeros(1600), played])[: len(played)] + wearer
    _, own = through(EchoSuppressor(SAMPLE_RATE_HZ), played, near)
    chunks_per_s = SAMPLE_RATE_HZ // _CHUNK
    assert all(own[chunks_per_s : 3 * chunks_per_s])
    assert not any(own[3 * chunks_per_s + 20 :])


def test_echo_suppressor_after_the_speaker_clock_jumps_knows_the_echo() -> None:
    """Callbacks come 40 ms late for three seconds and then punctually: the same sound now seems to play sooner."""
    gate, played = EchoSuppressor(SAMPLE_RATE_HZ), (voice_like(6, 1) * 32767).astype(np.int16)
    own = []
    for i in range(0, len(played) - _CHUNK + 1, _CHUNK):
        t_ns = _START_NS + i * 1_000_000_000 // SAMPLE_RATE_HZ
        gate.played([(t_ns + (40_000_000 if i < 3 * SAMPLE_RATE_HZ else 0), played[i : i + _CHUNK])])
        heard = played[max(0, i - 1600) : i - 1600 + _CHUNK] if i >= 1600 else np.zeros(_CHUNK, np.int16)
        gate.clean(AudioChunk(t_ns, i, heard // 2, SAMPLE_RATE_HZ))
        own.append(gate.own_voice())
    assert all(own[SAMPLE_RATE_HZ // _CHUNK :])


def test_echo_suppressor_after_the_speaker_ran_dry_knows_the_echo_again() -> None:
    """The room is silent for 80 ms after three seconds; then the rest of what was handed over plays, 80 ms later."""
    gate, played = EchoSuppressor(SAMPLE_RATE_HZ), (voice_like(6, 1) * 32767).astype(np.int16)
    dry, at = np.zeros(4 * _CHUNK, np.int16), 3 * SAMPLE_RATE_HZ
    heard = np.concatenate([np.zeros(1600, np.int16), played[:at], dry, played[at:]])
    own = []
    for i in range(0, len(played) - _CHUNK + 1, _CHUNK):
        t_ns = _START_NS + i * 1_000_000_000 // SAMPLE_RATE_HZ
        gate.played([(t_ns, played[i : i + _CHUNK])])
        gate.clean(AudioChunk(t_ns, i, heard[i : i + _CHUNK] // 2, SAMPLE_RATE_HZ))
        own.append(gate.own_voice())
    second = SAMPLE_RATE_HZ // _CHUNK
    assert all(own[second : 3 * second])
    unsure = own[3 * second : 4 * second].count(False)
    assert 0 < unsure < CONFIRM_STEPS * STEP // _CHUNK + len(dry) // _CHUNK, "of speech it would be an interruption"
    assert all(own[4 * second :])


def test_echo_suppressor_voice_over_the_reply_is_told_from_it_at_once() -> None:
    """This comes before the voice detector can hear it, because the canceller removes the first of the voice too."""
    played, wearer, at = voice_like(8, 1), voice_like(8, 2), 5 * SAMPLE_RATE_HZ
    wearer[:at] = 0
    near = 0.5 * np.concatenate([np.zeros(1600), played])[: len(played)]
    found: list[list[int]] = []
    for heard in (near, near + wearer):
        gate, over = EchoSuppressor(SAMPLE_RATE_HZ), list[int]()
        far, mic = ((np.clip(x, -1, 1) * 32767).astype(np.int16) for x in (played, heard))
        for i in range(0, len(mic) - _CHUNK + 1, _CHUNK):
            t_ns = _START_NS + i * 1_000_000_000 // SAMPLE_RATE_HZ
            gate.played([(t_ns, far[i : i + _CHUNK])])
            gate.clean(AudioChunk(t_ns, i, mic[i : i + _CHUNK], SAMPLE_RATE_HZ))
            over += [i] if gate.talked_over else []
        found.append(over)
    assert found[0] == []
    assert at - _CHUNK <= found[1][0] <= at + 4 * _CHUNK


def test_echo_suppressor_nothing_played_leaves_the_sound_untouched() -> None:
    gate = EchoSuppressor(SAMPLE_RATE_HZ)
    chunk = AudioChunk(_START_NS, 0, (voice_like(0.02, 3) * 32767).astype(np.int16), SAMPLE_RATE_HZ)
    gate.played([(_START_NS, np.zeros(_CHUNK, np.int16))])
    assert gate.clean(chunk) is chunk


def share_known(*, ran_dry: bool) -> float:
    """Of the own voice, where the speaker runs dry for 30 ms five times a second."""
    gate, voice, rng = EchoSuppressor(SAMPLE_RATE_HZ), voice_like(8, 3), np.random.default_rng(11)
    block, hole, at, blocks = _CHUNK // 2, 3 * _CHUNK // 2, 0, list[tuple[int, np.ndarray]]()
    for i in range(0, len(voice) - block, block):
        at += hole if rng.random() < 0.05 else 0
        blocks.append((at, (voice[i : i + block] * 32767).astype(np.int16)))
        at += block
    mic = np.zeros(at + SAMPLE_RATE_HZ, np.int16)
    for begin, pcm in blocks:
        mic[begin + 960 : begin + 960 + block] = pcm // 3
    clock, known = SampleClock(SAMPLE_RATE_HZ), list[bool]()
    for i in range(0, at - _CHUNK, _CHUNK):
        while blocks and blocks[0][0] < i + _CHUNK:
            begin, pcm = blocks.pop(0)
            gate.played([(clock.time_of(block, _START_NS + begin * 1_000_000_000 // SAMPLE_RATE_HZ), pcm)])
        t_ns = _START_NS + i * 1_000_000_000 // SAMPLE_RATE_HZ
        gate.clean(AudioChunk(t_ns, i, mic[i : i + _CHUNK], SAMPLE_RATE_HZ), ran_dry=ran_dry)
        known.append(gate.own_voice())
    return float(np.mean(known[50:]))


def test_own_voice_detector_underruns_leave_most_of_the_own_voice_known() -> None:
    """Else the canceller, which loses its place at each, leaves enough of the reply to interrupt it."""
    assert share_known(ran_dry=True) > share_known(ran_dry=False) + 0.1
