"""Keys and sealed frames: both sides and an independent implementation agree; forgeries and replays are refused."""

from __future__ import annotations

import ctypes
import random

import pytest

from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.protocol import value_of
from firmware_bridge.security import MAX_COUNTER, Handshake, Replay, Sealer, key_of, new_pairing_code
from firmware_bridge.states import Config, State, Why
from tests.emulator.firmware import Firmware
from tests.emulator.world import World

PROLOGUE = b"both greetings"
KEY = bytes(range(32))


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    library = Firmware().lib
    library.secure_respond.restype = ctypes.c_bool
    library.secure_seal.restype = library.secure_open.restype = ctypes.c_size_t
    return library


class Responder:
    """The firmware's side of a key exchange."""

    def __init__(self, library: ctypes.CDLL, key: bytes, first: bytes, prologue: bytes = PROLOGUE) -> None:
        self._library = library
        self._sealer = ctypes.create_string_buffer(128)
        second = ctypes.create_string_buffer(64)
        body = bytes((value_of("FRAME_NOISE1"), 7)) + first
        secret = bytes(range(100, 132))
        size = ctypes.c_size_t(len(prologue))
        self.accepted = library.secure_respond(key, prologue, size, secret, body, second, self._sealer)
        self.ephemeral, self.tag = second.raw[2:34], second.raw[34:50]

    def seal(self, body: bytes) -> bytes:
        frame = ctypes.create_string_buffer(bytes(6) + body, 6 + len(body) + 16)
        size = self._library.secure_seal(self._sealer, 7, frame, ctypes.c_size_t(len(body)))
        return frame.raw[:size]

    def open(self, frame: bytes) -> bytes | None:
        buffer = ctypes.create_string_buffer(frame, len(frame))
        size = self._library.secure_open(self._sealer, buffer, ctypes.c_size_t(len(frame)))
        return buffer.raw[6 : 6 + size] if size else None


def exchange(library: ctypes.CDLL) -> tuple[Sealer, Responder]:
    handshake = Handshake(KEY, PROLOGUE)
    responder = Responder(library, KEY, handshake.first)
    assert responder.accepted
    return handshake.finish(responder.ephemeral, responder.tag), responder


def test_handshake_host_and_device_read_each_other(library: ctypes.CDLL) -> None:
    host, device = exchange(library)
    for i in range(100):
        body = bytes((i,)) * (i * 6 + 1)
        assert device.open(host.seal(7, body)) == body
        assert host.open(device.seal(body)) == body


def test_handshake_with_noiseprotocol_agrees() -> None:
    """The package `noiseprotocol` was written by others from the same specification."""
    noise = pytest.importorskip("noise.connection")
    other = noise.NoiseConnection.from_name(b"Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b")
    other.set_psks(KEY)
    other.set_prologue(PROLOGUE)
    other.set_as_responder()
    other.start_handshake()
    handshake = Handshake(KEY, PROLOGUE)
    assert other.read_message(handshake.first) == b""
    second = bytes(other.write_message())
    sealer = handshake.finish(second[:32], second[32:])
    sealed = sealer.seal(7, b"hello")
    assert other.noise_protocol.cipher_state_decrypt.decrypt_with_ad(sealed[:6], sealed[6:]) == b"hello"


@pytest.mark.parametrize("wrong", ["key", "prologue", "first"])
def test_handshake_wrong_key_prologue_or_message_gets_no_answer(library: ctypes.CDLL, wrong: str) -> None:
    first = Handshake(bytes(32) if wrong == "key" else KEY, PROLOGUE).first
    if wrong == "first":
        first = first[:40] + bytes((first[40] ^ 1,)) + first[41:]
    assert not Responder(library, KEY, first, b"other greetings" if wrong == "prologue" else PROLOGUE).accepted


