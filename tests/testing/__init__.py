"""The pytest plugin and the servers that users' tests are given."""
