"""Orders, the risk gate, the halt, the desk, the ledger, matching and performance.

Everything that trades goes ``intent -> risk gate -> approved order -> desk -> venue``. This room is pure: it reads no
clock, draws no random number and opens nothing; what it needs of the world is handed in.
"""
