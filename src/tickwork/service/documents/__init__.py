"""Workflow documents on an engine: published, executed, watched, changed."""

from tickwork.service.documents.agents import Agent
from tickwork.service.documents.coded import CODES
from tickwork.service.documents.documents import Documents
from tickwork.service.documents.opening import Broken, Recovered, recovered
from tickwork.service.documents.surface import VIEWS, Credits

__all__ = ["CODES", "VIEWS", "Agent", "Broken", "Credits", "Documents", "Recovered", "recovered"]
