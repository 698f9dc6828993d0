"""Whether Falco asks the container runtime: the container plugin (0.41 and later), container_engines, --cri."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from falco_enrichment_exporter.doctor.config import local
from falco_enrichment_exporter.doctor.facts import Facts
from falco_enrichment_exporter.doctor.finding import Finding, Severity, yaml_of

PLUGIN: Final = "container"
PLUGIN_FOLDER: Final = "/usr/share/falco/plugins"
CRI_SOCKETS: Final = (
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
)
DEFAULT_SOCKETS: Final = {
    "docker": ("/var/run/docker.sock",),
    "podman": ("/run/podman/podman.sock",),
    "cri": (*CRI_SOCKETS, "/run/host-containerd/containerd.sock"),
    "containerd": ("/run/host-containerd/containerd.sock",),
}
_FIELDS: Final = "container.image*, container.name and k8s.* of every alert from a container"
_LABELS: Final = 100
_LOAD: Final = "load_plugins: [container]\n"
_ENTRY: Final = "plugins:\n  - name: container\n    library_path: libcontainer.so\n    init_config:\n"
_OPTIONS: Final = "      label_max_len: 100\n      with_size: false\n"


@dataclass(frozen=True, slots=True)
class Engine:
    """A kind of container runtime that Falco asks; ``are_named``: its sockets are set, not the default ones."""

    name: str
    is_on: bool
    sockets: tuple[str, ...]
    are_named: bool


def engines(facts: Facts) -> list[Engine]:
    """Return the engines that have sockets, as this Falco has them."""
    if facts.is_since(0, 41):
        settings = plugin_settings(facts).get("engines")
        return _read(settings if isinstance(settings, dict) else {}, ("docker", "podman", "cri", "containerd"))
    if facts.is_since(0, 39):
        settings = facts.config.value("container_engines")
        return _read(settings if isinstance(settings, dict) else {}, ("docker", "podman", "cri"))
    told = tuple(facts.arguments.cri_sockets)
    return [*_read({}, ("docker", "podman")), Engine("cri", True, told or CRI_SOCKETS, bool(told))]


def _read(settings: dict[str, Any], names: tuple[str, ...]) -> list[Engine]:
    found = []
    for name in names:
        own = settings.get(name)
        own = own if isinstance(own, dict) else {}
        sockets = own.get("sockets")
        named = tuple(map(str, sockets)) if isinstance(sockets, list) else ()
        is_on = str(own.get("enabled", "true")).lower() == "true"
        found.append(Engine(name, is_on, named or DEFAULT_SOCKETS[name], bool(named)))
    return found


def plugin_entry(facts: Facts) -> dict[str, Any] | None:
    """Return the container plugin's entry of ``plugins``."""
    entries = facts.config.items("plugins")
    return next((entry for entry in entries if isinstance(entry, dict) and entry.get("name") == PLUGIN), None)


def plugin_settings(facts: Facts) -> dict[str, Any]:
    """Return the plugin's init_config, a mapping or JSON text of one."""
    settings = (plugin_entry(facts) or {}).get("init_config")
    if isinstance(settings, str) and settings.lstrip().startswith("{"):
        try:
            settings = json.loads(settings)
        except ValueError:
            facts.not_checked.append("init_config of the container plugin: it is not JSON")
    return settings if isinstance(settings, dict) else {}


def check_containers(facts: Facts) -> Iterator[Finding]:
    """Look at what asks the runtime, by version."""
    if facts.is_since(0, 41):
        yield from _check_plugin(facts)
        yield from _check_plugin_settings(facts)
    else:
        yield from _check_engines_block(facts)
    yield from _check_arguments(facts)
    yield from _check_engines(facts)


