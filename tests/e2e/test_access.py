"""TLS and passwords, by the web configuration file that Prometheus' own exporters read."""

import base64
import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import bcrypt
import pytest

from e2e.harness import Exporter, Prometheus, Response, Start, eventually, run, send

pytestmark = pytest.mark.e2e

TLS: Final = Path(__file__).parents[1] / "data" / "tls"
CA: Final = str(TLS / "ca.pem")
PAGES: Final = ("/", "/metrics", "/api/v1/status", "/-/healthy", "/-/ready", "/nothing")
SERVER: Final = {"cert_file": str(TLS / "server.pem"), "key_file": str(TLS / "server.key")}
CLIENTS: Final = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": CA}


def hashed(password: str) -> str:
    """Return what htpasswd -B would write."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of a user."""
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def written(folder: Path, **content: Any) -> Path:
    """Write a web configuration file; JSON is YAML."""
    file = folder / "web.yml"
    file.write_text(json.dumps(content))
    return file


def ask(
    exporter: Exporter, path: str, context: ssl.SSLContext | None = None, headers: Mapping[str, str] | None = None
) -> int:
    """Return the status that a path answers with over TLS."""
    context = context or ssl.create_default_context(cafile=CA)
    connection = http.client.HTTPSConnection("127.0.0.1", exporter.port, context=context, timeout=10)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        return connection.getresponse().status
    finally:
        connection.close()


def get(exporter: Exporter, path: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer without TLS."""
    return exporter.get(path, headers=headers)


def test_prometheus_scrapes_over_tls_with_a_password(start: Start, tmp_path: Path) -> None:
    """With the file that promtool finds valid, and what a scrape job is told to use."""
    file = written(tmp_path, tls_server_config=SERVER, basic_auth_users={"prometheus": hashed("secret")})
    subprocess.run(["promtool", "check", "web-config", str(file)], check=True)
    exporter = start("--source.paths=x.jsonl", f"--web.config-file={file}")
    login = {"username": "prometheus", "password": "secret"}
    job = {"scheme": "https", "tls_config": {"ca_file": CA}, "basic_auth": login}

    with Prometheus(exporter.port, tmp_path, job=job) as prometheus:
        eventually(lambda: list(prometheus.query("up").values()), lambda up: up == [1], within=30)

    assert "scheme=https" in exporter.stderr


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_told_without_the_password(start: Start, tmp_path: Path, path: str) -> None:
    """Nor with another one, of another user, or with something that is no password at all."""
    file = written(tmp_path, basic_auth_users={"anna": hashed("secret"), "bela": hashed("other")})
    exporter = start("--source.paths=x.jsonl", f"--web.config-file={file}")
    wrong = [
        {}, basic("anna", "other"), basic("anna", ""), basic("carl", "secret"), basic("", ""), basic("anna", "s" * 100),
        {"authorization": "Basic !!"}, {"authorization": "Basic"}, {"authorization": "Bearer secret"},
        {"authorization": "Basic " + base64.b64encode(b"\xff:secret").decode()},
        {"authorization": "Basic " + base64.b64encode(b"annasecret").decode()},
    ]  # fmt: skip

    answers = [get(exporter, path, headers) for headers in wrong]

    assert {answer.status for answer in answers} == {401}
    assert all(answer.headers["www-authenticate"].startswith("Basic ") for answer in answers)
    assert all(answer.headers["x-content-type-options"] == "nosniff" for answer in answers)
    assert all(answer.text == "Unauthorized.\n" for answer in answers)
    assert get(exporter, path, basic("anna", "secret")).status not in (401, 403)
    assert get(exporter, path, basic("bela", "other")).status not in (401, 403)


def test_posts_need_their_token_and_no_password(start: Start, tmp_path: Path) -> None:
    """A request has room for one of them; without a token they need the password."""
    file = written(tmp_path, basic_auth_users={"anna": hashed("secret")})
    token = tmp_path / "token"
    token.write_text("t0ken")
    for more, right, wrong in (
        ([f"--receiver.token-file={token}"], {"authorization": "Bearer t0ken"}, basic("anna", "secret")),
        ([], basic("anna", "secret"), {"authorization": "Bearer t0ken"}),
    ):
        exporter = start("--receiver.enabled=true", "--state.directory=", f"--web.config-file={file}", *more)
        line = b'{"rule":"r","source":"syscall","output_fields":{}}'

        assert send("127.0.0.1", exporter.port, "/ingest", line, right).status == 200
        assert send("127.0.0.1", exporter.port, "/ingest", line, wrong).status == 401


def test_a_changed_password_counts_at_once(start: Start, tmp_path: Path) -> None:
    """A file that cannot be used is no open door: the last one is kept."""
    file = written(tmp_path, basic_auth_users={"anna": hashed("old")})
    exporter = start("--source.paths=x.jsonl", f"--web.config-file={file}")
    assert get(exporter, "/metrics", basic("anna", "old")).status == 200

    written(tmp_path, basic_auth_users={"anna": hashed("new")})
    assert get(exporter, "/metrics", basic("anna", "old")).status == 401
    assert get(exporter, "/metrics", basic("anna", "new")).status == 200

    for broken in ("{", "basic_auth_users: {anna: new}", "tls_server_config: {cert_file: x, key_file: y}"):
        file.write_text(broken)
        assert get(exporter, "/metrics").status == 401
        assert get(exporter, "/metrics", basic("anna", "new")).status == 200
    file.unlink()
    assert get(exporter, "/metrics").status == 401


def test_a_new_certificate_is_used_at_once(start: Start, tmp_path: Path) -> None:
    """Without a restart, as those who renew certificates expect; paths are relative to the file."""
    for kind in ("pem", "key"):
        shutil.copy(TLS / f"server.{kind}", tmp_path / f"now.{kind}")
    file = written(tmp_path, tls_server_config={"cert_file": "now.pem", "key_file": "now.key"})
    exporter = start("--source.paths=x.jsonl", f"--web.config-file={file}")

    def subject() -> str:
        context = ssl.create_default_context(cafile=CA)
        connection = http.client.HTTPSConnection("127.0.0.1", exporter.port, context=context, timeout=10)
        connection.connect()
        certificate = connection.sock.getpeercert()
        connection.close()
        assert certificate is not None
        return str(certificate["subject"])

    assert "server" in subject()
    for kind in ("pem", "key"):
        shutil.copy(TLS / f"client.{kind}", tmp_path / f"now.{kind}")
    assert "client" in subject()


def test_clients_need_a_certificate_if_told_so(start: Start, tmp_path: Path) -> None:
    """Of the authority that is named."""
    file = written(tmp_path, tls_server_config=SERVER | CLIENTS)
    exporter = start("--source.paths=x.jsonl", f"--web.config-file={file}")
    known = ssl.create_default_context(cafile=CA)
    known.load_cert_chain(TLS / "client.pem", TLS / "client.key")

    assert ask(exporter, "/-/healthy", known) == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(exporter, "/-/healthy")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        get(exporter, "/-/healthy")


@pytest.mark.parametrize(("lowest", "offered", "is_taken"), [("TLS13", "TLSv1_2", False), ("TLS12", "TLSv1_2", True)])
def test_old_versions_are_refused(start: Start, tmp_path: Path, lowest: str, offered: str, is_taken: bool) -> None:
    """``min_version`` decides, and Go's names of cipher suites are understood."""
    suites = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]
    tls = SERVER | {"min_version": lowest, "cipher_suites": [*suites, "TLS_AES_128_GCM_SHA256"]}
    exporter = start("--source.paths=x.jsonl", f"--web.config-file={written(tmp_path, tls_server_config=tls)}")
    context = ssl.create_default_context(cafile=CA)
    context.maximum_version = ssl.TLSVersion[offered]

    if is_taken:
        assert ask(exporter, "/-/healthy", context) == 200
    else:
        with pytest.raises(ssl.SSLError):
            ask(exporter, "/-/healthy", context)


