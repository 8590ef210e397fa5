"""The outbox: the durable store of messages, and everything that knows its database."""
