"""Hyperliquid: perpetual contracts settled in USDC."""
