"""Tables: one description, written as Markdown, LaTeX, CSV and HTML; those of sweeps and those of the paper."""
