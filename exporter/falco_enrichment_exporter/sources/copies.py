"""Which of several files delivers the lines that they have in common.

A copy of a file (copytruncate, gzip) is known by what stands before a *place*, an offset with a digest of those bytes.
Its original delivers the lines of both; until it has been seen to, the copy waits, and has no place of its own.
"""

import contextlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from falco_enrichment_exporter.sources.follower import FollowedPath
from falco_enrichment_exporter.sources.marks import NO_ANCHOR, FileMark, Place
from falco_enrichment_exporter.sources.openfile import OpenFile


@dataclass(frozen=True, slots=True)
class Kin:
    """What a file may be a copy of: files that are held open or parked, and places in those that no longer are."""

    files: Collection[OpenFile] = ()
    places: Collection[Place] = ()
    parked: Collection[FileMark] = ()


NO_KIN = Kin()


def kin_of(paths: Iterable[FollowedPath]) -> Kin:
    """Return all that the files of these paths have in them."""
    together = list(paths)
    return Kin(
        files=[file for followed in together for file in followed.files],
        places=[place for followed in together for place in followed.known_places],
        parked=[followed.parked for followed in together if followed.parked is not None],
    )


async def leave_to_kin(
    file: OpenFile, own_end: Place | None, files: Iterable[OpenFile], places: Iterable[Place]
) -> None:
    """Go on behind the lines that the file's kin have, too: other files, and places in those that are not open.

    ``own_end`` is where its own lines end. A copy of a file that is held open goes on where that one ends, or has
    nothing of its own if it is shorter; then it is perhaps a copy in the making, and is asked again when it grows. A
    copy of a file that has changed since goes on where the other was left. So does a copy of one that was truncated or
    closed. Raises OSError.
    """
    known = [place for place in places if await _has(file, place)]
    originals = dict.fromkeys(known) | await _find_originals(file, own_end, files)
    place = max(originals, default=(0, NO_ANCHOR))
    if place[0] > file.offset_bytes:  # or it delivered these lines itself, and the other one is the copy
        original = originals.get(place)
        if original is not None and not await is_as_read(original):
            file.delivered = None  # it was rewritten, and will be read from its start
        elif original is None or original.reached[0] >= place[0]:
            file.delivered = place
        else:
            file.delivered = original.reached if await file.has_place(original.reached) else None
        file.leave_to(original, place[0])
        file.start_at(*place)
    file.may_be_copy = own_end is not None and place[0] >= own_end[0]  # it may have grown since its end was seen


async def _find_originals(
    file: OpenFile, own_end: Place | None, kin: Iterable[OpenFile]
) -> dict[Place, OpenFile | None]:
    """Return the files that deliver lines of this one, by the place up to which they have them; None: they have.

    Of two the shorter one is the copy: it may be in the making, and what it has more later is of the longer one, too.
    """
    originals: dict[Place, OpenFile | None] = {}
    for other in kin:
        if other is file or other.is_copy_of(file):  # or neither would deliver what both have
            continue
        with contextlib.suppress(OSError):  # what is wrong with that one shows when it is read
            for place in await shared_places(file, own_end, other):
                deliverer = other.deliverer(place[0])
                is_longer = own_end is None or place[0] < own_end[0]
                if is_longer and not other.is_waiting and not file.is_copy_of(other):
                    other.may_be_copy = True
                    originals |= {other.place: None} if await _has(file, other.place) else {}
                elif file.is_waiting or deliverer.offset_bytes >= file.offset_bytes:
                    originals.setdefault(place, deliverer)
                else:
                    other.may_be_copy = True  # of this one, which has delivered more
    return originals


async def shared_places(file: OpenFile, own_end: Place | None, other: OpenFile) -> list[Place]:
    """Return how far a file is the same as another one, if it is.

    The other one is taken as it is now: it may have grown before it was copied, and nobody has looked at it since.
    """
    end = await other.end_place()
    if end is not None and await _has(file, end):
        return [end]
    is_shorter = file.facts.size_bytes <= other.facts_now.size_bytes
    if is_shorter and own_end is not None and await _has(other, own_end):
        return [own_end]
    return [other.place] if await _has(file, other.place) else []


async def is_as_read(file: OpenFile) -> bool:
    """Say whether what was read of a file still stands in it."""
    try:
        return await file.has_place(file.place)
    except OSError:  # what is wrong with it shows when it is read
        return False


async def _has(file: OpenFile, place: Place) -> bool:
    """Say whether a file has a place that can be known again."""
    return place[0] > 0 and place[1] != NO_ANCHOR and await file.has_place(place)
