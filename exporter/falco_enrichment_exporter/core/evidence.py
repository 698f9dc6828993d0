"""An alert's fields, brought to what judging their completeness depends on.

Values are of no interest unless they mean something: nearly all alerts come down to a few kinds of evidence, each of
which is judged once. This runs for every alert, so what need not be looked at is not.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from falco_enrichment_exporter.core.domains import domain_of

NULL, EMPTY, NA, SENTINEL = "null", "empty", "na", "sentinel"
HOST: Final = "host"
KERNEL: Final = "kthreadd"  # the parent of the kernel's threads
KERNEL_PID: Final = 2
SANDBOX_IDS: Final = ("k8s.pod.sandbox_id", "k8s.pod.full_sandbox_id")
PAUSE: Final = ("pause", "/pause")
NO_IMAGES: Final = ("lxc", "libvirt_lxc", "bpm", "static")
NO_KUBELET: Final = ("docker", "podman")
ROOT_NAMES: Final = ("systemd", "init")
UNKNOWN_ID: Final = (1 << 32) - 1
FULL_ID_CHARS: Final = 64
ASSIGNED_FROM: Final = 1_000_000_000
"""OpenShift's first uid for containers; they are in no passwd file."""

Fields = Mapping[str, Any]
"""An alert's output_fields."""

Token = str | int | None
"""What a value means; None: an ordinary value."""

_TOKENS: Final[dict[Any, Token]] = {
    None: NULL, "": EMPTY, "<NA>": NA, "N/A": NA, -1: SENTINEL, UNKNOWN_ID: SENTINEL,
    **{text: text for text in (HOST, KERNEL, *PAUSE, *NO_IMAGES, *NO_KUBELET, *ROOT_NAMES)},
}  # fmt: skip
_PIDS: Final[dict[Any, Token]] = {None: NULL, "<NA>": NA, -1: SENTINEL, 0: 0, 1: 1, 2: 2}
_PID_FIELDS: Final = ("proc.pid", "proc.ppid", "proc.apid[")
IDENTITY: Final = "container.id"  # not judged itself: it comes with the process, not from the runtime
_ORDINARY: Final = object()
_KEPT_LAYOUTS: Final = 1024
_KEPT_KINDS: Final = 1024  # of a layout
_KEPT_VALUES: Final = 4096
_MOST_NAMES: Final = 512


# How values relate to each other, or lie in ranges: bits, since enum.Flag costs more than all the rest.
ECHO, SANDBOX, BY_KUBELET, BY_DIGEST, USER_ASSIGNED, GROUP_ASSIGNED = (1 << bit for bit in range(6))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All of an alert that judging it depends on; alerts of the same evidence share the object."""

    names: tuple[str, ...]
    tokens: tuple[Token, ...]
    relations: int = 0


NOTHING: Final = Evidence((), ())


class Layout:
    """Which of the fields that alerts output are judged. Works on columns: most of them hold nothing that matters."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = tuple(name for name in names if name == IDENTITY or domain_of(name) is not None)
        self._is_judged = any(domain_of(name) is not None for name in names)
        self._columns = [
            (at, _PIDS if name.startswith(_PID_FIELDS) else _TOKENS)
            for at, name in enumerate(names)
            if name in self._names
        ]
        self._relations = [
            (bit, holds, [names.index(name) for name in needed])
            for bit, holds, needed in _RELATIONS
            if set(needed) <= set(names)
        ]
        self._seen: dict[tuple[int, ...], dict[tuple[Any, ...], Evidence]] = {}  # by telling columns

    def evidence(self, rows: list[Fields]) -> list[Evidence]:
        """Bring the fields of alerts of this layout to what matters."""
        if not self._is_judged:
            return [NOTHING] * len(rows)
        columns = list(zip(*[row.values() for row in rows], strict=True))
        telling, tokens = self._tokens(columns)
        relations = self._relations_of(columns, len(rows))
        known = self._known(tuple(telling))
        keys = list(zip(relations, *tokens, strict=True))
        for key in set(keys) - known.keys():
            known[key] = self._new(telling, key[1:], key[0])
        return list(map(known.__getitem__, keys))

    def _relations_of(self, columns: list[tuple[Any, ...]], count: int) -> list[int]:
        """Return how values relate to each other, row by row."""
        found = [0] * count
        for bit, holds, places in self._relations:
            related = [columns[place] for place in places]
            try:
                flags = list(map(holds, *related))
            except TypeError:  # a list or an object, where Falco writes text or a number
                flags = [
                    holds(*(value if isinstance(value, str | int) else None for value in row))
                    for row in zip(*related, strict=True)
                ]
            if True in flags:
                found = [bits | bit if flag else bits for bits, flag in zip(found, flags, strict=True)]
        return found

    def _tokens(self, columns: list[tuple[Any, ...]]) -> tuple[list[int], list[list[Token]]]:
        """Return which of the judged columns hold values that matter, and what these mean."""
        telling: list[int] = []
        tokens: list[list[Token]] = []
        for place, (at, meaning) in enumerate(self._columns):
            try:
                meanings = _meanings(meaning, columns[at])
            except TypeError:  # a list or an object, where Falco writes text or a number
                meanings = _meanings(meaning, _scalars(columns[at]))
            if meanings is not None:
                telling.append(place)
                tokens.append(meanings)
        return telling, tokens

    def _known(self, telling: tuple[int, ...]) -> dict[tuple[Any, ...], Evidence]:
        if len(self._seen) >= _KEPT_KINDS:
            self._seen.clear()
        known = self._seen.setdefault(telling, {})
        if len(known) >= _KEPT_KINDS:
            known.clear()
        return known

    def _new(self, telling: list[int], values: tuple[Token, ...], relations: int) -> Evidence:
        tokens: list[Token] = [None] * len(self._names)  # ordinary values in the other columns
        for place, value in zip(telling, values, strict=True):
            tokens[place] = value
        return Evidence(self._names, tuple(tokens), relations)


