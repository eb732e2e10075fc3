"""Who a client is in limits and log lines, and log lines that a flood of requests does not flood."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import OrderedDict
from typing import Any

EVERY_S = 60.0  # one line a client and kind of complaint
MAX_REMEMBERED = 256
HERE = "a program on this machine"


def name_of(address: Any) -> str:
    """A client for people: HOST:PORT of its socket address; those of Unix sockets have none."""
    return f"{address[0]}:{address[1]}" if address else HERE


def account_of(address: Any) -> str:
    """Whose share a client's work is counted to: all connections of another machine together; on this machine each
    connection is for itself, for many programs share its address. "" where it has none: a Unix socket.
    """
    if not address:
        return ""
    try:
        is_here = ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        is_here = False
    return name_of(address) if is_here else str(address[0])


class Complaints:
    """Log lines about clients that exceed a limit: who, which, and how often since the last such line."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: OrderedDict[tuple[str, str], list[float]] = OrderedDict()  # (host, what): when, and how often since

    def __call__(self, address: Any, what: str) -> None:
        host = str(address[0]) if address else HERE
        told = self._told.setdefault((host, what), [0.0, 0.0])
        self._told.move_to_end((host, what))
        while len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)
        told[1] += 1
        now = time.monotonic()
        if told[0] == 0.0 or now - told[0] >= EVERY_S:
            more = f" ({told[1]:.0f} times since the last such line)" if told[1] > 1 else ""
            self._log.warning("%s %s%s", name_of(address), what, more)
            told[:] = [now, 0.0]
