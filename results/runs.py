"""Print the runs of a launched sweep as CSV, a line per seed: python results/runs.py figure-3@laptop"""

import sys
from pathlib import Path

from analysis.statistics import read
from trainables.store import open_store

if __name__ == "__main__":
    runs = read(open_store("runs"), sys.argv[1], tracking_uri=f"sqlite:///{Path('runs/mlflow.db').absolute()}")
    runs.to_csv(sys.stdout, index=False)
