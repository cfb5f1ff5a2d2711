"""`python -m deploy.local`: Tradepost on one machine, and commands on throw-away services."""

import argparse
import os
import signal
import sys

from deploy.local.errors import LocalError
from deploy.local.launch import end_with_parent
from deploy.local.supervisor import run
from deploy.local.throwaway import run_throwaway


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument(
        "--end-with-parent",
        action="store_true",
        help="stop when the process that started this one is gone, as make may be",
    )
    parser.add_argument(
        "--no-user-namespaces",
        dest="user_namespaces",
        action="store_false",
        help="as root, run PostgreSQL as another account even where namespaces are allowed",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("run", help="run Tradepost until Ctrl-C; the data stays in DATA_DIR")
    execute = actions.add_parser("exec", help="run a command on services of its own")
    execute.add_argument("--throwaway", action="store_true", required=True)
    execute.add_argument("command", nargs="+", metavar="COMMAND")
    return parser.parse_args()


def _act(arguments: argparse.Namespace) -> int:
    if arguments.action == "run":
        return run(user_namespaces=arguments.user_namespaces)
    return run_throwaway(arguments.command, user_namespaces=arguments.user_namespaces)


def main() -> int:
    """Returns the exit status; a LocalError is one line and 1."""
    arguments = _arguments()
    if arguments.end_with_parent:
        end_with_parent(os.getppid(), signal.SIGTERM)
    try:
        return _act(arguments)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
