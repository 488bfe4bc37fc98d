"""Sweeps as files: declaration, plan, launch, tracker and the command line."""
