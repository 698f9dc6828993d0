"""What a client of the HTTP surface may rely on."""

import gzip
import json
import socket
import subprocess
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from e2e.harness import RUNS, Exporter, Start, append, parse, snapshot

pytestmark = pytest.mark.e2e

HOSTS = {"run-a", "run-b", "run-e", "run-f", "run-g", "nameless"}  # run f has a line without a name
HOSTILE = '<script>alert("1")</script>\\\n{}\u2028'
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;"
    "q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SAFE_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-store"}


@pytest.fixture(scope="module")
def exporter(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Exporter:
    """Start an exporter over all recorded runs, and a host with a hostile name."""
    log = tmp_path_factory.mktemp("http") / "falco.log"
    for run in ("run-a", "run-b", "run-e", "run-f", "run-g"):
        for name in ("alerts.jsonl", "metrics_file.jsonl"):
            lines = (RUNS / run / name).read_bytes()
            append(log, lines.replace(b"falco-node-1", run.encode()))
    append(log, snapshot(HOSTILE, 1_800_000_000), snapshot(HOSTILE, 1_800_003_600))
    rules = "- rule: Read sensitive file untrusted\n  priority: WARNING\n  tags: [a]\n"
    log.with_name("rules.yaml").write_text(rules)
    settings = ("--source.hostname=nameless", f"--native.rules-files={log.with_name('rules.yaml')}")
    return start_shared(f"--source.paths={log}", *settings).wait_until_ready()


# -- /metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT),
        ("application/json", TEXT),
        (PROMETHEUS_2, f"{OPEN_METRICS}; escaping=underscores"),
        (PROMETHEUS_3, f"{OPEN_METRICS}; escaping=allow-utf-8"),
        ("application/openmetrics-text", OPEN_METRICS),
        ("Application/OpenMetrics-Text", OPEN_METRICS),
        ('application/openmetrics-text; version="1.0.0"', OPEN_METRICS),
        ('text/plain; version="0.0.4"', TEXT),
        ("application/openmetrics-text;q=0,text/plain", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0", TEXT),
        ("text/plain;q=0.9,application/openmetrics-text;version=1.0.0;q=0.1", TEXT),
        ("text/plain;q=0.1,application/openmetrics-text;version=1.0.0;q=0.9", OPEN_METRICS),
    ],
)
def test_the_format_is_the_one_asked_for(exporter: Exporter, accept: str | None, content_type: str) -> None:
    """Prometheus 2 and 3 get OpenMetrics, everybody else the text format, each under its exact name."""
    answer = exporter.get("/metrics", headers={} if accept is None else {"Accept": accept})
    assert answer.status == 200
    assert answer.headers["content-type"].removesuffix("; escaping=underscores") == content_type.removesuffix(
        "; escaping=underscores"  # which is what it is if nobody has asked
    )
    assert answer.text.endswith("# EOF\n") == content_type.startswith(OPEN_METRICS)


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=abc",
        "application/openmetrics-text;version=",
        "application/openmetrics-text;version=99.9",
        "application/openmetrics-text;version=1.0.0;escaping=nonsense",
        "text/plain;version=one",
        ";;;,,,===",
    ],
)
def test_a_strange_accept_header_gets_a_page_in_a_format_that_exists(exporter: Exporter, accept: str) -> None:
    """What a client asks for decides among the formats there are; it makes no new one, and no error of the server."""
    answer = exporter.get("/metrics", headers={"Accept": accept})
    assert answer.status == 200
    assert answer.headers["content-type"].split("; escaping=")[0] in (TEXT, OPEN_METRICS)


def test_both_formats_say_the_same(exporter: Exporter) -> None:
    """Same samples with the same values, apart from those that change between two scrapes."""
    text = parse(exporter.get("/metrics").text)
    answer = exporter.get("/metrics", headers={"Accept": PROMETHEUS_3})
    families = text_string_to_metric_families(answer.text)
    open_metrics = {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}
    own = ("falco_enrichment_", "falcosecurity_")
    assert {key: value for key, value in text.items() if key[0].startswith(own)} == {
        key: value for key, value in open_metrics.items() if key[0].startswith(own)
    }


def test_no_value_is_nan(exporter: Exporter) -> None:
    """Unknown is absent, never NaN."""
    assert [key for key, value in exporter.scrape().items() if value != value] == []  # noqa: PLR0124  NaN alone differs


def test_labels_carry_hostile_names_unharmed(exporter: Exporter) -> None:
    """Quotes, backslashes and newlines in a host name arrive in both formats as they are."""
    names = {dict(labels)["hostname"] for name, labels in exporter.scrape() if name.endswith("life_snapshots")}
    assert names == HOSTS | {HOSTILE}


