"""The virtual environment's script says what is missing on a machine."""

import os
import subprocess
from pathlib import Path

from deploy.local.environment import ROOT


def _make_venv(folder: Path, python: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [ROOT / "deploy" / "venv.sh", folder / ".venv"],
        env={**os.environ, "PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )


def _script(folder: Path, body: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_a_python_that_is_too_old_is_said(tmp_path: Path) -> None:
    result = _make_venv(tmp_path, _script(tmp_path, "exit 1"))

    assert result.returncode == 1
    assert result.stderr.startswith("Tradepost needs Python 3.11 or newer")


def test_a_python_without_venv_is_said(tmp_path: Path) -> None:
    python = _script(tmp_path, 'case "$*" in *ensurepip*) exit 1;; esac')

    result = _make_venv(tmp_path, python)

    assert result.returncode == 1
    assert "apt-get install python3-venv" in result.stderr


def test_the_interpreter_can_be_chosen(tmp_path: Path) -> None:
    python = _script(tmp_path, f'echo "$@" >> {tmp_path}/calls')

    result = _make_venv(tmp_path, python)

    assert result.returncode == 0
    assert result.stdout == f"Making the virtual environment {tmp_path}/.venv with {python}\n"
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[-1] == f"-m venv --clear {tmp_path}/.venv"
