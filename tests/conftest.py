"""What every test shares."""

from __future__ import annotations

from hypothesis import settings

# A busy machine must not fail a law: time is measured by benchmarks. A failure prints the line that reproduces it.
settings.register_profile("tickwork", deadline=None, print_blob=True)
settings.load_profile("tickwork")
