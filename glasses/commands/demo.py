"""`glasses demo`: plays a recorded minute to the pipeline and shows its answers, which are computed anew each time."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from glasses.assistant.answer import warm_up
from glasses.commands import bundle_option, preflight
from glasses.commands.optional_voice import open_voice_or_none
from glasses.events import TurnCompleted
from glasses.model_store import store
from glasses.recording.demo_session import SHIPPED, Session, events, load_session, paced
from glasses.replay import demo_report
from glasses.replay.replayed_reply import ReplayedReply
from glasses.replay.replayed_tools import ReplayedAnnouncement
from glasses.replay.replayer import ReplayEngine, Told
from glasses.runtime.bundle import open_bundle, open_memory
from glasses.runtime.bundle_choice import chosen_bundle
from glasses.system.board import load_board
from glasses.types import NS_PER_MS, SensorEvent

_EXAMPLE = """\
examples:
  glasses demo                          the minute in its own time, a live table, files in out/demo
  glasses demo --fast --json            as fast as it goes; what happened as JSON

In the minute the wearer asks, asks on without a touch, sets a timer that rings, has something remembered and asks for
it, hears a sound, looks at an animal, and somebody says something that is not for the assistant. OUT gets reply-N.wav,
hud-N.png and sheet.png, the whole session on one page.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `demo`."""
    parser = subparsers.add_parser(
        "demo",
        description="Play a recorded minute to the assistant and watch.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fast", action="store_true", help="do not wait for the recording's own time")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), metavar="DIR", help="(default: out/demo)")
    parser.add_argument("--session", type=Path, default=SHIPPED, metavar="DIR", help="another recorded session")
    parser.add_argument("--board", default="desktop", help="whose display is drawn (default: desktop)")
    bundle_option.add_option(parser, default=store.AUTO_BUNDLE)
    parser.add_argument("--json", action="store_true", help="print what happened as JSON, no table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Plays the session once. Raises GlassesError, before models are loaded where possible."""
    args.bundle = chosen_bundle(args.bundle)
    session = load_session(args.session)
    display = load_board(args.board).require_display()
    preflight.output_folder("--out", args.out)
    with ExitStack() as stack:
        voice = open_voice_or_none(args.bundle)
        if voice:
            stack.callback(voice.close)
        loaded = open_bundle(args.bundle)
        stack.callback(loaded.close)
        warm_up(loaded, voice, sees=True)
        screen = _Screen(session)
        console = Console()
        live = nullcontext() if args.json else _live(screen, console)
        start_ns = time.monotonic_ns()
        memory = stack.enter_context(open_memory(loaded))
        engine = ReplayEngine(loaded, voice, memory=memory, on_clock=not args.fast, on_text=screen.add)
        stream = events(session, start_ns=start_ns)
        stream = screen.watched(stream if args.fast else paced(stream), start_ns)
        replies, announced = list[ReplayedReply](), list[ReplayedAnnouncement]()

        def tell(what: Told) -> None:
            if isinstance(what, TurnCompleted):
                screen.begin(what, start_ns)
            elif isinstance(what, ReplayedAnnouncement):
                screen.announced(what, start_ns)
                demo_report.save_announcement(
                    args.out,
                    len(announced) + 1,
                    what,
                    display,
                    rate_hz=voice.rate_hz if voice else None,
                    start_ns=start_ns,
                )
                announced.append(what)
            elif isinstance(what, ReplayedReply):
                screen.answered(what)
                demo_report.save_reply(args.out, what, display, voice.rate_hz if voice else None, start_ns)
                replies.append(what)

        with live:
            engine.run(stream, tell)
            screen.finished(demo_report.unanswered(session, replies, start_ns))
        sheet = demo_report.sheet(args.out, session, replies, announced, display, start_ns=start_ns)
    if args.json:
        print(
            json.dumps(
                {
                    "turns": demo_report.as_json(session, replies, start_ns),
                    "announced": [
                        {"t_ms": (one.t_ns - start_ns) // NS_PER_MS, "kind": one.kind, "text": one.text}
                        for one in announced
                    ],
                    "sheet": str(sheet),
                },
                ensure_ascii=False,
            )
        )
        return 0
    for one in replies:
        print(demo_report.latency_line(one))
    print(f"{sheet}: the session at a glance; beside it the replies and the display's pictures")
    return 0


@contextmanager
def _live(screen: _Screen, console: Console) -> Iterator[None]:
    """Draws the table as it grows; into a file or a pipe once, at the end, where rich leaves out the new line."""
    try:
        with Live(get_renderable=screen.table, console=console, refresh_per_second=8):
            yield
    finally:
        if not console.is_terminal:
            print(flush=True)


@dataclass(slots=True)
class _Line:
    when: str
    carries: str
    text: str = ""
    wait: str = "…"


@dataclass(slots=True)
class _Screen:
    """The content of the live table, which another thread draws."""

    session: Session
    lines: list[_Line] = field(default_factory=list)
    now_ms: int = 0

    def watched(self, stream: Iterable[SensorEvent], start_ns: int) -> Iterator[SensorEvent]:
        """Passes events on and sets the clock to each."""
        for event in stream:
            self.now_ms = (event.t_ns - start_ns) // NS_PER_MS
            yield event

    def begin(self, ended: TurnCompleted, start_ns: int) -> None:
        """A new line for a turn that is being answered."""
        kinds = [part.modality for part in ended.turn.inputs if not isinstance(part, str)]
        carries = ["picture"] * kinds.count("image") + ["sound before"] * (kinds.count("audio") - 1)
        carries.append("speech" if ended.span.spoken_ns else "sound")
        when = demo_report.clock((ended.span.activated_ns - start_ns) / NS_PER_MS)
        self.lines.append(_Line(when, " + ".join(carries)))

    def add(self, piece: str) -> None:
        """A piece of the answer to the newest turn."""
        self.lines[-1].text += piece

    def announced(self, what: ReplayedAnnouncement, start_ns: int) -> None:
        """A line for what was said without being asked."""
        self.lines.append(_Line(demo_report.clock((what.t_ns - start_ns) / NS_PER_MS), what.kind, what.text, ""))

    def answered(self, reply: ReplayedReply) -> None:
        """The answer to the newest turn is complete."""
        self.lines[-1].text = reply.text  # a tool's sentence, too
        self.lines[-1].wait = f"{sum(reply.wait_ms.values()):.0f} ms"

    def finished(self, unanswered: list[demo_report.Said]) -> None:
        """The whole session was played; adds a line for each utterance that was not answered."""
        self.now_ms = self.session.length_ms
        self.lines += [_Line(demo_report.clock(s.t_ms), "speech, no touch", "(not answered)", "") for s in unanswered]
        self.lines.sort(key=lambda line: line.when)

    def table(self) -> Table:
        """The table as it stands."""
        caption = f"{demo_report.clock(self.now_ms)} of {demo_report.clock(self.session.length_ms)}"
        table = Table(title=self.session.title, caption=caption, expand=True)
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("the model gets, as latents")
        table.add_column("answer", ratio=1)
        table.add_column("waited", justify="right", no_wrap=True)
        for line in list(self.lines):
            table.add_row(line.when, line.carries, line.text.strip(), line.wait)
        return table
