"""Apps in processes of their own and a wearer on one real backbone: same tokens, and no app costs others anything."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pytest

from glasses.__main__ import main
from glasses.assistant.app_acts import ONLY_BY_VOICE
from glasses.backbone.handover import Handover
from glasses.backbone.llama import LlamaBackbone
from glasses.errors import InputError, Reason, RemoteError
from glasses.events import Outcome
from glasses.model_store import store
from glasses.service.client import Client, SyncClient, ToolOffer, WebSocket
from glasses.service.server import app_tools
from glasses.tools.tool import ToolContext
from tests.contract import kernel_app
from tests.contract.worn_kernel import WAIT_S, Worn, worn_kernel

pytestmark = pytest.mark.models
ROOT = Path(__file__).parents[2]
PROMPTS = ("Tell me a long story about a dragon.", "Explain how a bicycle works, step by step.")
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worn]:
    folder = tmp_path_factory.mktemp("run")
    folder.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RUNTIME_DIRECTORY", raising=False)
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        with worn_kernel() as one:
            yield one


def app(worn: Worn, prompt: str, n: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.contract.kernel_app", worn.address, prompt, str(n)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ))


def wearers_tokens(worn: Worn) -> list[int]:
    reply = worn.ask(QUESTION, speaks_s=0.05)
    assert reply.outcome is Outcome.COMPLETED
    return [token.token_id for token in reply.tokens]


def apps_tokens(worn: Worn, prompt: str) -> list[int]:
    with SyncClient(lambda: WebSocket(worn.address)) as client:
        session = client.open()
        session.feed(prompt)
        return [token.token_id for token in session.generate(max_tokens=kernel_app.TOKENS)]


def test_kernel_two_apps_and_the_wearer_at_once_each_get_the_tokens_they_get_alone(worn: Worn) -> None:
    wearers, expected = wearers_tokens(worn), [apps_tokens(worn, prompt) for prompt in PROMPTS]
    apps = [app(worn, prompt, 1) for prompt in PROMPTS]
    heard = list[list[int]]()
    while len(heard) < 5 and any(one.poll() is None for one in apps):
        heard.append(wearers_tokens(worn))
        time.sleep(0.4)
    printed = [one.communicate(timeout=WAIT_S)[0] for one in apps]
    assert len(heard) > 1
    assert heard == [wearers] * len(heard)
    assert [json.loads(text) for text in printed] == expected


def test_handover_to_a_guest_and_back_leaves_every_byte_of_the_wearers_cache() -> None:
    path = store.path_of(store.load_bundle().backbone)
    with LlamaBackbone(path, n_ctx=512, n_threads=1) as backbone:
        handover = Handover(backbone)
        backbone.feed([backbone.tokenize(QUESTION)])
        before = backbone.snapshot()
        handover.give()
        guest = threading.Thread(
            target=handover.as_guest, args=(lambda: backbone.feed([backbone.tokenize(PROMPTS[0])]), lambda: None)
        )
        guest.start()
        guest.join()
        assert backbone.n_past > before.rows
        handover.close()
        after = backbone.snapshot()
    assert after.kv == before.kv
    np.testing.assert_array_equal(after.logits, before.logits)


def test_kernel_app_killed_in_mid_answer_costs_nobody_anything(worn: Worn) -> None:
    wearers, other = wearers_tokens(worn), apps_tokens(worn, PROMPTS[1])
    killed = app(worn, PROMPTS[0], 1000)
    assert killed.stdout
    killed.stdout.readline()
    time.sleep(0.1)
    killed.kill()
    killed.communicate()
    assert wearers_tokens(worn) == wearers
    assert apps_tokens(worn, PROMPTS[1]) == other


@pytest.mark.slow
def test_kernel_flood_changes_no_answer_of_the_wearer_and_little_memory(worn: Worn) -> None:
    wearers = wearers_tokens(worn)
    before = psutil.Process().memory_info().rss
    flooding = app(worn, "", 0)
    try:
        assert flooding.stdout
        flooding.stdout.readline()
        time.sleep(1.0)
        heard = [wearers_tokens(worn) for _ in range(3)]
        assert flooding.poll() is None
    finally:
        flooding.kill()
        flooding.communicate()
    assert heard == [wearers] * 3
    grown = psutil.Process().memory_info().rss - before
    assert grown < 150e6  # the rows of one full context, which all apps share, and requests that wait
    until = time.monotonic() + WAIT_S
    while True:
        try:
            assert apps_tokens(worn, PROMPTS[0])
            return
        except RemoteError as error:  # what the flood left is still cleared away
            if error.reason is not Reason.NO_NETWORK or time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_kernel_second_client_takes_under_20_mb_of_the_glasses(worn: Worn) -> None:
    with SyncClient(lambda: WebSocket(worn.address)) as first, SyncClient(lambda: WebSocket(worn.address)) as second:
        for client in (first, first):
            session = client.open()
            session.feed(PROMPTS[0])
            list(session.generate(max_tokens=8))
            session.close()
        before = psutil.Process().memory_info().rss
        session = second.open()
        session.feed("dragon " * 300)
        list(session.generate(max_tokens=8))
        session.feed("What time is it?")
        assert session.act()
        assert psutil.Process().memory_info().rss - before < 20e6


@pytest.mark.parametrize("given", [["What time is it?"], ["--audio", "models/eval/speech/question-090.ogg"]])
def test_ask_beside_running_glasses_takes_under_20_mb_more_than_its_imports(worn: Worn, given: list[str]) -> None:
    measure = "import psutil; print(psutil.Process().memory_info().rss / 1e6)"
    imports = "import glasses.__main__, glasses.commands.ask, glasses.service.client, soundfile, soxr"
    alone = subprocess.run([sys.executable, "-c", f"{imports}; {measure}"], cwd=ROOT, capture_output=True, check=True)
    asked = subprocess.run(
        [sys.executable, "-m", "glasses", "ask", "--json", *given], cwd=ROOT, capture_output=True, check=True
    )
    report = json.loads(asked.stdout)
    assert report["answered_by"] == "running glasses"
    assert report["memory_mb"] - float(alone.stdout) < 20


def test_kernel_wipe_ends_what_apps_have_in_the_cache(worn: Worn) -> None:
    with SyncClient(lambda: WebSocket(worn.address)) as client:
        session = client.open()
        session.feed(PROMPTS[0])
        worn.kernel.forget()
        with pytest.raises(RemoteError) as gone:
            session.feed("and then?")
        assert gone.value.reason is Reason.NOT_FOUND
        assert client.open().n_past == worn.loaded.n_prefix


def test_kernel_while_the_board_sheds_load_refuses_apps_and_not_the_wearer(worn: Worn) -> None:
    worn.why_not = "the glasses are busy with themselves (82 deg C): ask again later"
    try:
        with pytest.raises(RemoteError, match="82 deg C") as refused:
            apps_tokens(worn, PROMPTS[0])
        assert refused.value.reason is Reason.BUSY
        assert wearers_tokens(worn)
    finally:
        worn.why_not = ""


def test_kernel_app_waits_while_the_wearer_speaks_and_goes_on_when_it_was_nothing(worn: Worn) -> None:
    done = threading.Event()

    def ask() -> None:
        apps_tokens(worn, "Hello.")
        done.set()

    worn.begin()
    thread = threading.Thread(target=ask)
    thread.start()
    assert not done.wait(0.5)
    worn.dismiss()
    thread.join(WAIT_S)
    assert done.is_set()


@contextmanager
def tool_app(worn: Worn) -> Iterator[subprocess.Popen[bytes]]:
    """The example, in a process of its own, until its tools are there."""
    process = subprocess.Popen([sys.executable, "-m", "glasses.service.examples.tool_app"], cwd=ROOT)
    try:
        wait_for(lambda: worn.tools.get("roll_dice") is not None)
        yield process
    finally:
        process.kill()
        process.wait()
        wait_for(lambda: len(worn.tools.tools) == worn.n_own_tools)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def call(worn: Worn, name: str, **arguments: Any) -> str:
    tool, context = worn.tools.get(name), cast(ToolContext, None)  # an app's tool gets nothing of the wearer's
    assert tool
    return tool.call(context, arguments)


def test_kernel_tool_of_an_app_is_called_in_its_process_also_in_the_wearers_turn(worn: Worn) -> None:
    with tool_app(worn):
        tool = worn.tools.get("roll_dice")
        assert tool
        assert (tool.description, tool.origin) == ("Rolls dice.", "an app")
        assert tool.schema["properties"]["dice"]["default"] == 1
        assert "Throw a die." in tool.examples
        worn.begin()
        assert call(worn, "roll_dice", dice=2).count(" and ") == 1
        assert re.fullmatch(r"[1-6]\.", call(worn, "roll_dice"))
        with pytest.raises(InputError, match="I have ten dice"):
            call(worn, "roll_dice", dice=11)
        with pytest.raises(InputError, match="dice must be a whole number"):
            call(worn, "roll_dice", dice="many")
        assert "gigabytes" in call(worn, "disk_space")
        worn.dismiss()


def test_kernel_tool_of_an_app_that_hangs_or_dies_fails_that_call_alone(
    worn: Worn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tool_app(worn) as process:
        process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(app_tools, "LIMIT_S", 0.2)
        with pytest.raises(InputError, match="did not answer") as late:
            call(worn, "disk_space")
        assert late.value.reason is Reason.TIMEOUT
        monkeypatch.setattr(app_tools, "LIMIT_S", WAIT_S)
        threading.Timer(0.1, process.kill).start()
        with pytest.raises(InputError, match="not there any more"):
            call(worn, "disk_space")
    assert wearers_tokens(worn)


def test_kernel_tools_with_names_that_are_taken_or_too_many_are_refused(worn: Worn) -> None:
    async def offer(*offers: ToolOffer) -> None:
        async with Client(WebSocket(worn.address)) as client:
            await client.offer_tools(offers)
            assert len(worn.tools.tools) == worn.n_own_tools + len(offers)
            await client.offer_tools([ToolOffer("one_more", "Does it.")])

    for wrong, says in (
        ([ToolOffer("dance", "Dances."), ToolOffer("time", "Lies.")], "there is a tool time already"),
        ([ToolOffer("dance", "Dances.", {"type": "string"})], "its schema cannot be used"),
        ([ToolOffer(f"dance_{i}", "Dances.") for i in range(16)], "may offer 16 tools"),
    ):
        with pytest.raises(RemoteError, match=says):
            asyncio.run(offer(*wrong))
        wait_for(lambda: len(worn.tools.tools) == worn.n_own_tools)


@pytest.mark.parametrize(
    "given",
    [
        ["What is the opposite of hot?"],
        ["--image", "models/eval/pictures/penguin.jpg", "--top-k", "3"],
        ["--audio", "models/eval/speech/question-090.ogg"],
    ],
)
def test_ask_where_glasses_run_gives_the_same_answer_without_loading_models(
    worn: Worn, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    reports, notes = list[dict[str, Any]](), list[str]()
    for option in ([], ["--no-kernel"]):
        assert main(["ask", "--json", *option, *given]) == 0
        printed = capsys.readouterr()
        reports.append(json.loads(printed.out))
        notes.append(printed.err)
    assert [one["answered_by"] for one in reports] == ["running glasses", "this process"]
    assert reports[0]["pieces"] == reports[1]["pieces"]
    assert reports[0]["answer"]
    assert notes[0] == notes[1]


def test_ask_for_what_a_tool_does_has_the_glasses_do_it(worn: Worn, capsys: pytest.CaptureFixture[str]) -> None:
    worn.told.clear()
    assert main(["ask", "--json", "Set a timer for five minutes."]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["answered_by"] == "running glasses"
    assert "five minutes" in report["answer"].lower() or "5 minutes" in report["answer"]
    assert [due.kind for due in worn.store.open_dues()] == ["timer"]
    assert worn.told == ["an app asked for this: set timer"]


def test_ask_for_what_must_be_agreed_to_is_not_done_for_an_app(worn: Worn, capsys: pytest.CaptureFixture[str]) -> None:
    worn.store.add_note("my seat is 14 C", datetime(2026, 3, 4))
    assert main(["ask", "--json", "Delete all my notes."]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == f"Forget all notes: shall I? {ONLY_BY_VOICE}"
    assert worn.store.notes()


def test_ask_for_what_apps_may_not_do_says_who_decides(worn: Worn, capsys: pytest.CaptureFixture[str]) -> None:
    worn.refused["time"] = "the wearer does not let apps do that"
    try:
        assert main(["ask", "What time is it?"]) == 2
    finally:
        worn.refused.clear()
    assert "the wearer does not let apps do that; --no-kernel" in capsys.readouterr().err


def test_kernel_act_leaves_a_turn_that_asks_for_no_tool_as_it_was_and_ends_one_that_does(worn: Worn) -> None:
    with SyncClient(lambda: WebSocket(worn.address)) as client:
        session = client.open()
        session.feed(QUESTION)
        assert session.act() is None
        acted_first = [token.token_id for token in session.generate(max_tokens=kernel_app.TOKENS)]
        session.feed("What time is it?")
        acted = session.act()
        assert acted
        assert acted[0] == "time"
        assert session.act() is None  # the turn is over
        with pytest.raises(RemoteError, match="chats"):
            client.open(chat=False).act()
    assert acted_first == apps_tokens(worn, QUESTION)


def test_ask_that_is_too_long_for_an_app_is_answered_here(worn: Worn, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "--json", "--top-k", "40", "--max-tokens", "1", "Hello."]) == 0
    assert json.loads(capsys.readouterr().out)["answered_by"] == "this process"


def test_ask_while_the_glasses_refuse_apps_says_how_to_go_on(worn: Worn, capsys: pytest.CaptureFixture[str]) -> None:
    worn.why_not = "the glasses are busy with themselves (82 deg C): ask again later"
    try:
        assert main(["ask", "Hello."]) == 2
    finally:
        worn.why_not = ""
    assert "82 deg C): ask again later; --no-kernel loads the models once more" in capsys.readouterr().err
