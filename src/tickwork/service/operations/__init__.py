"""Every command and query, once: what each face can ask for, with its arguments, its right and its meaning."""
