"""Make what the stack needs and nobody may know: random passwords and a token in ./secrets, and who runs it in .env.

Python's standard library alone, since it runs on a machine that has nothing but Docker. Run again, it keeps what is
there and adds what is missing; a new password for an old one means deleting that file, and the database with it.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTAINER_USER = 10001  # in place of root: the containers run as whoever made the secrets
USER = "sweeps"  # the sweeps' own, no administrator
POSTGRES = "postgres:5432"

AUTH = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = postgresql+psycopg://mlflow@{postgres}/mlflow_auth
admin_username = admin
admin_password = {password}
"""
CREDENTIALS = """[mlflow]
mlflow_tracking_username = {user}
mlflow_tracking_password = {password}
"""


def _word() -> str:
    return secrets.token_urlsafe(32)


FILES: dict[str, Callable[[], str]] = {
    "ray_token": lambda: secrets.token_hex(32),
    "postgres_password": _word,
    # The role that MLflow is; libpq reads the file, so the password is in no address.
    "mlflow_pgpass": lambda: f"{POSTGRES}:*:mlflow:{_word()}\n",
    "mlflow_auth.ini": lambda: AUTH.format(postgres=POSTGRES, password=_word()),
    "mlflow_secret_key": _word,
    # As MLflow's own client reads it from ~/.mlflow/credentials.
    "mlflow_credentials": lambda: CREDENTIALS.format(user=USER, password=_word()),
}


def make(root: Path = ROOT) -> list[str]:
    """Write the secrets and .env that `root` lacks, and the folders that the stack mounts; return their names."""
    root_user = os.getuid() == 0
    user, group = (CONTAINER_USER, CONTAINER_USER) if root_user else (os.getuid(), os.getgid())
    made = []
    for folder, mode in (("secrets", 0o700), ("runs", 0o755), ("data", 0o755)):
        path = root / folder
        new = not path.exists()
        path.mkdir(mode=mode, exist_ok=True)
        if folder == "secrets":
            path.chmod(mode)
        if root_user and (new or folder != "data"):
            os.chown(path, user, group)
    for name, content in FILES.items():
        if _create(root / "secrets" / name, content()):
            made.append(f"secrets/{name}")
        if root_user:
            os.chown(root / "secrets" / name, user, group)
    env = root / ".env"
    _create(env, "")
    if "SOFTAUG_UID=" not in env.read_text():
        with env.open("a") as file:
            file.write(f"SOFTAUG_UID={user}\nSOFTAUG_GID={group}\n")
        made.append(".env")
    return made


def _create(path: Path, content: str) -> bool:
    """Create a file that only its owner may read, before it holds anything. Return False if it is there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    return True


def main() -> None:
    """Make what is missing and say so."""
    made = make()
    print(f"made {', '.join(made)}" if made else "all secrets are there")


if __name__ == "__main__":
    main()
