"""The demo: press *Send*, and see what happens to the mail. ``scripts/demo``."""
