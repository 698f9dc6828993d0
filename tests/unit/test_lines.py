"""Bytes to lines: however a stream is cut, the lines and the count of oversize ones are the same."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falco_enrichment_exporter.core.lines import Block, LineBuffer
from falco_enrichment_exporter.core.search import search

LIMIT = 8


def expected(stream: bytes, limit: int = LIMIT) -> tuple[list[bytes], int]:
    """Say what a stream means: the complete lines within the limit, and how many were longer.

    NUL bytes before a line are the hole that a writer leaves after a truncation: no part of it.
    """
    *lines, tail = (line.lstrip(b"\0") for line in stream.split(b"\n"))
    kept = [line for line in lines if len(line) <= limit]
    return kept, len(lines) - len(kept) + (len(tail) > limit)


def read(pieces: list[bytes], limit: int = LIMIT, block: int = 4) -> tuple[list[bytes], int]:
    """Feed the pieces one after another."""
    buffer = LineBuffer(limit, block)
    lines = [line.lstrip(b"\0") for piece in pieces for line in buffer.feed(piece)]
    return lines, buffer.oversize_lines


def commit(buffer: LineBuffer, data: bytes) -> bytes:
    """Write data as a reader of files does; return the block."""
    with buffer.writable() as free:
        free[: len(data)] = data
    block = buffer.commit(len(data))
    return bytes(block.data[block.start : block.end])


@pytest.mark.parametrize(
    ("stream", "lines", "oversize"),
    [
        pytest.param(b"", [], 0, id="nothing"),
        pytest.param(b"abc", [], 0, id="no newline, no line"),
        pytest.param(b"abc\n", [b"abc"], 0, id="one line"),
        pytest.param(b"\n", [b""], 0, id="an empty line"),
        pytest.param(b"a\n\nb\n", [b"a", b"", b"b"], 0, id="empty line between"),
        pytest.param(b"a\nb", [b"a"], 0, id="a tail is kept back"),
        pytest.param(b"a\rb\r\nc\n", [b"a\rb\r", b"c"], 0, id="only a newline ends a line"),
        pytest.param(b"b\0\x85\x0b\x0c\xe2\x80\xa8\n", [b"b\0\x85\x0b\x0c\xe2\x80\xa8"], 0, id="no other separator"),
        pytest.param(b"12345678\n", [b"12345678"], 0, id="exactly the limit"),
        pytest.param(b"123456789\nx\n", [b"x"], 1, id="one above the limit"),
        pytest.param(b"x\n" + b"1" * 100 + b"\ny\n", [b"x", b"y"], 1, id="far above the limit"),
        pytest.param(b"1" * 100 + b"\n" + b"2" * 100 + b"\ny\n", [b"y"], 2, id="two of them in a row"),
        pytest.param(b"1" * 100, [], 1, id="an oversize line that never ends"),
        pytest.param(b"\0" * 100 + b"abc\n", [b"abc"], 0, id="a hole before a line is no part of it"),
        pytest.param(b"a\n" + b"\0" * 100, [b"a"], 0, id="a hole at the end is no line"),
        pytest.param(b"\0" * 100 + b"1" * 9 + b"\nx\n", [b"x"], 1, id="an oversize line after a hole"),
        pytest.param(b"1" * 100 + b"\n\ny\n", [b"", b"y"], 1, id="empty line after an oversize one"),
    ],
)
@pytest.mark.parametrize("block", [1, 3, 4, 8, 9, 64, 4096])
def test_streams_become_exactly_their_lines(stream: bytes, lines: list[bytes], oversize: int, block: int) -> None:
    """A line is what stands before a newline, and nothing else; a longer one costs only itself."""
    assert read([stream], block=block) == (lines, oversize)


@pytest.mark.parametrize("block", [1, 5, 64])
def test_every_split_point_gives_the_same_lines(block: int) -> None:
    """Where one read ends and the next begins is an accident."""
    stream = "a\n\nbärn\n\0\r\n12345678\n123456789\nend\n1234567890123456\nafter\ntail".encode()

    for at in range(len(stream) + 1):
        assert read([stream[:at], stream[at:]], block=block) == expected(stream)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"\n", b"a", b"bcd", b"12345678", b"\r", b"\0", b"\xff", b"x" * 20]), max_size=40),
    st.lists(st.integers(0, 200), max_size=12),
    st.integers(1, 12),
    st.integers(1, 20),
)
def test_any_cutting_of_any_stream_means_the_same(parts: list[bytes], cuts: list[int], limit: int, block: int) -> None:
    """Lines and oversize count depend on the stream alone, not on pieces, nor on the size of a block."""
    stream = b"".join(parts)
    bounds = sorted(min(cut, len(stream)) for cut in cuts)
    pieces = [stream[a:b] for a, b in zip([0, *bounds], [*bounds, len(stream)], strict=True)]

    assert read(pieces, limit, block) == expected(stream, limit)


def test_an_oversize_line_is_counted_when_it_is_seen_and_only_once() -> None:
    """A line without an end is reported while it grows, not when it ends, and not again."""
    buffer = LineBuffer(LIMIT, 4)
    counts = []
    for piece in (b"12345678", b"9", b"more", b"and more", b"\n"):
        buffer.feed(piece)
        counts.append(buffer.oversize_lines)

    assert counts == [0, 1, 1, 1, 1]
    assert buffer.feed(b"next\n") == [b"next"]


def test_memory_is_bounded_by_the_limit_whatever_the_line() -> None:
    """32 MiB without a newline are not held."""
    limit, block = 64 * 1024, 16 * 1024
    buffer, piece = LineBuffer(limit, block), b"x" * 10_000
    tracemalloc.start()
    try:
        for _ in range(3300):
            assert buffer.feed(piece) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * (limit + 2 * block)
    assert buffer.oversize_lines == 1
    assert buffer.feed(b"\nnext\n") == [b"next"]


def test_space_taken_for_a_long_line_is_given_back() -> None:
    """After a long line the buffer is small again."""
    buffer = LineBuffer(1 << 20, 1024)
    tracemalloc.start()
    try:
        buffer.feed(b"x" * 900_000)
        buffer.feed(b"\n")
        buffer.feed(b"a\n")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 64 * 1024


def test_the_tail_is_what_stands_after_the_last_newline() -> None:
    """A reader that goes on from offset minus tail_bytes reads the unfinished line again, whole."""
    buffer = LineBuffer(LIMIT, 64)

    assert [(buffer.feed(piece), buffer.tail_bytes) for piece in (b"ab", b"c\nde", b"\n", b"123456789", b"1\nx")] == [
        ([], 2),
        ([b"abc"], 2),
        ([b"de"], 0),
        ([], 0),
        ([], 1),
    ]


def test_a_block_is_the_complete_lines_with_their_newlines() -> None:
    """A commit hands out all complete lines in one piece that ends with a newline."""
    buffer = LineBuffer(64, 64)

    assert commit(buffer, b"a\nb\npart") == b"a\nb\n"
    assert commit(buffer, b"ial") == b""
    assert commit(buffer, b" line\nrest") == b"partial line\n"
    assert buffer.tail_bytes == 4


def test_there_is_always_room_to_write() -> None:
    """writable() is never empty, so a reader never mistakes a full buffer for the end of a file."""
    buffer = LineBuffer(100, 7)

    for _ in range(300):
        with buffer.writable() as free:
            assert len(free) > 0
            count = min(len(free), 5)
            free[:count] = b"x" * count
        buffer.commit(count)


def test_a_small_buffer_cannot_hide_an_oversize_line_in_a_block() -> None:
    """As long as may_hold_oversize is false, no line of a block is longer than the limit."""
    roomy, tight = LineBuffer(1024, 64), LineBuffer(16, 64)

    for buffer in (roomy, tight):
        buffer.writable()[:41] = b"x" * 40 + b"\n"
    loose, close = roomy.commit(41), tight.commit(41)

    assert not loose.may_hold_oversize
    assert close.may_hold_oversize
    assert loose.lines() == close.lines() == [b"x" * 40]


def test_reset_forgets_the_tail() -> None:
    """Another stream does not continue the line of the one before."""
    buffer = LineBuffer(LIMIT, 4)
    buffer.feed(b"old")
    buffer.reset()

    assert buffer.tail_bytes == 0
    assert buffer.feed(b"new\n") == [b"new"]


def test_reset_ends_the_skipping_of_an_oversize_line() -> None:
    """The next stream's first line is not the end of the last stream's oversize one."""
    buffer = LineBuffer(LIMIT, 4)
    buffer.feed(b"x" * 50)
    buffer.reset()

    assert buffer.feed(b"first\nsecond\n") == [b"first", b"second"]
    assert buffer.oversize_lines == 1


def test_reset_can_begin_in_the_middle_of_a_line() -> None:
    """What stands before the first newline is left out, and is not an oversize line of ours."""
    buffer = LineBuffer(LIMIT, 4)
    buffer.reset(is_skipping=True)

    assert buffer.feed(b"rest of something much longer than the limit\nnext\n") == [b"next"]
    assert buffer.oversize_lines == 0


BLOCKS = st.lists(st.text("abn", max_size=12).map(str.encode), max_size=8)


def block_of(lines: list[bytes]) -> Block:
    """Put lines into the middle of some data."""
    body = b"".join(line + b"\n" for line in lines)
    return Block(bytearray(b"ban\n" + body + b"ban"), 4, 4 + len(body))


@given(BLOCKS)
def test_a_block_counts_and_returns_its_lines(lines: list[bytes]) -> None:
    """And nothing that stands around them."""
    block = block_of(lines)

    assert (len(block), block.lines(), bool(block)) == (len(lines), lines, bool(lines))


@given(BLOCKS, st.integers(1, 20))
def test_chunks_are_the_block_in_pieces(lines: list[bytes], most_bytes: int) -> None:
    """Each of them whole lines, and not longer unless it is one line."""
    chunks = list(block_of(lines).chunks(most_bytes))

    assert [line for chunk in chunks for line in chunk.lines()] == lines
    assert all(chunk.end - chunk.start <= most_bytes or len(chunk) == 1 for chunk in chunks)


@given(BLOCKS, st.sampled_from([b"ban", b"a", b"nn"]))
def test_lines_that_hold_something_come_apart_from_those_between(lines: list[bytes], needle: bytes) -> None:
    """All lines in their order, those with it singly."""
    pieces = list(block_of(lines).around(needle))

    assert [line for piece, _ in pieces for line in piece.lines()] == lines
    assert all(len(piece) == 1 for piece, is_hit in pieces if is_hit)
    assert all((needle in line) == is_hit for piece, is_hit in pieces for line in piece.lines())


@given(st.binary(max_size=40), st.binary(min_size=1, max_size=4), st.integers(-2, 45), st.integers(-2, 45))
def test_a_search_finds_what_find_finds(data: bytes, needle: bytes, start: int, end: int) -> None:
    """With bounds anywhere, NUL bytes included; and the data can grow afterwards."""
    buffer = bytearray(data)

    assert search(buffer, needle, start, end) == data.find(needle, start, end)
    buffer.extend(b"more")
