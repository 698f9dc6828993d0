"""HTTP: /metrics, health, status. Starlette routes over state that others keep."""

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from falco_enrichment_exporter.core.history import POINTS
from falco_enrichment_exporter.exposition.page import Page
from falco_enrichment_exporter.sources.receiver import Post, Receiver
from falco_enrichment_exporter.web import formats, negotiation
from falco_enrichment_exporter.web.access import Access, Guard
from falco_enrichment_exporter.web.status import Overview

REFRESH_SECONDS = 15
MAX_SEARCH_CHARS = 255
MAX_DIGITS = 7

GZIP_FROM_BYTES = 4096
INGEST_PATH = "/ingest"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


async def _do_nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Surface:
    """What the web needs of the rest: the metrics, the overview, and what readiness waits for (None: ready).

    ``before_answer`` is called when the metrics page is made, before anybody sees it.
    """

    page: Page
    overview: Overview
    waiting_for: Callable[[], str | None]
    telemetry_path: str = "/metrics"
    runbook_base_url: str = ""
    before_answer: Callable[[], Awaitable[None]] = _do_nothing
    receiver: Receiver | None = None
    access: Access | None = None


class SafeHeaders:
    """Add headers that keep a browser from doing anything but show the page, and those that the operator wants."""

    def __init__(self, app: ASGIApp, access: Access | None) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the headers to the start of the response."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower(): value for name, value in self._access.headers.items()} if self._access else {}
                more = [(name.encode(), value.encode()) for name, value in (_HEADERS | own).items()]
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        await self._app(scope, receive, add)


def create(surface: Surface) -> Starlette:
    """Build the application."""
    page = _environment().get_template("status.html")

    async def metrics(request: Request) -> Response:
        return await _metrics(surface, request)

    async def healthy(_: Request) -> Response:
        return PlainTextResponse("Healthy.\n")

    async def ready(_: Request) -> Response:
        waiting_for = surface.waiting_for()
        if waiting_for is None:
            return PlainTextResponse("Ready.\n")
        return PlainTextResponse(f"Not ready: {waiting_for}.\n", status_code=503)

    async def status(request: Request) -> Response:
        everything = await surface.overview.everything(time.time(), _search(request))
        return Response(msgspec.json.encode(everything), media_type="application/json")

    async def index(request: Request) -> Response:
        number = request.query_params.get("page", "1")
        asked = int(number) if number.isdecimal() and len(number) < MAX_DIGITS else 1
        shown = await surface.overview.page(time.time(), _search(request), asked)
        refresh = 0 if request.query_params.get("refresh") == "off" else REFRESH_SECONDS
        links = {"metrics_path": surface.telemetry_path, "runbooks": surface.runbook_base_url}
        body = page.render(status=shown, refresh_seconds=refresh, points=POINTS, **links)
        return HTMLResponse(body, headers={"refresh": str(refresh)} if refresh else None)

    routes = [
        Route("/", index),
        Route(surface.telemetry_path, metrics),
        Route("/-/healthy", healthy),
        Route("/-/ready", ready),
        Route("/api/v1/status", status),
    ]
    if surface.receiver is not None:
        routes.append(Route(INGEST_PATH, partial(_ingest, surface.receiver), methods=["POST"]))
    middleware = [Middleware(SafeHeaders, surface.access)]
    if surface.access is not None:
        has_token = surface.receiver is not None and surface.receiver.has_token
        middleware.append(Middleware(Guard, surface.access, frozenset([INGEST_PATH] if has_token else [])))
    return Starlette(routes=routes, middleware=middleware)


def _search(request: Request) -> str:
    return request.query_params.get("host", "")[:MAX_SEARCH_CHARS]


async def _ingest(receiver: Receiver, request: Request) -> Response:
    headers = request.headers
    length = headers.get("content-length", "")
    answer = await receiver.take(
        Post(
            authorization=headers.get("authorization", ""),
            encoding=headers.get("content-encoding", "").strip().lower(),
            length=int(length) if length.isdecimal() else None,
            waits=headers.get("expect", "").lower() == "100-continue",
            chunks=request.stream(),
        )
    )
    extra = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": "1"}}.get(answer.status)
    body = {"status": answer.text, "accepted": answer.accepted, "rejected": answer.rejected}
    return JSONResponse(body, status_code=answer.status, headers=extra)


async def _metrics(surface: Surface, request: Request) -> Response:
    """Make the page on the loop's thread, so that all of a host's snapshot is in it or none; pack it in another."""
    _, content_type = choose_encoder(negotiation.wanted_format(request.headers.get("accept", "")))
    is_open_metrics = content_type.startswith("application/openmetrics-text")
    pieces = await surface.page.make(is_open_metrics=is_open_metrics)
    await surface.before_answer()
    # Not as media_type: starlette would add a charset of its own to a text type.
    headers = {"content-type": content_type, "vary": "Accept, Accept-Encoding"}
    size_bytes = sum(map(len, pieces))
    if size_bytes >= GZIP_FROM_BYTES and negotiation.accepts_gzip(request.headers.get("accept-encoding", "")):
        pieces, headers["content-encoding"] = [await asyncio.to_thread(_pack, pieces)], "gzip"
    if len(pieces) == 1:
        return Response(pieces[0], headers=headers)
    return StreamingResponse(_each(pieces), headers=headers | {"content-length": str(size_bytes)})


async def _each(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _pack(pieces: list[bytes]) -> bytes:
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)  # with gzip's header
    return b"".join([*map(packer.compress, pieces), packer.flush()])


def _environment() -> Environment:
    folder = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= formats.FILTERS | {"line": formats.line}
    return environment
