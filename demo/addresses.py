"""Address of a visitor, also behind a named proxy. Imports no Gradio."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping


def trusted_proxies(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the addresses of trusted proxies, also "*" on a Space: there is always a proxy, of unknown address."""
    named = listed(environment.get("CLIPTRASE_TRUSTED_PROXY", ""))
    return frozenset([*named, "*"] if environment.get("SPACE_ID") else named)


def is_trusted(peer: str, proxies: Collection[str]) -> bool:
    """Return whether a connection comes from a trusted proxy; `proxies` as from `trusted_proxies`."""
    return "*" in proxies or peer in proxies


def visitor_address(peer: str, forwarded: str, proxies: Collection[str]) -> str:
    """Return the address of the visitor behind a connection.

    Each proxy appends the address of its client to X-Forwarded-For, so entries written by the visitor come first. The
    result is the last entry that is not a named proxy; if all proxies are trusted ("*"), it must also be public.

    Args:
        peer: address of the other end of the connection.
        forwarded: value of the header; may be empty.
        proxies: trusted proxies, as from `trusted_proxies`.
    """
    if not is_trusted(peer, proxies):
        return peer
    for entry in reversed(listed(forwarded)):
        try:
            address = ipaddress.ip_address(entry.strip("[]"))
        except ValueError:
            break
        if str(address) not in proxies and ("*" not in proxies or address.is_global):
            return str(address)
    return peer


def group_of(address: str) -> str:
    """Return the key under which an address is counted: for IPv6 the first 64 bits, as one household has billions."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False).network_address)
    return str(found)


def is_ip_address(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def listed(text: str) -> list[str]:
    """Return the comma-separated entries of a text, in lower case."""
    return [entry.strip().lower() for entry in text.split(",") if entry.strip()]
