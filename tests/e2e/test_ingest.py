"""POST /ingest: what is answered 200 is counted, everything else is refused with a reason."""

import gzip
import json
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.harness import Exporter, Response, Start, alert, append, eventually, send, snapshot

pytestmark = pytest.mark.e2e

LIMIT = 64 * 1024


@pytest.fixture
def receiver(start: Start) -> Exporter:
    """Start an exporter that has no other source."""
    return start("--receiver.enabled=true", f"--limits.max-body-bytes={LIMIT}").wait_until_ready()


def post(exporter: Exporter, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Post a body."""
    return send("127.0.0.1", exporter.port, "/ingest", body, headers)


def alerts(exporter: Exporter) -> float:
    """Return all ordinary alerts counted."""
    return exporter.total("rule_alerts_total") or 0


ONE = alert("a").rstrip()
PRETTY = json.dumps(json.loads(ONE), indent=2).encode()


@pytest.mark.parametrize(
    ("body", "count"),
    [
        pytest.param(ONE, 1, id="one object"),
        pytest.param(PRETTY, 1, id="one object over several lines"),
        pytest.param(b"[" + ONE + b"," + PRETTY + b"]", 2, id="an array"),
        pytest.param(ONE + b"\n" + ONE + b"\r\n\n" + ONE + b"\n", 3, id="a line each"),
        pytest.param(ONE + ONE, 2, id="one after the other"),
        pytest.param(ONE + b"\n{broken\n" + ONE, 2, id="a broken line between"),
        pytest.param(b"\xef\xbb\xbf" + ONE, 1, id="byte order mark"),
    ],
)
def test_every_form_of_a_body_is_counted(receiver: Exporter, body: bytes, count: int) -> None:
    """Falco posts one object, shippers post arrays and lines."""
    answer = post(receiver, body)

    assert answer.status == 200
    assert json.loads(answer.body)["accepted"] == count
    assert alerts(receiver) == count
    assert receiver.total("exporter_ingest_requests_total", code="200") == 1


def test_a_posted_snapshot_is_served(receiver: Exporter) -> None:
    """The state of a host that only posts is as good as any."""
    assert post(receiver, snapshot("node", 1_800_000_000, scap__n_evts=77)).status == 200

    assert receiver.total("kernel_events_total", hostname="node") == 77


def test_packed_bodies_are_unpacked_within_the_limit(receiver: Exporter) -> None:
    """Falco's compress_uploads; a bomb is refused without unpacking it."""
    packed = {"Content-Encoding": "gzip"}

    assert post(receiver, gzip.compress(ONE), packed).status == 200
    assert post(receiver, gzip.compress(ONE)[:-9], packed).status == 400
    assert post(receiver, gzip.compress(b" " * 200 * LIMIT), packed).status == 413
    assert post(receiver, ONE, {"Content-Encoding": "br"}).status == 415
    assert alerts(receiver) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="empty"),
        pytest.param(b" \n ", 400, id="blank"),
        pytest.param(b"{", 400, id="torn"),
        pytest.param(b"[1,", 400, id="torn array"),
        pytest.param(b"[1, 2]", 400, id="no objects"),
        pytest.param(b'{"a": 1}', 400, id="not Falco's"),
        pytest.param(b"[" * 100_000, 413, id="deep, but too large"),
        pytest.param(b"[" * 50_000, 400, id="deep"),
        pytest.param(b"x" * (LIMIT + 1), 413, id="one above the limit"),
        pytest.param(b"x" * (LIMIT * 20), 413, id="far above the limit"),
    ],
)
def test_what_cannot_be_taken_in_is_refused_with_a_reason(receiver: Exporter, body: bytes, status: int) -> None:
    """The sender's log says what was wrong; nothing is counted as an alert."""
    answer = post(receiver, body)

    assert answer.status == status
    assert json.loads(answer.body)["status"]
    assert alerts(receiver) == 0
    assert receiver.total("exporter_ingest_requests_total", code=str(status)) == 1


