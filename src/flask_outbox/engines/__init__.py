"""Engines: where couriers run."""
