"""A program that reads text from stdin and writes phonemes to stdout. It imports nothing of this project.

It is the only file that loads espeak-ng (GPL-3), out of the piper-tts package, so that the runtime's process holds no
GPL code. It loads just the bridge library, not the package, whose import would bring onnxruntime into this process too.
Messages both ways: u32 little-endian length, then that many bytes; text is UTF-8, replies are JSON, either
{"clauses": [[phonemes, mark, ends_sentence], ...]} or {"error": text}. Ends when stdin does.
"""

import json
import signal
import struct
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

_LENGTH = struct.Struct("<I")


def main(package_dir: str, voice: str) -> None:
    """Serves until end of input. `package_dir` is piper-tts 1.8.0's folder, `voice` an espeak-ng voice."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C; this ends with its stdin
    spec = PathFinder.find_spec("espeakbridge", [package_dir])
    if spec is None or spec.loader is None:
        sys.exit(f"no espeakbridge library in {package_dir}")
    espeak = module_from_spec(spec)
    spec.loader.exec_module(espeak)
    espeak.initialize(f"{package_dir}/espeak-ng-data")
    espeak.set_voice(voice)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(header := source.read(_LENGTH.size)) == _LENGTH.size:
        text = source.read(_LENGTH.unpack(header)[0]).decode("utf-8")
        try:
            reply = {"clauses": espeak.get_phonemes(text)}
        except RuntimeError as error:
            reply = {"error": str(error)}
        data = json.dumps(reply).encode("utf-8")
        sink.write(_LENGTH.pack(len(data)) + data)
        sink.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
