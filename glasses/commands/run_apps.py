"""The socket of `glasses run` by which this user's programs use its models: see glasses/service/README.md."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from glasses.assistant.config import AssistantConfig
from glasses.backbone.handover import Handover
from glasses.errors import InputError
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle
from glasses.system import kernel_socket
from glasses.tools.acts import Acts
from glasses.tools.registry import ToolRegistry

if TYPE_CHECKING:
    from glasses.service.server.kernel import Kernel

log = logging.getLogger(__name__)


@contextmanager
def serving(
    config: AssistantConfig,
    loaded: LoadedBundle,
    handover: Handover,
    *,
    tools: ToolRegistry | None = None,
    acts: Acts | None = None,
    why_not: Callable[[], str],
    note: Callable[[str], None],
) -> Iterator[Kernel | None]:
    """Serves apps meanwhile, where the configuration wants it, puts their tools into `tools`, and has what they ask
    for in words done by `acts`. None, with a note,
    where the socket cannot be had: the wearer is served all the same.
    """
    if not config.apps.enabled:
        yield None
        return
    if find_spec("uvicorn") is None or find_spec("msgspec") is None:
        log.info("no apps: they need, from the checkout: pip install -e '.[service]'")
        yield None
        return
    with ExitStack() as stack:
        try:
            sock = stack.enter_context(kernel_socket.bound())
        except InputError as error:
            note(f"no apps can connect: {error}")
            yield None
            return
        # imported here: the extra `service` may be missing
        from glasses.service.server.kernel import Kernel  # noqa: PLC0415

        path = kernel_socket.kernel_socket_path()
        tokens = store.cache_dir() / "tokens" / f"{loaded.bundle.name}.tokens"
        kernel = Kernel(loaded, handover, sock, f"unix:{path}", tokens=tokens, why_not=why_not, tools=tools, acts=acts)
        stack.enter_context(kernel.running())
        yield kernel
