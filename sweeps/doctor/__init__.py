"""What may be wrong with a store and its runs in MLflow, and the repair of each."""
