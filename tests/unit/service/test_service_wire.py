"""The wire format: valid messages survive it, and cut, mutated and lying ones are refused before memory is spent."""

from __future__ import annotations

import json
import random
import struct

import numpy as np
import pytest

from glasses.errors import GlassesError, InputError, Reason
from glasses.service.protocol import events, messages, wire

_requests: wire.Decoder[messages.Request] = wire.Decoder(messages.Request)
ROWS = np.random.default_rng(0).normal(size=(5, 48)).astype(np.float32)
FEED = messages.Feed(3, "a" * 22, 1, [messages.Rows(0), messages.Text("what?"), messages.Tokens([1, 2])])


def raw(header: bytes, body: bytes = b"") -> bytes:
    return b"GLW1" + struct.pack("<I", len(header)) + header + body


def with_arrays(*specs: object, body: bytes = b"") -> bytes:
    header = {"body": {"type": "ping", "rid": 1}, "arrays": specs}
    return raw(json.dumps(header).encode(), body)


@pytest.mark.parametrize(("dtype", "error"), [("f32", 0.0), ("f16", 1e-3), ("i8", 5e-3)])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e4])
def test_encode_then_decode_gives_the_same_arrays(dtype: wire.Dtype, error: float, scale: float) -> None:
    body, (rows,) = _requests.decode(wire.encode(FEED, [ROWS * np.float32(scale)], dtype))
    assert body == FEED
    largest = np.abs(ROWS * scale).max(axis=1, keepdims=True)
    assert (np.abs(rows - ROWS * np.float32(scale)) / largest).max() <= error
    assert np.array_equal(rows, wire.rounded(ROWS * np.float32(scale), dtype))


def test_rounded_of_zeros_is_zeros() -> None:
    assert not wire.rounded(np.zeros((2, 3), np.float32), "i8").any()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.BAD_INPUT),
        (b"GLW2" + bytes(8), Reason.BAD_INPUT),
        (b"GLW1\xff\xff\xff\xff", Reason.TOO_LARGE),
        (b"GLW1" + struct.pack("<I", 100) + b"{}", Reason.CORRUPT),
        (raw(b"{}"), Reason.BAD_INPUT),
        (raw(b'{"body": {"type": "nothing"}}'), Reason.BAD_INPUT),
        (raw(b'{"body": {"type": "ping", "rid": 1, "more": 2}}'), Reason.BAD_INPUT),
        (raw(b'{"body": {"type": "ping", "rid": -1}}'), Reason.BAD_INPUT),
        (raw(b'{"body": {"type": "open", "rid": 1, "chat": "yes"}}'), Reason.BAD_INPUT),
        (raw(b"[" * 200_000), Reason.BAD_INPUT),
        (raw(b'{"body": {"type": "ping", "rid": 1}}', b"x"), Reason.CORRUPT),
        (with_arrays({"dtype": "f32", "shape": [1 << 40, 1 << 40]}), Reason.TOO_LARGE),
        (with_arrays({"dtype": "f32", "shape": [-4, 4]}), Reason.TOO_LARGE),
        (with_arrays({"dtype": "f64", "shape": [1, 1]}), Reason.BAD_INPUT),
        (with_arrays({"dtype": "f32", "shape": [1]}), Reason.BAD_INPUT),
        (with_arrays({"dtype": "f32", "shape": [4000, 16000]}), Reason.CORRUPT),
        (with_arrays(*[{"dtype": "f32", "shape": [1, 1]}] * 300, body=bytes(1200)), Reason.TOO_LARGE),
        (with_arrays({"dtype": "f32", "shape": [1, 1]}, body=struct.pack("<f", np.nan)), Reason.BAD_INPUT),
        (with_arrays({"dtype": "f16", "shape": [1, 1]}, body=struct.pack("<fe", np.inf, 1.0)), Reason.BAD_INPUT),
        (with_arrays({"dtype": "i8", "shape": [1, 1]}, body=struct.pack("<fb", 3e38, 100)), Reason.BAD_INPUT),
        (bytes(wire.MAX_MESSAGE_BYTES + 1), Reason.TOO_LARGE),
    ],
    ids=[
        "empty",
        "other magic",
        "header length of 4 GiB",
        "header cut",
        "no body",
        "unknown type",
        "unknown field",
        "negative rid",
        "field of another type",
        "deep nesting",
        "bytes left over",
        "huge shape",
        "negative shape",
        "unknown dtype",
        "shape of one dimension",
        "array cut",
        "too many arrays",
        "nan in f32",
        "infinite scale in f16",
        "overflow in i8",
        "over the cap",
    ],
)
def test_decode_of_an_invalid_message_is_refused(data: bytes, reason: Reason) -> None:
    with pytest.raises(InputError) as caught:
        _requests.decode(data)
    assert caught.value.reason is reason


