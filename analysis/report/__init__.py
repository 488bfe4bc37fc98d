"""The report: pages that need nothing else, their templates, style and script."""
