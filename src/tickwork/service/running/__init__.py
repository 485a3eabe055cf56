"""Running it: the process of ``tickwork up`` from its start to its end, and what others learn of it."""
