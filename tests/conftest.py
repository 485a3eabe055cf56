"""What every test shares."""

from __future__ import annotations

import os

from hypothesis import settings

# A busy machine must not fail a law: time is measured by benchmarks. A failure prints the line that reproduces it.
# In CI the examples are the same each time, so that a change is judged by what it changed.
# There a law that says nothing else also has twice the examples: at a desk the whole suite stays under five minutes.
CI = os.environ.get("CI") == "true"
settings.register_profile("tickwork", deadline=None, print_blob=True, derandomize=CI, max_examples=100 if CI else 50)
settings.load_profile("tickwork")
