"""Faults for tests: with this folder on PYTHONPATH and a plan in SOFTAUG_FAULTS, every process of a launch has them."""

import os

if "SOFTAUG_FAULTS" in os.environ:
    import injected

    injected.install()
