"""The fields of alerts that show whether enrichment works, by what they are about.

Source: Falco's reference of supported fields (classes container, k8s, user, group, process), 0.35 to 0.44.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Domain(StrEnum):
    """What a field is about."""

    CONTAINER_IMAGE = "container_image"
    KUBERNETES = "kubernetes"
    USER_NAME = "user_name"
    PROCESS_TREE = "process_tree"
    PROCESS = "process"


IMAGE: Final = ("container.image", "container.image.repository", "container.image.id")
PROGRAM: Final = ("proc.exe", "proc.exepath", "proc.cmdline", "proc.exeline")
NUMBERS: Final = frozenset({
    "user.uid", "user.loginuid", "group.gid", "proc.pid", "proc.vpid", "proc.ppid", "proc.pvpid", "proc.sid",
    "thread.tid", "thread.vtid",
})  # fmt: skip
"""Fields that have numbers which mean "unknown"; ``proc.apid[n]`` are among them, too."""

FIELDS: Final = {
    field: domain
    for domain, fields in {
        Domain.CONTAINER_IMAGE: (
            *IMAGE, "container.name", "container.image.tag", "container.image.digest", "container.type",
            "container.privileged",
        ),
        Domain.KUBERNETES: (
            "k8s.pod.name", "k8s.pod.id", "k8s.pod.uid", "k8s.pod.sandbox_id", "k8s.pod.full_sandbox_id", "k8s.ns.name",
            "k8s.pod.labels", "k8s.pod.ip", "k8s.pod.cni.json",
        ),
        Domain.USER_NAME: (
            "user.name", "user.loginname", "user.homedir", "user.shell", "user.uid", "user.loginuid", "group.name",
            "group.gid",
        ),
        Domain.PROCESS_TREE: (
            "proc.pname", "proc.pcmdline", "proc.pexe", "proc.pexepath", "proc.ppid", "proc.pvpid", "proc.aname",
            "proc.aexe", "proc.aexepath", "proc.acmdline", "proc.apid", "proc.sid", "proc.sname", "proc.sid.exe",
            "proc.sid.exepath", "proc.vpgid.name", "proc.vpgid.exe", "proc.vpgid.exepath", "proc.pgid.name",
            "proc.pgid.exe", "proc.pgid.exepath",
        ),
        Domain.PROCESS: (
            *PROGRAM, "proc.name", "proc.args", "proc.env", "proc.cwd", "proc.pid", "proc.vpid", "proc.tty",
            "thread.tid", "thread.vtid",
        ),
    }.items()
    for field in fields
}  # fmt: skip
"""The fields that are judged, besides ancestors and labels by index."""

_ANCESTOR: Final = re.compile(r"proc\.a(?:name|exe|exepath|cmdline|pid|env)\[(\d{1,3})\]")
_LABEL: Final = re.compile(r"k8s\.pod\.label\[.*\]", re.DOTALL)


@lru_cache(maxsize=4096)
def domain_of(field: str) -> Domain | None:
    """Return the domain of a field; None if it is not judged."""
    if _ANCESTOR.fullmatch(field):
        return Domain.PROCESS_TREE
    return Domain.KUBERNETES if _LABEL.fullmatch(field) else FIELDS.get(field)


def level_of(field: str) -> int:
    """Return how far above the process a field of the tree looks: its parent is 1."""
    match = _ANCESTOR.fullmatch(field)
    return int(match[1]) if match else 1