def test_handshake_forged_answer_does_not_spoil_the_true_one(library: ctypes.CDLL) -> None:
    handshake = Handshake(KEY, PROLOGUE)
    device = Responder(library, KEY, handshake.first)
    for ephemeral, tag in ((bytes(32), device.tag), (device.ephemeral, bytes(16)), (bytes(range(32)), device.tag)):
        with pytest.raises(LinkError) as forged:
            handshake.finish(ephemeral, tag)
        assert forged.value.reason is Reason.NOT_AUTHENTIC
    assert device.open(handshake.finish(device.ephemeral, device.tag).seal(7, b"x")) == b"x"


def test_sealed_frame_with_any_bit_changed_is_refused(library: ctypes.CDLL) -> None:
    host, device = exchange(library)
    down, up = host.seal(7, b"secret"), device.seal(b"secret")
    for bit in range(len(down) * 8):
        for frame, side in ((down, device), (up, host)):
            changed = bytearray(frame)
            changed[bit // 8] ^= 1 << bit % 8
            if bit >= 8:  # the kind is the link's to look at, before it asks for this frame to be opened
                assert side.open(bytes(changed)) is None
    assert device.open(down) == b"secret"
    assert host.open(up) == b"secret"


def test_replay_of_a_frame_in_any_order_is_refused(library: ctypes.CDLL) -> None:
    host, device = exchange(library)
    frames = [host.seal(7, bytes((i,))) for i in range(200)]
    rng = random.Random(1)
    seen = Replay()
    for at in [rng.randrange(200) for _ in range(2000)]:
        fresh = seen.is_new(at)
        assert (device.open(frames[at]) is not None) == fresh
        if fresh:
            seen.add(at)


def test_sealer_counter_is_never_used_twice() -> None:
    sealer = Sealer(KEY, KEY)
    sealer._counter = MAX_COUNTER - 1
    assert not sealer.worn_out
    sealer.seal(1, b"x")
    assert sealer.worn_out


def test_pairing_code_gives_a_key_and_a_wrong_one_is_refused() -> None:
    code = new_pairing_code()
    assert key_of(code) == key_of(code.lower().replace("-", " "))
    assert len({new_pairing_code() for _ in range(100)}) == 100
    for wrong in ("", code[:-1], code + "A", code[:-1] + "0", "ABCD"):
        with pytest.raises(LinkError) as refused:
            key_of(wrong)
        assert refused.value.reason is Reason.BAD_INPUT


def test_device_shows_its_code_until_the_first_pairing() -> None:
    code = new_pairing_code()
    world = World(config=Config(key=key_of(code)), code=code)
    assert any(world.device.hud())
    assert world.run(lambda: world.is_up)
    assert not any(world.device.hud())


def test_sealed_link_ignores_messages_in_clear() -> None:
    code = new_pairing_code()
    world = World(config=Config(key=key_of(code)), code=code)
    assert world.run(lambda: world.is_up)
    open_world = World()
    assert open_world.run(lambda: open_world.is_up)
    forged = world.device.counters.forged
    open_world.link.send(0, b"\x01")
    world.device.step(open_world.link.transmit(world.now_us + 2_000_000), world.now_us)
    assert world.device.counters.forged > forged
    assert world.is_up


def test_sealed_link_recorded_session_played_again_is_ignored() -> None:
    code = new_pairing_code()
    world = World(config=Config(key=key_of(code)), code=code)
    recorded: list[bytes] = []
    put = world.down.put
    world.down.put = lambda data, now_us: (recorded.append(data), put(data, now_us))[1]  # type: ignore[method-assign]
    assert world.run(lambda: bool(world.of("heartbeat")))
    sessions = world.device.counters.sessions
    for data in recorded:
        world.device.step(data, world.now_us)
    assert world.device.counters.sessions == sessions
    assert world.run(lambda: len(world.of("heartbeat")) > 2)
    assert world.link.counters.sessions == 1


def test_link_without_key_says_that_it_needs_one() -> None:
    world = World(code=new_pairing_code())
    world.run(lambda: world.link.state is State.CLOSED)
    assert world.changes[-1][1].why is Why.KEY_NEEDED