class Layouts:
    """The layouts of all alerts so far; a rule nearly always outputs the same fields. Bounded."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Layout] = {}

    def evidence(self, shown: Sequence[Fields]) -> list[Evidence]:
        """Bring the fields of alerts to what judging them depends on."""
        rows: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for at, names in enumerate(map(tuple, shown)):
            rows[names].append(at)
        found = [NOTHING] * len(shown)
        for names, places in rows.items():
            evidence = self._layout(names).evidence([shown[at] for at in places])
            for at, one in zip(places, evidence, strict=True):
                found[at] = one
        return found

    def _layout(self, names: tuple[str, ...]) -> Layout:
        known = self._known.get(names)
        if known is not None:
            return known
        layout = Layout(names)
        if len(names) <= _MOST_NAMES:
            if len(self._known) >= _KEPT_LAYOUTS:
                self._known.clear()
            self._known[names] = layout
        return layout


Column = tuple[Any, ...]


def _scalars(column: Column) -> Column:
    """Put something that means nothing in the place of lists and objects."""
    return tuple(value if isinstance(value, str | int | float | None) else _ORDINARY for value in column)


def _meanings(meaning: Mapping[Any, Token], column: Column) -> list[Token] | None:
    """Return what the values of a column mean; None if none of them means anything, which is the rule."""
    return None if meaning.keys().isdisjoint(column) else list(map(meaning.get, column))


def _remembered(holds: Callable[..., bool]) -> Callable[..., bool]:
    """Remember what was found of values: containers, images and users are few, alerts are many."""
    return lru_cache(maxsize=_KEPT_VALUES)(holds)


@_remembered
def _is_echo(identity: object, name: object) -> bool:
    """Say whether a container's name is its id, short or full: the runtime did not tell another one."""
    if not isinstance(name, str) or not isinstance(identity, str) or name[:8] != identity[:8] or identity == HOST:
        return False
    short, long = sorted((name, identity), key=len)
    return bool(short) and long.startswith(short) and (short == long or len(long) == FULL_ID_CHARS)


@_remembered
def _is_sandbox(identity: object, sandbox: object) -> bool:
    return isinstance(identity, str) and isinstance(sandbox, str) and identity != "" and sandbox.startswith(identity)


@_remembered
def _is_by_kubelet(name: object, _: object) -> bool:
    """Say whether the kubelet named the container: its docker engine's names begin so."""
    return isinstance(name, str) and name.startswith("k8s_")


@_remembered
def _is_by_digest(image: object) -> bool:
    return isinstance(image, str) and "sha256:" in image


@_remembered
def _is_assigned(number: object) -> bool:
    return isinstance(number, int | float) and ASSIGNED_FROM <= number < UNKNOWN_ID


_RELATIONS: Final[tuple[tuple[int, Callable[..., bool], tuple[str, ...]], ...]] = (
    (ECHO, _is_echo, (IDENTITY, "container.name")),
    *((SANDBOX, _is_sandbox, (IDENTITY, name)) for name in SANDBOX_IDS),
    (BY_KUBELET, _is_by_kubelet, ("container.name", "container.type")),
    (BY_DIGEST, _is_by_digest, ("container.image",)),
    (USER_ASSIGNED, _is_assigned, ("user.uid",)),
    (GROUP_ASSIGNED, _is_assigned, ("group.gid",)),
)
"""Bits, what says whether they hold, and the fields they are between."""
