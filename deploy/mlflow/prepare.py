"""Before MLflow starts, once: bring both databases to its version, and let the sweeps' user be there.

The administrator is made by MLflow itself, from its configuration; the sweeps' user here, so that the first health
check can already log in as it. It may make experiments, which are then its own, and nothing else.
"""

import configparser
import os
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Migrate, then make or renew the user."""
    subprocess.run(
        [sys.executable, "-m", "mlflow", "db", "upgrade", os.environ["MLFLOW_BACKEND_STORE_URI"]], check=True
    )
    auth, credentials = configparser.ConfigParser(interpolation=None), configparser.ConfigParser(interpolation=None)
    auth.read_string(Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"]).read_text())
    credentials.read_string(Path("/run/secrets/mlflow_credentials").read_text())
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    users = SqlAlchemyStore()
    users.init_db(auth["mlflow"]["database_uri"])  # migrates
    name = credentials["mlflow"]["mlflow_tracking_username"]
    password = credentials["mlflow"]["mlflow_tracking_password"]
    if users.has_user(name):
        users.update_user(name, password=password, is_admin=False)
    else:
        users.create_user(name, password, is_admin=False)
    print(f"MLflow's databases are up to date, user {name} is there")


if __name__ == "__main__":
    main()