def test_headers_of_the_file_are_sent(start: Start, tmp_path: Path) -> None:
    """Those of our own are replaced by them."""
    headers = {"Strict-Transport-Security": "max-age=60", "Content-Security-Policy": "default-src 'self'"}
    file = written(tmp_path, http_server_config={"http2": False, "headers": headers})
    exporter = start("--source.paths=x.jsonl", f"--web.config-file={file}")

    answer = get(exporter, "/-/healthy")

    assert answer.headers["strict-transport-security"] == "max-age=60"
    assert answer.headers["content-security-policy"] == "default-src 'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("[", "expected"),
        ("text", "Expected `object`"),
        ("tls_config: {}", "unknown field `tls_config`"),
        ("basic_auth_users: {anna: secret}", "password of anna is no bcrypt hash"),
        ("tls_server_config: {key_file: a}", "`cert_file`"),
        ("tls_server_config: {cert_file: no.pem, key_file: no.key}", "no.pem: No such file"),
        ("tls_server_config: {cert_file: web.yml, key_file: web.yml}", "web.yml: not PEM"),
        (SERVER | {"key_file": str(TLS / "client.key")}, "key of another certificate"),
        (SERVER | {"client_auth_type": "RequireAnyClientCert", "client_ca_file": CA}, "use one of NoClientCert"),
        (SERVER | {"client_auth_type": "RequireAndVerifyClientCert"}, "need each other"),
        (SERVER | {"client_ca_file": CA}, "need each other"),
        (SERVER | {"cipher_suites": ["TLS_FOO"]}, "TLS_FOO is not known"),
        (SERVER | {"curve_preferences": ["X25519"]}, "unknown field `curve_preferences`"),
        (SERVER | {"client_allowed_sans": ["a"]}, "unknown field `client_allowed_sans`"),
        (SERVER | {"min_version": "SSL30"}, "min_version"),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start(tmp_path: Path, content: object, said: str) -> None:
    """With exit code 2, the setting, the file, and what is wrong: nothing is served half protected."""
    file = tmp_path / "web.yml"
    if content is not None:
        file.write_text(content if isinstance(content, str) else json.dumps({"tls_server_config": content}))

    ended = run(["serve", "--source.paths=x.jsonl", "--web.listen-address=:0", f"--web.config-file={file}"], tmp_path)

    assert ended.code == 2
    assert f"--web.config-file: {file}: " in ended.stderr
    assert said in ended.stderr
