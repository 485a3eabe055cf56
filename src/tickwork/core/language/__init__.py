"""The language of expressions: how a text is read, what its parts are, how names and operators are evaluated.

``core.expressions`` compiles it; that is what the rest of tickwork uses.
"""
