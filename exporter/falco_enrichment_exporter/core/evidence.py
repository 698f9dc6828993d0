"""An alert's fields, brought to what judging their completeness depends on.

Values are of no interest unless they mean something: nearly all alerts come down to a few kinds of evidence, each of
which is judged once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from falco_enrichment_exporter.core.domains import NUMBERS, Domain, domain_of

HOST: Final = "host"
KERNEL: Final = "kthreadd"  # the parent of the kernel's threads
KERNEL_PID: Final = 2
SANDBOX_IDS: Final = ("k8s.pod.sandbox_id", "k8s.pod.full_sandbox_id")
PAUSE: Final = ("pause", "/pause")
NO_IMAGES: Final = ("lxc", "libvirt_lxc", "bpm", "static")
NO_KUBELET: Final = ("docker", "podman")
ROOT_NAMES: Final = ("systemd", "init")
ROOT_PIDS: Final = (0, 1, 2)
UNKNOWN_ID: Final = (1 << 32) - 1
FULL_ID_CHARS: Final = 64
ASSIGNED_FROM: Final = 1_000_000_000
"""OpenShift's first uid for containers; they are in no passwd file."""

IDENTITY: Final = "container.id"  # not judged itself: it comes with the process, not from the runtime

Fields = Mapping[str, Any]
"""An alert's output_fields."""

Token = str | int | None
"""What a value means; None: an ordinary value."""

NULL, EMPTY, NA, SENTINEL = "null", "empty", "na", "sentinel"  # kinds in which a value is missing
ECHO, SANDBOX, BY_KUBELET, BY_DIGEST, ASSIGNED = "echo", "sandbox", "by_kubelet", "by_digest", "assigned"
TOKENS: Final[tuple[Token, ...]] = (
    *(NULL, EMPTY, NA, SENTINEL, ECHO, SANDBOX, BY_KUBELET, BY_DIGEST, ASSIGNED),
    *(HOST, KERNEL, *PAUSE, *NO_IMAGES, *NO_KUBELET, *ROOT_NAMES, *ROOT_PIDS),
)
"""All that a value can mean."""

_PROCESSES: Final = frozenset({Domain.PROCESS, Domain.PROCESS_TREE})
EXCUSING: Final[dict[Token, frozenset[Domain]]] = {
    **dict.fromkeys((SANDBOX, BY_DIGEST, *PAUSE), frozenset({Domain.CONTAINER_IMAGE})),
    **dict.fromkeys(NO_IMAGES, frozenset({Domain.CONTAINER_IMAGE, Domain.KUBERNETES})),
    **dict.fromkeys((BY_KUBELET, *NO_KUBELET), frozenset({Domain.KUBERNETES})),
    ASSIGNED: frozenset({Domain.USER_NAME}),
    **dict.fromkeys((KERNEL, *ROOT_NAMES, *ROOT_PIDS), _PROCESSES),
}
"""What matters only where fields of some domains are missing: it may excuse them."""

MISSING: Final = frozenset({NULL, EMPTY, NA, SENTINEL, ECHO})
"""The kinds in which a value is missing."""

_GONE: Final[dict[Any, Token]] = {None: NULL, "": EMPTY, "<NA>": NA, "N/A": NA}
_UNKNOWN: Final[dict[Any, Token]] = {-1: SENTINEL, UNKNOWN_ID: SENTINEL}
_NAMED: Final[dict[str, tuple[Token, ...]]] = {
    IDENTITY: (HOST,),
    "container.type": (*NO_IMAGES, *NO_KUBELET),
    "proc.name": (*PAUSE, *ROOT_NAMES),
    "proc.exepath": PAUSE,
    "proc.pname": (KERNEL, *ROOT_NAMES),
    "proc.pid": ROOT_PIDS,
    "proc.ppid": ROOT_PIDS,
    "proc.aname[": ROOT_NAMES,
    "proc.apid[": ROOT_PIDS,
}
_MOST_NAMES: Final = 512
_KEPT: Final = 8192


