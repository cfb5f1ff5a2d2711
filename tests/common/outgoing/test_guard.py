"""Which URLs and addresses are let through."""

import contextlib
import socket
import threading
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.common.outgoing import guard
from apps.common.outgoing.networks import DENIED_V4, DENIED_V6, is_public
from tests.support import wait_until


@pytest.fixture
def production(settings: Any) -> None:
    """No network is let through that is not public."""
    settings.OUTGOING_ALLOWED_NETWORKS = []


def addresses_in(network: IPv4Network | IPv6Network) -> st.SearchStrategy[Any]:
    kind = IPv4Address if network.version == 4 else IPv6Address
    return st.integers(int(network.network_address), int(network.broadcast_address)).map(kind)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com",
        "https://example.com/hook?x=1#part",
        "http://example.com:8080/",
        "https://sub.example.co.uk.:443/",
        "https://93.184.215.14/",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:8443/x",
        "https://bücher.example/ä",
        "HTTPS://EXAMPLE.COM/",
    ],
)
def test_an_ordinary_url_is_taken(text: str) -> None:
    target = guard.parse(text)

    assert target.url.split("/")[2].isascii()
    assert target.scheme in ("http", "https")


def test_an_international_host_comes_out_in_ascii() -> None:
    target = guard.parse("https://bücher.example:8443/a?b=c")

    assert target.url == "https://xn--bcher-kva.example:8443/a?b=c"
    assert (target.host, target.port) == ("xn--bcher-kva.example", 8443)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "//example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "gopher://example.com",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://user@example.com",
        "https://user:password@example.com",
        "https://example.com@127.0.0.1",
        "https://example.com\\@127.0.0.1",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://example.com\t",
        " https://example.com",
        "https://exa\u00admple.com\u200b",
        "https://example.com\u3000/",
        "https://example.com:0/",
        "https://example.com:22/",
        "https://example.com:65536/",
        "https://example.com:-1/",
        "https://example.com:80:80/",
        "https://example.com:port/",
        "https://-example.com/",
        "https://exam!ple.com/",
        "https://a..b/",
        "https://.example.com/",
        "https://" + "a" * 64 + ".com/",
        "https://" + "a." * 127 + "com/",
        "https://[::1/",
        "https://[::1]x/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.a]/",
        "https://xn--\u00e4/",
        "https://example.com/" + "a" * 2000,
    ],
)
def test_what_is_no_url_to_call_is_refused(text: str) -> None:
    with pytest.raises(guard.UrlInvalid):
        guard.parse(text)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "127.0.0.01",
        "1.2.3.4.5",
        "256.1.1.1",
        "example.123",
        "\uff11\uff12\uff17.1",
        "%31%32%37.0.0.1",
        "0x",
    ],
)
def test_odd_spellings_of_addresses_are_refused(host: str) -> None:
    with pytest.raises(guard.AddressRefused):
        guard.parse(f"http://{host}/")


@pytest.mark.parametrize(
    "host",
    [
        "127\u30020\u30020\u30021",
        "127\uff0e0\uff0e0\uff0e1",
        "127\uff610\uff610\uff611",
        "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
        "\uff11\uff12\uff17.0.0.1",
        "loca\u00adlhost",
        "\u24dbocalhost",
        "LOCALHOST\u3002",
    ],
)
def test_other_writings_of_an_inside_host_are_read_as_that(production: None, host: str) -> None:
    """Dots, digits and letters that IDNA folds."""
    with pytest.raises((guard.UrlInvalid, guard.AddressRefused)):
        guard.vet(guard.parse(f"http://{host}/"))


def test_wide_digits_are_read_as_what_they_mean(production: None) -> None:
    target = guard.parse("http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/")

    assert target.literal == ip_address("127.0.0.1")
    with pytest.raises(guard.AddressRefused):
        guard.vet(target)


