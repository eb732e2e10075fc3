"""One module a subcommand, each with `add_parser(subparsers)` and `run(args) -> exit code`; what they run inside.

`guarded` is the frame of both command lines, `glasses` and `quantize`: however a command ends, the user reads one line.
It stands here because `glasses wipe` must load no further module.
"""

from __future__ import annotations

import _thread
import atexit
import codecs
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from glasses.errors import GlassesError

INTERRUPTED = 130
_AGAIN_S = 0.02  # an interrupt that could not be raised is tried again
_PATIENCE_S = 1.0  # a second Ctrl-C this long after the first does not wait for what tidies up
_LONGEST_S = 10.0  # for tidying up; something that swallowed the interrupt does not keep the process for longer
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # system.ending's; `glasses --help` imports nothing more
_CRASHED = 70  # for the boot service, whose trial of an update goes back to the one before at a crash but not at 2


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised in the main thread as Ctrl-C is, so that nothing half-written stays."""


def guarded(prog: str, prepare: Callable[[], Callable[[], int]], *, own_process: bool, verbose: bool) -> int:
    """Runs a command; 0 is success, 2 an error that was explained, 130 Ctrl-C.

    `prepare` imports and parses; what it returns does the work. An interrupt ends the first at once, since nothing was
    begun, and raises KeyboardInterrupt in the second. `prog` stands before every error; with `verbose` an error that is
    not ours comes with its traceback. With `own_process` the interpreter ends afterwards, undisturbed by Ctrl-C.
    Raises SystemExit as argparse does.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)
    failed = _CRASHED if "NOTIFY_SOCKET" in os.environ else GlassesError.exit_code
    with _Signals().installed(own_process=own_process) as signals:
        try:
            code = _done(prepare, signals)
            _flush()
        except BaseException as error:
            code = _ended(error, prog, signals, failed=failed, verbose=verbose)
            if own_process and code == INTERRUPTED:
                _end_process(code)
            return code
        if isinstance(code, SystemExit):
            raise code
        signals.code = code
        return code


def _done(prepare: Callable[[], Callable[[], int]], signals: _Signals) -> int | SystemExit:
    """The exit code, or how argparse wants to end."""
    try:
        work = prepare()
        signals.working = True
        return work()
    except SystemExit as ended:
        return ended


def _ended(error: BaseException, prog: str, signals: _Signals, *, failed: int, verbose: bool) -> int:
    """The exit code of a command that raised `error`, which is told in one line; `failed` for one that is not ours."""
    if isinstance(error, KeyboardInterrupt) or signals.number:  # libraries wrap it in errors of their own
        return _interrupted(signals)
    if isinstance(error, OSError) and _nobody_reads():  # `glasses ask ... | head`
        _discard_output()
        signals.code = 0
        return 0
    with suppress(OSError):
        _flush()
    if isinstance(error, GlassesError):
        return _told(signals, f"{prog}: {error}", error.exit_code)
    from glasses.commands.last_resort import explained  # noqa: PLC0415  # seldom needed

    return _told(signals, f"{prog}: {explained(error, verbose=verbose)}", failed)


