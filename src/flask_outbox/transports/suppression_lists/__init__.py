"""Each provider's own suppression list, as its API shows it."""
