"""Foreign workflow documents, read into the canonical one.

An importer refuses what it cannot represent, with its path, and never drops it; it tells of everything at once. What
came to mean something else is in its notes.
"""

from tickwork.graph.importers.detect import AUTO, FORMATS, Imported, import_document

__all__ = ["AUTO", "FORMATS", "Imported", "import_document"]
