"""What to go without when the board is hot, the battery low or memory short. Pure; reads no sensor and stops no stage.

Load is shed in one declared order, and comes back in the reverse of it, one step at a time. `step` is the whole of it:
the level before, what was read, the limits -> the level after.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from glasses.types import NS_PER_S, Load

# Camera first: pictures cost most and are asked for least. Then the radio. Last the backbone: the microphone and a
# spoken "I am too hot" stay, whatever happens.
SHED_ORDER: tuple[Load, ...] = ("camera", "remote", "backbone")


@dataclass(frozen=True, slots=True)
class Limits:
    """Per measure the three values from which one, two, three loads are shed, and how far back it must be for less.

    The default is for boards that throttle at 80 deg C, as Raspberry Pis do; shedding later than that is too late,
    because everything is slow by then.
    """

    heat_c: tuple[float, float, float] = (70.0, 75.0, 80.0)
    heat_back_c: float = 5.0
    battery_percent: tuple[float, float, float] = (20.0, 10.0, 5.0)
    battery_back_percent: float = 5.0
    free_mb: tuple[float, float, float] = (64.0, 40.0, 24.0)
    free_back_mb: float = 24.0
    dwell_s: float = 30.0  # between two steps back

    @classmethod
    def below(cls, throttle_c: float) -> Limits:
        """For a board whose firmware throttles at `throttle_c`: ten and five degrees before, and there."""
        return cls(heat_c=(throttle_c - 10, throttle_c - 5, throttle_c))


@dataclass(frozen=True, slots=True)
class Reading:
    """What the board says; None where it has no such sensor. On a charger the battery counts as full."""

    t_ns: int
    heat_c: float | None = None
    battery_percent: float | None = None
    charging: bool = False
    free_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Governed:
    """How many of SHED_ORDER are off, since when, and why; `asked` is what each measure asks for on its own."""

    level: int = 0
    since_ns: int = 0
    why: str = ""
    asked: tuple[int, int, int] = (0, 0, 0)  # heat, battery, memory

    @property
    def shed(self) -> tuple[Load, ...]:
        """What is off."""
        return SHED_ORDER[: self.level]

    def allows(self, load: Load) -> bool:
        """Whether this load may run."""
        return load not in self.shed


def step(before: Governed, reading: Reading, limits: Limits) -> Governed:
    """The state after one reading. More is shed at once, less one step at a time after `dwell_s`."""
    battery_percent = None if reading.charging else reading.battery_percent
    heat, battery, memory = before.asked
    asked = (
        _asked(heat, reading.heat_c, limits.heat_c, limits.heat_back_c),
        _asked(battery, battery_percent, limits.battery_percent, -limits.battery_back_percent),
        _asked(memory, reading.free_mb, limits.free_mb, -limits.free_back_mb),
    )
    level = max(asked)
    texts = (f"{reading.heat_c} deg C", f"battery at {reading.battery_percent} %", f"{reading.free_mb} MB free")
    why = texts[asked.index(level)] if level else ""
    if level > before.level:
        return Governed(level, reading.t_ns, why, asked)
    if level < before.level and reading.t_ns - before.since_ns >= limits.dwell_s * NS_PER_S:
        return Governed(before.level - 1, reading.t_ns, why, asked)
    return replace(before, asked=asked)


def _asked(before: int, value: float | None, limits: tuple[float, float, float], back: float) -> int:
    """The level one measure asks for. A limit that was reached is let go only `back` behind it; `back` is negative
    where low values are the bad ones. A sensor that is silent keeps nothing off.
    """
    if value is None:
        return 0
    sign = 1 if back >= 0 else -1
    held = [sign * limit - (abs(back) if i < before else 0) for i, limit in enumerate(limits)]
    return max((i + 1 for i, limit in enumerate(held) if sign * value >= limit), default=0)
