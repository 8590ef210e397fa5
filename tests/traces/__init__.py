"""What OpenTelemetry and Sentry see of the outbox."""
