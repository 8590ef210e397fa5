"""The demo: press *Send*, and see what happens to one mail. ``scripts/demo`` runs it."""