def _check_plugin(facts: Facts) -> Iterator[Finding]:
    config, loaded = facts.config, facts.config.items("load_plugins")
    entry = plugin_entry(facts)
    told = config.told("load_plugins", "all of plugins")
    file = config.where("load_plugins")
    if config.value("load_plugins") is not None and PLUGIN not in loaded:
        yield Finding("container_plugin_not_loaded", Severity.CRITICAL, "The container plugin is not loaded", told,
                      f"{_FIELDS}; rules that use them do not load; plugins.container.* is absent from snapshots",
                      "Load it: /etc/falco/config.d/falco.container_plugin.yaml does, unless it is hidden by a mount or"
                      " a later file sets load_plugins with the strategy override", _LOAD)  # fmt: skip
    elif loaded.count(PLUGIN) > 1:
        yield Finding("container_plugin_twice", Severity.CRITICAL, "Falco does not start: a plugin is loaded twice",
                      told, "everything: Falco ends with an error",
                      f"Name it once: take container out of load_plugins in one of {file}", "load_plugins: []\n")  # fmt: skip
    elif entry is None:
        broken = "does not start: load_plugins names a plugin that plugins does not have" if loaded else "has no plugin"
        yield Finding("container_plugin_unknown", Severity.CRITICAL, f"Falco {broken}",
                      f"{told}; no entry named container under plugins in {config.where('plugins')}", _FIELDS,
                      f"Add the entry in {config.where('plugins')}", _ENTRY + _OPTIONS + _LOAD)  # fmt: skip
    else:
        yield from _check_library(facts, str(entry.get("library_path", "libcontainer.so")))


def _check_library(facts: Facts, name: str) -> Iterator[Finding]:
    path = name if name.startswith("/") else f"{PLUGIN_FOLDER}/{name}"
    folder = local(path.rpartition("/")[0], facts.config.path)
    if not folder.is_dir():
        facts.not_checked.append(f"whether Falco has the container plugin, {path}: that folder is not here")
    elif not (folder / path.rpartition("/")[2]).is_file():
        yield Finding("container_plugin_missing", Severity.CRITICAL, "The container plugin is not installed",
                      f"library_path: {name}; there is no {path}", f"everything: Falco ends with an error; {_FIELDS}",
                      "Install a Falco package that has it (the static build has not), or falcoctl artifact install"
                      " container")  # fmt: skip


def _check_plugin_settings(facts: Facts) -> Iterator[Finding]:
    settings, file = plugin_settings(facts), facts.config.where("plugins")
    hooks, labels = settings.get("hooks"), str(settings.get("label_max_len", _LABELS))
    if isinstance(hooks, list) and "create" not in hooks:
        yield Finding("create_hook_off", Severity.CRITICAL, "The container plugin does not ask when containers start",
                      f"init_config.hooks: {hooks} in {file}", _FIELDS, f"Add create to hooks in {file}",
                      _ENTRY + "      hooks: [create]\n")  # fmt: skip
    if labels.isdecimal() and int(labels) < _LABELS:
        yield Finding("labels_cut", Severity.INFO, "Long labels are left out", f"label_max_len: {labels} in {file}",
                      "k8s.pod.labels and container.label: labels longer than that are dropped without a word",
                      f"Set label_max_len in {file} to 100 or more", _ENTRY + "      label_max_len: 100\n")  # fmt: skip
    if str(settings.get("with_size")).lower() == "true":
        yield Finding("sizes_asked", Severity.WARNING, "The container plugin asks for the size of containers",
                      f"with_size: true in {file}", "time: look-ups are slow, and slow ones are given up",
                      f"Set with_size in {file} to false", _ENTRY + "      with_size: false\n")  # fmt: skip
    if facts.config.value("container_engines") is not None:
        yield Finding("container_engines_ignored", Severity.INFO, "container_engines is ignored since Falco 0.41",
                      f"container_engines in {facts.config.where('container_engines')}",
                      "what is set there, such as sockets of your own",
                      f"Move it to init_config of the container plugin in {file}", _engine_yaml(facts, "cri"))  # fmt: skip
    if facts.release < (0, 45, 0):
        facts.not_checked.append(
            "the container plugin's version: before 0.7.3 it asks for a container for 150 ms and never again"
        )


