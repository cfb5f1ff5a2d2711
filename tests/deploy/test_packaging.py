"""Files that say the same thing twice say the same thing."""

import json
import re
from pathlib import Path

import yaml
from django.conf import settings

from apps.common.api.codes import all_codes
from deploy.local.environment import ROOT
from deploy.local.processes import WEB_THREADS, processes

TABLE = {
    row.name: row.command for row in processes(port=8000, host="0.0.0.0", run_dir=Path("/tmp"))
}


COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
NGINX = (ROOT / "deploy" / "nginx.conf").read_text()


def test_containers_run_the_commands_of_make_run() -> None:
    assert {name: SERVICES[name]["command"] for name in TABLE} == TABLE


def test_containers_share_what_there_is_to_share() -> None:
    mounts = [
        mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", ())
    ]
    files = {source for source, *_ in mounts if source.startswith("./")}

    assert files == {"./deploy/nginx.conf"}
    assert all((ROOT / name).is_file() for name in files)
    assert {source for source, *_ in mounts} - files == COMPOSE["volumes"].keys()
    for name in TABLE:
        folder = SERVICES[name]["environment"]["PROMETHEUS_MULTIPROC_DIR"]
        assert f"metrics:{folder}" in SERVICES[name]["volumes"]


def test_only_the_proxy_is_published_and_it_leads_to_web() -> None:
    (port,) = re.findall(r"^ +listen (\d+);", NGINX, re.MULTILINE)

    assert {name for name, service in SERVICES.items() if "ports" in service} == {"proxy"}
    assert SERVICES["proxy"]["ports"] == [f"127.0.0.1:${{PORT:-8000}}:{port}"]
    assert f":{port}/healthz" in SERVICES["proxy"]["healthcheck"]["test"]
    assert re.findall(r"^ +server (\S+);", NGINX, re.MULTILINE) == ["web:8000"]
    assert "--port 8000 " in TABLE["web"]


def test_the_proxy_sends_whole_requests_that_web_would_take() -> None:
    assert "proxy_request_buffering on;" in NGINX
    (mebibytes,) = re.findall(r"client_max_body_size (\d+)m;", NGINX)
    assert int(mebibytes) * 1024 * 1024 == settings.DATA_UPLOAD_MAX_MEMORY_SIZE


def test_the_proxy_gives_its_errors_the_codes_of_the_api() -> None:
    said = re.findall(r"^ +(\d{3}) '(.+)';$", NGINX, re.MULTILINE)
    answered = {int(status) for status in re.findall(r"\b\d{3}\b", _errors_of_the_proxy())}

    assert {int(status) for status, _ in said} >= {400, 413, 414, 431, 502, 504}
    assert {int(status) for status, _ in said} <= answered
    for status, members in said:
        problem = json.loads(f"{{{members}}}")
        assert problem.keys() == {"type", "code", "title", "detail"}
        assert problem["type"] == f"/api/problems#{problem['code']}"
        known = {code.code for code in all_codes() if code.status == int(status)}
        assert problem["code"] in known


def _errors_of_the_proxy() -> str:
    return " ".join(re.findall(r"error_page ([\d =]+) /\.problem;", NGINX))


def test_a_thread_of_web_need_not_wait_for_a_connection() -> None:
    assert settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"] >= WEB_THREADS


def test_the_image_runs_web_by_itself() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    command = re.findall(r"^CMD (.+)$", dockerfile, re.MULTILINE)[-1]

    assert " ".join(json.loads(command)) == TABLE["web"]


def test_every_setting_has_its_example() -> None:
    settings = (ROOT / "config/settings/env.py").read_text()
    read = set(re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', settings))
    shown = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert read <= shown
    assert shown - read == {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}


def test_every_setting_reaches_the_containers_or_is_their_own_affair() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    shown = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    inside = {"DATA_DIR", "BROKER_URL", "DATABASE_POOL_SIZE", "DEBUG", "LOG_FORMAT"}

    assert {name for name in shown if name not in compose} == inside


def test_the_image_holds_all_that_runs() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text()

    for part in ("apps", "config", "templates"):
        if any((ROOT / part).rglob("*.*")):
            assert f"COPY {part} {part}\n" in dockerfile
            assert f"!{part}\n" in ignored
