"""One address over HTTP, from a server that may be slow, down, busy or hostile."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import numpy as np

from mlsys.core import MlsysError

MAX_WAIT = 60.0
"""Seconds. A server that asks for a longer pause before a retry ends the reading."""


class SourceError(MlsysError):
    """A source cannot be read. A single bad row is never an error: it is a dead letter."""


@dataclass
class Client:
    """Gets whole answers, and tries again when that may help: 429, 5xx, a broken connection, a cut answer.

    The pause before retry n is random, up to 0.5 * 2^n seconds ("full jitter"), so that clients which failed together
    do not come back together; or it is what Retry-After asks for. `max_bytes` is what is left for all answers.
    Source: Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
    """

    headers: dict[str, str]
    timeout: float
    retries: int
    max_bytes: int
    sleep: Callable[[float], None]
    rng: np.random.Generator

    def get(self, url: str) -> bytes:
        """The body. Raises `SourceError`."""
        opener = urllib.request.build_opener(_SameOrigin)
        request = urllib.request.Request(url, headers={"User-Agent": "mlsys", **self.headers})
        for attempt in range(self.retries + 1):
            asked = 0.0
            try:
                with opener.open(request, timeout=self.timeout) as response:
                    body = bytes(response.read(self.max_bytes + 1))
                    if len(body) > self.max_bytes:
                        raise failed(url, "the pages are larger than max_bytes", "raise max_bytes, or ask for less")
                    if not response.length:  # Bytes that were announced and did not come.
                        self.max_bytes -= len(body)
                        return body
                    why = f"the answer was cut {response.length:,} bytes before its end"
            except urllib.error.HTTPError as error:
                error.close()
                why, asked = f"HTTP {error.code} {error.reason}", _retry_after(error.headers)
                if error.code != 429 and error.code < 500:
                    raise failed(url, why, "check the address, and the credentials in headers=") from None
            except (OSError, http.client.HTTPException) as error:
                why = f"{type(error).__name__}: {error}"
            if asked > MAX_WAIT:
                raise failed(url, f"{why}, and not before {asked:.0f} s", "come back then")
            if attempt < self.retries:
                self.sleep(max(asked, self.rng.uniform(0, min(MAX_WAIT, 0.5 * 2**attempt))))
        raise failed(url, f"{why}, {self.retries + 1} times", "try again later, or raise retries= or timeout=")


def _retry_after(headers: Any) -> float:
    """Seconds. A date is compared with the server's own clock, so that ours does not matter."""
    value = headers.get("Retry-After", "0")
    if value.isdecimal():
        return float(value)
    try:
        pause = parsedate_to_datetime(value) - parsedate_to_datetime(headers["Date"])
    except (ValueError, TypeError):
        return 0.0
    return max(0.0, pause.total_seconds())


class _SameOrigin(urllib.request.HTTPRedirectHandler):
    """Refuses redirects to another scheme, host or port: the headers may hold credentials for this one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        try:
            link(req.full_url, newurl)
        except SourceError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def link(base: str, target: str) -> str:
    """Where a link on `base` leads; raises `SourceError` unless that is http(s), and of the same origin."""
    try:
        url = quote(urljoin(base, target), safe="%/:=&?~#+!$,;'@()*[]")
        to, came = urlsplit(url), urlsplit(base)
    except ValueError as error:
        raise failed(base, f"a link on it is no address: {error}", "report it to the server's owner") from None
    if to.scheme not in ("http", "https") or not to.hostname:
        raise failed(url, "it is not http or https", 'give an address such as "https://host/impressions"')
    if (to.scheme, to.netloc) != (came.scheme, came.netloc):
        raise failed(base, f"it leads to {_shown(url)}, another origin", "if you trust that one, read it directly")
    return url


def failed(url: str, why: str, fix: str) -> SourceError:
    """The error about this address."""
    return SourceError(f"cannot read {_shown(url)}", why=why, fix=fix)


def _shown(url: str) -> str:
    """Without the query and the user, where secrets are."""
    return re.sub(r"(?<=//)[^/]*@|[?#].*", "", url)