def _check_engines_block(facts: Facts) -> Iterator[Finding]:
    block, where = facts.config.value("container_engines"), facts.config.where("container_engines")
    if not facts.is_since(0, 39):
        if block is not None:
            yield Finding("container_engines_ignored", Severity.WARNING, "container_engines is unknown before Falco 0.39",
                          f"container_engines in {where}", "what is set there, such as sockets of your own",
                          "Start Falco with --cri and the path of the socket")  # fmt: skip
        return
    cri = next(engine for engine in engines(facts) if engine.name == "cri")
    if not facts.is_since(0, 40) and cri.are_named and not set(cri.sockets) <= set(CRI_SOCKETS):
        yield Finding("cri_sockets_not_read", Severity.WARNING, "Falco 0.39 does not read the sockets of its settings",
                      f"container_engines.cri.sockets: {', '.join(cri.sockets)} in {where}", _FIELDS,
                      f"Start Falco with -o container_engines.cri.sockets[]={cri.sockets[0]}, or upgrade to 0.40")  # fmt: skip
    if facts.config.flag("container_engines.cri.disable_async", default=False):
        yield Finding("cri_async_disabled", Severity.WARNING, "Falco waits for the runtime within the event loop",
                      f"container_engines.cri.disable_async: true in {where}",
                      "events: while Falco waits the kernel's buffer fills, and events are dropped",
                      f"Set disable_async in {where} to false", yaml_of("container_engines.cri.disable_async", False))  # fmt: skip


def _check_arguments(facts: Facts) -> Iterator[Finding]:
    arguments = facts.arguments
    removed = [
        name
        for name, is_there, since in (
            ("--cri", bool(arguments.cri_sockets), (0, 40)),
            ("--disable-cri-async", not arguments.is_cri_async, (0, 40)),
            ("-k", arguments.is_kubernetes_client, (0, 37)),
        )
        if is_there and facts.is_since(*since)
    ]
    if removed:
        yield Finding("option_removed", Severity.CRITICAL, "Falco does not start: an option is no more",
                      f"{' and '.join(removed)} on Falco {facts.version}", "everything: Falco ends with an error",
                      "Take it out; sockets are settings now", _engine_yaml(facts, "cri"))  # fmt: skip
    if facts.release < (0, 38, 0) and arguments.is_cri_async:
        facts.not_checked.append(
            "how fast the runtime answers: before Falco 0.38 the first events of a container come before the answer,"
            " unless Falco is started with --disable-cri-async"
        )


def _check_engines(facts: Facts) -> Iterator[Finding]:
    known = {engine.name: engine for engine in engines(facts)}
    on = [name for name, engine in known.items() if engine.is_on]
    where = facts.config.where("plugins" if facts.is_since(0, 41) else "container_engines")
    if not on:
        yield Finding("engines_off", Severity.CRITICAL, "Falco asks no container runtime",
                      f"docker, podman, cri are off in {where}", f"{_FIELDS}; container.id stays",
                      f"Switch on the engine of your runtime in {where}", _engine_yaml(facts, "cri"))  # fmt: skip
    containerd = known.get("containerd")
    if containerd and containerd.is_on and (not known["cri"].is_on or set(containerd.sockets) & set(CRI_SOCKETS)):
        yield Finding("containerd_engine", Severity.WARNING, "Containers are asked of containerd, which knows no names",
                      f"engines.containerd on {', '.join(containerd.sockets)} in {where}",
                      "container.name, which is then the id, and k8s.*",
                      f"Use the cri engine on the same socket in {where}, and switch containerd off",
                      _engine_yaml(facts, "cri", off="containerd"))  # fmt: skip
    elif on and not known["cri"].is_on and facts.host.path("/var/lib/kubelet").is_dir():
        yield Finding("cri_off", Severity.WARNING, "Falco does not ask the kubelet's runtime",
                      f"the cri engine is off in {where}; the host has /var/lib/kubelet", "k8s.* of every alert",
                      f"Switch the cri engine on in {where}", _engine_yaml(facts, "cri"))  # fmt: skip


def _engine_yaml(facts: Facts, name: str, off: str | None = None) -> str:
    """Write what switches an engine on, with the sockets that are there."""
    there = [path for path in (*CRI_SOCKETS, *DEFAULT_SOCKETS[name]) if facts.host.path(path).exists()]
    sockets = (there or [CRI_SOCKETS[0]])[:1]
    engine = {name: {"enabled": True, "sockets": sockets}, **({off: {"enabled": False}} if off else {})}
    if not facts.is_since(0, 41):
        return yaml_of("container_engines", engine) if facts.is_since(0, 39) else ""
    lines = yaml_of("engines", engine).splitlines(keepends=True)
    return _ENTRY + "".join(" " * 6 + line for line in lines)
