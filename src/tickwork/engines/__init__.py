"""Engines: what answers a workflow's asks."""
