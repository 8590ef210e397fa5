"""The documentation: its code is run or checked, and what it names is found."""
