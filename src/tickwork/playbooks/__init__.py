"""Playbooks: trading systems written on the public API, one file or folder each. Read them as examples."""
