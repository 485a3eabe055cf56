"""Venues: one file per venue, each an implementation of ``tickwork.trading.desk.VenuePort``."""
