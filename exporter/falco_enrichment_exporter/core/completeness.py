"""Which enrichment fields of an alert are present, missing, or rightly missing.

Falco shows what it could not find out as null, "" or "<NA>", depending on field and version, and as a number that means
"unknown". Whether that is a loss depends on the rest of the alert: a process of the host has no container image. What
is judged is only what the rule outputs, in alerts of the ``syscall`` source; other sources see no processes.

Sources of the facts: Falco's documentation on missing fields, libs' filterchecks, the container plugin's engines.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from falco_enrichment_exporter.core.domains import IMAGE, NUMBERS, PROGRAM, Domain, domain_of, level_of
from falco_enrichment_exporter.core.evidence import (
    ASSIGNED,
    BY_DIGEST,
    BY_KUBELET,
    EMPTY,
    HOST,
    IDENTITY,
    KERNEL,
    KERNEL_PID,
    MISSING,
    NO_IMAGES,
    NO_KUBELET,
    NULL,
    PAUSE,
    ROOT_NAMES,
    SANDBOX,
    SANDBOX_IDS,
    SENTINEL,
    Evidence,
    Token,
)


class Outcome(StrEnum):
    """What a judgement says of a field."""

    PRESENT = "present"
    MISSING = "missing"
    EXCUSED = "excused"


class Verdict(NamedTuple):
    """What became of one field; ``detail`` is the kind of a missing one, the reason of an excused one."""

    field: str
    domain: Domain
    outcome: Outcome
    detail: str = ""


_OF_KERNEL: Final = frozenset((*PROGRAM, "proc.args", "proc.env", "proc.cwd"))
_ROOTS: Final = (*ROOT_NAMES, 1, 2)  # names and pids of what has no parent

EXCUSES: Final = {
    "host_process": "not in a container (container.id is host)",
    "pod_sandbox": "the pod's own pause container, whose image runtimes do not tell",
    "no_images": "an engine without images: lxc, libvirt_lxc, bpm, static",
    "no_pod": "a container that Kubernetes does not manage",
    "unknown_container": "the rule does not output container.id, which would tell a container from the host",
    "no_digest": "an image that was built here and never pulled has no digest",
    "by_digest": "an image that was named by its digest has no tag",
    "optional": "labels and addresses that a pod need not have",
    "no_login_uid": "nobody logged in (user.loginuid is -1): a service",
    "unknown_login_uid": "the rule does not output user.loginuid, which would tell whether anybody logged in",
    "assigned_uid": "a uid from 1000000000 on in a container, as OpenShift assigns them: in no passwd file",
    "beyond_tree_root": "above the first process",
    "kernel_thread": "a thread of the kernel has no executable",
    "no_arguments": "started without arguments, or with an empty environment",
}  # fmt: skip
"""Why a field may rightly be missing."""

_OPTIONAL: Final = ("k8s.pod.label", "k8s.pod.ip", "k8s.pod.cni.json")


@lru_cache(maxsize=4096)
def judge(evidence: Evidence) -> tuple[Verdict, ...]:
    """Judge every field of an alert that belongs to a domain.

    If the process itself is lost, that is one loss: only the fields of ``process`` are judged then.
    """
    case = _Case(evidence)
    fields = ((name, domain_of(name)) for name in evidence.names)
    return tuple(
        case.verdict(name, domain)
        for name, domain in fields
        if domain is not None and (domain is Domain.PROCESS or not case.is_lost)
    )


class _Case:
    """One kind of evidence before the judge."""

    def __init__(self, evidence: Evidence) -> None:
        self._tokens = dict(zip(evidence.names, evidence.tokens, strict=True))
        self._is_host = self._tokens.get("container.id") == HOST
        pids = self._token("proc.pid"), self._token("proc.ppid")
        is_child = self._token("proc.pname") == KERNEL and not self._is_known("proc.ppid")
        self._is_kernel = KERNEL_PID in pids or is_child
        self.is_lost = self._is_process_lost()

    def _token(self, name: str) -> Token:
        return self._tokens.get(name, NULL)

    def _is_known(self, name: str) -> bool:
        return name in self._tokens and not self._missing(name)

    def _missing(self, name: str) -> str:
        """Return the kind in which a field is missing; empty if it holds something."""
        token = self._tokens[name]
        return str(token) if token in MISSING else ""

    def _is_process_lost(self) -> bool:
        """Say whether Falco knew nothing of the process."""
        if "proc.name" in self._tokens:
            return bool(self._missing("proc.name"))
        shown = [name for name in PROGRAM if name in self._tokens]
        return bool(shown) and all(self._missing(name) for name in shown) and not self._is_kernel

    def verdict(self, name: str, domain: Domain) -> Verdict:
        """Judge one field."""
        if self._is_host and domain in (Domain.CONTAINER_IMAGE, Domain.KUBERNETES):
            return Verdict(name, domain, Outcome.EXCUSED, "host_process")
        kind = self._missing(name)
        if not kind:
            return Verdict(name, domain, Outcome.PRESENT)
        reason = "" if self.is_lost else _EXCUSERS[domain](self, name)
        outcome, detail = (Outcome.EXCUSED, reason) if reason else (Outcome.MISSING, kind)
        return Verdict(name, domain, outcome, detail)

    def excuse_image(self, name: str) -> str:
        if self._is_nowhere():
            return "unknown_container"
        if self._is_sandbox():
            return "pod_sandbox"
        if self._token("container.type") in NO_IMAGES:
            return "no_images"
        has_image = any(map(self._is_known, IMAGE))
        if name == "container.image.digest" and has_image:
            return "no_digest"
        is_by_digest = self._token("container.image") == BY_DIGEST or self._is_known("container.image.digest")
        return "by_digest" if name == "container.image.tag" and has_image and is_by_digest else ""

    def _is_nowhere(self) -> bool:
        """Say whether nothing tells that there is a container at all."""
        domains = (Domain.CONTAINER_IMAGE, Domain.KUBERNETES)
        known = (name for name in self._tokens if domain_of(name) in domains and self._is_known(name))
        return IDENTITY not in self._tokens and not any(known)

    def _is_sandbox(self) -> bool:
        """Say whether this is the pod's own container: by its id, else by its binary, else by its name."""
        if any(map(self._is_known, SANDBOX_IDS)):
            return self._token(IDENTITY) == SANDBOX
        name = "proc.exepath" if self._is_known("proc.exepath") else "proc.name"
        return self._token(name) in PAUSE

    def excuse_pod(self, name: str) -> str:
        if self._is_nowhere():
            return "unknown_container"
        engine = self._token("container.type")
        is_alone = self._is_known("container.name") and self._token("container.name") != BY_KUBELET
        if engine in NO_IMAGES or (engine in NO_KUBELET and is_alone):
            return "no_pod"
        pod = (known for known in self._tokens if domain_of(known) is Domain.KUBERNETES and self._is_known(known))
        return "optional" if name.startswith(_OPTIONAL) and any(pod) else ""

    def excuse_user(self, name: str) -> str:
        if name in ("user.loginname", "user.loginuid"):
            if "user.loginuid" not in self._tokens:
                return "unknown_login_uid"
            return "no_login_uid" if self._token("user.loginuid") == SENTINEL else ""
        is_assigned = self._token("group.gid" if name == "group.name" else "user.uid") == ASSIGNED
        is_in_container = self._is_known("container.id") and not self._is_host
        return "assigned_uid" if is_assigned and is_in_container and name not in NUMBERS else ""

    def excuse_ancestor(self, name: str) -> str:
        if self._is_kernel and name in ("proc.pexe", "proc.pexepath", "proc.pcmdline"):
            return "kernel_thread"
        level, root = level_of(name), self._root()
        is_known_above = any(level_of(other) > level and self._is_known(other) for other in self._ancestors())
        return "beyond_tree_root" if root is not None and level > root and not is_known_above else ""

    def excuse_process(self, name: str) -> str:
        if self._is_kernel and name in _OF_KERNEL:
            return "kernel_thread"
        return "no_arguments" if name in ("proc.args", "proc.env") and self._token(name) == EMPTY else ""

    def _ancestors(self) -> list[str]:
        return [name for name in self._tokens if domain_of(name) is Domain.PROCESS_TREE]

    def _root(self) -> int | None:
        """Return the level of the first process: 0 is the process itself, 1 its parent; None if it is not shown."""
        is_init = self._token("proc.name") in ROOT_NAMES and not self._is_known("proc.pid")
        if self._token("proc.pid") in (1, 2) or self._tokens.get("proc.ppid") == 0 or is_init:
            return 0
        named = ("proc.pname", "proc.ppid")
        levels = [
            level_of(name)
            for name in self._ancestors()
            if (name in named or name.startswith(("proc.aname[", "proc.apid["))) and self._tokens[name] in _ROOTS
        ]
        return min(levels, default=None)


_EXCUSERS: Final = {
    Domain.CONTAINER_IMAGE: _Case.excuse_image,
    Domain.KUBERNETES: _Case.excuse_pod,
    Domain.USER_NAME: _Case.excuse_user,
    Domain.PROCESS_TREE: _Case.excuse_ancestor,
    Domain.PROCESS: _Case.excuse_process,
}
