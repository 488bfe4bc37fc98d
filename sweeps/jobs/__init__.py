"""Sweeps as jobs of a Ray cluster that only its head's address is known of: submitted, followed, launched again."""
