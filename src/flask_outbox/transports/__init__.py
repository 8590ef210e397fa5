"""Transports deliver mail: one adapter per file, all with the contract of `base`."""
