"""Documents written in other forms: text, an editor's graph, a Python module."""

from tickwork.graph.exporters.canonical import as_json, as_yaml
from tickwork.graph.exporters.python import as_python
from tickwork.graph.exporters.react import as_react

__all__ = ["as_json", "as_python", "as_react", "as_yaml"]
