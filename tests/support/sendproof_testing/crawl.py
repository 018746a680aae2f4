"""Every page that a signed-in person can come to by links, one or two of each kind. Presses no button."""

import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sendproof_testing.browser import Browser

_LINKS = "return [...document.querySelectorAll('a[href]')].map(link => [link.href, link.hasAttribute('download')])"
# What stands for one thing or another: ids, tokens, numbers.
_ID = re.compile(r"/(?:[0-9a-f]{8}-[0-9a-f-]{27}|[A-Za-z0-9_-]{40,}|\d+)(?=[/.]|$)")
_FILE = re.compile(r"\.(?:txt|json|csv|svg|log)$|/(?:export|download)\b")


@dataclass
class Crawl:
    """A walk through one person's pages; afterwards ``files`` are the addresses that gave something to keep."""

    window: Browser
    site_url: str
    per_kind: int = 1
    files: set[str] = field(default_factory=set)

    def pages(self, starts: Sequence[str]) -> Iterator[str]:
        """The path of each page, while the window shows it; the window may be used, but must be left on a page."""
        waiting = deque(starts)
        seen: set[str] = set(waiting)
        kinds: Counter[str] = Counter()
        while waiting:
            path = waiting.popleft()
            if kinds[kind_of(path)] >= self.per_kind and path not in starts:
                continue
            kinds[kind_of(path)] += 1
            self.window.open(f"{self.site_url}{path}")
            links = self.window.driver.execute_script(_LINKS)
            yield path
            for address, is_file in links:
                parts = urlsplit(address)
                if f"{parts.scheme}://{parts.netloc}" != self.site_url:
                    continue
                found = f"{parts.path}?{parts.query}" if parts.query else parts.path
                if is_file or _FILE.search(parts.path):
                    self.files.add(found)
                elif found not in seen:
                    seen.add(found)
                    waiting.append(found)


def kind_of(path: str) -> str:
    """The path without what names one thing, and the names of its query."""
    parts = urlsplit(path)
    names = sorted({pair.partition("=")[0] for pair in parts.query.split("&")}) if parts.query else []
    return "?".join((_ID.sub("/*", parts.path), "&".join(names)))


def name_of(path: str) -> str:
    """The kind, as a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", kind_of(path).lower().replace("*", "one")).strip("-") or "home"
