"""Files that say the same thing twice say the same thing."""

import json
import re
from pathlib import Path

import yaml

from deploy.local.environment import ROOT
from deploy.local.processes import processes

TABLE = {
    row.name: row.command for row in processes(port=8000, host="0.0.0.0", run_dir=Path("/tmp"))
}


def test_containers_run_the_commands_of_make_run() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    assert {name: services[name]["command"] for name in TABLE} == TABLE


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