def test_decode_of_a_pickle_is_refused() -> None:
    with pytest.raises(InputError):
        _requests.decode(b"\x80\x04\x95" + bytes(40))


def test_decode_of_mutated_messages_never_crashes() -> None:
    """20,000 of them: every one is decoded to a valid request or refused as a GlassesError."""
    rng, decoded = random.Random(0), 0
    seeds = [wire.encode(FEED, [ROWS], dtype) for dtype in ("f32", "f16", "i8")]
    for _ in range(20_000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(min(len(data), 300))
            change = rng.random()
            if change < 0.6:
                data[at] = rng.randrange(256)
            elif change < 0.8:
                del data[at : at + rng.randint(1, 9)]
            else:
                data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 9)))
        try:
            _, arrays = _requests.decode(bytes(data))
        except GlassesError:
            continue
        decoded += 1
        assert all(np.isfinite(a).all() for a in arrays)
    assert 0 < decoded < 20_000


def test_encode_over_the_cap_is_too_large() -> None:
    with pytest.raises(InputError) as caught:
        wire.encode(FEED, [np.zeros((4000, 2000), np.float32)])
    assert caught.value.reason is Reason.TOO_LARGE


def test_schema_id_is_sixteen_digits() -> None:
    schema = events.json_schema()
    assert "forward_backward" in json.dumps(schema)
    assert events.schema_id() == events.schema_id()
    assert len(events.schema_id()) == 16


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"type": "generate", "rid": 1, "session": "a" * 22, "seq": 1, "how": {"generation": 1, "said": "Yes"}},
            messages.Generate(1, "a" * 22, 1, messages.GenerationParams(1, said="Yes")),
        ),
        (
            {"type": "once", "rid": 1, "parts": [{"type": "text", "text": "x"}], "how": {"generation": 1}},
            messages.OneShot(1, [messages.Text("x")], messages.GenerationParams(1)),
        ),
        (
            {"type": "feed", "rid": 1, "session": "a" * 22, "seq": 1, "parts": [{"type": "tokens", "ids": [1]}]},
            messages.Feed(1, "a" * 22, 1, [messages.Tokens([1])]),
        ),
    ],
)
def test_requests_of_older_clients_are_understood(body: dict[str, object], expected: messages.Request) -> None:
    decoded, _ = _requests.decode(raw(json.dumps({"body": body}).encode()))
    assert decoded == expected
    header = wire.encode(expected)[8:]
    assert json.loads(header)["body"] == body


def test_token_event_has_the_tag_and_fields_that_older_clients_read() -> None:
    event = events.TokenEvent("a" * 22, 1, 0, 7, "x", -0.5, end="eos")
    assert json.loads(wire.encode(event)[8:])["body"] == {
        "type": "piece", "session": "a" * 22, "generation": 1, "index": 0, "token": 7, "text": "x", "logprob": -0.5,
        "end": "eos",
    }  # fmt: skip


def test_schema_id_does_not_depend_on_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    before, schema = events.schema_id(), events.json_schema()
    assert "description" in schema["$defs"]["Feed"]
    schema["$defs"]["Feed"]["description"] = "other words"
    monkeypatch.setattr(events, "json_schema", lambda: schema)
    assert events.schema_id() == before
    schema["$defs"]["Feed"]["properties"]["seq"]["maximum"] = 1
    assert events.schema_id() != before
