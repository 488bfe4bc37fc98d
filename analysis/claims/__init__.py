"""The paper's sentences as checks, on its own numbers and on our runs."""
