"""MLflow as a projection of the ledger: its runs, the thread and the process that keep them level."""
