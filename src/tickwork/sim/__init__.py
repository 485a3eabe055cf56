"""Simulated markets: what a seed makes, and nobody traded."""
