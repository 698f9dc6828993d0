"""The status page shows a hundred hosts at a time, the worst of all first."""

from falco_enrichment_exporter.web.status import narrowed


def rows(count: int, state: str) -> list[dict[str, str]]:
    """Return hosts."""
    return [{"hostname": f"{state}-{number:05}", "state": state} for number in range(count)]


def test_a_page_is_a_hundred_rows_of_what_was_found() -> None:
    """The counts are of all hosts."""
    status = {"hosts": rows(120, "critical") + rows(9_880, "ok")}

    first, last = narrowed(status, "", 1), narrowed(status, "", 10**6)
    found = narrowed(status, "CRITICAL-0001", 1)

    assert [len(page["hosts"]) for page in (first, last, found)] == [100, 100, 10]
    assert (first["page"], last["page"], last["pages"]) == (1, 100, 100)
    assert first["states"] == {"critical": 120, "ok": 9_880}
    assert (found["found_hosts"], found["all_hosts"]) == (10, 10_000)


def test_nothing_found_is_one_empty_page() -> None:
    """Not an error."""
    assert narrowed({"hosts": rows(3, "ok")}, "no such host", 4) == {
        "hosts": [], "states": {"ok": 3}, "all_hosts": 3, "found_hosts": 0, "pages": 1, "page": 1,
        "search": "no such host",
    }  # fmt: skip
