"""Figures and words of searches, from Optuna's study as the ledger has it."""
