"""Checking a document and making its plan: edges, ports, names, policies; every problem at once."""

from tickwork.graph.wiring.checking import check, plan
from tickwork.graph.wiring.edges import Doubts

__all__ = ["Doubts", "check", "plan"]
