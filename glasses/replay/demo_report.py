"""What a played session leaves: replies as WAV, HUD pages, the contact sheet, latency lines, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glasses.audio.ring_buffer import samples
from glasses.audio.sound_files import write_wav
from glasses.decoders import hud
from glasses.recording.demo_session import Said, Session
from glasses.replay.contact_sheet import Row, contact_sheet, envelope
from glasses.replay.replayed_reply import ReplayedReply
from glasses.replay.replayed_tools import ReplayedAnnouncement
from glasses.types import NS_PER_MS, Display, Float32Array

_CONTEXT_MS = 400  # of sound shown before and after what was said to nobody here


def clock(t_ms: float) -> str:
    """Minutes and seconds."""
    return f"{int(t_ms) // 60_000}:{int(t_ms) // 1000 % 60:02d}"


def save_reply(out: Path, reply: ReplayedReply, display: Display, rate_hz: int | None, start_ns: int) -> list[Path]:
    """Writes one reply's sound and HUD pages; returns the files. Raises InputError if they cannot be written."""
    number, files = reply.ended.turn.id, []
    if reply.pcm is not None and rate_hz:
        files.append(out / f"reply-{number}.wav")
        write_wav(files[-1], reply.pcm, rate_hz)
    status = clock((reply.ended.span.end_ns - start_ns) / NS_PER_MS)
    for i, page in enumerate(hud.render(reply.text, display, status)):
        files.append(out / (f"hud-{number}.png" if i == 0 else f"hud-{number}-{i + 1}.png"))
        hud.write_png(files[-1], page)
    return files


def latency_line(reply: ReplayedReply) -> str:
    """One line: the wait for the first sound, with its parts."""
    from_what = "end of speech" if reply.ended.span.spoken_ns else "decision (nobody spoke)"
    to_what = "first text" if reply.pcm is None else "first audio"
    stages = " + ".join(f"{name} {ms:.0f}" for name, ms in reply.wait_ms.items() if round(ms))
    total_ms = sum(reply.wait_ms.values())
    return f"turn {reply.ended.turn.id}: {from_what} -> {to_what} {total_ms:.0f} ms = {stages}"


def words_of(session: Session, reply: ReplayedReply, start_ns: int) -> str:
    """The reference text of what was said in a turn, for a reader."""
    from_ms, to_ms = (
        (t_ns - start_ns) / NS_PER_MS for t_ns in (reply.ended.span.activated_ns, reply.ended.span.decided_ns)
    )
    return " ".join(said.text for said in session.said if said.t_ms < to_ms and said.end_ms > from_ms)


def unanswered(session: Session, replies: Sequence[ReplayedReply], start_ns: int) -> list[Said]:
    """What was said outside every turn."""
    spans = [
        ((r.ended.span.activated_ns - start_ns) / NS_PER_MS, (r.ended.span.decided_ns - start_ns) / NS_PER_MS)
        for r in replies
    ]
    return [s for s in session.said if not any(s.t_ms < to_ms and s.end_ms > from_ms for from_ms, to_ms in spans)]


def save_announcement(
    out: Path, number: int, what: ReplayedAnnouncement, display: Display, *, rate_hz: int | None, start_ns: int
) -> None:
    """Writes the sound and the first HUD page of what was said without being asked. Raises as `save_reply`."""
    if what.pcm is not None and rate_hz:
        write_wav(out / f"announced-{number}.wav", what.pcm, rate_hz)
    page = hud.render(what.text, display, clock((what.t_ns - start_ns) / NS_PER_MS))[0]
    hud.write_png(out / f"announced-hud-{number}.png", page)


