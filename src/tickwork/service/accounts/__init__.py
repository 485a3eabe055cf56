"""Accounts in real time: a desk rebuilt from the tape, what its venue does to its orders, and what it is worth."""
