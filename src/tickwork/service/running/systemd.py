"""What systemd is told: that the process is up, that it is well, that it is stopping (sd_notify(3)).

A few lines of text in one datagram to the socket that ``NOTIFY_SOCKET`` names; a name that begins with ``@`` is of the
abstract namespace. Without the variable nobody is told, and nothing is different.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

from tickwork.errors import InvalidInput

_USEC: Final = 1_000_000
_READY: Final = "READY=1"
_STOPPING: Final = "STOPPING=1"


class Systemd:
    """Tells the service manager.

    Args:
        environ: holds ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` where there is one.

    Raises:
        InvalidInput: one of them is not what systemd sets.
    """

    def __init__(self, environ: Mapping[str, str], pid: int | None = None) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog(environ, os.getpid() if pid is None else pid) if self._address else 0.0
        """Seconds within which it must hear that all is well; 0: it does not ask."""

        self._owed: tuple[str, ...] = ()
        """What nobody took and has to be heard all the same."""

    @property
    def listens(self) -> bool:
        """Is there somebody to tell?"""
        return bool(self._address)

    def tell(self, *states: str, keep: bool = False) -> bool:
        """Send states such as ``READY=1``; False: nobody took them. Never waits and never raises.

        ``keep``: what is not taken now goes with whatever is told next.
        """
        if not self._address:
            return False
        states, self._owed = (*self._owed, *states), ()
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as sender:
                sender.sendto("\n".join(states).encode(), self._address)
        except OSError:  # a manager that is gone, or too busy to read
            self._owed = states if keep else tuple(one for one in states if one in (_READY, _STOPPING))
            return False
        return True

    def ready(self, status: str) -> None:
        """All is up."""
        self.tell(_READY, _status(status), keep=True)

    def status(self, text: str) -> None:
        """A line for ``systemctl status``."""
        self.tell(_status(text))

    def well(self) -> None:
        """Once more: all is well."""
        self.tell("WATCHDOG=1")

    def wait(self, seconds: float) -> None:
        """Starting or stopping goes on, and may take so much longer than was allowed."""
        self.tell(f"EXTEND_TIMEOUT_USEC={int(seconds * _USEC)}")

    def stopping(self, status: str) -> None:
        """The process is about to end."""
        self.tell(_STOPPING, _status(status), keep=True)


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}"


def _address(name: str) -> str:
    if not name:
        return ""
    if name[0] not in "/@" or len(name) < 2:
        raise InvalidInput("NOTIFY_SOCKET", name, "a path, or a name after @, as systemd sets it")
    return f"\0{name[1:]}" if name[0] == "@" else name


def _watchdog(environ: Mapping[str, str], pid: int) -> float:
    text, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not text or (whose and whose != str(pid)):
        return 0.0
    if not text.isdecimal() or not int(text):
        raise InvalidInput("WATCHDOG_USEC", text, "microseconds, as systemd sets them")
    return int(text) / _USEC
