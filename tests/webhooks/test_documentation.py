"""What docs/webhooks.md shows works as shown."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from apps.webhooks import services
from apps.webhooks.retries import SCHEDULE
from tests.support import Received, Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent

PAGE = Path(__file__).resolve().parents[2] / "docs" / "webhooks.md"

_DRIVER = """
import { readFileSync } from "node:fs";
import { verify } from "./verify.mjs";
const asked = JSON.parse(readFileSync(0, "utf8"));
const answers = asked.map((one) => verify(one.secret, one.headers, Buffer.from(one.body, "hex")));
console.log(JSON.stringify(answers));
"""


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed here")
    return found


@pytest.fixture
def sent(
    transactional_db: None, make_endpoint: MakeEndpoint, publish_event: PublishEvent,
    receiver: Receiver, send: Callable[[], None],
) -> tuple[list[str], Received]:  # fmt: skip
    """A request that was really sent, signed with both of these secrets."""
    endpoint = make_endpoint(receiver.url())
    rotated = services.rotate_secret(
        account_id=endpoint.account_id, endpoint_id=endpoint.id, grace_seconds=60
    )
    publish_event(endpoint.account)
    send()
    (request,) = receiver.requests
    return [rotated.secret, endpoint.secret or ""], request


def headers_of(request: Received, **changed: str) -> dict[str, str]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return headers | {name.replace("_", "-"): value for name, value in changed.items()}


def cases(secrets: list[str], request: Received) -> list[tuple[bool, str, dict[str, str], bytes]]:
    """Whether it is genuine, and the secret, headers and body to verify."""
    headers, body = headers_of(request), request.body
    stale = str(int(headers["webhook-timestamp"]) - 301)
    return [
        *((True, secret, headers, body) for secret in secrets),
        (True, secrets[0], {**headers, "webhook-signature": "v1a,x " + headers["webhook-signature"]}, body),
        (False, "whsec_" + "A" * 43 + "=", headers, body),
        (False, secrets[0], headers, body + b" "),
        (False, secrets[0], {**headers, "webhook-id": "other"}, body),
        (False, secrets[0], {**headers, "webhook-timestamp": stale}, body),
        (False, secrets[0], {**headers, "webhook-signature": "v1,"}, body),
    ]  # fmt: skip


def test_the_python_verifies(sent: tuple[list[str], Received]) -> None:
    (example,) = examples("python")
    names: dict[str, Any] = {}
    exec(example, names)

    for genuine, secret, headers, body in cases(*sent):
        assert names["verify"](secret, headers, body) is genuine


def test_the_javascript_verifies(sent: tuple[list[str], Received], tmp_path: Path) -> None:
    node = need("node")
    (example,) = examples("js")
    (tmp_path / "verify.mjs").write_text(example)
    (tmp_path / "driver.mjs").write_text(_DRIVER)
    asked = [
        {"secret": secret, "headers": headers, "body": body.hex()}
        for _, secret, headers, body in cases(*sent)
    ]

    ran = subprocess.run(
        [node, "driver.mjs"], input=json.dumps(asked), cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert json.loads(ran.stdout) == [genuine for genuine, *_ in cases(*sent)]


def test_the_shell_signs_as_we_do(sent: tuple[list[str], Received], tmp_path: Path) -> None:
    need("openssl")
    secrets, request = sent
    (tmp_path / "body.json").write_bytes(request.body)
    headers = headers_of(request)

    signatures = [
        run_shell(
            examples("sh")[0], tmp_path,
            SECRET=secret, WEBHOOK_ID=headers["webhook-id"],
            WEBHOOK_TIMESTAMP=headers["webhook-timestamp"],
        ).strip()
        for secret in secrets
    ]  # fmt: skip

    assert " ".join(signatures) == headers["webhook-signature"]


def test_curl_sends_what_a_receiver_can_verify(receiver: Receiver, tmp_path: Path) -> None:
    need("openssl")
    need("curl")
    (tmp_path / "body.json").write_bytes(b'{"type": "order.created"}')
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
    define, send = examples("sh")
    define = define.rpartition("sign ")[0]

    run_shell(define + send, tmp_path, SECRET=secret, WEBHOOK_ID="abc", URL=receiver.url("/mine"))

    (request,) = receiver.at("/mine")
    assert Webhook(secret).verify(request.body, dict(request.headers.items()))


def test_the_schedule_is_the_published_one() -> None:
    shown = re.search(r"tried again (5 s.*?) after the attempt", PAGE.read_text())
    assert shown is not None
    units = {"s": 1, "min": 60, "h": 3600}

    pairs = re.findall(r"(\d+) (s|min|h)\b", shown[1])

    assert [int(number) * units[unit] for number, unit in pairs] == list(SCHEDULE)


def run_shell(script: str, folder: Path, **variables: str) -> str:
    ran = subprocess.run(
        ["sh", "-euc", script], cwd=folder, env={**os.environ, **variables},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return ran.stdout
