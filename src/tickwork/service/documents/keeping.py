"""Which compiled versions of a document are kept: those that start something, and those whose runs are not over.

Others are let go, here and by the engine, and compiled again when somebody needs them. Runs that died keep theirs: they
may be redriven.
"""

from __future__ import annotations

from typing import Final

from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.engine import Engine
from tickwork.graph.versioning.versions import Head, workflow_name
from tickwork.service.documents.compiled import Compiled

# the words of the index ``runs_document_open``
_NEEDING: Final = """SELECT 1 FROM runs WHERE workflow=? AND version=? AND substr(workflow, 1, 4) = 'doc/'
    AND (status < 10 OR status = 11) LIMIT 1"""


def let_go(engine: Engine, compiled: Compiled, head: Head) -> None:
    """Forget the versions of a document that nothing needs; to be called when all is on disk."""
    for test in (False, True):
        for workflow in compiled.versions(workflow_name(head.owner, head.name, test)):
            if workflow.version in (head.published, head.last) or compiled.is_held(workflow):
                continue
            if not engine.registry.has(workflow) or (
                not _needed(engine, workflow) and engine.registry.let_go(workflow)
            ):
                compiled.forget(workflow)


def _needed(engine: Engine, workflow: Workflow) -> bool:
    return bool(engine.queries.reader.rows(_NEEDING, (workflow.name, workflow.version)))
