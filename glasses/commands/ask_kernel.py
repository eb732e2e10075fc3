"""`glasses ask` where this user's glasses run: their models answer and their tools act; nothing is loaded twice."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from glasses import __version__
from glasses.assistant.answer import CANNED, Times, encode
from glasses.backbone.repetition import stop_on_repetition
from glasses.commands.ask_tools import note_who_rings
from glasses.errors import Reason, RemoteError
from glasses.model_store import store
from glasses.runtime.bundle import open_encoders
from glasses.runtime.given import Given
from glasses.system.kernel_socket import kernel_address
from glasses.tools.builtin.reminders import set_reminder
from glasses.tools.builtin.timers import set_alarm, set_timer
from glasses.types import Float32Array, Token

if TYPE_CHECKING:
    from glasses.service.client import SyncClient

RINGS = {one.name for one in (set_timer, set_alarm, set_reminder)}
START_S = 20.0  # the first app that connects starts the server: half a second, on a busy board some


def answered(
    inputs: list[Given], times: Times, args: argparse.Namespace, stack: ExitStack, on_question: Callable[[str], None]
) -> Iterator[Token] | None:
    """The answer of the running glasses, which stay connected as long as `stack`. None where there are none, they have
    another bundle, or it is too much for what they have left for apps: then the models are to be loaded here.

    Raises RemoteError where they refuse: BUSY, when loading the models once more would make that worse, and REFUSED
    where apps may not do what is asked for.
    """
    if args.tools and args.yes:  # an app cannot agree for the wearer
        return None
    if find_spec("msgspec") is None or find_spec("websockets") is None or (address := kernel_address()) is None:
        return None
    # imported here: the extra `service` may be missing
    from glasses.service.client import SyncClient, WebSocket  # noqa: PLC0415
    from glasses.service.protocol import generation_params as limits  # noqa: PLC0415
    from glasses.service.protocol import wire  # noqa: PLC0415

    n_bytes = sum(one.nbytes for one in inputs if _is_sound(one))
    if args.max_tokens > limits.MAX_TOKENS or args.top_k > limits.MAX_TOP_K or n_bytes > wire.MAX_MESSAGE_BYTES // 2:
        return None
    try:
        client = stack.enter_context(SyncClient(lambda: WebSocket(address, open_timeout_s=START_S), resume_s=0.0))
        return _answered(client, inputs, times, args, on_question)
    except RemoteError as error:
        if error.reason in (Reason.BUSY, Reason.REFUSED):
            raise RemoteError(error.reason, f"{error}; --no-kernel loads the models once more") from error
        return None


def _answered(
    client: SyncClient, inputs: list[Given], times: Times, args: argparse.Namespace, on_question: Callable[[str], None]
) -> Iterator[Token] | None:
    """None where they have another bundle."""
    since_ns = time.monotonic_ns()
    about = client.describe()
    is_wanted = args.bundle in (store.AUTO_BUNDLE, about.bundle)
    if not is_wanted or about.version != __version__ or about.backbone != _sha256(about.bundle):
        return None
    since_ns = times.add("load", since_ns)
    has_picture = any(isinstance(one, np.ndarray) and one.ndim == 3 for one in inputs)
    encoders = open_encoders(about.bundle, sounds=False, pictures=has_picture)
    encoded = [part for one in inputs for part in ([one] if _is_sound(one) else encode(encoders, one))]
    since_ns = times.add("encode", since_ns)
    session = client.open()
    session.feed(*encoded)
    if session.question:
        on_question(session.question)
    since_ns = times.add("prefill", since_ns)
    if args.tools and (acted := session.act()):
        times.add("tool", since_ns)
        if acted[0] in RINGS:
            note_who_rings()
        return iter([Token(1, CANNED, acted[1], 0.0, None, last=True)])
    tokens = session.generate(max_tokens=args.max_tokens, top_k=args.top_k)
    first = next(tokens)
    times.add("first piece", since_ns)
    return stop_on_repetition(_timed(chain([first], tokens), times))


def _sha256(bundle: str) -> str:
    """Of the backbone that this checkout has in the bundle."""
    return store.load_manifest(store.load_bundle(bundle).backbone).files[0].sha256


def _is_sound(given: Given) -> TypeGuard[Float32Array]:
    return isinstance(given, np.ndarray) and given.ndim == 1


def _timed(tokens: Iterator[Token], times: Times) -> Iterator[Token]:
    since_ns = time.monotonic_ns()
    for i, token in enumerate(tokens):
        since_ns = times.add("more pieces", since_ns) if i else time.monotonic_ns()
        yield token
        since_ns = time.monotonic_ns()
