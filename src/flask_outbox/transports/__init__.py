"""How mail leaves: one adapter a file, all under one contract."""
