"""Market data: bars and quotes, recordings, feeds, indicators and the triggers that read them."""