def sheet(
    out: Path,
    session: Session,
    replies: Sequence[ReplayedReply],
    announced: Sequence[ReplayedAnnouncement],
    display: Display,
    *,
    start_ns: int,
) -> Path:
    """Draws the whole session on one page."""
    rows = [_row(session, reply, display, start_ns) for reply in replies]
    rows += [_announced_row(session, what, display, start_ns) for what in announced]
    for said in unanswered(session, replies, start_ns):
        from_ms, to_ms = max(0, said.t_ms - _CONTEXT_MS), said.end_ms + _CONTEXT_MS
        spoken_s = (said.t_ms / 1000, said.end_ms / 1000)
        rows.append(Row(from_ms / 1000, to_ms / 1000, _envelope(session, from_ms, to_ms), spoken_s, said=said.text))
    rows.sort(key=lambda row: row.start_s)
    path = out / "sheet.png"
    made = "Sound and pictures reach the backbone as latent vectors; no transcript is made."
    subtitle = f"{made} Answers are the models' and the tools' own."
    contact_sheet(path, session.title, subtitle, rows)
    return path


def as_json(session: Session, replies: Sequence[ReplayedReply], start_ns: int) -> list[dict[str, Any]]:
    """Each turn: when, what it carried, the answer, and the wait in ms part by part."""
    return [
        {
            "turn": reply.ended.turn.id,
            "touched_ms": (reply.ended.span.activated_ns - start_ns) // NS_PER_MS,
            "press": reply.ended.turn.cause,
            "spoken_ms": [(t_ns - start_ns) // NS_PER_MS for t_ns in reply.ended.span.spoken_ns or ()],
            "parts": [
                part if isinstance(part, str) else [part.modality, len(part.data)] for part in reply.ended.turn.inputs
            ],
            "said_not_seen_by_the_model": words_of(session, reply, start_ns),
            "answer": reply.text,
            "wait_ms": {name: round(ms, 1) for name, ms in reply.wait_ms.items()},
            "total_wait_ms": round(sum(reply.wait_ms.values()), 1),
        }
        for reply in replies
    ]


def _row(session: Session, reply: ReplayedReply, display: Display, start_ns: int) -> Row:
    ended = reply.ended
    first_ns = min(part.t_ns for part in ended.turn.inputs if not isinstance(part, str) and part.modality == "audio")
    from_ms, to_ms = (first_ns - start_ns) / NS_PER_MS, (ended.span.decided_ns - start_ns) / NS_PER_MS
    spoken = ended.span.spoken_ns
    return Row(
        number=ended.turn.id,
        start_s=from_ms / 1000,
        end_s=to_ms / 1000,
        envelope=_envelope(session, from_ms, to_ms),
        spoken_s=((spoken[0] - start_ns) / 1e9, (spoken[1] - start_ns) / 1e9) if spoken else None,
        camera=ended.view.rgb if ended.view else None,
        said=words_of(session, reply, start_ns) or None,
        answer=reply.text,
        hud=hud.render(reply.text, display, clock((ended.span.end_ns - start_ns) / NS_PER_MS))[0].rgb(),
        timings=_timings(reply),
    )


def _announced_row(session: Session, what: ReplayedAnnouncement, display: Display, start_ns: int) -> Row:
    from_ms = (what.t_ns - start_ns) / NS_PER_MS
    return Row(
        start_s=from_ms / 1000,
        end_s=from_ms / 1000 + 2,
        envelope=_envelope(session, from_ms, from_ms + 2000),
        answer=what.text,
        hud=hud.render(what.text, display, clock(from_ms))[0].rgb(),
    )


def _timings(reply: ReplayedReply) -> tuple[tuple[str, str], ...]:
    silence_ms, total_ms = reply.wait_ms["silence"], sum(reply.wait_ms.values())
    what = "text" if reply.pcm is None else "sound"
    return (
        (f"to the first {what} of the answer", f"{total_ms:.0f} ms"),
        ("of it waiting whether speech goes on", f"{silence_ms:.0f} ms"),
        ("and computing", f"{total_ms - silence_ms:.0f} ms"),
    )


def _envelope(session: Session, from_ms: float, to_ms: float) -> Float32Array:
    return envelope(session.pcm[samples(int(from_ms * NS_PER_MS)) : samples(int(to_ms * NS_PER_MS))])
