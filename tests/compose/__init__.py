"""Addresses, messages, and what they are composed into."""