@lru_cache(maxsize=_KEPT)
def meanings(name: str) -> Mapping[Any, Token]:
    """Return the values of a field that mean something, whatever else the alert shows."""
    ancestor = name.partition("[")[0] + "["
    named = _NAMED.get(name) or _NAMED.get(ancestor, ())
    numbers = _UNKNOWN if name in NUMBERS or ancestor == "proc.apid[" else {}
    return _GONE | numbers | {value: value for value in named}


def meaning_of_value(name: str, value: object) -> Token:
    """Return what a value means by itself."""
    try:
        known = meanings(name).get(value)
    except TypeError:  # a list or an object, where Falco writes text or a number
        return None
    return known if known is not None or name not in BY_VALUE else BY_VALUE[name](value)


def meaning_of(name: str, fields: Fields) -> Token:
    """Return what a field means in an alert."""
    token = meaning_of_value(name, fields[name])
    return token if token is not None or name not in BY_OTHERS else BY_OTHERS[name][1](fields)


def _is_echo(identity: object, name: object) -> bool:
    """Say whether a container's name is its id, short or full: the runtime did not tell another one."""
    if not isinstance(name, str) or not isinstance(identity, str) or name[:8] != identity[:8] or identity == HOST:
        return False
    short, long = sorted((name, identity), key=len)
    return bool(short) and long.startswith(short) and (short == long or len(long) == FULL_ID_CHARS)


def _of_container_name(fields: Fields) -> Token:
    name = fields["container.name"]
    if _is_echo(fields.get(IDENTITY), name):
        return ECHO
    # the kubelet's docker engine named containers so
    return BY_KUBELET if "container.type" in fields and isinstance(name, str) and name.startswith("k8s_") else None


def _of_container_id(fields: Fields) -> Token:
    identity = fields[IDENTITY]
    sandboxes = [fields.get(name) for name in SANDBOX_IDS]
    are_same = (isinstance(sandbox, str) and sandbox.startswith(identity) for sandbox in sandboxes)
    return SANDBOX if isinstance(identity, str) and any(are_same) else None


def _of_image(image: object) -> Token:
    return BY_DIGEST if isinstance(image, str) and "sha256:" in image else None


def _of_number(number: object) -> Token:
    return ASSIGNED if isinstance(number, int | float) and ASSIGNED_FROM <= number < UNKNOWN_ID else None


BY_VALUE: Final[dict[str, Callable[[object], Token]]] = {
    "container.image": _of_image,
    "user.uid": _of_number,
    "group.gid": _of_number,
}
"""Fields of which not only single values mean something."""

BY_OTHERS: Final[dict[str, tuple[tuple[str, ...], Callable[[Fields], Token]]]] = {
    "container.name": (("container.name", IDENTITY, "container.type"), _of_container_name),
    IDENTITY: ((IDENTITY, *SANDBOX_IDS), _of_container_id),
}
"""Fields that mean something together with others, and all of those that it takes."""

RELATED: Final = frozenset(name for names, _ in BY_OTHERS.values() for name in names)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All of an alert that judging it depends on; alerts of the same evidence share the object."""

    names: tuple[str, ...]
    tokens: tuple[Token, ...]


NOTHING: Final = Evidence((), ())

Counts = Sequence[tuple[Evidence | None, int]]
"""How many alerts were of some evidence; None: they have no fields at all."""


@lru_cache(maxsize=_KEPT)
def evidence(names: tuple[str, ...], tokens: tuple[Token, ...]) -> Evidence:
    """Return the evidence that consists of these fields."""
    return NOTHING if set(names) <= {IDENTITY} else Evidence(names, tokens)


def evidence_of(fields: Fields) -> Evidence:
    """Bring the fields of an alert to what matters."""
    is_kept = len(fields) <= _MOST_NAMES
    names = _judged(tuple(fields)) if is_kept else _judged.__wrapped__(tuple(fields))
    tokens = tuple([meaning_of(name, fields) for name in names])
    return evidence(names, tokens) if is_kept else evidence.__wrapped__(names, tokens)


def is_judged(name: str) -> bool:
    """Say whether evidence has a field of this name."""
    return name == IDENTITY or domain_of(name) is not None


@lru_cache(maxsize=_KEPT)
def _judged(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(filter(is_judged, names))
