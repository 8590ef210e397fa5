"""Webhooks: what an endpoint is told, how it is signed, and where it may be.

The form is that of Standard Webhooks,
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""
