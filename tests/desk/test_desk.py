"""The larger bundles whole, and desk as the remote model of `glasses ask --offload`.

make test-desk fetches desk, 491 MB. large, 1.1 GB, is tested where it is pulled: glasses models pull --bundle large.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasses.audio.sound_files import read_audio
from glasses.evaluation.speech import reply
from glasses.media.pictures import read_image
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_bundle, open_voice
from glasses.runtime.heads import open_addressee, open_end_of_turn, open_memory_intent, open_speaker

pytestmark = pytest.mark.desk
EVAL = Path(__file__).parents[2] / "models" / "eval"


@pytest.fixture(scope="module", params=["desk", "large"])
def loaded(request: pytest.FixtureRequest) -> Iterator[LoadedBundle]:
    if not store.is_pulled(store.load_bundle(request.param)):
        pytest.skip(f"{request.param} is not pulled: glasses models pull --bundle {request.param}")
    opened = open_bundle(request.param, n_threads=1)
    yield opened
    opened.close()


def test_larger_bundle_answers_what_is_typed_said_seen_and_heard(loaded: LoadedBundle) -> None:
    assert loaded.backbone.n_embd == {"desk": 896, "large": 1536}[loaded.bundle.name]
    assert "Paris" in reply(loaded, ["What is the capital of France?"])
    assert "Paris" in reply(loaded, loaded.encode_audio(read_audio(EVAL / "speech" / "question-090.ogg")))
    seen = loaded.image_encoder.encode(read_image(EVAL / "pictures" / "cheetah.jpg"))
    assert "cheetah" in reply(loaded, [seen, "What is in view?"])
    heard = loaded.encode_audio(read_audio(EVAL / "sounds" / "thunder-0.ogg"))
    assert "thunder" in reply(loaded, [*heard, "What is this sound?"]).lower()


def test_larger_bundle_opens_every_head_and_knows_a_memory_intent(loaded: LoadedBundle) -> None:
    assert open_end_of_turn(loaded)
    assert open_addressee(loaded)
    assert open_speaker(loaded)
    heads = open_memory_intent(loaded)
    assert heads
    for text, intent in (("What was that sound just now?", "sound"), ("What is the capital of France?", "")):
        rows = loaded.backbone.token_rows(loaded.backbone.tokenize(f" {text}", special=False))
        assert heads.of(rows) == intent


def test_larger_bundle_speaks(loaded: LoadedBundle) -> None:
    pytest.importorskip("piper")
    with open_voice(loaded.bundle.name, n_threads=1) as voice:
        assert sum(len(pcm) for pcm in voice.speak(["Paris."])) > 0.2 * voice.rate_hz


def test_larger_bundle_chat_frame_is_one_token_each(loaded: LoadedBundle) -> None:
    start, end = loaded.backbone.tokenize("<|im_start|>"), loaded.backbone.tokenize("<|im_end|>")
    assert (len(start), len(end)) == (1, 1)
    assert end[0] in loaded.backbone.eos


def test_desk_service_answers_clients_with_the_pocket_bundle(tmp_path: Path) -> None:
    """Clients send the pocket bundle's latents, before any connector."""
    address = f"unix:{tmp_path}/s"
    command = [sys.executable, "-m", "glasses"]
    options = ["--bundle", "desk", "--listen", address, "--tokens", str(tmp_path / "t"), "--json"]
    with subprocess.Popen([*command, "serve", *options], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert json.loads(server.stdout.readline())["bundle"] == "desk"
            said = str(EVAL / "speech" / "question-090.ogg")
            done = subprocess.run(
                [*command, "ask", "--audio", said, "--offload", address],
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert "Paris" in done.stdout
            assert "rtt" in done.stderr  # the service was reached
        finally:
            server.send_signal(signal.SIGINT)
