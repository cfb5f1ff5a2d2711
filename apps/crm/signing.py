"""HubSpot's request signature, version 3.

Base64 of HMAC-SHA256, under the app's client secret, over method, URI, body and timestamp, one after the
other; the URI as called, with a few escapes undone. Older than five minutes counts as replayed; so does
what claims to come from later, which HubSpot's own client lets through. Source:
https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation
"""

import base64
import hashlib
import hmac
import re

TOLERANCE_MS = 300_000

# The only escapes that HubSpot undoes before it signs.
_UNDONE = {
    "%3A": ":",
    "%2F": "/",
    "%3F": "?",
    "%40": "@",
    "%21": "!",
    "%24": "$",
    "%27": "'",
    "%28": "(",
    "%29": ")",
    "%2A": "*",
    "%2C": ",",
    "%3B": ";",
}
_ESCAPES = re.compile("|".join(_UNDONE), re.IGNORECASE)


def signature(*, secret: str, method: str, uri: str, body: bytes, timestamp: str) -> str:
    """What HubSpot sends as X-HubSpot-Signature-v3; `timestamp` in milliseconds, as it was sent."""
    decoded = _ESCAPES.sub(lambda found: _UNDONE[found[0].upper()], uri)
    text = f"{method}{decoded}".encode() + body + timestamp.encode()
    return base64.b64encode(hmac.digest(secret.encode(), text, hashlib.sha256)).decode()


def is_timely(timestamp: str, now_ms: int) -> bool:
    """Whether `timestamp` is a time within five minutes of now, on either side."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15):
        return False
    return abs(now_ms - int(timestamp)) <= TOLERANCE_MS


def is_genuine(
    claimed: str, *, secret: str, method: str, uri: str, body: bytes, timestamp: str
) -> bool:
    """Whether `claimed` is the signature of this request; compared in constant time."""
    expected = signature(secret=secret, method=method, uri=uri, body=body, timestamp=timestamp)
    # As bytes: of two texts, one that is not ASCII raises TypeError.
    return hmac.compare_digest(expected.encode(), claimed.encode(errors="surrogateescape"))