class _Signals:
    """INT, TERM and HUP as exceptions of the main thread, of which none is lost.

    Python drops an exception that a signal's handler raises inside a callback of a C library or a finaliser, and
    extension modules turn one that comes while they are imported into an ImportError. So the first is raised again
    shortly afterwards, and the second waits until the import is over.
    """

    def __init__(self) -> None:
        self.working = False
        self.code: int | None = None  # of a command that has ended
        self.number = 0  # of the signal that came first
        self._raised_s = 0.0
        self._is_due = False  # to be raised by the next alarm

    @contextmanager
    def installed(self, *, own_process: bool) -> Iterator[_Signals]:
        """The handlers before come back afterwards, but for a process that ends with this command."""
        before: dict[int, Any] = {}
        hook = sys.unraisablehook
        try:
            for number in (*ENDING, signal.SIGALRM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    before[number] = signal.signal(number, self._on_signal)
        except ValueError:  # not the main thread: it is never interrupted
            yield self
            return
        sys.unraisablehook = lambda lost: self._lost(lost, hook)
        if own_process:  # when the last handler of Python's is gone, Ctrl-C would end it as if nothing had been done
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
            came, tell = os.pipe()
            os.set_blocking(tell, False)
            signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
            _thread.start_new_thread(self._watch, (came,))
        try:
            yield self
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if not own_process:
                sys.unraisablehook = hook
                for number, handler in before.items():
                    signal.signal(number, handler)

    def leave(self) -> NoReturn:
        """Ends the process at once, as the signal that came does where nobody handles it."""
        if self.number == signal.SIGINT:
            with suppress(OSError):  # nobody can be told
                os.write(2, (_on_own_line("interrupted") + "\n").encode())
            os._exit(INTERRUPTED)
        with suppress(ValueError):  # only the main thread may
            signal.signal(self.number, signal.SIG_DFL)
            os.kill(os.getpid(), self.number)
        os._exit(128 + self.number)

    def _watch(self, came: int) -> None:
        """Ends the process whose main thread does not: it is in a call of a C library, where no handler runs."""
        number = 0
        while number not in ENDING or signal.getsignal(number) != self._on_signal:
            number = os.read(came, 1)[0]
        time.sleep(_LONGEST_S + 1)
        self.number = self.number or number
        self.leave()

    def _on_signal(self, number: int, frame: Any) -> None:
        is_alarm = number == signal.SIGALRM
        if is_alarm and not self.number and self.code is None:
            return  # somebody else's alarm
        self.number = self.number or number
        if self.code is not None:  # it has ended, and the interpreter is ending
            os._exit(self.code)
        if not self.working:
            self.leave()
        if self._raised_s and not (is_alarm and self._is_due):
            if time.monotonic() > self._raised_s + (_LONGEST_S if is_alarm else _PATIENCE_S):
                self.leave()
            return
        self._is_due = _imports(frame)
        if self._is_due:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
            return
        self._raised_s = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, _LONGEST_S + 0.1)
        raise KeyboardInterrupt if self.number == signal.SIGINT else Terminated

    def _lost(self, lost: Any, hook: Callable[[Any], object]) -> None:
        if self.number and issubclass(lost.exc_type, KeyboardInterrupt):
            self._is_due = True
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            hook(lost)


def _imports(frame: Any) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _interrupted(signals: _Signals) -> int:
    with suppress(OSError):
        _flush()
    if signals.number and signals.number != signal.SIGINT:
        signals.leave()
    return _told(signals, _on_own_line("interrupted"), INTERRUPTED)


def _end_process(code: int) -> NoReturn:
    """Ends the process as the interpreter would, but waits for no thread, and for what tidies up not for long.

    An interrupt that comes while a lock is taken or given back (`Condition.__enter__`) leaves it locked for good. A
    worker that waits for it never ends, and the interpreter would wait for the worker.
    """
    signal.setitimer(signal.ITIMER_REAL, _LONGEST_S)  # then `_Signals` ends it
    atexit._run_exitfuncs()  # nothing public calls them without waiting for threads first
    with suppress(OSError, ValueError):
        _flush()
    os._exit(code)


def _told(signals: _Signals, line: str, code: int) -> int:
    signals.code = code
    with suppress(OSError):  # nobody can be told
        print(line, file=sys.stderr, flush=True)
    return code


def _on_own_line(word: str) -> str:
    """Over the ^C that the terminal has just shown."""
    return ("\r" if os.isatty(2) else "") + word


def _flush() -> None:
    """Raises OSError where standard output cannot take what was printed; the rest of it is dropped then."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        if not _nobody_reads():
            _discard_output()
        raise


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader has gone."""
    import select  # noqa: PLC0415  # seldom needed

    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):  # it is closed, or no file
        return False


def _discard_output() -> None:
    """Or the interpreter would try to write it once more as it ends, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _escape(error: UnicodeError) -> tuple[str, int]:
    """As JSON escapes it, so that `--json` stays JSON on a terminal that has ASCII only."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)), error.end


_ESCAPED = "glasses.escaped"
codecs.register_error(_ESCAPED, _escape)
