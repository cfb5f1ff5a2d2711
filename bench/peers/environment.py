"""An environment of their own for the programs that are measured beside ours."""

import subprocess
import venv

from bench.installation import ROOT

REQUIREMENTS = ROOT / "bench" / "requirements-peers.txt"


def peer_python(name: str) -> str | None:
    """The interpreter of an environment that has the peers; None, and a word about `name`, where there can be none."""
    folder = ROOT / "var" / "bench-peers"  # kept: DATA_DIR is thrown away
    python = folder / "bin" / "python"
    try:
        if not python.exists():
            venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
        subprocess.run(install, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        print(f"SKIPPED: {name} cannot be installed: {said.strip().splitlines()[-1]}", flush=True)
        return None
    return str(python)
