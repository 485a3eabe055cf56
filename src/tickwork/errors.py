"""The one error tree. A branch says what the caller must do next.

    TickworkError
    ├── Retryable              try again later
    │   ├── QueueFull          a queue has no room (queue, capacity)
    │   ├── NotRunning         no process has the tape open that it needs (tape)
    │   └── NotSent            certain: nothing left this process, or what left it certainly did nothing
    │       ├── BreakerOpen    the dependency is resting; nothing was asked of it (breaker, retry_at, why)
    │       ├── NeverArrived   an effect was made and certainly did not happen, as often as it was tried (effect, key)
    │       └── NotYet         the venue will take it later, e.g. once a symbol trades (venue, reason)
    ├── IllegalMove            an order in this state cannot do that; nothing was changed (state, move)
    ├── StepFailed             a step's exception that cannot be rebuilt (type, message)
    ├── TimedOut               a step, a wait for a result or an attempt took too long
    ├── ServiceError           what a caller asked for cannot be done, by a code (code, message, details)
    ├── Unknown                look, never resend: it may have happened
    ├── Fatal                  do not retry
    │   ├── InvalidInput       change what was given (path, found, expected)
    │   │   ├── NotFound           there is nothing of that name or id
    │   │   ├── Conflict           it is there, and its state does not allow that
    │   │   └── InvalidDocument    the same of a document, all of it at once (document, problems)
    │   │   └── InvalidExpression  the text of an expression is wrong at one place (path, text, expected, position)
    │   ├── Forbidden          whoever asks has no right to it (what, who, needs)
    │   ├── Refused            our own risk gate said no (rule, limit, actual)
    │   ├── Rejected           the venue said no (venue, reason)
    │   ├── ForeignAwait       a workflow body awaited something that is not a verb of its run
    │   ├── Stale              too old to be acted on (what, age, limit)
    │   ├── NewerEvent         an event of a newer version than this code knows
    │   ├── LeaseExpired       the right to work on a message is gone (lease)
    │   ├── Expired            a message that was not done in time (what, limit)
    │   ├── RunCancelled       the run whose result was asked for was cancelled
    │   └── NonDeterministic   code and tape disagree; the run is recoverable under the old code
    └── TapeError              stop: the disk or the file cannot be trusted
        ├── TapeLocked         another process owns the tape
        ├── TapeTooNew         written by a newer tickwork
        └── TapeCorrupt        a record that cannot be read back

    Cancelled (BaseException)  delivered into a body that is being cancelled; let it pass

Fields live in ``args`` and words in ``__str__``, so that every error survives being recorded and rebuilt:
``type(error)(*error.args)`` is equal to the error.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unicodedata import combining, east_asian_width


class TickworkError(Exception):
    """Root of everything tickwork raises on purpose."""


class Retryable(TickworkError):
    """A passing fault: the same call may succeed later."""


class NotSent(Retryable):
    """Certain: nothing left this process, or what left it did nothing: the same call may be made again, same key."""


class NotYet(NotSent):
    """The venue said no for now: a symbol that does not trade yet, a pause. Certain: it did nothing.

    Args:
        venue: its name.
        reason: what it said.
    """

    def __init__(self, venue: str, reason: object = "") -> None:
        super().__init__(venue, plain(reason))

    @property
    def reason(self) -> str:
        """What the venue said."""
        return str(self.args[1])

    def __str__(self) -> str:
        return f"{self.args[0]} does not take it yet: {self.args[1]}"


class BreakerOpen(NotSent):
    """A breaker let nothing through: its dependency is resting, and nothing was asked of it.

    Args:
        breaker: its name.
        retry_at: when it may be tried again, in ns since 1970 UTC; a ``Retry`` waits at least until then.
        why: what the breaker was opened for, or that it is being probed.
    """

    def __init__(self, breaker: str, retry_at: int, why: str = "") -> None:
        super().__init__(breaker, retry_at, why)

    @property
    def breaker(self) -> str:
        """The breaker's name."""
        return str(self.args[0])

    @property
    def retry_at(self) -> int:
        """When it may be tried again, in ns since 1970 UTC."""
        return int(self.args[1])

    @property
    def why(self) -> str:
        """What the breaker was opened for."""
        return str(self.args[2])

    def __str__(self) -> str:
        time = datetime.fromtimestamp(-(-self.retry_at // 1_000_000_000), UTC)  # not a moment too early
        because = f": {self.why}" if self.why else ""
        return f"breaker {self.breaker!r} lets nothing through before {time:%Y-%m-%dT%H:%M:%SZ}{because}"


class NeverArrived(NotSent):
    """An effect was made and looked for, several times, and after its grace is certainly not there.

    Args:
        effect: its name.
        key: its key, of which nothing is to be found.
        attempts: how often it was made.
    """

    def __init__(self, effect: str, key: str, attempts: int) -> None:
        super().__init__(effect, key, attempts)

    @property
    def key(self) -> str:
        """The effect's key."""
        return str(self.args[1])

    def __str__(self) -> str:
        effect, key, attempts = self.args
        return f"effect {effect!r} was made {attempts} times under key {key}, and certainly never arrived"


class QueueFull(Retryable):
    """A queue holds as many messages as it may; the message was not taken."""

    code = "QUEUE_FULL"

    def __init__(self, queue: str, capacity: int) -> None:
        super().__init__(queue, capacity)

    @property
    def queue(self) -> str:
        """The queue's name."""
        return str(self.args[0])

    @property
    def capacity(self) -> int:
        """How many messages it holds at most."""
        return int(self.args[1])

    def __str__(self) -> str:
        return f"queue {self.queue!r} is full: {self.capacity:,} messages are not done; nothing was sent, try later"


class NotRunning(Retryable):
    """No process has the tape open, so nobody can do what was asked; nothing was done.

    Args:
        tape: its path.
    """

    def __init__(self, tape: str) -> None:
        super().__init__(tape)

    def __str__(self) -> str:
        return f"no process has this tape open: {self.args[0]}; start `tickwork up`, or give another tape"


class Unknown(TickworkError):
    """Nobody knows yet whether it happened. Look it up; never send it again blindly."""


class Fatal(TickworkError):
    """Trying again cannot help. A ``Retry`` never retries it."""


def plain(value: object) -> Any:
    """A value that survives JSON: itself when it is a JSON scalar, else its text."""
    return value if value is None or isinstance(value, str | int | float | bool) else str(value) or repr(value)


class InvalidInput(Fatal):
    """What was given cannot be used. Names the field, what was found there and what would be right."""

    def __init__(self, path: str, found: object, expected: str) -> None:
        super().__init__(path, plain(found), expected)

    @property
    def path(self) -> str:
        """Where the offending value sits, e.g. ``retry.delay`` or ``SymbolWatch.vcoinId``."""
        return str(self.args[0])

    @property
    def found(self) -> Any:
        """The offending value, or its text."""
        return self.args[1]

    @property
    def expected(self) -> str:
        """What would have been right."""
        return str(self.args[2])

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}; found {self.found!r}"


class NotFound(InvalidInput):
    """Nothing of this kind (``path``: run, queue, order ...) has the name or id that was given (``found``)."""


class Conflict(InvalidInput):
    """It is there, and the state it is in (told in ``found``) does not allow what was asked."""


class InvalidExpression(InvalidInput):
    """The text of an expression or a template cannot be read, or uses what is not allowed, at one place.

    Args:
        path: what the text is, or where it sits.
        text: the text, as it was written.
        expected: what would be right at that place.
        position: index of the place in ``text``; its length when something is missing at the end.
    """

    def __init__(self, path: str, text: str, expected: str, position: int) -> None:
        super(InvalidInput, self).__init__(path, text, expected, position)

    @property
    def text(self) -> str:
        """The text, as it was written."""
        return str(self.args[1])

    @property
    def position(self) -> int:
        """Index of the place in the text."""
        return int(self.args[3])

    def __str__(self) -> str:
        """Three lines: the complaint, the text (cut around the place), and a caret under the place."""
        begin, end = max(0, self.position - 50), self.position + 30
        before, after = _one_line(self.text[begin : self.position]), _one_line(self.text[self.position : end])
        before = ("..." if begin else "") + before
        after += "..." if end < len(self.text) else ""
        return f"{self.path}: expected {self.expected}\n    {before}{after}\n    {' ' * _width(before)}^"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _width(text: str) -> int:
    """How many columns a terminal needs for it: wide characters take two, marks that combine take none."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


class InvalidDocument(InvalidInput):
    """A document with one or several problems: all that could be found at once.

    Each is ``[path, found, expected]``, with a place in ``found`` as a fourth where that is the text of an expression.
    """

    def __init__(self, document: str, problems: list[list[Any]]) -> None:
        TickworkError.__init__(self, document, [[row[0], plain(row[1]), *row[2:]] for row in problems])

    @property
    def problems(self) -> list[tuple[str, Any, str]]:
        """Path, what was found there, what would have been right."""
        return [(str(path), found, str(expected)) for path, found, expected, *_ in self.args[1]]

    @property
    def found(self) -> Any:
        """Of the first problem."""
        return self.problems[0][1]

    @property
    def expected(self) -> str:
        """Of the first problem."""
        return self.problems[0][2]

    def __str__(self) -> str:
        many = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [problem_text(*row) for row in self.args[1]]
        return "\n  ".join([f"{self.path or 'the document'} has {many}:", *lines])


def problem_text(path: str, found: Any, expected: str, position: int = -1) -> str:
    """A problem in a line, or in three where it has a place in a text."""
    if position < 0:
        return f"{path}: expected {expected}; found {found!r}"
    return str(InvalidExpression(path, str(found), expected, position))


class Forbidden(Fatal):
    """Whoever asks has no right to it.

    Args:
        what: what was asked for.
        who: the caller's name.
        needs: what would be needed, in words.
    """

    def __init__(self, what: str, who: str, needs: str) -> None:
        super().__init__(what, who, needs)

    @property
    def needs(self) -> str:
        """What would be needed."""
        return str(self.args[2])

    def __str__(self) -> str:
        return f"{self.args[1]} may not do this: {self.args[0]} needs {self.args[2]}"


class Refused(Fatal):
    """Our own gate refused. ``limit`` and ``actual`` are texts, so that no digit is lost on the tape.

    ``scope``, where there is one, says whose limit it is: the account's, a workflow's, a symbol's.
    """

    def __init__(self, rule: str, limit: object = "", actual: object = "", scope: str = "") -> None:
        super().__init__(rule, plain(limit), plain(actual), *([scope] if scope else []))

    @property
    def rule(self) -> str:
        """The rule that refused."""
        return str(self.args[0])

    @property
    def scope(self) -> str:
        """Whose limit; empty: nobody's."""
        return str(self.args[3]) if len(self.args) > 3 else ""

    def __str__(self) -> str:
        rule, limit, actual, *_ = self.args
        whose = f" ({self.scope})" if self.scope else ""
        return (
            f"refused by {rule}" + (f": limit {limit}, actual {actual}" if (limit, actual) != ("", "") else "") + whose
        )


class Rejected(Fatal):
    """The venue answered, and the answer was no."""

    def __init__(self, venue: str, reason: object = "") -> None:
        super().__init__(venue, plain(reason))

    def __str__(self) -> str:
        return f"{self.args[0]} rejected it: {self.args[1]}"


class IllegalMove(TickworkError):
    """An order cannot do that in its state; see ``trading.order_life``. Nothing was changed."""

    def __init__(self, state: str, move: str) -> None:
        super().__init__(state, move)

    def __str__(self) -> str:
        return f"an order that is {self.args[0]} cannot {self.args[1]}".replace("_", " ")


class StepFailed(TickworkError):
    """Stands for an exception whose class cannot be imported or does not round-trip."""

    def __init__(self, type: str, message: str, fatal: bool = False) -> None:
        super().__init__(type, message, fatal)

    @property
    def fatal(self) -> bool:
        """Was the original a ``Fatal``? Then it is not retried either."""
        return bool(self.args[2])

    @property
    def type(self) -> str:
        """Module and name of the original class."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


class ForeignAwait(Fatal):
    """A body awaited something other than a verb of its run."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(what, where)

    def __str__(self) -> str:
        what, where = self.args
        return (
            f"{where} awaits {what}, which is not a verb of the run. A workflow body awaits only the verbs of its "
            "Run; put the call inside a step: `await run.step('name', function, *args)`. To wait use `run.sleep(...)`, "
            "for verbs side by side `run.all(...)` or `run.race(...)`, for a limit their `timeout=`"
        )


class TimedOut(TickworkError):
    """``what`` did not finish within ``limit`` (a text such as ``5s``)."""

    def __init__(self, what: str, limit: str, advice: str = "") -> None:
        super().__init__(what, limit, advice)

    def __str__(self) -> str:
        what, limit, advice = self.args
        return f"{what} did not finish within {limit}" + (f": {advice}" if advice else "")


class ServiceError(TickworkError):
    """What a caller of the service asked for cannot be done, with a code that programs go by.

    Args:
        code: such as ``WORKFLOW_NOT_FOUND``.
        details: JSON values; what they are depends on the code.
    """

    def __init__(self, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(code, message, dict(details or {}))

    @property
    def code(self) -> str:
        """What kind of failure it is."""
        return str(self.args[0])

    @property
    def details(self) -> dict[str, Any]:
        """What there is to know of it."""
        return dict(self.args[2])

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


class RunCancelled(Fatal):
    """The run was cancelled before it had a result."""

    def __init__(self, run: str, reason: str = "") -> None:
        super().__init__(run, reason)

    def __str__(self) -> str:
        return f"run {self.args[0]} was cancelled" + (f": {self.args[1]}" if self.args[1] else "")


class Stale(Fatal):
    """``what`` is older than it may be (``valid_for``): it was dropped, not done. Ages are texts such as ``5m``."""

    def __init__(self, what: str, age: str, limit: str) -> None:
        super().__init__(what, age, limit)

    def __str__(self) -> str:
        what, age, limit = self.args
        return f"{what} is {age} old and was valid for {limit}: it was dropped"


class NewerEvent(Fatal):
    """An event of a newer version than this code knows: kept, and read once the code is upgraded."""

    def __init__(self, event: str, version: int, known: int) -> None:
        super().__init__(event, version, known)

    def __str__(self) -> str:
        event, version, known = self.args
        return f"event {event!r} has version {version}, this code knows it up to version {known}: upgrade, then redrive"


class LeaseExpired(Fatal):
    """A lease that ran out, was given up or never was: the message is, or will be, somebody else's. It is not lost."""

    def __init__(self, lease: str) -> None:
        super().__init__(lease)

    @property
    def lease(self) -> str:
        """The lease, as it was given."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"lease {self.lease!r} is over: the message waits for another delivery, or has had it; lease anew"


class Expired(Fatal):
    """``what`` was not done within its retention, ``limit`` (a text such as ``24h``)."""

    def __init__(self, what: str, limit: str) -> None:
        super().__init__(what, limit)

    def __str__(self) -> str:
        what, limit = self.args
        return f"{what} was not done within {limit}"


class NonDeterministic(Fatal):
    """The body asked for something its tape does not hold, or no longer asks for something it does hold."""

    def __init__(self, run: str, asked: str, recorded: str, where: str) -> None:
        super().__init__(run, asked, recorded, where)

    def __str__(self) -> str:
        run, asked, recorded, where = self.args
        return (
            f"run {run} cannot be replayed: at {where} the code asks for {asked}, the tape holds {recorded}. "
            "The run is untouched and continues under the old code; guard the change with run.patched('name') "
            "or give the workflow a new version"
        )


class TapeError(TickworkError):
    """The tape cannot be trusted or written. The engine stops; nothing unwritten was acknowledged."""


class TapeLocked(TapeError):
    """Another process owns this tape, or its file system cannot lock."""


class TapeTooNew(TapeError):
    """The tape was written by a newer schema than this code knows."""


class TapeCorrupt(TapeError):
    """A record does not read back as it was written."""


class Cancelled(BaseException):
    """Delivered into the body of a cancelled run, at the verb it waits for. Clean up and let it pass."""
