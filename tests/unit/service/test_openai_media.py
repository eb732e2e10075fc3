"""Pictures and sounds of a request before they reach a model: what is empty, what is noted, on which thread."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
import soundfile

from glasses.runtime.given import reply_about
from glasses.service.server import openapi
from glasses.service.server.openai.asked import Media
from glasses.service.server.openai.responding import noted
from glasses.service.server.openai.sensing import Sensing
from glasses.service.server.openai.turns import turns_of
from glasses.service.server.problems import FieldError
from glasses.service.server.service import Service

WHERE, PART = "messages[0].content[1].image_url.url", "messages[0].content[1]"


class Host:
    """Runs slices at once, and notes for whom and on which thread."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, str | None, str]] = []
        self.loaded = SimpleNamespace(encode_picture=lambda rgb: (f"latents of {rgb.shape}",))

    async def run(self, key: str, function: Callable[[], Any], *, client: str | None = None) -> Any:
        self.ran.append((key, client, threading.current_thread().name))
        return function()


@pytest.fixture
def service() -> Iterator[Any]:
    with ThreadPoolExecutor(1, thread_name_prefix="media") as decoder:
        yield SimpleNamespace(host=Host(), decoder=decoder)


def picture(value: int | None) -> Media:
    """All of one grey, or with something in it."""
    rgb = np.full((32, 48, 3), 0 if value is None else value, np.uint8)
    if value is None:
        rgb[8:24, 8:24] = 255
    return Media("picture", cv2.imencode(".png", rgb)[1].tobytes(), WHERE, PART)


def silence() -> Media:
    out = io.BytesIO()
    soundfile.write(out, np.zeros(8000, np.float32), 16_000, format="WAV")
    return Media("sound", out.getvalue(), "file", "file")


def sensed(service: Any, ask: Callable[[Sensing], Awaitable[Any]]) -> tuple[Any, list[str]]:
    notes: list[str] = []

    async def run() -> Any:
        return await ask(Sensing(cast(Service, service), "session", "client", notes.append))

    return asyncio.run(run()), notes


def test_sensing_picture_is_encoded_under_the_share_of_its_client(service: Any) -> None:
    got, notes = sensed(service, lambda sensing: sensing.latents_of(picture(None)))
    assert (got.latents, got.empty, notes) == (["latents of (32, 48, 3)"], "", [])
    assert [(key, client) for key, client, _ in service.host.ran] == [("session", "client")]


def test_sensing_blank_picture_is_noted_and_not_encoded(service: Any) -> None:
    got, notes = sensed(service, lambda sensing: sensing.latents_of(picture(0)))
    assert (got.latents, got.empty) == ([], "I cannot see anything in the picture: it is all black.")
    assert notes == [f"nothing can be seen in {PART}: it is all black"]
    assert service.host.ran == []


def test_sensing_silence_is_noted_and_heard_as_no_text(service: Any) -> None:
    got, notes = sensed(service, lambda sensing: sensing.latents_of(silence()))
    assert (got.latents, got.empty) == ([], "I hear nothing: the sound is silent.")
    heard, _ = sensed(service, lambda sensing: sensing.heard_in(silence()))
    assert heard == ("", 0.5)
    assert (notes, service.host.ran) == (["file is silent"], [])


@pytest.mark.parametrize("kind", ["picture", "sound"])
@pytest.mark.parametrize(
    "data",
    [
        b"\xff\x0a" + bytes(99),
        b"%PDF-1.7",
        b"MThd\0\0\0\6\0\1" + bytes(99),
        b"<html>",
        bytes(99),
        b"\0\0\0\x1cftypheic",
    ],
)
def test_sensing_what_cannot_be_read_names_the_field_and_no_command(service: Any, kind: Any, data: bytes) -> None:
    with pytest.raises(FieldError) as caught:
        sensed(service, lambda sensing: sensing.latents_of(Media(kind, data, WHERE, PART)))
    assert caught.value.param == WHERE
    message = str(caught.value)
    assert message.startswith(f"{WHERE}: ")
    for command in ("djxl", "ffmpeg", "gs ", "heif-convert", "magick", "pdftoppm", "timidity", "pip install", "{file}"):
        assert command not in message


def test_sensing_cancelled_while_it_waits_for_the_decoder_is_never_begun(service: Any) -> None:
    notes: list[str] = []

    async def leave() -> None:
        held = threading.Event()
        service.decoder.submit(held.wait, 60)
        work = asyncio.create_task(
            Sensing(cast(Service, service), "session", None, notes.append).latents_of(picture(0))
        )
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        held.set()
        await asyncio.get_running_loop().run_in_executor(service.decoder, int)  # what was before it is done

    asyncio.run(leave())
    assert notes == []


def test_sensing_cancelled_while_it_decodes_ends_at_once_and_encodes_nothing(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, held = threading.Event(), threading.Event()

    def decode(*_: Any, **__: Any) -> np.ndarray:
        begun.set()
        held.wait(60)
        return np.zeros((32, 32, 3), np.uint8)

    monkeypatch.setattr("glasses.service.server.openai.sensing.decode_image", decode)

    async def leave() -> None:
        sensing = Sensing(cast(Service, service), "session", None, [].append)
        work = asyncio.create_task(sensing.latents_of(picture(None)))
        await asyncio.to_thread(begun.wait, 60)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert not held.is_set()
        held.set()
        await asyncio.get_running_loop().run_in_executor(service.decoder, int)

    asyncio.run(leave())
    assert service.host.ran == []


def test_turns_of_media_know_their_field_and_their_part() -> None:
    url = "data:image/png;base64,AAAA"
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "input_image", "image_url": url},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    (turn,) = turns_of([{"role": "user", "content": content}])
    assert [(one.where, one.part) for one in turn.parts if isinstance(one, Media)] == [
        ("messages[0].content[0].image_url.url", "messages[0].content[0]"),
        ("messages[0].content[1].image_url", "messages[0].content[1]"),
        ("messages[0].content[2].input_audio.data", "messages[0].content[2]"),
    ]


def test_reply_about_is_only_for_what_is_all_empty() -> None:
    rgb = np.zeros((9, 9, 3), np.uint8)
    assert reply_about([], ["text"]) == ""
    assert reply_about(["first.", "second."], ["text"]) == "first."
    assert reply_about(["first."], ["text", rgb]) == ""


def test_notes_are_published_and_absent_where_there_are_none() -> None:
    assert (noted([]), noted(["a"])) == ({}, {"notes": ["a"]})
    paths = openapi.document()["paths"]
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/audio/transcriptions"):
        schema = paths[path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert schema["properties"]["notes"]["items"] == {"type": "string"}
