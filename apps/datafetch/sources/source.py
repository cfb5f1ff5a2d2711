"""A stream's configuration as the readers use it: compiled, with its secrets, apart from any table."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

import orjson

from apps.common.outgoing import guard
from apps.common.outgoing.connections import Origin, origin
from apps.datafetch.sources import pagination
from apps.datafetch.sources.expressions import Expression, compiled
from apps.datafetch.sources.failures import HIDDEN, SourceFailed, redacted
from apps.datafetch.sources.pagination import Position

USER_AGENT = "Tradepost/1.0 (data fetch)"
ACCEPT = "application/json, */*;q=0.5"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `private` headers are for the origin of the stream's own URL alone.

    `bare` is the URL without the credentials of `auth`. `digest` tells it from the stream's other
    requests; neither it nor `shown` holds a credential.
    """

    url: str
    bare: str
    private: Mapping[str, str]
    digest: bytes
    shown: str


@dataclass(frozen=True)
class Source:
    """What to ask and how to read the answers. `secrets` has the members auth, headers and params."""

    url: str
    records_path: str
    primary_key: tuple[str, ...]
    cursor: Mapping[str, Any] | None
    pagination: Mapping[str, Any]
    auth: Mapping[str, Any]
    headers: Mapping[str, str]
    params: Mapping[str, str]
    secrets: Mapping[str, Mapping[str, str]]
    mapping: Mapping[str, str] | None
    schema_policy: str = "evolve"

    @cached_property
    def records(self) -> Expression:
        return compiled(self.records_path or "@")

    @cached_property
    def keys(self) -> tuple[Expression, ...]:
        return tuple(compiled(one) for one in self.primary_key)

    @cached_property
    def key_field(self) -> str | None:
        """The name of the field that is the whole key, if it is as plain as that."""
        fields = self.keys[0].fields if len(self.keys) == 1 else None
        return fields[0] if fields and len(fields) == 1 else None

    @cached_property
    def cursor_field(self) -> Expression | None:
        return compiled(self.cursor["field"]) if self.cursor else None

    @cached_property
    def fields(self) -> tuple[tuple[str, Expression], ...] | None:
        if self.mapping is None:
            return None
        return tuple((name, compiled(text)) for name, text in self.mapping.items())

    @cached_property
    def growth(self) -> int:
        """How often a mapped record may hold the one it came from."""
        return sum(expression.growth for _, expression in self.fields or ())

    @cached_property
    def shape(self) -> bytes:
        """Digest of all that decides how a body is read: while it is the same, so is the reading."""
        parts = (
            self.records_path,
            self.primary_key,
            self.cursor,
            self.pagination,
            self.mapping,
            self.schema_policy,
        )
        return hashlib.blake2b(
            orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=16
        ).digest()

    @cached_property
    def form(self) -> bytes:
        """Digest of what decides how records look once they are read."""
        return hashlib.blake2b(
            orjson.dumps((self.records_path, self.mapping), option=orjson.OPT_SORT_KEYS),
            digest_size=16,
        ).digest()

    @cached_property
    def origin(self) -> Origin:
        return origin(guard.parse(self.url))

    @property
    def host(self) -> str:
        return f"{self.origin[1]}:{self.origin[2]}"

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        """The secrets themselves, to be looked for in what is shown."""
        return tuple(value for kind in self.secrets.values() for value in kind.values() if value)

    def asked(self, position: Position, since: Any, token: str | None) -> Asked:
        """The request for the page at `position`; `since` is the cursor value to read from, if any."""
        mine = self._query_credentials()
        if "url" in position:
            url, extra = _without(position["url"], set(mine)), {}
        else:
            url = self.url
            extra = {**self.params, **self.secrets.get("params", {})}
            if self.cursor and since is not None:
                extra[self.cursor["param"]] = _as_text(since)
            extra |= pagination.params_of(self.pagination, position)
        bare = _with(url, extra)
        is_home = origin(_parsed(bare)) == self.origin
        whole = bare
        if mine and is_home:
            whole = _with(bare, mine)
            _parsed(whole)
        return Asked(
            url=whole,
            private=self._private_headers(token) if is_home else {},
            bare=bare,
            digest=hashlib.blake2b(bare.encode(), digest_size=16).digest(),
            shown=self.redacted(bare),
        )

    def shown(self, asked: Asked) -> tuple[str, dict[str, str]]:
        """The URL and the headers of a request for people to look at, *** in place of each secret."""
        url = asked.shown
        for name in self._query_credentials() if asked.url != asked.bare else ():
            url = _without(url, {name})
            url += f"{'&' if '?' in url else '?'}{quote_plus(name)}={HIDDEN}"
        private = {
            name: self.redacted(value) if self.headers.get(name) == value else HIDDEN
            for name, value in asked.private.items()
        }
        return url, {"user-agent": USER_AGENT, "accept": ACCEPT, **private}

    def hidden_of(self, asked: Asked) -> tuple[str, ...]:
        """Those of one request too: an access token, and what is written otherwise than it is stored."""
        open_values = set(self.headers.values())
        sent = (value for value in asked.private.values() if value not in open_values)
        parts = [part for value in sent for part in (value, value.rpartition(" ")[2])]
        return (*self.hidden, *parts)

    def redacted(self, text: str) -> str:
        return redacted(text, self.hidden)

    def _query_credentials(self) -> dict[str, str]:
        if self.auth["type"] == "api_key" and self.auth["in"] == "query":
            return {self.auth["name"]: self.secrets["auth"]["value"]}
        return {}

    def _private_headers(self, token: str | None) -> dict[str, str]:
        headers = {**self.headers, **self.secrets.get("headers", {})}
        secret = self.secrets.get("auth", {})
        match self.auth["type"]:
            case "bearer":
                headers["authorization"] = f"Bearer {secret['token']}"
            case "basic":
                pair = f"{self.auth['username']}:{secret['password']}"
                headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
            case "api_key" if self.auth["in"] == "header":
                headers[self.auth["name"]] = secret["value"]
            case "oauth2_client_credentials":
                headers["authorization"] = f"Bearer {token}"
        return headers


def _parsed(url: str) -> guard.Target:
    try:
        return guard.parse(url)
    except guard.UrlInvalid as error:
        raise SourceFailed("url_invalid", f"With its parameters it is no URL: {error}") from error


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _with(url: str, params: Mapping[str, str]) -> str:
    """`url` with these parameters, in place of any of the same names."""
    if not params:
        return url
    parts = urlsplit(_without(url, set(params)))
    query = "&".join(filter(None, (parts.query, urlencode(params))))
    return urlunsplit(parts._replace(query=query))


def _without(url: str, names: set[str]) -> str:
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = [pair for pair in pairs if pair[0] not in names]
    if len(kept) == len(pairs):
        return url
    return urlunsplit(parts._replace(query=urlencode(kept)))
