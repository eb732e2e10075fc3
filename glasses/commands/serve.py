"""`glasses serve`: the Latent, Gradient and Tokenizer APIs of one bundle, for apps here or on other machines."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasses.commands import bundle_option, old_names, preflight
from glasses.errors import InputError, ModelError, Reason
from glasses.model_store import store
from glasses.runtime.bundle import SPARE_ONE, LoadedBundle, open_bundle
from glasses.runtime.bundle_choice import chosen_bundle
from glasses.service.server.token_file import read_token
from glasses.system.event_loop import run_until_signal

if TYPE_CHECKING:
    from glasses.assistant.app_acts import AppActs
    from glasses.service.server.server import Listen
    from glasses.service.server.service import Service

log = logging.getLogger(__name__)
_EXAMPLE = """\
examples:
  glasses serve                                                    on 127.0.0.1:8765, for programs on this machine
  glasses serve --listen unix:/run/user/1000/glasses.sock
  glasses serve --backend torch                                    with the Gradient API (extra `train`)
  glasses serve --backend vllm --vllm http://127.0.0.1:8000        a gateway to a vLLM server with the same backbone
  (umask 077; openssl rand -hex 32 > token)                        makes a secret for --token-file
  glasses serve --listen 0.0.0.0:8765 --token-file token --tls-cert cert.pem --tls-key key.pem
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `serve`."""
    parser = subparsers.add_parser(
        "serve",
        description="Serve the backbone of a bundle over HTTP and WebSocket: its Latent, Gradient and Tokenizer APIs, "
        "and an OpenAI-compatible chat that takes pictures and sound.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bundle_option.add_option(parser, default=store.AUTO_BUNDLE)
    parser.add_argument(
        "--backend", choices=("llama", "torch", "vllm"), default="llama", help="what runs the backbone (default: llama)"
    )
    parser.add_argument(
        "--vllm", metavar="URL", help="address of the vLLM server for --backend vllm; its key is read from VLLM_API_KEY"
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:8765", metavar="ADDRESS", help="unix:PATH or HOST:PORT (default: 127.0.0.1:8765)"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="its first line is what clients must send, a secret (see below)"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="PEM", help="the server's certificate chain, for TLS")
    parser.add_argument("--tls-key", type=Path, metavar="PEM", help="the private key of the certificate")
    parser.add_argument(
        "--client-ca", type=Path, metavar="PEM", help="accept only clients with a certificate of this authority"
    )
    parser.add_argument("--sessions", type=int, default=8, metavar="N", help="sessions at the same time (default: 8)")
    parser.add_argument(
        "--added-tokens",
        type=Path,
        metavar="FILE",
        help="where the Tokenizer API keeps the vocabulary's added tokens (default: in the model cache); no secret",
    )
    old_names.add_option(parser, "--tokens", "--added-tokens", type=Path)
    parser.add_argument("--json", action="store_true", help="print the address as JSON when it listens")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C. Raises GlassesError if it cannot."""
    if find_spec("uvicorn") is None or find_spec("msgspec") is None:
        raise ModelError(Reason.NOT_INSTALLED, "serving needs, from the checkout: pip install -e '.[service]'")
    args.bundle = chosen_bundle(args.bundle)
    if args.sessions < 1:
        raise InputError(Reason.BAD_INPUT, f"--sessions {args.sessions}: at least 1")
    if number := run_until_signal(_serve(args)):
        signal.raise_signal(number)  # now that everything is closed, it ends the command as it ends others
    return 0


def engine_opener(backend: str, bundle: str, vllm: str | None = None) -> Callable[[], Any]:
    """A function that opens the engine on the thread it will belong to. Raises ModelError(NOT_INSTALLED),
    InputError.
    """
    if (backend == "vllm") != (vllm is not None):
        raise InputError(Reason.BAD_INPUT, "--backend vllm and --vllm URL go together")
    if vllm is not None:
        from glasses.service.engines.vllm import VllmEngine  # noqa: PLC0415  (httpx: the extra `service`)

        key = os.environ.get("VLLM_API_KEY")
        return lambda: VllmEngine(open_bundle(bundle, n_threads=SPARE_ONE), vllm, api_key=key)
    if backend == "torch":
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise ModelError(Reason.NOT_INSTALLED, "the backend torch needs the extra `train`")
        # imported here: torch takes 2 s and 400 MB
        from glasses.service.engines.torch.gradient_api import open_engine  # noqa: PLC0415

        return partial(open_engine, bundle)
    from glasses.service.engines.llama import LlamaEngine  # noqa: PLC0415  (msgspec: the extra `service`)

    return lambda: LlamaEngine(open_bundle(bundle, n_threads=SPARE_ONE))


