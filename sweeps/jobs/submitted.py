"""What a submitted sweep is, as both sides see it: the machine that submits, and the cluster whose softaug launches it.

Only the sweep's name or file travels. So the job is told what the submitting side expands it to, and refuses if its
own softaug does not get the same trials: another version, or another catalog.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from sweeps.cli.options import STORE
from sweeps.launch.preflight import Refused
from sweeps.resolved import ResolvedSweep
from trainables.store import URL

VARIABLE = "SOFTAUG_SUBMITTED"


class JobRuns(Exception):
    """A job of this sweep runs already; the message says since when and how to follow it."""


def described(sweep: ResolvedSweep) -> str:
    """Return what `check` compares: the version, and a digest of all trial keys and of what is searched."""
    return json.dumps(_description(sweep))


def check(sweep: ResolvedSweep, store: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise Refused if this process is a submitted job and would not run what was submitted, or nobody would see it."""
    if VARIABLE not in environment:
        return
    problems = []
    there, here = json.loads(environment[VARIABLE]), _description(sweep)
    if there["softaug"] != here["softaug"]:
        problems.append(
            f"softaug {there['softaug']} submitted this, the cluster has {here['softaug']}; "
            "install the same version on both sides"
        )
    elif there["trials"] != here["trials"]:
        problems.append(
            f"the cluster's softaug {here['softaug']} makes other trials of {sweep.experiment} than the one that "
            "submitted it: its code or catalog differs; build its image anew"
        )
    if not URL.fullmatch(store) and not Path(store).expanduser().is_absolute():
        wanted = "SOFTAUG_STORE is not set on the cluster's head" if store == STORE else f"{store} is no absolute path"
        problems.append(
            f"store: {wanted}; give `submit --store` a folder or an s3:// URL that every node of the cluster sees"
        )
    if problems:
        raise Refused(problems)


def _description(sweep: ResolvedSweep) -> dict[str, Any]:
    search = "" if sweep.search is None else sweep.search.model_dump_json()
    expanded = "\n".join([*sweep.trial_keys, search])
    return {"softaug": metadata.version("softaug"), "trials": hashlib.sha256(expanded.encode()).hexdigest()[:16]}
