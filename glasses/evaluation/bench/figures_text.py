"""The figures of a benchmark for people."""

from __future__ import annotations

from typing import Any


def report(figures: dict[str, Any]) -> str:
    """The figures for people."""

    def lines(name: str, value: Any, indent: str) -> list[str]:
        name = name.replace("_", " ")
        if isinstance(value, dict):
            return [f"{indent}{name}:", *(line for k, v in value.items() for line in lines(k, v, f"{indent}  "))]
        shown = ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
        return [f"{indent}{name:<{32 - len(indent)}}{shown}"]

    return "\n".join(line for name, value in figures.items() for line in lines(name, value, ""))