def _check_tls(listen: Listen) -> None:
    """Loads certificate, key and authority as the server will: models take seconds to load before it does.

    Raises InputError: NOT_FOUND, CORRUPT.
    """
    for option in ("tls_cert", "tls_key", "client_ca"):
        path: Path | None = getattr(listen, option)
        if path is None:
            continue
        try:
            path.open("rb").close()
        except OSError as error:
            raise InputError(Reason.NOT_FOUND, f"--{option.replace('_', '-')} {path}: {error.strerror}") from error
    if listen.tls_cert is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(listen.tls_cert, listen.tls_key, password=_refuse_password)
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise InputError(
            Reason.CORRUPT,
            f"--tls-cert {listen.tls_cert} and --tls-key {listen.tls_key} are no pair of PEM files: {why}",
        ) from error
    if listen.client_ca:
        try:
            context.load_verify_locations(listen.client_ca)
        except ssl.SSLError as error:
            why = error.reason or error
            raise InputError(
                Reason.CORRUPT, f"--client-ca {listen.client_ca} holds no certificate in PEM: {why}"
            ) from error


def _refuse_password() -> str:
    raise ValueError("the key has a password, which nobody could type where it runs")


async def _serve(args: argparse.Namespace) -> int:
    """Serves until a signal comes, and returns its number."""
    # imported here: the extra `service` may be missing
    from glasses.service.server.server import Listen  # noqa: PLC0415
    from glasses.service.server.service import Caps, Service  # noqa: PLC0415

    token = read_token(args.token_file) if args.token_file else None
    listen = Listen(args.listen, token, args.tls_cert, args.tls_key, args.client_ca)
    _check_tls(listen)
    if args.added_tokens:
        preflight.later_folder("--added-tokens", args.added_tokens.parent)
    tokens = args.added_tokens or store.cache_dir() / "tokens" / f"{args.bundle}.tokens"
    opener = engine_opener(args.backend, args.bundle, args.vllm)
    with ExitStack() as stack:
        service = Service(
            opener,
            backend=args.backend,
            tokens=tokens,
            caps=Caps(sessions=args.sessions),
            open_acts=partial(_open_acts, listen, args.backend, stack),
        )
        return await _serve_on(listen, service, args)


def _open_acts(listen: Listen, backend: str, stack: ExitStack, loaded: LoadedBundle) -> AppActs | None:
    """What calls tools for the apps of this user, whom a Unix socket belongs to; for nobody on other machines. What is
    opened is closed with `stack`. Raises InputError and ModelError as `open_typed`.
    """
    # imported here: the extra `service` may be missing
    from glasses.assistant.app_acts import AppActs  # noqa: PLC0415
    from glasses.assistant.config_file import load_config  # noqa: PLC0415
    from glasses.commands.ask_tools import open_typed  # noqa: PLC0415

    if backend != "llama" or not listen.address.startswith("unix:"):
        return None
    caller, _ = open_typed(loaded, stack)
    return caller and AppActs(caller, loaded, may_act=load_config().config.apps.act, note=log.info)


async def _serve_on(listen: Listen, service: Service, args: argparse.Namespace) -> int:
    from glasses.service.server.server import serving  # noqa: PLC0415

    async with serving(service, listen) as running:
        about = {"address": running.address, "bundle": args.bundle, "backend": args.backend, "pid": os.getpid()}
        said = f"serving {args.bundle} on {running.address}"
        if running.address.startswith("ws"):
            about["openai"] = f"http{running.address.removeprefix('ws')}/v1"
            said += f"; for OpenAI clients: {about['openai']}"
        print(json.dumps(about) if args.json else said, flush=True)
        return await running.until_signal()
