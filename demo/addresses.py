"""Who asks: the address of a visitor, behind a named proxy too. Imports no Gradio."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping


def trusted_proxies(environment: Mapping[str, str]) -> frozenset[str]:
    """Addresses whose forwarded headers count; on a Space there is always a proxy, of unknown address."""
    named = listed(environment.get("CLIPTRASE_TRUSTED_PROXY", ""))
    return frozenset([*named, "*"] if environment.get("SPACE_ID") else named)


def is_trusted(peer: str, proxies: Collection[str]) -> bool:
    """Whether a connection comes from a proxy whose forwarded headers count; `proxies` of `trusted_proxies`."""
    return "*" in proxies or peer in proxies


def visitor_address(peer: str, forwarded: str, proxies: Collection[str]) -> str:
    """The address of the visitor behind a connection.

    Each proxy writes whom it was asked by at the end of X-Forwarded-For, so what a visitor wrote there himself stands
    before. The last entry counts that is no proxy: none that is named, and where any is trusted none of a private net.

    Args:
        peer: who opened the connection.
        forwarded: the header's value; may be empty.
        proxies: of `trusted_proxies`.
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
    """What counts as one address: of IPv6, where a household has billions, the first 64 bits."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False).network_address)
    return str(found)


def listed(text: str) -> list[str]:
    """Entries that commas separate, in lower case."""
    return [entry.strip().lower() for entry in text.split(",") if entry.strip()]
