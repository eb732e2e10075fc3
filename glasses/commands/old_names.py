"""Commands and options by the names they had in version 0.1: they work, stay out of --help, and say what to type."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


def say(old: str, new: str) -> None:
    """Tells on stderr what to type instead."""
    print(f"note: {old} is called {new} now; the next version does not know the old name", file=sys.stderr)


def add_option(parser: argparse.ArgumentParser, old: str, new: str, **how: Any) -> None:
    """Adds `old` as another name of the option `new`; `how` as for the `add_argument` of `new`, its help left out."""
    how = {key: value for key, value in how.items() if key not in ("help", "default")}
    dest = how.pop("dest", new.lstrip("-").replace("-", "_"))
    if how.get("action") == "store_true":
        how = {"nargs": 0, "const": True}
    parser.add_argument(
        old, action=_OldOption, new=new, dest=dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **how
    )


def add_command(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    old: str,
    new: str,
    configure: Callable[[argparse.ArgumentParser], None],
) -> argparse.ArgumentParser:
    """Adds a command that is not listed in --help; `new` is what to type, and `configure` adds its options."""
    parser = subparsers.add_parser(old, description=f"The old name of: {new}")
    if not isinstance(subparsers.choices, _Choices):
        subparsers.choices = _Choices(subparsers.choices or {})
    subparsers.choices.old.add(old)
    configure(parser)
    run = parser.get_default("run")

    def run_and_say(args: argparse.Namespace) -> int:
        say(f"{parser.prog}", f"`{new}`")
        return run(args)

    parser.set_defaults(run=run_and_say)
    return parser


class _Choices(dict[str, Any]):
    """The commands of a parser. All are known, and those of today are listed to who mistypes one."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        super().__init__(known)
        self._known, self.old = known, set[str]()

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._known if name not in self.old)


class _OldOption(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, *, new: str, **how: Any) -> None:
        super().__init__(option_strings, dest, **how)
        self._new = new

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        say(option_string or self.option_strings[0], self._new)
        setattr(namespace, self.dest, self.const if self.nargs == 0 else values)
