"""Everything that speaks through ccxt: the trading adapter, and what it shares with the feeds."""
