"""Running a plan, undoing it, and reading off a tape what became of it."""
