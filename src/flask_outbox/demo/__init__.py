"""The demo: press *Send*, and follow the mail. ``scripts/demo`` runs it."""
