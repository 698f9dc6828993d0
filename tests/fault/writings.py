"""What writers leave in a file: cases L and E of the catalogue."""

# ruff: noqa: D401  a case says what happens, as a test does

import json
import os

from fault.world import GAP, SETTLED, Steps, World, case, lines

MIB = 1 << 20
STAMP = b"2026-11-23T04:56:11.123456789Z "


@case("L1")
def a_line_that_is_finished_late_is_counted_once(world: World) -> Steps:
    """Only a newline ends a line; L2 is the same over a kill."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    line = world.make("halved")
    world.write("before", 2)
    for piece in (line[:100], line[100:-1], line[-1:]):
        os.write(falco, piece)
        yield GAP
    world.write("after", 2)


@case("L3")
def a_line_that_is_unfinished_at_the_rotation_is_finished_in_the_old_file(world: World) -> Steps:
    """The two halves of one file's line belong together, and to no line of the new file."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("old", 5)
    yield SETTLED
    line = world.make("halved")
    os.write(falco, line[:100])
    yield GAP
    world.rotate()
    world.write("new", 3)
    yield GAP
    os.write(falco, line[100:])


@case("L5")
def a_whole_line_behind_the_rest_of_a_killed_writer_is_recovered(world: World) -> Steps:
    """Falco was killed within a line; the next Falco went on right behind it."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("before", 2)
    yield GAP
    os.write(falco, lines("never finished", 1)[:200])
    world.rejected["glued"] += 1
    yield GAP
    world.write("glued", 1)
    yield GAP
    world.write("after", 2)


@case("L6")
def two_writers_that_interleave_cost_their_own_lines_alone(world: World) -> Steps:
    """Halves of different lines in one are no line; the next one is exact."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    torn = lines("torn", 2)
    half = len(torn) // 2
    os.write(falco, torn[: half // 2] + torn[half + half // 4 :])
    world.rejected["bad_json"] += 1
    yield GAP
    world.write("after", 2)


@case("L7")
def an_oversize_line_is_left_out_and_the_next_is_exact(world: World) -> Steps:
    """Ten MiB without a newline cost one count, in however many pieces they come."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    world.write("before", 2)
    yield GAP
    for _ in range(2):
        os.write(falco, b'{"x":"' + b"x" * (5 * MIB))
        yield GAP
    os.write(falco, b'"}\n')
    world.rejected["oversize"] += 1
    world.write("after", 3)


@case("L8")
def nul_bytes_cost_at_most_the_line_they_are_in(world: World) -> Steps:
    """Before a line they are stripped; within one they make it unreadable."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    os.write(falco, bytes(4096) + world.make("behind a run"))
    yield GAP
    line = lines("unreadable", 1)
    os.write(falco, line[:50] + bytes(10) + line[50:])
    world.rejected["bad_json"] += 1
    world.write("after", 2)


@case("L9")
def an_alert_with_raw_bytes_in_it_is_an_alert(world: World) -> Steps:
    """Falco copies the arguments of a process as they are; the rest of the line is readable."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    for raw in (b"\xff", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"):
        os.write(falco, world.make("raw", output="cmdline=#").replace(b"cmdline=#", b"cmdline=" + raw))
    yield GAP
    world.write("after", 2)


@case("L10")
def line_ends_of_other_systems_and_blank_lines_are_no_errors(world: World) -> Steps:
    """CRLF, a mark of byte order, empty lines, a lone CR."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    os.write(falco, b"\xef\xbb\xbf" + world.make("marked"))
    yield GAP
    os.write(falco, world.make("crlf", 3).replace(b"\n", b"\r\n"))
    os.write(falco, b"\n\r\n \n\r\n")
    yield GAP
    os.write(falco, world.make("crlf").replace(b"\n", b"\r"))
    yield GAP
    os.write(falco, b"\n")
    world.write("after", 2)


@case("L11")
def noise_is_counted_by_reason_and_harms_nobody(world: World) -> Steps:
    """Banners, nesting, huge numbers, torn and doubled keys."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    banner = [b"Mon Nov 23 04:56:10 2026: Falco initialized with configuration files:", b"   /etc/falco/falco.yaml"]
    torn = [b"{", b'{"rule":', b'{"a":' * 100_000, b'{"rule":NaN}', b'{"rule":Infinity}']
    for noise in (banner, torn):
        os.write(falco, b"\n".join([*noise, b""]))
        world.write("between", 1)
        yield GAP
    world.rejected["bad_json"] += len(torn)
    os.write(falco, world.make("doubled").replace(b'"rule":', b'"rule":"first","rule":', 1))
    os.write(falco, world.make("wide").replace(b'"output":', b'"n":18446744073709551616,"e":1e300,"output":', 1))


@case("L12")
def a_line_may_be_cut_anywhere_by_the_writer(world: World) -> Steps:
    """Pieces of all sizes, newlines at their ends and starts, characters of four bytes in the middle."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    for size in (1, 7, 64, 509):
        text = world.make("pieces", 5, output="\U0001f600" * 40).replace(b"\\ud83d\\ude00", "\U0001f600".encode())
        for start in range(0, len(text), size):
            os.write(falco, text[start : start + size])
        yield GAP


@case("L12")
def a_line_may_be_cut_anywhere_by_a_read(world: World) -> Steps:
    """A newline is the last or the first byte of a read of a MiB, or a character is cut by it."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    for shift in (-1, 0, 1, 2):
        line = world.make("cut", 1, output="#").replace(b"#", "\U0001f600".encode() * 99)
        size = world.log.stat().st_size
        before = -size % MIB + shift - (line.find(b"\xf0") if shift > 1 else len(line))
        os.write(falco, b"x" * (before % MIB // 2) + b"\n" + b"x" * (before % MIB - before % MIB // 2 - 2) + b"\n")
        os.write(falco, line)
        world.write("cut", 2)
        yield GAP


@case("E1")
def fragments_of_two_streams_are_joined_apart(world: World) -> Steps:
    """The CRI splits long lines into P and F, with the other stream between them; E2 is the same over a kill."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    out, err = world.make("stdout").rstrip(), world.make("stderr").rstrip()
    os.write(falco, STAMP + b"stdout P " + out[:100] + b"\n" + STAMP + b"stderr P " + err[:50] + b"\n")
    yield GAP
    os.write(falco, STAMP + b"stdout P " + out[100:150] + b"\n")
    yield GAP
    os.write(falco, STAMP + b"stdout F " + out[150:] + b"\n")
    yield GAP
    os.write(falco, STAMP + b"stderr F " + err[50:] + b"\n")
    os.write(falco, STAMP + b"stdout F " + world.make("whole"))


@case("E1")
def fragments_survive_a_rotation(world: World) -> Steps:
    """The kubelet rotates between P and F: the rest stands in the new file, and the CRI says that it is one."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    line = world.make("split").rstrip()
    os.write(falco, STAMP + b"stdout P " + line[:100] + b"\n")
    yield GAP
    world.rotate()
    os.write(world.open(), STAMP + b"stdout F " + line[100:] + b"\n" + STAMP + b"stdout F " + world.make("whole"))


@case("E1")
def lines_that_docker_split_are_joined(world: World) -> Steps:
    """The json-file driver cuts at 16 KiB and ends only the last piece with a newline."""
    world.log.touch()
    falco = world.open()
    yield SETTLED
    line = world.make("docker").decode()
    for piece in (line[:100], line[100:200], line[200:]):
        wrapped = {"log": piece, "stream": "stdout", "time": "2026-11-23T04:56:11.123456789Z"}
        os.write(falco, json.dumps(wrapped).encode() + b"\n")
        yield GAP
    world.write("plain", 2)
