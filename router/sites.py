"""How each site is met: the token that its door asks for, and the authority that its certificate is from.

Tokens are mounted from a Secret, a file for each site; authorities stand beside the map, since certificates are public.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SITE = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
TOKEN = re.compile(r"[\x21-\x7e]{1,512}")
AUTHORITY = "ca-{}.pem"
"""The file of a site's authority in the folder of the map."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What is sent to a site, and what is believed of it."""

    token: str = ""
    """Empty: none is sent."""
    authority: str = ""
    """PEM text; empty: whoever the system trusts."""

    @property
    def headers(self) -> dict[str, str]:
        """What every request to it carries."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    def __repr__(self) -> str:
        return f"Site(token={'...' if self.token else 'none'})"


Sites = Mapping[str, Site]


class SiteFiles:
    """The mounted tokens and authorities, and the last good one of each."""

    def __init__(self, folder: Path, tokens: Path | None) -> None:
        self._folder = folder
        self._tokens = tokens
        self._seen: object = None
        self.sites: dict[str, Site] = {}
        self.faults: tuple[str, ...] = ()

    def look(self) -> bool:
        """Whether anything is different from the last look."""
        found = tuple(self._found())
        if found == self._seen:
            return False
        self._seen = found
        faults: list[str] = []
        self.sites = {name: self._site(name, token, authority, faults) for name, token, authority in found}
        self.faults = tuple(faults)
        return True

    def _site(self, name: str, token: str, authority: str, faults: list[str]) -> Site:
        last = self.sites.get(name, Site())
        if token and not TOKEN.fullmatch(token):
            faults.append(f"tokens, {name}: it is no token of 1 to 512 visible ASCII characters")
            token = last.token
        elif last.token and not token:
            faults.append(f"tokens, {name}: it is gone; the one before is sent on")
            token = last.token
        if authority and not trusted(authority):
            faults.append(f"{AUTHORITY.format(name)}: it holds no certificate that can be read")
            authority = last.authority
        return Site(token=token, authority=authority)

    def _found(self) -> Iterator[tuple[str, str, str]]:
        tokens = dict(_texts(self._tokens, re.compile(rf"({SITE})")))
        authorities = dict(_texts(self._folder, re.compile(rf"ca-({SITE})\.pem")))
        for name in sorted(tokens.keys() | authorities.keys() | self.sites.keys()):
            yield name, tokens.get(name, "").strip(), authorities.get(name, "")


def trusted(authority: str) -> bool:
    """Whether a PEM text holds a certificate."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authority)
    except (ssl.SSLError, ValueError):
        return False
    return bool(context.cert_store_stats()["x509"])


def _texts(folder: Path | None, name: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Small files, read at each look: mounted ones are links through one directory that is swapped."""
    try:
        files = sorted(folder.iterdir()) if folder is not None else []
        for file in files:
            if found := name.fullmatch(file.name):
                yield found[1], file.read_text()
    except (OSError, UnicodeDecodeError):
        return
