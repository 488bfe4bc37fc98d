#!/bin/sh
# The one secret that MLflow takes from its environment alone comes from a file here, and is seen by no other container.
set -eu
MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat /run/secrets/mlflow_secret_key)
export MLFLOW_FLASK_SERVER_SECRET_KEY
exec mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000 --workers 2 "$@"
