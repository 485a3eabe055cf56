"""Workflow documents: one model, what is read into it, what it is checked by, and how it runs."""
