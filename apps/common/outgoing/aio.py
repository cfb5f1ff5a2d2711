"""The guarded asynchronous HTTP client: every connect is vetted, nothing is followed or unpacked."""

import asyncio
import socket
from collections.abc import Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from apps.common.outgoing import guard

TOTAL_SECONDS = 15.0
CONNECT_SECONDS = 5.0
DNS_SECONDS = 5.0
MAX_RESPONSE_BYTES = 20_000


def new_session(headers: Mapping[str, str]) -> aiohttp.ClientSession:
    """A session for addresses that users gave us; make it inside the loop that uses it.

    Requests are sent with `allow_redirects=False`. `total` covers everything from DNS to the last byte
    read. No proxy of the environment is used, no cookie kept, no body decompressed.
    """
    connector = aiohttp.TCPConnector(
        resolver=_GuardedResolver(),
        socket_factory=_guarded_socket,
        limit=0,  # the callers have limits of their own
        ttl_dns_cache=10,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"accept-encoding": "identity", **headers},
        auto_decompress=False,
        trust_env=False,
    )


async def read_capped(response: aiohttp.ClientResponse) -> bytes:
    """The first 20 kB of the body, or as much of it as comes in time and unbroken.

    A longer body costs the connection, which is closed.
    """
    kept = bytearray()
    try:
        async for chunk in response.content.iter_any():
            kept += chunk
            if len(kept) > MAX_RESPONSE_BYTES:
                response.close()
                break
    except (aiohttp.ClientError, OSError):
        response.close()
    return bytes(kept[:MAX_RESPONSE_BYTES])


class _GuardedResolver(AbstractResolver):
    """Refuses a name when any of its addresses is refused."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        guard.require_name_allowed(host)
        asking = asyncio.get_running_loop().run_in_executor(
            guard.dns_threads, guard.addresses_of, host, port
        )
        try:
            addresses = await asyncio.wait_for(asking, DNS_SECONDS)
        except (TimeoutError, UnicodeError) as error:
            raise OSError("The name could not be resolved.") from error
        for address in addresses:
            guard.require_allowed(address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
            if family in (socket.AF_UNSPEC, socket.AF_INET6 if ":" in address else socket.AF_INET)
        ]

    async def close(self) -> None:
        """Nothing to close: the threads are shared."""


def _guarded_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """The last look, at the very address that will be connected to: hosts written as addresses come
    here without a resolver, names with whatever was resolved."""
    family, kind, proto, _, address = info
    guard.require_allowed(str(address[0]))
    return socket.socket(family=family, type=kind, proto=proto)
