"""The command line: one file per family of commands, joined in `main`, and what they show on a terminal."""
