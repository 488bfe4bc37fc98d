"""Say whether MLflow answers, lets the sweeps' user in and reaches its database: /health says 200 without either."""

import sys

from sweeps.launch.preflight_tracking import tracking_problems


def main() -> None:
    """Ask as a launch does before it starts."""
    problems = tracking_problems("http://127.0.0.1:5000", None)
    sys.exit("\n".join(problems) if problems else 0)


if __name__ == "__main__":
    main()
