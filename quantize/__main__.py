"""The command line of `quantize`: imports the command that is named, and runs it as `glasses` runs its own."""

from __future__ import annotations

import importlib
import sys

from glasses.__main__ import quiet_at_interrupt

TYPE_CHECKING = False  # as typing has it, whose import takes milliseconds in which Ctrl-C would not be ours
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

_EXTRA = ("onnx", "onnx_ir", "safetensors", "gguf")  # what the extra `quantize` brings, as it is imported
# The module of each command, and its line in `quantize --help`, which imports none of them.
COMMANDS = {
    "export": ("quantize.commands.export", "export an encoder as float32 ONNX"),
    "encoder": ("quantize.commands.encoder", "quantize an encoder and say what it lost"),
    "connector": ("quantize.commands.encoder", "quantize a connector and say what it lost"),
    "backbone": ("quantize.commands.backbone", "quantize a GGUF backbone through llama.cpp"),
    "imatrix": ("quantize.commands.backbone", "collect an importance matrix from text and latents"),
    "report": ("quantize.commands.report", "compare two models: fidelity, speed, memory, tasks"),
    "kernels": ("quantize.commands.kernels", "compare two models on the kernels of each processor"),
    "table": ("quantize.commands.table", "measure variants of the pocket bundle side by side"),
    "plan": ("quantize.commands.plan", "estimate which bundles fit a board"),
    "bundle": ("quantize.commands.bundle", "make a whole bundle for a board, hashed and with manifests"),
}
_EXAMPLE = """\
examples:
  quantize export whisper-tiny-en-ct2 --to onnx --out whisper.onnx
  quantize encoder whisper.onnx --scheme dynamic-int8 --out whisper-int8.onnx
  quantize report whisper.onnx whisper-int8.onnx --tasks 20 --html report.html
  quantize plan --board zero2w

exit status: 0 done, 1 a target was missed, 2 an error that was explained, 130 Ctrl-C; nothing half-written is left
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; 0 is success, 2 an error that was explained, 130 Ctrl-C."""
    if argv is None:
        quiet_at_interrupt()
    from glasses.commands import guarded  # noqa: PLC0415

    given = sys.argv[1:] if argv is None else argv
    named = next((word for word in given if not word.startswith("-")), "")
    return guarded(
        f"quantize {named}".strip(),
        lambda: _prepared(given, named),
        own_process=argv is None,
        verbose="--verbose" in given,
    )


def _prepared(given: list[str], named: str) -> Callable[[], int]:
    """The command, imported and with its arguments parsed. Raises SystemExit where argparse does."""
    parser, subparsers = _parser()
    if named in COMMANDS:
        _module(COMMANDS[named][0]).add_parser(subparsers)
    else:
        for name, (_, line) in COMMANDS.items():
            subparsers.add_parser(name, help=line)
    args = parser.parse_args(given)
    import logging  # noqa: PLC0415  # after the command's own imports: onnxruntime sets INFO

    level = logging.DEBUG if args.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(message)s", force=True)
    if not args.verbose:
        logging.getLogger("glasses.llama_cpp").setLevel(logging.ERROR)  # it warns of a choice of ours at every start
    return lambda: args.run(args)


def _module(name: str) -> Any:
    """Raises ModelError(NOT_INSTALLED) where the extra is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:  # say that the extra is missing, not where the import stands
        if missing.name not in _EXTRA:
            raise
        from glasses.errors import ModelError, Reason  # noqa: PLC0415

        raise ModelError(
            Reason.NOT_INSTALLED,
            f"{missing.name} is not installed; install the extra, from the checkout: pip install -e '.[quantize]'",
        ) from missing


def _parser() -> tuple[argparse.ArgumentParser, argparse._SubParsersAction[argparse.ArgumentParser]]:
    import argparse  # noqa: PLC0415  # some milliseconds, in which Ctrl-C would not be ours

    parser = argparse.ArgumentParser(
        prog="quantize",
        description="Export and quantize encoders, connectors and backbones, and prove what was lost.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--verbose", action="store_true", help="log what the libraries say, and where an error is from")
    return parser, parser.add_subparsers(dest="command", required=True, metavar="COMMAND")


if __name__ == "__main__":
    sys.exit(main())
