"""One training run on a cluster: the ledger it writes and the Ray Tune trainable that writes it."""
