"""`python -m deploy.local`: Tradepost on one machine, and commands on throw-away services."""

import argparse
import sys

from deploy.local.errors import LocalError
from deploy.local.throwaway import run_throwaway


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    commands = parser.add_subparsers(dest="action", required=True)
    execute = commands.add_parser("exec", help="run a command on services of its own")
    execute.add_argument("--throwaway", action="store_true", required=True)
    execute.add_argument("command", nargs="+", metavar="COMMAND")
    for command in (execute,):
        command.add_argument(
            "--no-user-namespaces",
            dest="user_namespaces",
            action="store_false",
            help="as root, run PostgreSQL as another account even where namespaces are allowed",
        )
    return parser.parse_args()


def main() -> int:
    """Returns the exit status; a LocalError is 1 and one line."""
    arguments = _arguments()
    try:
        return run_throwaway(arguments.command, user_namespaces=arguments.user_namespaces)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
