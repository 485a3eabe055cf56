"""Alpaca: US shares and crypto pairs over its Trading API v2."""
