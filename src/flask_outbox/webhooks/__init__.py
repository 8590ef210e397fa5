"""Webhooks: what an endpoint is told, and where it may be.

Their form is that of Standard Webhooks,
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""
