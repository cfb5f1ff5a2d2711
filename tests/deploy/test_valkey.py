"""Valkey from its wheel."""

from pathlib import Path

import pytest
import redis

from deploy.local.services import EmbeddedValkey
from tests.deploy.conftest import Start, running


@pytest.fixture
def valkey(tmp_path: Path) -> EmbeddedValkey:
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    return EmbeddedValkey(folder, "secret")


def test_only_the_password_lets_in(valkey: EmbeddedValkey, start: Start) -> None:
    start(valkey)

    with redis.Redis.from_url(valkey.url) as client:
        assert client.ping()
    with (
        redis.Redis.from_url(valkey.url.replace("secret", "guess")) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


def test_it_never_drops_a_message_by_itself(valkey: EmbeddedValkey, start: Start) -> None:
    start(valkey)

    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_its_password_is_for_its_owner_only(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    with running(valkey) as child:
        assert "secret" not in " ".join(child.program.command)

    settings = tmp_path / "a folder with spaces" / "valkey" / "valkey.conf"
    assert settings.stat().st_mode & 0o777 == 0o600
