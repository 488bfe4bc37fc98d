"""Networks of the paper, and small ones of the same families for machines without a GPU."""
