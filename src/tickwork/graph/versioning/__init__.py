"""Versions of documents: as events on the tape, as differences, as updates by path."""
