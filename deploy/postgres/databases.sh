#!/bin/sh
# Run once by the image of PostgreSQL, when it makes its data folder: MLflow is a role of its own that owns its two
# databases and nothing else. Its password is the last field of the file that libpq reads on MLflow's side.
set -eu
password=$(cut -d : -f 5 /run/secrets/mlflow_pgpass)
psql -v ON_ERROR_STOP=1 -v password="$password" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD :'password';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_auth OWNER mlflow;
REVOKE ALL ON DATABASE mlflow, mlflow_auth, postgres FROM PUBLIC;
SQL
