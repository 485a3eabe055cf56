"""What tickwork is held against: the disk itself, plain SQLite, and another durable engine."""
