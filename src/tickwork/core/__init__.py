"""The core: what a workflow may ask, and how its answers are remembered. No loop, no clock, no I/O."""
