"""Falco's http_output and falcosidekick's webhook: alerts and snapshots that are posted to us.

What is answered with 200 was taken in; what is refused was not. Falco does not post anything twice.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Final

from falco_enrichment_exporter.core import posts, records
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.intake import NEEDLE
from falco_enrichment_exporter.core.records import Record, Rejection
from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.exposition.telemetry import Tally

BODY_SECONDS: Final = 10.0
MOST_AT_ONCE: Final = 16  # bodies that are held in memory
DRAIN_BODIES: Final = 8  # how much of a body that is too large is read on, so that its sender sees the answer
MAX_TOKEN_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status, what to say with it, and how many lines were taken in and rejected."""

    status: int
    text: str
    accepted: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Post:
    """The part of a request that matters. ``chunks`` is the body; ``waits`` says that it is sent on demand only."""

    authorization: str
    encoding: str
    length: int | None
    waits: bool
    chunks: AsyncIterator[bytes]


class Receiver:
    """Take in posted bodies, within bounds: size, time, number at once, and requests a second."""

    def __init__(
        self, *, fleet: Fleet, tally: Tally, limit_bytes: int, line_bytes: int, per_second: int, token_file: Path | None
    ) -> None:
        self._fleet = fleet
        self._tally = tally
        self._limit_bytes = limit_bytes
        self._line_bytes = line_bytes
        self._per_second = per_second
        self._token_file = token_file
        self._held = 0
        self._credit = float(per_second)
        self._credited_at = 0.0
        if token_file is not None:
            _read_token(token_file)

    @property
    def has_token(self) -> bool:
        """Say whether posts must carry a token."""
        return self._token_file is not None

    async def take(self, post: Post) -> Answer:
        """Take in a body, or say why not. Never raises for what a sender can do."""
        answer = await self._take(post)
        self._tally.ingest_requests[str(answer.status)] += 1
        return answer

    async def _take(self, post: Post) -> Answer:
        if not self._is_authorized(post.authorization):
            return Answer(401, "give the token of --receiver.token-file as Authorization: Bearer TOKEN")
        if self._held >= MOST_AT_ONCE or not self._has_credit():
            return Answer(429, "too many requests")
        if post.encoding not in ("", "identity", "gzip"):
            return Answer(415, f"Content-Encoding {post.encoding[:40]!r} is not known; send gzip or plain")
        self._held += 1
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._read(post)
        except TimeoutError:
            return Answer(408, f"the body took more than {BODY_SECONDS:.0f} seconds")
        except zlib.error as error:
            return Answer(400, f"the body is not gzip: {error}")
        finally:
            self._held -= 1
        if body is None:
            return Answer(413, f"the body is larger than --limits.max-body-bytes ({self._limit_bytes} bytes)")
        return self._fold(body)

    async def _read(self, post: Post) -> bytes | None:
        """Read the body, unpacked; None if it is too large, after a part of the rest was read for courtesy."""
        body, seen = bytearray(), 0
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if post.encoding == "gzip" else None
        is_large = post.length is not None and post.length > self._limit_bytes
        if is_large and post.waits:
            return None
        async for chunk in post.chunks:
            seen += len(chunk)
            if seen > DRAIN_BODIES * self._limit_bytes:
                return None
            if not is_large:
                room = self._limit_bytes + 1 - len(body)
                body += chunk if unpack is None else unpack.decompress(chunk, room)
                is_large = len(body) > self._limit_bytes
        if unpack is not None and not is_large and not unpack.eof:
            raise zlib.error("it ends too early")
        return None if is_large else bytes(body)

    def _fold(self, body: bytes) -> Answer:
        lines = posts.split(body)
        if lines is None:
            self._fleet.reject("bad_json")
            return Answer(400, "this is no array of objects", rejected=1)
        found = [record for line in lines for record in self._decode(line)]
        rejections = [record for record in found if isinstance(record, Rejection)]
        for record in found:
            self._fleet.fold(record)
        self._tally.read_bytes += len(body)
        if not lines:
            return Answer(400, "the body is empty")
        if found and len(rejections) == len(found):
            reason = rejections[0].reason
            return Answer(400, f"nothing in it is a line of Falco's: {reason}", rejected=len(rejections))
        return Answer(200, "taken in", accepted=len(lines) - len(rejections), rejected=len(rejections))

    def _decode(self, line: bytes) -> list[Record]:
        if len(line) > self._line_bytes:
            return [Rejection("oversize")]
        return records.decode_all(line) if self._fleet.counts_alerts or NEEDLE in line else []

    def _is_authorized(self, authorization: str) -> bool:
        if self._token_file is None:
            return True
        try:
            token = _read_token(self._token_file)  # anew each time: secrets are rotated
        except SetupError:
            return False
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and compare_digest(given.strip().encode(), token)

    def _has_credit(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._credit = min(self._credit + (now - self._credited_at) * self._per_second, self._per_second)
        self._credited_at = now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True


def _read_token(path: Path) -> bytes:
    try:
        token = path.read_bytes()[:MAX_TOKEN_BYTES].strip()
    except OSError as error:
        raise SetupError(f"--receiver.token-file: cannot read {path}: {error.strerror}") from error
    if not token:
        raise SetupError(f"--receiver.token-file: {path} is empty")
    return token
