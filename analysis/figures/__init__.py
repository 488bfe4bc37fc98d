"""Figures: the numbers of each, apart from its drawing, and one style for all."""
