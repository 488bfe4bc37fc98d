"""Searches: what they ask for next, as a function of the ledger alone, and how they went."""
