"""An alert's fields, brought to what judging their completeness depends on.

Values are of no interest unless they mean something: nearly all alerts come down to a few kinds of evidence, each of
which is judged once. This runs for every alert, so what need not be looked at is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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

Token = str | int | None
"""What a value means; None: an ordinary value."""

_TOKENS: Final[dict[Any, Token]] = {
    None: NULL, "": EMPTY, "<NA>": NA, "N/A": NA, -1: SENTINEL, UNKNOWN_ID: SENTINEL,
    **{text: text for text in (HOST, KERNEL, *PAUSE, *NO_IMAGES, *NO_KUBELET, *ROOT_NAMES)},
}  # fmt: skip
_MISSING: Final = frozenset({NULL, EMPTY, NA, SENTINEL})
_token: Final = _TOKENS.get
_PIDS: Final[dict[Any, Token]] = {None: NULL, "<NA>": NA, -1: SENTINEL, 0: 0, 1: 1, 2: 2}
_PID_FIELDS: Final = ("proc.pid", "proc.ppid", "proc.apid[")
IDENTITY: Final = "container.id"  # not judged itself: it comes with the process, not from the runtime
_KEPT_LAYOUTS: Final = 1024
_KEPT_KINDS: Final = 1024  # of a layout
_MOST_NAMES: Final = 512


# How values relate to each other, or lie in ranges: bits, since enum.Flag costs more than all the rest.
ECHO, SANDBOX, BY_KUBELET, BY_DIGEST, USER_ASSIGNED, GROUP_ASSIGNED = (1 << bit for bit in range(6))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All of an alert that judging it depends on; alerts of the same evidence share the object.

    ``tokens`` are those of all fields of the alert, also of those that nobody judges: to leave them out costs more.
    """

    names: tuple[str, ...]
    tokens: tuple[Token, ...]
    relations: int = 0


NOTHING: Final = Evidence((), ())


class Layout:
    """Which of the fields that an alert outputs are judged, and how to get at them fast."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._is_judged = any(domain_of(name) is not None for name in names)
        self._pids = [at for at, name in enumerate(self._names) if name.startswith(_PID_FIELDS)]
        self._id_at = self._names.index(IDENTITY) if IDENTITY in self._names else None
        self._relations = [relate for needed, relate in _RELATIONS if needed <= set(self._names)]
        self._may_echo = self._relations[:1] == [_is_echo]
        self._plain = (None,) * len(self._names)
        self._seen: dict[tuple[tuple[Token, ...], int], Evidence] = {}
        self._ordinary = Evidence(self._names, self._plain)

    def evidence(self, fields: Mapping[str, Any]) -> Evidence:
        """Bring the fields of an alert to what matters."""
        if not self._is_judged:
            return NOTHING
        try:
            tokens = tuple(map(_token, fields.values()))
        except TypeError:  # a list or an object, where Falco writes text or a number
            tokens = tuple(_token(value) if isinstance(value, str | int | None) else None for value in fields.values())
        if self._pids:
            tokens = self._with_pids(tokens, tuple(fields.values()))
        relations = 0
        if _MISSING.isdisjoint(tokens):
            relations = _is_echo(fields) if self._may_echo else 0
            if not relations and tokens == self._plain:
                return self._ordinary
        elif self._id_at is None or tokens[self._id_at] != HOST:
            for relate in self._relations:
                relations |= relate(fields)
        return self._shared(tokens, relations)

    def _shared(self, tokens: tuple[Token, ...], relations: int) -> Evidence:
        known = self._seen.get((tokens, relations))
        if known is None:
            if len(self._seen) >= _KEPT_KINDS:
                self._seen.clear()
            known = self._seen[tokens, relations] = Evidence(self._names, tokens, relations)
        return known

    def _with_pids(self, tokens: tuple[Token, ...], values: tuple[Any, ...]) -> tuple[Token, ...]:
        """Tell the first processes of the tree by their numbers, which mean nothing in other fields."""
        changed = list(tokens)
        for at in self._pids:
            changed[at] = _PIDS.get(values[at]) if isinstance(values[at], int | str | None) else None
        return tuple(changed)


class Layouts:
    """The layouts of all alerts so far; a rule nearly always outputs the same fields. Bounded."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Layout] = {}

    def evidence(self, fields: Mapping[str, Any]) -> Evidence:
        """Bring the fields of an alert to what matters to judging it."""
        names = tuple(fields)
        layout = self._known.get(names)
        if layout is None:
            layout = Layout(names[:_MOST_NAMES])
            if len(names) > _MOST_NAMES:
                return layout.evidence(fields)  # not kept
            if len(self._known) >= _KEPT_LAYOUTS:
                self._known.clear()
            self._known[names] = layout
        return layout.evidence(fields)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _is_echo(fields: Mapping[str, Any]) -> int:
    """Say whether the container's name is its id, short or full: the runtime did not tell another one."""
    name, identity = fields["container.name"], fields[IDENTITY]
    if not isinstance(name, str) or not isinstance(identity, str) or name[:8] != identity[:8]:
        return 0
    short, long = sorted((name, identity), key=len)
    is_same = long.startswith(short) and (short == long or len(long) == FULL_ID_CHARS) and bool(short)
    return ECHO if is_same else 0


def _is_sandbox(fields: Mapping[str, Any]) -> int:
    identity = _text(fields, IDENTITY)
    is_same = bool(identity) and any(_text(fields, name).startswith(identity) for name in SANDBOX_IDS)
    return SANDBOX if is_same else 0


def _is_by_kubelet(fields: Mapping[str, Any]) -> int:
    """Say whether the kubelet named the container: its docker engine's names begin so."""
    return BY_KUBELET if _text(fields, "container.name").startswith("k8s_") else 0


def _is_by_digest(fields: Mapping[str, Any]) -> int:
    image = _text(fields, "container.image")
    return BY_DIGEST if "@sha256:" in image or image.startswith("sha256:") else 0


def _is_user_assigned(fields: Mapping[str, Any]) -> int:
    return USER_ASSIGNED if _is_assigned(fields["user.uid"]) else 0


def _is_group_assigned(fields: Mapping[str, Any]) -> int:
    return GROUP_ASSIGNED if _is_assigned(fields["group.gid"]) else 0


def _is_assigned(number: object) -> bool:
    return isinstance(number, int) and ASSIGNED_FROM <= number < UNKNOWN_ID


_RELATIONS: Final = (
    ({IDENTITY, "container.name"}, _is_echo),
    *(({IDENTITY, name}, _is_sandbox) for name in SANDBOX_IDS),
    ({"container.name", "container.type"}, _is_by_kubelet),
    ({"container.image"}, _is_by_digest),
    ({"user.uid"}, _is_user_assigned),
    ({"group.gid"}, _is_group_assigned),
)
"""Which fields each relation is between."""
