"""The live stream: what the tape says, as views that clients keep up to date; see ``live`` for how it works."""