@pytest.mark.parametrize(
    ("accept_encoding", "is_packed"),
    [
        (None, False),
        ("identity", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0, *", False),
        ("*", True),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=0.5", True),
        ("deflate", False),
    ],
)
def test_the_page_is_packed_for_who_takes_it(exporter: Exporter, accept_encoding: str | None, is_packed: bool) -> None:
    """Only gzip, only if accepted, and announced."""
    answer = exporter.get("/metrics", headers={} if accept_encoding is None else {"Accept-Encoding": accept_encoding})
    assert (answer.headers.get("content-encoding") == "gzip") == is_packed
    body = gzip.decompress(answer.body) if is_packed else answer.body
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert b"falco_enrichment_snapshots_total" in body
    assert "accept-encoding" in answer.headers["vary"].lower()


def test_promtool_has_no_complaint_about_our_families(exporter: Exporter) -> None:
    """Names, types, units and help as Prometheus wants them; Falco's own names are Falco's."""
    ours = "".join(
        f"{line}\n"
        for line in exporter.get("/metrics").text.split("\n")
        if line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith("falco_enrichment_")
    )
    done = subprocess.run(
        ["/usr/bin/promtool", "check", "metrics"], input=ours, capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.stdout + done.stderr, done.returncode) == ("", 0)


def test_every_family_has_one_help_and_one_type(exporter: Exporter) -> None:
    """And its samples stand together."""
    lines = exporter.get("/metrics").text.rstrip("\n").split("\n")
    for kind in ("# HELP ", "# TYPE "):
        names = [line.split(" ", 3)[2] for line in lines if line.startswith(kind)]
        assert len(names) == len(set(names))
    names = [line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")]
    assert len([name for number, name in enumerate(names) if number == 0 or names[number - 1] != name]) == len(
        set(names)
    )


# -- the pages ---------------------------------------------------------------------------------------------------------


def test_the_status_page_shows_the_hosts(exporter: Exporter) -> None:
    """Every host is on the page for people."""
    answer = exporter.get("/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for host in HOSTS:
        assert f'<th scope="row">{host}</th>' in answer.text


def test_the_status_page_finds_a_host(exporter: Exporter) -> None:
    """By part of its name, in any case; what was asked is shown as text."""
    name = min(HOSTS)
    text = exporter.get(f"/?host={name.upper()}").text
    assert [host for host in HOSTS if f'<th scope="row">{host}</th>' in text] == [name]
    assert "&#34;&gt;&lt;b&gt;" in exporter.get("/?host=%22%3E%3Cb%3E").text


@pytest.mark.parametrize("page", ["0", "-1", "2", "9" * 400, "x", "%00", "1e3"])
def test_a_page_that_is_none_is_the_nearest_one(exporter: Exporter, page: str) -> None:
    """Never an error."""
    answer = exporter.get(f"/?page={page}")
    assert answer.status == 200
    assert f'<th scope="row">{min(HOSTS)}</th>' in answer.text


def test_a_hostile_host_name_is_text_on_the_page(exporter: Exporter) -> None:
    """What a log says is shown, never run."""
    text = exporter.get("/").text
    assert "<script" not in text
    assert "&lt;script&gt;alert(" in text


def test_the_status_as_json_is_what_the_page_shows(exporter: Exporter) -> None:
    """Hosts with their state and signals, sources, readiness."""
    answer = exporter.get("/api/v1/status")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    status = json.loads(answer.text)
    assert status["ready"] is True
    assert {host["hostname"] for host in status["hosts"]} == HOSTS | {HOSTILE}
    assert all(source["up"] for source in status["sources"])
    assert status["lines"]["snapshot"] > 0


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/nothing", "/metrics/more", "/-/", "/%00", "/../etc/passwd", "//"]
)
def test_an_unknown_path_is_not_found(exporter: Exporter, path: str) -> None:
    """404, whatever the path looks like."""
    assert exporter.get(path).status == 404


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/status"])
def test_head_is_get_without_the_body(exporter: Exporter, path: str) -> None:
    """A load balancer may ask for the head alone."""
    answer = exporter.get(path, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == exporter.get(path).headers["content-type"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_not_allowed(exporter: Exporter, method: str) -> None:
    """Nothing can be changed over HTTP."""
    assert exporter.get("/metrics", method=method).status == 405


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/status", "/nothing"])
def test_every_answer_carries_the_security_headers(exporter: Exporter, path: str) -> None:
    """No sniffing, no referrer, no store, no script; no word about the server."""
    headers = exporter.get(path).headers
    assert SAFE_HEADERS.items() <= headers.items()
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "server" not in headers


def test_a_request_head_without_end_is_cut_off(exporter: Exporter) -> None:
    """A client that sends headers for ever gets an error or a closed connection, long before 32 MiB."""
    sent = 0
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=10) as client:
        try:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            for number in range(512):
                client.sendall(b"X-%d: %s\r\n" % (number, b"a" * 65_536))
                sent += 65_536
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sent < 16 << 20
    assert exporter.get("/-/healthy").status == 200


# -- where it is served ------------------------------------------------------------------------------------------------


def test_the_telemetry_path_can_be_another_one(start: Start, tmp_path: Path) -> None:
    """The metrics move, the page links to them, and the old path is not found."""
    paths = (f"--source.paths={tmp_path / 'falco.log'}", "--web.telemetry-path=/internal/metrics")
    exporter = start(*paths).wait_until_ready()
    assert exporter.get("/internal/metrics").status == 200
    assert exporter.get("/metrics").status == 404
    assert 'href="/internal/metrics"' in exporter.get("/").text


@pytest.mark.parametrize(
    ("address", "reached_over"),
    [
        ("[::1]:0", ["::1"]),
        ("127.0.0.1:0", ["127.0.0.1"]),
        ("localhost:0", ["localhost"]),
        (":0", ["127.0.0.1", "::1"]),
        ("0.0.0.0:0", ["127.0.0.1"]),
        ("[::]:0", ["::1"]),
    ],
)
def test_it_listens_where_it_is_told(start: Start, tmp_path: Path, address: str, reached_over: list[str]) -> None:
    """One address, IPv6 in brackets, or all interfaces; port 0 is a free one, and it is logged."""
    exporter = start(f"--source.paths={tmp_path / 'falco.log'}", f"--web.listen-address={address}")
    assert exporter.port > 0
    for host in reached_over:
        with socket.create_connection((host, exporter.port), timeout=10) as client:
            client.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
            assert b" 200 " in client.recv(4096)


def test_the_loopback_is_not_all_interfaces(start: Start, tmp_path: Path) -> None:
    """Told to listen on 127.0.0.1, it is not to be reached at another address of the loopback."""
    exporter = start(f"--source.paths={tmp_path / 'falco.log'}")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", exporter.port), timeout=10)
