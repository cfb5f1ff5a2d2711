"""Turns into a command that ends with the process that started it.

    launch.py PARENT_PID DEATH_SIGNAL IDENTITY COMMAND [ARGUMENT ...]

IDENTITY is `self`, `namespace` (ourselves under an unprivileged number, in a user namespace) or
the uid of an account to become. The exit status is 125 when the identity cannot be had.

It is a script of its own, not code between fork and exec: the supervisor has threads, and only a
process with a single thread may enter a user namespace.
"""

import ctypes
import os
import pwd
import sys
from pathlib import Path

SELF = "self"
NAMESPACE = "namespace"
IDENTITY_REFUSED = 125

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_UNPRIVILEGED_ID = 1000


def _libc_call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def _enter_user_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    _libc_call("unshare", _CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_UNPRIVILEGED_ID} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{_UNPRIVILEGED_ID} {gid} 1")


def _become_account(uid: int) -> None:
    os.setgroups([])
    os.setgid(pwd.getpwuid(uid).pw_gid)
    os.setuid(uid)


def _assume(identity: str) -> None:
    if identity == NAMESPACE:
        _enter_user_namespace()
    elif identity != SELF:
        _become_account(int(identity))


def end_with_parent(parent: int, death_signal: int) -> None:
    """Only Linux can do this; elsewhere a killed supervisor leaves its children to the next start."""
    if sys.platform != "linux":
        return
    _libc_call("prctl", _PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit(128 + death_signal)


def main(arguments: list[str]) -> None:
    parent, death_signal, identity, *command = arguments
    try:
        _assume(identity)
    except (OSError, KeyError) as error:
        print(f"cannot run as {identity}: {error}", file=sys.stderr)
        sys.exit(IDENTITY_REFUSED)
    # After the change of identity, because that clears the death signal.
    end_with_parent(int(parent), int(death_signal))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
