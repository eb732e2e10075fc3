"""Fixtures every suite may use: the real backbone. Tests that use them carry `@pytest.mark.models`."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.model_store import store
from glasses.system.supervised import failed_threads

# What optional extras of pyproject.toml bring, as it is imported. Test modules that import one are skipped without it.
EXTRAS = {
    **dict.fromkeys(("starlette", "uvicorn", "websockets", "httpx", "msgspec", "python_multipart"), "service"),
    **dict.fromkeys(("openai", "pydantic_ai"), "clients"),
    **dict.fromkeys(("gguf", "trustme", "bumble", "lupa", "noise", "brilliant"), "dev"),
    **{
        "piper": "voice",
        "smpclient": "update",
        "opuslib_next": "codecs",
        **dict.fromkeys(("mcp", "jsonschema", "referencing", "httpx2"), "mcp"),
        "pypdf": "documents",
        "onnx": "quantize",
        "pillow_heif": "heic",
        "torch": "train",
    },
}


_OWN = pytest.StashKey[tempfile.TemporaryDirectory[str]]()  # what tests have for the user's folders


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skips a test module whose import fails for want of an optional extra; every other failure stays one."""
    report = yield
    missing = re.search(r"ModuleNotFoundError: No module named '(\w+)", str(report.longrepr))
    if report.outcome == "failed" and missing and missing[1] in EXTRAS:
        report.outcome = "skipped"
        report.longrepr = (
            str(collector.path),
            0,
            f"Skipped: {missing[1]} is not installed (extra {EXTRAS[missing[1]]})",
        )
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Commands under test must end at Ctrl-C even where `make test &` from a script ignores it, which they inherit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests, and commands that they start, use one bundle, whatever else this machine could hold and has pulled.
    os.environ["GLASSES_BUNDLE"] = "pocket"
    if "PYTEST_CURRENT_TEST" in os.environ:  # a test started this pytest, in surroundings that it chose
        return
    # Nor do they see the timers, settings and running glasses of whoever runs the tests.
    own = Path(config.stash.setdefault(_OWN, tempfile.TemporaryDirectory(prefix="glasses-tests-")).name)
    for kind in ("STATE_HOME", "CONFIG_HOME", "RUNTIME_DIR"):
        (own / kind).mkdir(mode=0o700, exist_ok=True)
        os.environ[f"XDG_{kind}"] = str(own / kind)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _OWN in config.stash:
        config.stash[_OWN].cleanup()


@pytest.fixture(autouse=True)
def _no_thread_died() -> Iterator[None]:
    """A test whose worker thread failed has failed, unless it closed that thread itself."""
    yield
    failed = failed_threads()
    for thread in failed:
        thread.close(0)
    assert not failed, [(thread.name, thread.failure) for thread in failed]


@pytest.fixture(scope="session")
def gguf_path() -> Path:
    """The pocket bundle's backbone: the file GLASSES_TEST_GGUF names, or the model store's."""
    chosen = os.environ.get("GLASSES_TEST_GGUF")
    return Path(chosen) if chosen else store.path_of("smollm2-135m-instruct-q4_1")


@pytest.fixture(scope="session")
def shared_backbone(gguf_path: Path) -> Iterator[LlamaBackbone]:
    """Use `backbone`; this one only exists to be loaded once."""
    with LlamaBackbone(gguf_path, n_ctx=1024, n_batch=256, n_threads=1) as opened:
        yield opened


@pytest.fixture
def backbone(shared_backbone: LlamaBackbone) -> LlamaBackbone:
    """The real backbone with an empty context of 1,024 rows and one thread, as a busy machine starves more."""
    shared_backbone.clear_abort()
    shared_backbone.rollback(0)
    return shared_backbone
