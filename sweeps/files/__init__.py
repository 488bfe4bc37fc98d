"""Sweep files and recipe files: read strictly, checked as a whole, expanded into cells and trials."""
