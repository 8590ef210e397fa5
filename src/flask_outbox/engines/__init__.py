"""Engines: where couriers run when that is neither a web process nor our own worker."""
