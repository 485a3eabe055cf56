"""The HTTP face: routes, pages and documentation made from the one table of operations."""
