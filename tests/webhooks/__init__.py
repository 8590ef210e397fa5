"""Webhooks: from the outbox to a receiver on this machine."""
