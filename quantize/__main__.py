"""The command line of `quantize`: parses, calls one command, turns GlassesErrors into one line and an exit code."""

from __future__ import annotations

import argparse
import logging
import sys

from glasses.errors import GlassesError

_EXTRA = ("onnx", "onnx_ir", "safetensors", "gguf")  # what the extra `quantize` brings, as it is imported
try:
    from quantize.commands import backbone, bundle, encoder, export, kernels, plan, report, table
except ModuleNotFoundError as missing:  # say that the extra is missing, not where the import stands
    if missing.name not in _EXTRA:
        raise
    sys.exit(
        f"quantize: {missing.name} is not installed; install the extra, from the checkout: pip install -e '.[quantize]'"
    )

_COMMANDS = (export, encoder, backbone, report, kernels, table, plan, bundle)
_EXAMPLE = """\
examples:
  quantize export whisper-tiny-en-ct2 --to onnx --out whisper.onnx
  quantize encoder whisper.onnx --scheme dynamic-int8 --out whisper-int8.onnx
  quantize report whisper.onnx whisper-int8.onnx --tasks 20 --html report.html
  quantize plan --board zero2w
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; 0 is success, 2 an error that was explained, 130 Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="quantize",
        description="Export and quantize encoders, connectors and backbones, and prove what was lost.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(subparsers)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", force=True)  # onnxruntime sets INFO
    logging.getLogger("glasses.llama_cpp").setLevel(logging.ERROR)  # it warns of a choice of ours at every start
    try:
        return args.run(args)
    except GlassesError as error:
        print(f"quantize {args.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing half-written is left", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
