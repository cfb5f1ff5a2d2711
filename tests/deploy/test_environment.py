"""What the user chose, and what the first start makes up."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from deploy.local import environment
from deploy.local.environment import local_secrets, make_data_dir, read_choices, write_variables
from deploy.local.errors import LocalError

NAMES = (
    "PORT",
    "DATA_DIR",
    "DATABASE_URL",
    "REDIS_URL",
    "BASE_URL",
    "HUBSPOT_BASE_URL",
    "HUBSPOT_ACCESS_TOKEN",
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout, and an environment that says nothing."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_nothing_needs_to_be_chosen(root: Path) -> None:
    choices = read_choices()

    assert choices.port == 8000
    assert choices.data_dir == root / "var"
    assert choices.base_url == "http://127.0.0.1:8000"
    assert not choices.database_url
    assert not choices.redis_url
    assert choices.simulates_hubspot


@pytest.mark.parametrize("name", ["HUBSPOT_BASE_URL", "HUBSPOT_ACCESS_TOKEN"])
def test_hubspot_is_simulated_only_where_none_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "")
    assert read_choices().simulates_hubspot

    monkeypatch.setenv(name, "something")
    assert not read_choices().simulates_hubspot


def test_the_environment_goes_before_the_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / ".env").write_text(
        "# ours\nPORT=8001\nDATA_DIR='other place'\nREDIS_URL=redis://there\n"
    )
    monkeypatch.setenv("PORT", "8002")

    choices = read_choices()

    assert choices.port == 8002
    assert choices.data_dir == root / "other place"
    assert choices.redis_url == "redis://there"


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "8000.5", "²"])
def test_a_port_that_is_none_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    monkeypatch.setenv("PORT", port)

    with pytest.raises(LocalError, match="PORT is"):
        read_choices()


def test_secrets_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    first = local_secrets(tmp_path)

    assert local_secrets(tmp_path) == first
    assert (tmp_path / "local.env").stat().st_mode & 0o777 == 0o600
    assert len(set(first.values())) == len(first)
    Fernet(first["ENCRYPTION_KEYS"])


def test_a_secret_of_the_user_stays(tmp_path: Path) -> None:
    write_variables(tmp_path / "local.env", {"SECRET_KEY": "mine", "OTHER": "a=b"})

    secrets = local_secrets(tmp_path)

    assert secrets["SECRET_KEY"] == "mine"
    assert secrets["OTHER"] == "a=b"
    assert secrets["POSTGRES_PASSWORD"]


def test_a_new_data_dir_is_closed_to_others(tmp_path: Path) -> None:
    make_data_dir(tmp_path / "var")

    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700


def test_a_data_dir_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")

    with pytest.raises(LocalError, match="cannot be used"):
        make_data_dir(tmp_path / "var")