@given(st.text(max_size=80))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    for candidate in (text, f"http://{text}", f"https://example.com{text}"):
        with contextlib.suppress(guard.UrlInvalid, guard.AddressRefused):
            assert guard.parse(candidate).host


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.215.14", "1.1.1.1", "192.0.1.1", "2606:4700:4700::1111", "2a00:1450::1",
     "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1"],
)  # fmt: skip
def test_public_addresses_are_allowed(production: None, address: str) -> None:
    guard.require_allowed(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16",
        "192.0.0.192", "198.18.0.1", "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1",
        "255.255.255.255", "192.88.99.1",
        "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1",
        "2001::1", "2001:db8::1", "2001:10::1", "3fff::1", "3ffe::1", "5f00::1", "fc00::1",
        "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1", "4000::1",
        "", "example.com", "127.1",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(production: None, address: str) -> None:
    with pytest.raises(guard.AddressRefused):
        guard.require_allowed(address)


# The blocks of IANA's special-purpose address registries as of 2025-10, read there and not taken from the
# code, with what else must never be called.
REGISTRIES = [
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.170/32",
    "192.0.0.171/32",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.88.99.2/32",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "224.0.0.0/4",
    "::1/128",
    "::/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "::/96",
    "::ffff:0:0:0/96",
    "::ffff:127.0.0.0/104",
    "::ffff:10.0.0.0/104",
    "64:ff9b::7f00:0/104",
    "64:ff9b::a00:0/104",
    "64:ff9b::a9fe:0/112",
    "2002:7f00::/24",
    "2002:a00::/24",
    "2002:c0a8::/32",
    "2002:a9fe::/32",
    "2002:6440::/26",
]


@pytest.mark.parametrize("text", REGISTRIES)
def test_no_block_of_the_special_purpose_registries_is_public(text: str) -> None:
    block = ip_network(text)
    middle = block[block.num_addresses // 2]

    for address in (block[0], block[-1], middle):
        assert not is_public(address)
        assert not guard.is_text_allowed(f"{address}%eth0")


@pytest.mark.parametrize("network", [*DENIED_V4, *DENIED_V6], ids=str)
def test_both_ends_of_each_denied_network_are_refused(network: Any) -> None:
    assert not is_public(network[0])
    assert not is_public(network[-1])


@given(st.sampled_from(DENIED_V4).flatmap(addresses_in))
def test_no_denied_ipv4_address_is_public_in_any_wrapping(address: IPv4Address) -> None:
    inner = int(address)

    assert not is_public(address)
    assert not is_public(IPv6Address(inner))  # compatible
    assert not is_public(IPv6Address(0xFFFF << 32 | inner))  # mapped
    assert not is_public(IPv6Address(0x64FF9B << 96 | inner))  # NAT64
    assert not is_public(IPv6Address(0x2002 << 112 | inner << 80 | 1))  # 6to4


@given(st.sampled_from(DENIED_V6).flatmap(addresses_in))
def test_no_denied_ipv6_address_is_public(address: IPv6Address) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_nothing_is_public_that_the_library_calls_private(address: IPv4Address) -> None:
    if is_public(address):
        assert not address.is_private
        assert not address.is_multicast
        assert not address.is_reserved


@given(st.ip_addresses(v=6))
def test_of_ipv6_only_global_unicast_can_be_public(address: IPv6Address) -> None:
    wrapping = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"))
    if is_public(address) and not any(address in network for network in wrapping):
        assert address in ip_network("2000::/3")


def test_a_named_network_is_let_through_wrapped_or_not(settings: Any) -> None:
    settings.OUTGOING_ALLOWED_NETWORKS = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]

    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        guard.require_allowed(address)
    for address in ("127.0.0.1", "11.0.0.1:80", "fc00::1"):
        with pytest.raises(guard.AddressRefused):
            guard.require_allowed(address)


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses, as a resolver in an attacker's hands would."""

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        return [
            (
                socket.AF_INET6 if ":" in one else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (one, port),
            )
            for one in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_name_is_refused_when_any_of_its_addresses_is(
    production: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving_to(monkeypatch, "93.184.215.14", "2606:4700::1", "10.0.0.1")

    with pytest.raises(guard.AddressRefused):
        guard.vet(guard.parse("https://example.com/"))


def test_a_public_name_is_let_through(production: None, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, "93.184.215.14")

    guard.vet(guard.parse("https://example.com/"))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "a.b.localhost."])
def test_localhost_is_refused_whatever_it_resolves_to_now(
    production: None, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    resolving_to(monkeypatch, "93.184.215.14")

    with pytest.raises(guard.AddressRefused):
        guard.vet(guard.parse(f"http://{host}:8000/"))


@pytest.mark.parametrize(
    "host",
    ["postgres", "REDIS.", "db.internal", "printer.local.", "a.b.corp", "nas.lan", "x.home.arpa"],
)
def test_names_of_an_inside_network_are_refused_without_asking_for_them(
    production: None, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: asked.append(arguments))

    with pytest.raises(guard.AddressRefused):
        guard.vet(guard.parse(f"http://{host}/"))

    assert asked == []


def test_inside_names_are_looked_up_where_an_inside_network_is_let_through(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTGOING_ALLOWED_NETWORKS = [ip_network("10.0.0.0/8")]
    resolving_to(monkeypatch, "10.1.1.1")
    guard.vet(guard.parse("http://receiver:9000/"))

    resolving_to(monkeypatch, "192.168.1.1")
    with pytest.raises(guard.AddressRefused):
        guard.vet(guard.parse("http://receiver:9000/"))


@pytest.mark.parametrize(
    "host", ["localhost.example", "notlocalhost.example", "a.localhost.example."]
)
def test_what_only_looks_like_localhost_is_any_name(
    production: None, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    resolving_to(monkeypatch, "93.184.215.14")

    guard.vet(guard.parse(f"http://{host}/"))


@pytest.mark.parametrize("network", ["127.0.0.0/8", "::1/128"])
def test_localhost_is_let_through_where_loopback_is(
    settings: Any, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    settings.OUTGOING_ALLOWED_NETWORKS = [ip_network(network)]
    resolving_to(monkeypatch, network.partition("/")[0])

    guard.vet(guard.parse("http://localhost:8000/"))


def test_a_name_that_does_not_resolve_now_is_let_through(
    production: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    guard.vet(guard.parse("https://not-yet.example/"))


def test_a_name_server_that_hangs_is_not_waited_for(
    production: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, released = threading.Event(), threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        asked.set()
        released.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(guard, "VET_SECONDS", 0.05)

    guard.vet(guard.parse("https://slow.example/"))

    wait_until(asked.is_set)
    assert not released.is_set()
    released.set()


def test_every_refusal_reads_the_same(production: None) -> None:
    said = set()
    for address in ("127.0.0.1", "10.0.0.1", "fe80::1", "nonsense"):
        with pytest.raises(guard.AddressRefused) as refused:
            guard.require_allowed(address)
        said.add(str(refused.value))

    assert len(said) == 1
