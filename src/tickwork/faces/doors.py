"""What the composition root hands to the command line: ways into the rooms that need configuration or wiring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickwork.service.accounts.session import LiveSession
    from tickwork.service.bare_flatten import BareAccount
    from tickwork.service.demo import DemoOptions, DemoSession
    from tickwork.service.finding import Finding
    from tickwork.service.notifications import Notifications
    from tickwork.service.paper import PaperSession
    from tickwork.service.running.parts import Part


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the configuration says of every verb."""

    home: Path | None = None
    """Where no ``--home`` is given, and no ``TICKWORK_HOME``."""
    log_level: str = "warning"
    """What is logged on stderr: ``debug``, ``info``, ``warning`` or ``error``, and worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """``context.obj`` of every verb."""

    open_demo: Callable[[DemoOptions], DemoSession]
    open_paper: Callable[..., PaperSession]
    """``open_paper(options, make_workflows, views=...)``."""
    open_live: Callable[..., LiveSession]
    """``open_live(config, live, roles)``."""
    serve: Callable[..., Iterable[Part]] = lambda *_: ()
    """``serve(session, config, port)``: what lets the outside in; ``port`` instead of the configured one."""
    examine_accounts: Callable[[Path | None], list[Finding]]
    """Of the configuration at a path, or the one in the working directory."""
    defaults: Callable[[], Defaults]
    open_notifications: Callable[[Path | None], Notifications]
    """By the configuration at a path, or the one in the working directory."""
    open_bare: Callable[[str, Sequence[str]], Sequence[BareAccount]] | None = None
    """``open_bare(account, symbols)``: an account, or with ``""`` all that are configured, to trade without a tape."""
