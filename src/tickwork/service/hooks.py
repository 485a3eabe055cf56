"""Webhooks taken in: verified, published once, acknowledged when on disk. An HTTP door hands over what was posted."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tickwork.core.webhook import Headers, Webhook, verify
from tickwork.errors import NotFound
from tickwork.service.secrets import Secrets
from tickwork.values import duration_text

if TYPE_CHECKING:
    from tickwork.engines.embedded import Engine

_log = logging.getLogger("tickwork.hooks")


class Hooks:
    """The webhooks that the workflows of an engine declare, and others that are given.

    Of two of one name that differ in more than ``where``, the second is left out and told of in ``problems``: it keeps
    none of the others from being served. What the first lets in starts the runs of both.
    """

    def __init__(self, engine: Engine, secrets: Secrets | None = None, more: Iterable[Webhook] = ()) -> None:
        self._engine = engine
        self._secrets = secrets or Secrets()
        self._hooks: dict[str, Webhook] = {}
        self.problems: list[str] = []
        """What was left out, and why."""
        declared = (trigger for workflow in engine.workflows for trigger in workflow.triggers)
        for hook in (*(trigger for trigger in declared if isinstance(trigger, Webhook)), *more):
            known = self._hooks.setdefault(hook.name, hook)
            if known.terms != hook.terms:
                self.problems.append(f"webhook {hook.name!r}: {hook!r} is left out, for {known!r} has its name")
                _log.error("%s", self.problems[-1])

    @property
    def names(self) -> list[str]:
        """Under which names something can be posted."""
        return sorted(self._hooks)

    async def receive(self, name: str, headers: Headers, body: bytes) -> int:
        """Take a delivery in; on return its event is on disk, with the runs it started. Returns the event's position.

        A delivery that came before, within the webhook's window, is not published again: the first position is
        returned, so that the sender hears the same answer.

        Raises:
            InvalidInput: no webhook has this name, its secret cannot be read, or the body is not what was declared.
            Refused: see ``core.webhook.verify``.
        """
        hook = self._hooks.get(name)
        if hook is None:
            raise NotFound("webhook", name, "the name of one: " + (", ".join(self.names) or "there is none"))
        secret = self._secrets.read(f"webhook {name!r}", env=hook.secret_env, file=hook.secret_file)
        event = verify(hook, secret, headers, body, self._engine.clock.now())
        arrival = await self._engine.arrivals.publish(
            event, source=f"webhook {name}", id=event.delivery_id, window=duration_text(hook.window)
        )
        return arrival.seq
