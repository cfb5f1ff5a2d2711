"""What browsers are told they may do with our pages."""

import re
from pathlib import Path

import pytest
from django.test import Client

from apps.accounts.models import User

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = ("/", "/api/docs/", "/api/redoc/", "/api/problems", "/admin/login/")


def policy_of(client: Client, path: str) -> dict[str, str]:
    answer = client.get(path)
    assert answer.status_code == 200
    policy: dict[str, str] = dict(
        part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; ")
    )
    return policy


@pytest.mark.django_db
@pytest.mark.parametrize("path", PUBLIC)
def test_every_page_has_a_policy(path: str) -> None:
    policy = policy_of(Client(), path)

    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert "unsafe-inline" not in policy["script-src"]
    assert ("'unsafe-eval'" in policy["script-src"]) == path.startswith("/admin/")
    assert "http" not in " ".join(policy.values())


@pytest.mark.django_db
def test_each_answer_has_a_nonce_of_its_own() -> None:
    assert policy_of(Client(), "/") != policy_of(Client(), "/")


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PUBLIC, "/admin/", "/admin/orders/order/", "/admin/security/"])
def test_a_script_within_a_page_carries_the_nonce(path: str) -> None:
    client = Client()
    if path.startswith("/admin/") and path != "/admin/login/":
        client.force_login(User.objects.create_superuser("boss"))
    answer = client.get(path)
    nonce = re.search(r"'nonce-([^']+)'", answer.headers["Content-Security-Policy"])
    assert nonce is not None

    page = answer.content.decode()

    within = [tag for tag in re.findall(r"<script[^>]*>", page) if "src=" not in tag]
    assert [tag for tag in within if f'nonce="{nonce[1]}"' not in tag] == []
    assert re.findall(r"\son(?:click|load|change|submit|error)=", page) == []


def test_no_template_of_ours_has_a_script_that_would_not_run() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {tag}"
        for path in (ROOT / "templates").rglob("*.html")
        for tag in re.findall(r"<script[^>]*>", path.read_text())
        if "src=" not in tag and "nonce=" not in tag and "application/json" not in tag
    ]

    assert found == []


def test_what_is_no_page_has_none() -> None:
    answer = Client().get("/api/v1/me")

    assert "Content-Security-Policy" not in answer.headers
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