def test_a_body_that_is_announced_as_too_large_is_not_waited_for(receiver: Exporter) -> None:
    """Expect: 100-continue is answered with 413 and no 100."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as sender:
        sender.sendall(b"POST /ingest HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")

        assert sender.recv(100).startswith(b"HTTP/1.1 413")


def test_a_chunked_body_is_bounded_too(receiver: Exporter) -> None:
    """No length is announced, so it is counted as it comes."""

    def chunks(count: int) -> bytes:
        part = b"1000\r\n" + b" " * 4096 + b"\r\n"
        return part * count + b"%x\r\n%s\r\n0\r\n\r\n" % (len(ONE), ONE)

    for count, status in ((2, b"200"), (20, b"413")):
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as sender:
            sender.sendall(b"POST /ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(count))
            assert sender.recv(100).split(b" ")[1] == status


def test_a_token_is_demanded_and_may_be_changed(start: Start, tmp_path: Path) -> None:
    """The file is read for every post, because secrets are rotated."""
    token = tmp_path / "token"
    token.write_text("first\n")
    exporter = start("--receiver.enabled=true", f"--receiver.token-file={token}").wait_until_ready()

    assert post(exporter, ONE).status == 401
    assert post(exporter, ONE, {"Authorization": "Bearer second"}).status == 401
    assert post(exporter, ONE, {"Authorization": "Bearer first"}).status == 200
    token.write_text("second\n")
    assert post(exporter, ONE, {"Authorization": "bearer second"}).status == 200
    assert post(exporter, ONE, {"Authorization": "Bearer first"}).status == 401
    token.write_text("")
    assert post(exporter, ONE, {"Authorization": "Bearer "}).status == 401
    assert alerts(exporter) == 2


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_token_file_without_a_token_is_a_wrong_setting(start: Start, tmp_path: Path, content: str | None) -> None:
    """Never start half: open to everybody is not what was meant."""
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    exporter = start("--receiver.enabled=true", f"--receiver.token-file={token}")

    assert exporter.process.wait(10) == 2
    assert "--receiver.token-file" in exporter.stderr


def test_there_is_no_ingest_unless_it_is_wanted(start: Start, tmp_path: Path) -> None:
    """The default takes posts from nobody; and nobody can read from it."""
    closed = start(f"--source.paths={tmp_path / 'falco.log'}").wait_until_ready()
    opened = start("--receiver.enabled=true").wait_until_ready()

    assert post(closed, ONE).status == 404
    assert opened.get("/ingest").status == 405


def test_a_flood_is_answered_with_429_and_what_was_taken_in_is_exact(start: Start) -> None:
    """200 means counted, 429 means not; a thousand posts at once do neither harm."""
    limits = ("--receiver.enabled=true", "--receiver.max-requests-per-second=50")
    exporter = start(*limits).wait_until_ready()
    with ThreadPoolExecutor(50) as pool:
        statuses = [answer.status for answer in pool.map(lambda _: post(exporter, ONE), range(1000))]

    assert set(statuses) == {200, 429}
    assert alerts(exporter) == statuses.count(200)
    assert exporter.total("exporter_ingest_requests_total", code="429") == statuses.count(429)


def test_slow_senders_are_given_up(receiver: Exporter) -> None:
    """Neither half a head nor half a body holds a connection for long."""
    head, body = (socket.create_connection(("127.0.0.1", receiver.port), timeout=20) for _ in range(2))
    with head, body:
        head.sendall(b"POST /ingest HT")
        body.sendall(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        begun = time.monotonic()

        assert body.recv(100).startswith(b"HTTP/1.1 408")
        assert head.recv(100) == b""
        assert time.monotonic() - begun < 15
    assert post(receiver, ONE).status == 200


def test_posts_and_files_are_one_fleet(start: Start, tmp_path: Path) -> None:
    """A host may post and write; what was posted is in the checkpoint, too."""
    log, state = tmp_path / "falco.log", f"--state.directory={tmp_path / 'state'}"
    log.touch()
    arguments = (f"--source.paths={log}", "--receiver.enabled=true", "--source.poll-interval=50ms", state)
    exporter = start(*arguments).wait_until_ready()
    append(log, alert("a"))
    assert post(exporter, ONE).status == 200
    eventually(lambda: alerts(exporter), lambda seen: seen == 2)
    exporter.process.kill()
    exporter.process.wait()

    assert alerts(start(*arguments).wait_until_ready()) == 2
