"""The one guard on every address that a user can give us.

A URL is looked at when it is taken in (`parse`, `vet`) and, because names change their addresses, again
at each connect: whatever transport connects must call `require_name_allowed` on the host and
`require_allowed` on the final socket address.
Refused is what is not public, unless `OUTGOING_ALLOWED_NETWORKS` names it. What is said about a refusal
gives away nothing about the network that we stand in.
"""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

import idna
from django.conf import settings

from apps.common.outgoing.networks import Address, is_public, unwrapped

MAX_URL_LENGTH = 2000
VET_SECONDS = 2.0
DNS_THREADS = 64
PLACES = 256  # hosts and ports that are remembered

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BRACKETED = re.compile(r"\[[0-9a-f:.]+\](:[0-9]*)?", re.IGNORECASE)

# RFC 6762 with its appendix G, RFC 8375, and ICANN's reservation of `.internal`.
_INSIDE = tuple(
    f".{suffix}"
    for suffix in ("local", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa")
)
_LOOPBACKS = (IPv4Address("127.0.0.1"), IPv6Address("::1"))

# Threads, because getaddrinfo cannot be cancelled: a slow name server holds one, not its caller.
dns_threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="dns")


class UrlInvalid(ValueError):
    """The text is not a URL that we would ever call; `str()` says why."""


class AddressRefused(OSError):
    """The address is not public. Every cause reads the same, so that nothing is given away."""

    def __init__(self) -> None:
        super().__init__("The address is not allowed: it must be a public one.")


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. `url` has its host in ASCII; `literal` is the host when it is an address."""

    url: str
    scheme: str
    host: str
    port: int
    literal: Address | None


def parse(text: str) -> Target:
    """Take a URL apart; raises UrlInvalid, and AddressRefused for addresses in odd spellings.

    http and https only, a host, no user name or password, port 80, 443 or from 1024 on.
    """
    if not text or len(text) > MAX_URL_LENGTH:
        raise UrlInvalid(f"A URL has 1 to {MAX_URL_LENGTH} characters.")
    if not text.isprintable() or " " in text or "\\" in text:
        raise UrlInvalid("A URL has no spaces, control characters or backslashes.")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise UrlInvalid("Host or port cannot be read.") from None
    host, port, literal, netloc = _place(parts.scheme, parts.netloc)
    ascii_url = text if parts.netloc.isascii() else parts._replace(netloc=netloc).geturl()
    return Target(url=ascii_url, scheme=parts.scheme, host=host, port=port, literal=literal)


@lru_cache(PLACES)
def _place(scheme: str, netloc: str) -> tuple[str, int, Address | None, str]:
    """Host, port, the host if it is an address, and both as ASCII. Remembered, as pages of one source are asked for
    one after the other."""
    parts = SplitResult(scheme, netloc, "", "", "")
    try:
        given = parts.port
    except ValueError:
        raise UrlInvalid("Host or port cannot be read.") from None
    if scheme not in _DEFAULT_PORTS:
        raise UrlInvalid("The scheme must be http or https.")
    if "@" in netloc:
        raise UrlInvalid("Put no user name or password into the URL.")
    if "[" in netloc and not _BRACKETED.fullmatch(netloc):
        raise UrlInvalid("The host is not an IPv6 address.")
    if not parts.hostname:
        raise UrlInvalid("The host is missing.")
    port = _DEFAULT_PORTS[scheme] if given is None else given
    if port not in (80, 443) and port < 1024:
        raise UrlInvalid("The port must be 80, 443 or above 1023.")
    host, literal = _host(parts.hostname)
    ascii_netloc = f"[{host}]" if isinstance(literal, IPv6Address) else host
    return host, port, literal, ascii_netloc if given is None else f"{ascii_netloc}:{port}"


def vet(target: Target) -> None:
    """Raise AddressRefused when the target leads to a refused address just now.

    For the time of taking in a URL, outside any transaction: it asks DNS for at most 2 s. A name that
    does not resolve now passes, for it is looked at again at each connect.
    """
    if target.literal is not None:
        return require_allowed(str(target.literal))
    require_name_allowed(target.host)
    looking_up = dns_threads.submit(addresses_of, target.host, target.port)
    try:
        found = looking_up.result(VET_SECONDS)
    except (OSError, UnicodeError, FutureTimeout):
        looking_up.cancel()
        return None
    for address in found:
        require_allowed(address)
    return None


def require_name_allowed(host: str) -> None:
    """Raise AddressRefused for names that can only mean something inside, whatever they resolve to now.

    What `localhost` and `*.localhost` lead to is each resolver's own business, so they are let through
    only where a loopback address is. Names without a dot and those under suffixes for inside use are let
    through where any network is that is not public; elsewhere they are refused without asking, so that
    nobody learns which of them there are.
    """
    name = host.lower().removesuffix(".")
    if name.rpartition(".")[2] == "localhost":
        if not any(is_allowed(address) for address in _LOOPBACKS):
            raise AddressRefused
    elif ("." not in name or name.endswith(_INSIDE)) and not settings.OUTGOING_ALLOWED_NETWORKS:
        raise AddressRefused


def addresses_of(host: str, port: int) -> list[str]:
    """All addresses of a name, in the resolver's order; raises OSError (blocking)."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def require_allowed(address: str) -> None:
    """Raise AddressRefused unless the address is public or in OUTGOING_ALLOWED_NETWORKS."""
    if not is_text_allowed(address):
        raise AddressRefused


def is_text_allowed(address: str) -> bool:
    """Whether we may connect to `address`; not when it is none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return is_allowed(parsed)


def is_allowed(address: Address) -> bool:
    """Whether we may connect to `address`."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    inner = unwrapped(address)
    named = (
        one in network for network in settings.OUTGOING_ALLOWED_NETWORKS for one in (address, inner)
    )
    return is_public(address) or any(named)


def _host(text: str) -> tuple[str, Address | None]:
    if ":" in text:
        try:
            literal: Address = ip_address(text)
        except ValueError:
            raise UrlInvalid("The host is not an IPv6 address.") from None
        return str(literal), literal
    host = _ascii(text)
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        # Resolvers read 2130706433, 0x7f.1 or 127.1 as addresses; only the plain form is taken.
        try:
            literal = ip_address(host)
        except ValueError:
            raise AddressRefused from None
        return host, literal
    if not _NAME.fullmatch(host.removesuffix(".")) or len(host) > 253:
        raise UrlInvalid("The host is not a valid name.")
    return host, None


def _ascii(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        raise UrlInvalid("The host is not a valid international name.") from None
