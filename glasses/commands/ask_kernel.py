"""`glasses ask` where this user's glasses run: their backbone and connectors answer, and nothing is loaded twice."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from glasses import __version__
from glasses.assistant.answer import Times, encode
from glasses.backbone.repetition import stop_on_repetition
from glasses.errors import Reason, RemoteError
from glasses.model_store import store
from glasses.runtime.bundle import open_encoders
from glasses.runtime.given import Given
from glasses.system.kernel_socket import kernel_address
from glasses.tools.choice import asks_for_tool
from glasses.types import Token

if TYPE_CHECKING:
    from glasses.service.client import SyncClient

START_S = 20.0  # the first app that connects starts the server: half a second, on a busy board some


def answered(
    inputs: list[Given], times: Times, args: argparse.Namespace, stack: ExitStack, on_question: Callable[[str], None]
) -> Iterator[Token] | None:
    """The answer of the running glasses, which stay connected as long as `stack`. None where there are none, they have
    another bundle, or it is too much for what they have left for apps: then the models are to be loaded here.

    Raises RemoteError(BUSY) where they refuse: loading the models once more would make that worse.
    """
    if find_spec("msgspec") is None or find_spec("websockets") is None or (address := kernel_address()) is None:
        return None
    # imported here: the extra `service` may be missing
    from glasses.service.client import SyncClient, WebSocket  # noqa: PLC0415
    from glasses.service.protocol import generation_params as limits  # noqa: PLC0415

    if args.max_tokens > limits.MAX_TOKENS or args.top_k > limits.MAX_TOP_K:
        return None
    since_ns = time.monotonic_ns()
    try:
        client = stack.enter_context(SyncClient(lambda: WebSocket(address, open_timeout_s=START_S), resume_s=0.0))
        about = client.describe()
        is_wanted = args.bundle in (store.AUTO_BUNDLE, about.bundle)
        if not is_wanted or about.version != __version__ or about.backbone != _sha256(about.bundle):
            return None
        if args.tools and _may_ask_for_tool(inputs, store.load_bundle(about.bundle).tool_choice, client):
            return None  # the glasses call tools for the wearer only
        since_ns = times.add("load", since_ns)
        is_array = [one for one in inputs if isinstance(one, np.ndarray)]
        encoders = open_encoders(
            about.bundle, sounds=any(one.ndim == 1 for one in is_array), pictures=any(one.ndim == 3 for one in is_array)
        )
        encoded = [part for item in inputs for part in encode(encoders, item)]
        since_ns = times.add("encode", since_ns)
        session = client.open()
        session.feed(*encoded)
        if session.question:
            on_question(session.question)
        since_ns = times.add("prefill", since_ns)
        tokens = session.generate(max_tokens=args.max_tokens, top_k=args.top_k)
        first = next(tokens)
    except RemoteError as error:
        if error.reason is Reason.BUSY:
            raise RemoteError(error.reason, f"{error}; --no-kernel loads the models once more") from error
        return None
    times.add("first piece", since_ns)
    return stop_on_repetition(_timed(chain([first], tokens), times))


def _sha256(bundle: str) -> str:
    """Of the backbone that this checkout has in the bundle."""
    return store.load_manifest(store.load_bundle(bundle).backbone).files[0].sha256


def _may_ask_for_tool(inputs: list[Given], chooser: str | None, client: SyncClient) -> bool:
    """Whether the typed words ask for a tool; of a sound that is not known before it is connected."""
    if chooser is None:
        return False
    if any(isinstance(one, np.ndarray) and one.ndim == 1 for one in inputs):
        return True
    typed = " ".join(one for one in inputs if isinstance(one, str))
    return bool(typed) and asks_for_tool(store.path_of(chooser), client.tokenize(typed)[1])


def _timed(tokens: Iterator[Token], times: Times) -> Iterator[Token]:
    since_ns = time.monotonic_ns()
    for i, token in enumerate(tokens):
        since_ns = times.add("more pieces", since_ns) if i else time.monotonic_ns()
        yield token
        since_ns = time.monotonic_ns()
