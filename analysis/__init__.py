"""From MLflow runs to cells, statistics, tables, figures and the report."""
