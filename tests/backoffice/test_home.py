"""The first page: where everything is, and the demo's keys for who sits at the machine alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

KEY = "tp_demo_secret"


@pytest.fixture
def demo(settings: Settings, tmp_path: Path) -> Path:
    settings.DEMO_FILE = file = tmp_path / "demo.json"
    accounts = {"storefront": {"id": "1", "api_key": KEY}}
    admin = {"username": "admin", "password": "correct horse"}
    file.write_text(json.dumps({"admin": admin, "accounts": accounts}))
    return file


@pytest.mark.django_db
def test_it_leads_everywhere(demo: Path) -> None:
    page = Client().get("/").content.decode()

    for address in ("/api/docs/", "/api/redoc/", "/admin/", "/api/problems", "/readyz"):
        assert f'href="{address}"' in page
        assert Client().get(address).status_code != 404


def test_the_keys_of_a_demo_are_shown_to_who_sits_at_it(demo: Path) -> None:
    answer = Client().get("/")

    assert KEY in answer.content.decode()
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "stranger",
    [
        {"REMOTE_ADDR": "192.0.2.1"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
    ],
)
def test_nobody_else_sees_them(demo: Path, stranger: dict[str, Any]) -> None:
    page = Client().get("/", **stranger).content.decode()

    assert KEY not in page
    assert "correct horse" not in page


def test_without_a_demo_there_are_no_keys(demo: Path) -> None:
    demo.unlink()

    answer = Client().get("/")

    assert answer.status_code == 200
    assert "API key" not in answer.content.decode()


def test_it_needs_no_other_server(demo: Path) -> None:
    for address in ("/", "/api/redoc/", "/api/docs/"):
        page = Client().get(address).content.decode()
        for attribute in ('src="http', 'src="//', "fonts.googleapis", "cdn"):
            assert attribute not in page, address
