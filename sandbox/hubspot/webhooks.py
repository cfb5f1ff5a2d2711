"""HubSpot's webhooks: what changed is told to one address, signed (version 3), in arrays of up to 100."""

import base64
import hashlib
import hmac
import itertools
import json
import queue
import threading
import time
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from sandbox.hubspot.settings import Settings

HUB_ID = 62515
MAX_NOTICES = 100
TRIES = 3
PATIENCE_SECONDS = 5.0

News = dict[str, Any]


class Messenger:
    """Tells from a thread of its own; `waiting()` takes what nobody is told of, as no address is set."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._news: queue.SimpleQueue[News | None] = queue.SimpleQueue()
        self._untold: list[News] = []
        self._numbers = itertools.count(1)
        self._thread = threading.Thread(target=self._work)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._news.put(None)
        self._thread.join()

    def tell(self, news: list[News]) -> None:
        for one in news:
            notice = {
                "eventId": next(self._numbers),
                "subscriptionId": 1,
                "portalId": HUB_ID,
                "appId": 1,
                "occurredAt": time.time_ns() // 1_000_000,
                "attemptNumber": 0,
                "changeSource": "CRM",
                **one,
            }
            if self._settings.webhook_url:
                self._news.put(notice)
            else:
                self._untold.append(notice)
                del self._untold[:-1000]

    def waiting(self) -> list[News]:
        """What has not been told, which is forgotten."""
        taken, self._untold = self._untold, []
        return taken

    def _work(self) -> None:
        while (first := self._news.get()) is not None:
            batch = [first]
            while len(batch) < MAX_NOTICES and not self._news.empty():
                following = self._news.get()
                if following is None:
                    self._send(batch)
                    return
                batch.append(following)
            self._send(batch)

    def _send(self, batch: list[News]) -> None:
        body = json.dumps(batch).encode()
        url = self._settings.webhook_url
        for _ in range(TRIES):
            headers = signed_headers(self._settings.client_secret, url, body)
            request = Request(url, body, headers, method="POST")
            try:
                with urlopen(request, timeout=PATIENCE_SECONDS):
                    return
            except (URLError, OSError):
                continue


def signed_headers(secret: str, url: str, body: bytes, at_ms: int | None = None) -> dict[str, str]:
    """The headers of a request that HubSpot signed at this time; now unless it is given."""
    timestamp = str(time.time_ns() // 1_000_000 if at_ms is None else at_ms)
    text = f"POST{url}".encode() + body + timestamp.encode()
    digest = hmac.digest(secret.encode(), text, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "X-HubSpot-Signature-v3": base64.b64encode(digest).decode(),
        "X-HubSpot-Request-Timestamp": timestamp,
    }
