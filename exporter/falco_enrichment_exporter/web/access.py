"""Who may ask, and over what: TLS and passwords, in the web configuration file of Prometheus' exporter-toolkit.

Source: prometheus/exporter-toolkit, docs/web-configuration.md. What of it cannot be done here is refused, not ignored.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import logging
import re
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import bcrypt
import msgspec
import yaml
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from falco_enrichment_exporter.errors import SetupError

MOST_WRONG: Final = 100  # credentials that are remembered to be wrong
_HASH: Final = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
_SUITE: Final = re.compile(r"TLS_(?:(ECDHE_\w+|RSA)_WITH_)(\w+?)(_SHA\d*)?")
_TLS13_SUITES: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Always on, there as here."""

_VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_CLIENTS: Final = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNKNOWN_USER: Final = b"$2b$10$nCj2Ege4.NZJn/LJ2EDrte8o8H4SUWZL71xoTFTJn3JosDXa6hTEa"
"""What a password is compared with if there is no such user, so that the time tells nothing."""

_log = logging.getLogger(__name__)

Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
Stamp = tuple[tuple[int, int, int] | None, ...]


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``tls_server_config``; paths are relative to the folder of the file."""

    cert_file: str
    key_file: str
    client_auth_type: str = ""
    client_ca_file: str = ""
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: list[str] = []
    prefer_server_cipher_suites: bool = True


class Http(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``http_server_config``. There is HTTP/1.1 only, whatever ``http2`` says."""

    http2: bool = True
    headers: dict[str, str] = {}


class WebFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    tls_server_config: Tls | None = None
    http_server_config: Http = Http()
    basic_auth_users: dict[str, str] = {}


class Access:
    """The web configuration file, read anew when it or a certificate changes; what cannot be used then is not taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._right: set[bytes] = set()  # not crowded out by those that are wrong
        self._wrong: deque[bytes] = deque(maxlen=MOST_WRONG)
        self._secret = secrets.token_bytes(16)
        self._checking = asyncio.Semaphore(1)  # a password takes a core for some 100 ms
        self._stamp: Stamp = ()
        self._file, self.context = self._load()
        self._stamp = self._look()

    @property
    def has_users(self) -> bool:
        """Say whether a password is needed."""
        self._refresh()
        return bool(self._file.basic_auth_users)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of every answer."""
        return self._file.http_server_config.headers

    async def admits(self, authorization: str) -> bool:
        """Say whether a header names a user with the right password. The answer is remembered: a check is slow."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return False
        if scheme.lower() != "basic" or not colon:
            return False
        stored = self._file.basic_auth_users.get(user, "").encode()
        key = hmac.digest(self._secret, msgspec.json.encode([user, password, stored]), hashlib.sha256)
        async with contextlib.nullcontext() if key in self._right else self._checking:
            if key not in self._right and key not in self._wrong:
                is_right = await asyncio.to_thread(_is_right, password.encode(), stored or _UNKNOWN_USER)
                (self._right.add if is_right and stored else self._wrong.append)(key)
        return key in self._right

    def _refresh(self) -> None:
        """Read the file again if it has changed."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            file, context = self._load()
        except SetupError as error:
            _log.warning("web configuration cannot be used, the last one is kept", extra={"reason": str(error)})
            return
        if (context is None) != (self.context is None):
            _log.warning("TLS is switched on and off by a restart only", extra={"path": str(self._path)})
            return
        self._file, self.context = file, context
        self._stamp = self._look()

    def _look(self) -> Stamp:
        tls = self._file.tls_server_config
        names = [tls.cert_file, tls.key_file, tls.client_ca_file] if tls is not None else []
        return tuple(_stamp(path) for path in (self._path, *(self._path.parent / name for name in names if name)))

    def _load(self) -> tuple[WebFile, ssl.SSLContext | None]:
        try:
            given = msgspec.convert(yaml.safe_load(self._path.read_bytes()) or {}, dict[str, Any])
            file = msgspec.convert({name: value for name, value in given.items() if value is not None}, WebFile)
            _check_hashes(file.basic_auth_users)
            context = self._context(file.tls_server_config) if file.tls_server_config is not None else None
        except (OSError, yaml.YAMLError, msgspec.ValidationError, ssl.SSLError, SetupError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
            raise SetupError(f"--web.config-file: {self._path}: {reason}") from error
        return file, context

    def _context(self, tls: Tls) -> ssl.SSLContext:
        if tls.client_auth_type not in _CLIENTS:
            raise SetupError(f"client_auth_type {tls.client_auth_type}: use one of {', '.join(filter(None, _CLIENTS))}")
        if bool(tls.client_ca_file) != (_CLIENTS[tls.client_auth_type] != ssl.CERT_NONE):
            raise SetupError("client_ca_file and a client_auth_type that verifies need each other")
        folder = self._path.parent
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
        _read(tls.cert_file, lambda: context.load_cert_chain(folder / tls.cert_file, folder / tls.key_file))
        if tls.client_ca_file:
            _read(tls.client_ca_file, lambda: context.load_verify_locations(folder / tls.client_ca_file))
        context.verify_mode = _CLIENTS[tls.client_auth_type]
        suites = [_openssl_name(suite) for suite in tls.cipher_suites if suite not in _TLS13_SUITES]
        if suites:
            context.set_ciphers(":".join(suites))
        context.sni_callback = self._choose
        return context

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Let a new connection have the newest certificate."""
        self._refresh()
        if self.context is not None:
            connection.context = self.context


class Guard:
    """Ask for a password.

    A path that asks for something of its own is passed on: a request has room for one ``Authorization`` only.
    """

    def __init__(self, app: ASGIApp, access: Access, own: frozenset[str]) -> None:
        self._app = app
        self._access = access
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        authorization = Request(scope).headers.get("authorization", "")
        is_open = not self._access.has_users or scope["path"] in self._own
        if is_open or await self._access.admits(authorization):
            await self._app(scope, receive, send)
        else:
            challenge = {"www-authenticate": 'Basic realm="falco-enrichment-exporter", charset="UTF-8"'}
            await PlainTextResponse("Unauthorized.\n", 401, challenge)(scope, receive, send)


def _check_hashes(users: Mapping[str, str]) -> None:
    for user, stored in users.items():
        if not _HASH.fullmatch(stored):
            raise SetupError(f"the password of {user} is no bcrypt hash: make one with htpasswd -nB {user}")


def _is_right(password: bytes, stored: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, stored)
    except ValueError:  # longer than bcrypt can tell apart
        return False


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(name: str, read: Callable[[], None]) -> None:
    try:
        read()
    except OSError as error:  # ssl.SSLError is one
        what = "not PEM, or a key of another certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise SetupError(f"{name}: {what}") from error


def _openssl_name(suite: str) -> str:
    """Return what OpenSSL calls a suite that has Go's name: ECDHE-RSA-AES128-GCM-SHA256."""
    match = _SUITE.fullmatch(suite)
    if match is None:
        raise SetupError(f"cipher_suites: {suite} is not known")
    exchange, cipher, digest = match.groups("")
    if cipher == "CHACHA20_POLY1305":
        digest = ""
    parts = [*([] if exchange == "RSA" else exchange.split("_")), re.sub(r"AES_(\d+)", r"AES\1", cipher)]
    return ("-".join(parts) + digest).replace("_", "-").replace("-CBC", "")
