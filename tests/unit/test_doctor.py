"""Every precondition that is not met is found, with what it breaks and the lines that mend it; a good site has none."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from falco_enrichment_exporter import cli

SHIPPED: Final = Path(__file__).parent.parent / "data" / "falco_yaml"
GOOD_METRICS: Final = {
    "enabled": True, "interval": "1m", "output_rule": True, "rules_counters_enabled": True,
    "resource_utilization_enabled": True, "state_counters_enabled": True, "kernel_event_counters_enabled": True,
    "kernel_event_counters_per_cpu_enabled": False, "libbpf_stats_enabled": True, "plugins_metrics_enabled": True,
    "jemalloc_stats_enabled": False, "convert_memory_to_mb": True, "include_empty_values": True,
}  # fmt: skip
GOOD: Final[dict[str, Any]] = {
    "rules_files": ["/etc/falco/rules.yaml"],
    "engine": {"kind": "modern_ebpf", "modern_ebpf": {"cpus_for_each_buffer": 2, "buf_size_preset": 4}},
    "json_output": True,
    "file_output": {"enabled": True, "filename": "/var/log/falco/falco.json"},
    "append_output": [{"suggested_output": True}],
    "metrics": GOOD_METRICS,
    "falco_libs": {"thread_table_size": 262144},
    "load_plugins": ["container"],
    "plugins": [{"name": "container", "library_path": "libcontainer.so", "init_config": {"label_max_len": 100}}],
}
RULES: Final = """
- rule: Read sensitive file
  output: file read (user=%user.name command=%proc.cmdline parent=%proc.pname)
- rule: Cloud
  source: k8s_audit
  output: "%ka.user.name"
"""
OLD: Final = ("load_plugins", "plugins")
"""What 0.40 and earlier do not have."""
UNSET: Final = object()


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the good settings with others at dotted paths; UNSET takes one away."""
    document = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *blocks, name = path.split(".")
        node: Any = document
        for block in blocks:
            node = node[int(block)] if isinstance(node, list) else node.setdefault(block, {})
        if value is UNSET:
            node.pop(name, None)
        else:
            node[name] = value
    return document


class Site:
    """A host with Falco's settings; all is well until a test changes it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.falco = folder / "etc" / "falco"
        self.falco.mkdir(parents=True)
        self.main = self.falco / "falco.yaml"
        self.host = folder / "host"
        self.put("proc/1/stat", "1 (init) S 0")
        self.put("etc/passwd", "root:x:0:0::/root:/bin/sh\n")
        self.put("etc/group", "root:x:0:\n")
        self.put("run/containerd/containerd.sock", "")
        (self.falco / "rules.yaml").write_text(RULES)
        self._capsys = capsys

    def put(self, name: str, text: str) -> None:
        """Write a file of the host."""
        path = self.host / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def write(self, document: Any, name: str = "falco.yaml") -> None:
        """Write a file of settings."""
        path = self.falco / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))

    def doctor(self, *flags: str, version: str = "0.44.1") -> dict[str, Any]:
        """Run the command; return its report, with the exit code."""
        arguments = [f"--falco-config={self.main}", f"--host-root={self.host}", "--output=json", *flags]
        code = cli.main(["doctor", *arguments, *([f"--falco-version={version}"] if version else [])])
        report = json.loads(self._capsys.readouterr().out)
        assert code == bool(report["findings"])
        return dict(report)

    def ids(self, *flags: str, version: str = "0.44.1") -> list[str]:
        """Run the command; return what was found."""
        return [finding["id"] for finding in self.doctor(*flags, version=version)["findings"]]


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    """Give a good site."""
    made = Site(tmp_path, capsys)
    made.write(GOOD)
    return made


def test_a_good_site_has_no_finding(site: Site) -> None:
    """Of the newest Falco; what cannot be seen from files is said."""
    report = site.doctor()

    assert report["findings"] == []
    assert any("hostPID" in item for item in report["not_checked"])


@pytest.mark.parametrize("version", ["0.36.2", "0.37.1", "0.38.2", "0.39.2", "0.40.0"])
def test_a_good_site_of_an_earlier_falco_has_no_finding(site: Site, version: str) -> None:
    """Without the plugin, which it does not have."""
    changes = dict.fromkeys(OLD, UNSET)
    if version < "0.37":
        changes |= {"engine": UNSET, "falco_libs": UNSET}
    if version < "0.38":
        changes |= {"falco_libs": UNSET}
    site.write(changed(changes))

    assert site.ids("--falco-arguments=-pk", version=version) == []


BROKEN: Final[list[tuple[str, str, dict[str, Any]]]] = [
    # preconditions of snapshots
    ("metrics_disabled", "0.44.1", {"metrics.enabled": False}),
    ("metrics_disabled", "0.44.1", {"metrics": UNSET}),
    ("no_metrics", "0.34.1", {**dict.fromkeys(OLD, UNSET), "engine": UNSET, "falco_libs": UNSET}),
    ("interval_invalid", "0.44.1", {"metrics.interval": UNSET}),
    ("interval_invalid", "0.44.1", {"metrics.interval": 5000}),
    ("interval_invalid", "0.44.1", {"metrics.interval": "50ms"}),
    ("interval_coarse", "0.44.1", {"metrics.interval": "1h"}),
    ("snapshots_not_written", "0.44.1", {"metrics.output_rule": False}),
    ("snapshots_not_written", "0.44.1", {"metrics.output_rule": UNSET, "metrics.output_file": ""}),
    ("rules_counters_off", "0.44.1", {"metrics.rules_counters_enabled": False}),
    ("resource_utilization_off", "0.44.1", {"metrics.resource_utilization_enabled": False}),
    ("state_counters_off", "0.44.1", {"metrics.state_counters_enabled": False}),
    ("kernel_counters_off", "0.44.1", {"metrics.kernel_event_counters_enabled": False}),
    ("per_cpu_counters_on", "0.44.1", {"metrics.kernel_event_counters_per_cpu_enabled": UNSET}),
    ("per_cpu_counters_on", "0.44.1", {"metrics.kernel_event_counters_per_cpu_enabled": True,
                                       "metrics.kernel_event_counters_enabled": False}),
    ("libbpf_stats_off", "0.44.1", {"metrics.libbpf_stats_enabled": False}),
    ("plugins_metrics_off", "0.44.1", {"metrics.plugins_metrics_enabled": False}),
    ("kernel_iter_counters_off", "0.44.1", {"metrics.kernel_iter_event_counters_enabled": False}),
    ("jemalloc_stats_on", "0.44.1", {"metrics.jemalloc_stats_enabled": UNSET}),
    ("memory_unit_ambiguous", "0.37.1", {**dict.fromkeys((*OLD, "falco_libs"), UNSET),
                                         "metrics.convert_memory_to_mb": False}),
    ("empty_values_left_out", "0.44.1", {"metrics.include_empty_values": UNSET}),
    ("queue_bounded", "0.44.1", {"outputs_queue.capacity": 1000}),
    ("outputs_buffered", "0.44.1", {"buffered_outputs": True}),
    ("plugins_hostinfo_off", "0.44.1", {"plugins_hostinfo": False}),
    # alerts whose fields can be judged
    ("text_output", "0.44.1", {"json_output": UNSET}),
    ("output_property_off", "0.44.1", {"json_include_output_property": False}),
    ("tags_property_off", "0.44.1", {"json_include_tags_property": False}),
    ("output_fields_off", "0.44.1", {"json_include_output_fields_property": False}),
    ("containers_not_output", "0.44.1", {"append_output": [{"match": {"source": "syscall"}, "extra_output": "x"}]}),
    ("containers_not_output", "0.44.1", {"append_output": UNSET}),
    ("no_output", "0.44.1", {"file_output.enabled": False}),
    ("file_output_unnamed", "0.44.1", {"file_output.filename": ""}),
    ("http_output_unnamed", "0.44.1", {"http_output.enabled": True}),
    ("priority_high", "0.44.1", {"priority": "critical"}),
    # container metadata, by version
    ("container_engines_ignored", "0.38.2", {**dict.fromkeys(OLD, UNSET), "container_engines.cri.enabled": True}),
    ("container_engines_ignored", "0.44.1", {"container_engines.cri.enabled": True}),
    ("engines_off", "0.40.0", {**dict.fromkeys(OLD, UNSET), "container_engines":
                               {name: {"enabled": False} for name in ("docker", "podman", "cri")}}),
    ("cri_async_disabled", "0.40.0", {**dict.fromkeys(OLD, UNSET), "container_engines.cri.disable_async": True}),
    ("cri_sockets_not_read", "0.39.2", {**dict.fromkeys(OLD, UNSET), "container_engines.cri.sockets":
                                        ["/run/containerd/containerd.sock", "/run/k0s/containerd.sock"]}),
    ("container_plugin_not_loaded", "0.44.1", {"load_plugins": []}),
    ("container_plugin_unknown", "0.44.1", {"plugins": []}),
    ("container_plugin_unknown", "0.44.1", {"plugins": UNSET, "load_plugins": UNSET}),
    ("container_plugin_twice", "0.44.1", {"load_plugins": ["container", "container"]}),
    ("engines_off", "0.44.1", {"plugins.0.init_config.engines":
                               {name: {"enabled": False} for name in ("docker", "podman", "cri", "containerd")}}),
    ("engines_off", "0.44.1", {"plugins.0.init_config": json.dumps({"engines":
                               {name: {"enabled": False} for name in ("docker", "podman", "cri", "containerd")}})}),
    ("containerd_engine", "0.44.1", {"plugins.0.init_config.engines":
                                     {"containerd": {"enabled": True, "sockets": ["/run/containerd/containerd.sock"]},
                                      "cri": {"enabled": False}}}),
    ("socket_missing", "0.44.1", {"plugins.0.init_config.engines": {
        "cri": {"enabled": True, "sockets": ["/run/k0s/containerd.sock"]}}}),
    ("create_hook_off", "0.44.1", {"plugins.0.init_config.hooks": ["start"]}),
    ("labels_cut", "0.44.1", {"plugins.0.init_config.label_max_len": 10}),
    ("sizes_asked", "0.44.1", {"plugins.0.init_config.with_size": True}),
    # state of processes
    ("table_small", "0.44.1", {"falco_libs.thread_table_size": 1024}),
    ("table_size_ignored", "0.37.1", {**dict.fromkeys(OLD, UNSET)}),
    ("purging_interval", "0.44.1", {"falco_libs.thread_table_auto_purging_interval_s": 7200}),
    ("purging_thread_timeout", "0.44.1", {"falco_libs.thread_table_auto_purging_thread_timeout_s": 5}),
    ("purging_ignored", "0.41.0", {"falco_libs.thread_table_auto_purging_interval_s": 300}),
    ("syscalls_missing", "0.44.1", {"base_syscalls.custom_set": ["execve", "close"]}),
    ("syscalls_missing", "0.44.1", {"base_syscalls.custom_set": ["!clone3"]}),
    ("all_syscalls", "0.44.1", {"base_syscalls.all": True}),
    ("engine_without_kernel", "0.44.1", {"engine.kind": "nodriver"}),
    ("engine_removed", "0.44.1", {"engine.kind": "ebpf"}),
    ("buffers_small", "0.44.1", {"engine.modern_ebpf.buf_size_preset": 1}),
    ("buffers_small", "0.36.2", {**dict.fromkeys((*OLD, "falco_libs", "engine"), UNSET), "syscall_buf_size_preset": 2}),
    ("buffers_impossible", "0.44.1", {"engine.modern_ebpf.buf_size_preset": 11}),
    ("buffers_shared", "0.44.1", {"engine.modern_ebpf.cpus_for_each_buffer": 8}),
    ("failed_calls_dropped", "0.44.1", {"engine.modern_ebpf.drop_failed_exit": True}),
    ("iterators_disabled", "0.44.1", {"engine.modern_ebpf.disable_iterators": True}),
    ("drops_ignored", "0.44.1", {"syscall_event_drops.actions": ["ignore"]}),
    ("drops_simulated", "0.44.1", {"syscall_event_drops.simulate_drops": True}),
]  # fmt: skip


@pytest.mark.parametrize(("found", "version", "changes"), BROKEN)
def test_a_broken_setting_is_found(site: Site, found: str, version: str, changes: dict[str, Any]) -> None:
    """It alone, with all that a reader needs."""
    site.write(changed(changes))
    if version == "0.44.1" and found == "socket_missing":
        shutil.rmtree(site.host / "run")

    report = site.doctor(*(["--falco-arguments=-pk"] if version < "0.40" else []), version=version)

    assert [finding["id"] for finding in report["findings"]] == [found]
    assert all(report["findings"][0][key] for key in ("severity", "title", "set", "breaks", "fix"))


NOT_BY_YAML: Final = frozenset({
    "no_metrics", "cri_sockets_not_read", "table_size_ignored", "purging_ignored", "container_engines_ignored",
    "socket_missing",
})  # fmt: skip
"""What no setting mends."""


def laid_over(below: Any, above: Any) -> Any:
    """Write a finding's lines where they belong: maps by key, a named item of a list over the one of its name."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: laid_over(below.get(key), value) for key, value in above.items()}}
    if isinstance(below, list) and isinstance(above, list) and above and isinstance(above[0], dict):
        if "name" not in above[0]:
            return below + above
        names = {item["name"]: item for item in above}
        kept = [laid_over(item, names.pop(item.get("name"), item)) for item in below]
        return kept + list(names.values())
    return above


@pytest.mark.parametrize(("found", "version", "changes"), BROKEN)
def test_the_yaml_of_a_finding_mends_it(site: Site, found: str, version: str, changes: dict[str, Any]) -> None:
    """Written into the settings as it stands, by whoever reads it, the finding is gone."""
    site.write(changed(changes))
    if found == "socket_missing":
        shutil.rmtree(site.host / "run")
    flags = ["--falco-arguments=-pk"] if version < "0.40" else []
    (finding,) = site.doctor(*flags, version=version)["findings"]
    if not finding["yaml"]:
        assert found in NOT_BY_YAML
        return

    document = laid_over(changed(changes), yaml.safe_load(finding["yaml"]))
    if found == "container_engines_ignored":
        del document["container_engines"]  # it says to move it
    site.write(document)

    assert found not in site.ids(*flags, version=version)


def test_what_the_host_lacks_is_found(site: Site) -> None:
    """Processes, users, a socket."""
    shutil.rmtree(site.host / "proc")
    (site.host / "etc" / "group").unlink()
    (site.host / "run/containerd/containerd.sock").unlink()

    assert site.ids() == ["proc_missing", "socket_missing", "etc_missing"]


def test_an_empty_proc_is_no_proc(site: Site) -> None:
    """A mount point without its mount."""
    shutil.rmtree(site.host / "proc")
    (site.host / "proc").mkdir()

    assert site.ids() == ["proc_missing"]


def test_a_host_root_that_is_not_there_is_found(site: Site) -> None:
    """Once, not once for each file below."""
    shutil.rmtree(site.host)

    assert site.ids() == ["host_root_missing"]


def test_a_folder_in_place_of_a_socket_is_found(site: Site) -> None:
    """Docker makes one for a mount without a source."""
    (site.host / "run/crio/crio.sock").mkdir(parents=True)

    assert site.ids() == ["socket_is_a_folder"]


def test_a_runtime_that_is_not_asked_is_found(site: Site) -> None:
    """k0s beside a containerd that is."""
    site.put("run/k0s/containerd.sock", "")

    assert site.ids() == ["socket_not_asked"]


def test_a_socket_of_ones_own_that_is_not_there_is_found(site: Site) -> None:
    """Docker's is named, containerd's is reached."""
    site.write(changed({"plugins.0.init_config.engines": {"docker": {"enabled": True, "sockets": ["/run/mine.sock"]}}}))

    assert site.ids() == ["named_socket_missing"]


def test_users_of_a_directory_service_are_found(site: Site) -> None:
    """Falco reads files only."""
    site.put("etc/nsswitch.conf", "passwd: files sss\n")

    assert site.ids() == ["directory_users"]


def test_a_kubelet_without_the_cri_engine_is_found(site: Site) -> None:
    """Docker knows no pods."""
    site.put("run/docker.sock", "")
    site.put("var/lib/kubelet/config.yaml", "")
    site.write(
        changed({"plugins.0.init_config.engines": {"cri": {"enabled": False}, "containerd": {"enabled": False}}})
    )

    assert site.ids() == ["cri_off"]


def test_options_that_are_gone_are_found(site: Site) -> None:
    """They stop Falco."""
    assert site.ids("--falco-arguments=--cri /run/k3s/containerd/containerd.sock --disable-cri-async") == [
        "option_removed"
    ]


def test_a_plugin_that_is_not_installed_is_found(site: Site) -> None:
    """Beside the settings, where Falco's own root is."""
    plugins = site.falco.parent.parent / "usr/share/falco/plugins"
    plugins.mkdir(parents=True)

    assert site.ids() == ["container_plugin_missing"]

    (plugins / "libcontainer.so").touch()

    assert site.ids() == []


def test_a_file_that_replaces_the_metrics_block_is_found(site: Site) -> None:
    """With the built-in defaults that take the place of what was set."""
    site.write(changed({"config_files": ["/etc/falco/config.d"]}))
    site.write({"metrics": {"enabled": True}}, "config.d/10-mine.yaml")

    report = site.doctor()

    assert {"interval_invalid", "snapshots_not_written", "metrics_replaced"} <= {
        item["id"] for item in report["findings"]
    }
    (replaced,) = [item for item in report["findings"] if item["id"] == "metrics_replaced"]
    assert yaml.safe_load(replaced["yaml"]) == {"metrics": GOOD_METRICS}
    assert "10-mine.yaml" in replaced["fix"]


def test_a_tuned_engine_that_is_replaced_is_found(site: Site) -> None:
    """Falcoctl writes such a file; with the usual buffers nothing is lost."""
    site.write({"engine": {"kind": "modern_ebpf"}}, "config.d/engine-kind-falcoctl.yaml")
    site.write(changed({"config_files": ["/etc/falco/config.d"]}))
    assert site.ids() == []

    site.write(changed({"config_files": ["/etc/falco/config.d"], "engine.modern_ebpf.buf_size_preset": 7}))

    assert site.ids() == ["engine_replaced"]


STRATEGIES: Final = [
    ("append", [], ["container"], []),
    ("append", ["json"], ["container"], []),
    ("override", ["container"], ["json"], ["container_plugin_not_loaded"]),
    ("override", [], ["container"], []),
    ("add-only", [], ["container"], ["container_plugin_not_loaded"]),
    ("add-only", ["container"], [], []),
    ("append", ["container"], ["container"], ["container_plugin_twice"]),
]


@pytest.mark.parametrize(("strategy", "first", "second", "found"), STRATEGIES)
def test_settings_are_merged_as_falco_does(
    site: Site, strategy: str, first: list[str], second: list[str], found: list[str]
) -> None:
    """Sequences of the root are appended, replaced or kept."""
    plugins = [*GOOD["plugins"], {"name": "json", "library_path": "libjson.so"}]
    entry = {"path": "/etc/falco/more", "strategy": strategy}
    site.write(changed({"config_files": [entry], "load_plugins": first, "plugins": plugins}))
    site.write({"load_plugins": second}, "more/10.yaml")

    assert site.ids() == found


def test_files_of_a_folder_are_taken_in_the_order_of_their_names(site: Site) -> None:
    """Whatever they are called; the last one wins."""
    site.write(changed({"config_files": ["/etc/falco/config.d"]}))
    site.write({"json_output": False}, "config.d/20-last")
    site.write({"json_output": True}, "config.d/10-first.yaml")

    assert site.ids() == ["text_output"]


def test_a_file_that_includes_files_is_found(site: Site) -> None:
    """Falco refuses it."""
    site.write(changed({"config_files": ["/etc/falco/config.d"]}))
    site.write({"config_files": ["/etc/falco/other"]}, "config.d/a.yaml")

    assert site.ids() == ["falco_refuses"]


def test_an_earlier_falco_reads_no_further_files(site: Site) -> None:
    """config_files came with 0.38."""
    site.write(changed({**dict.fromkeys((*OLD, "falco_libs"), UNSET), "config_files": ["/etc/falco/config.d"]}))

    assert site.ids("--falco-arguments=-pk", version="0.37.1") == ["config_files_ignored"]


def test_options_of_the_command_line_win(site: Site) -> None:
    """As they do in Falco, with paths and appended items."""
    flags = "-o json_output=false -o metrics.interval=2h -o load_plugins[]=container --option=file_output.filename="

    assert site.ids(f"--falco-arguments={flags}") == [
        "file_output_unnamed", "container_plugin_twice", "interval_coarse", "text_output",
    ]  # fmt: skip


def test_a_variable_is_replaced(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """By this environment's value; one that is not here is said to be unknown."""
    monkeypatch.setenv("INTERVAL", "2h")
    site.write(changed({"metrics.interval": "${INTERVAL}", "priority": "${LEVEL}"}))

    report = site.doctor()

    assert [item["id"] for item in report["findings"]] == ["interval_coarse"]
    assert any("${LEVEL}" in item for item in report["not_checked"])


def test_rules_that_are_changed_count_as_changed(site: Site) -> None:
    """Disabled ones are none, an appended output is part of the output."""
    site.write(changed({"append_output": UNSET, "rules_files": ["/etc/falco/rules.yaml", "/etc/falco/rules.d"]}))
    assert site.ids() == ["containers_not_output"]

    rule = {
        "rule": "Read sensitive file",
        "output": "image=%container.image.repository",
        "override": {"output": "append"},
    }
    site.write([rule], "rules.d/10.yaml")

    assert site.ids() == []


def test_rules_without_users_or_parents_are_found(site: Site) -> None:
    """Nothing of them can be judged."""
    site.write([{"rule": "A", "output": "%container.image %proc.cmdline"}], "rules.yaml")
    site.write(changed({"append_output": UNSET}))

    assert site.ids() == ["rules_without_user_name", "rules_without_process_tree"]


def test_rules_that_cannot_be_read_are_said(site: Site) -> None:
    """The rest is looked at all the same."""
    site.write("- rule: [", "rules.yaml")

    report = site.doctor()

    assert report["findings"] == []
    assert any("rules.yaml" in item for item in report["not_checked"])


def test_a_config_map_is_taken_for_its_falco_yaml(site: Site) -> None:
    """As kubectl prints it."""
    data = {"falco.yaml": yaml.safe_dump(changed({"metrics.output_rule": False}))}
    site.write({"apiVersion": "v1", "kind": "ConfigMap", "data": data})

    assert site.ids() == ["snapshots_not_written"]


@pytest.mark.parametrize("name", ["0.36.2", "0.40.0", "0.44.1"])
def test_the_shipped_settings_lack_two_things(site: Site, name: str) -> None:
    """The version is known from the settings; snapshots and JSON are off."""
    shutil.rmtree(site.falco)
    shutil.copytree(SHIPPED / name, site.falco)

    report = site.doctor(version="")

    assert report["falco_version"] == name
    assert [item["id"] for item in report["findings"]] == ["metrics_disabled", "text_output"]
    assert yaml.safe_load(report["findings"][0]["yaml"])["metrics"]["output_rule"] is True


@pytest.mark.parametrize("name", ["0.36.2", "0.40.0", "0.44.1"])
def test_the_shipped_settings_are_mended_by_what_is_said(site: Site, name: str) -> None:
    """The lines of all findings, written into the main file, leave nothing to find."""
    shutil.rmtree(site.falco)
    shutil.copytree(SHIPPED / name, site.falco)
    document = yaml.safe_load(site.main.read_text())
    for finding in site.doctor()["findings"]:
        document = laid_over(document, yaml.safe_load(finding["yaml"]))

    site.write(document)

    assert site.ids(version=name) == []


def test_the_version_is_read_from_the_packages_of_the_host(site: Site) -> None:
    """Debian's database has it."""
    falco = "Package: falco\nStatus: install ok installed\nDescription: x\n more: y\nVersion: 0.43.1\n"
    site.put("var/lib/dpkg/status", f"Package: a\nVersion: 1\n\n{falco}\nPackage: b\nVersion: 2\n")

    assert site.doctor(version="")["falco_version"] == "0.43.1"


REFUSED: Final = [
    ("a: [", "cannot read"),
    ("- a\n- b\n", "mapping"),
    ("just text", "mapping"),
    ("a: &a\n  b: *a\n", "recursive"),
    ("[" * 5000, "deep"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_input_that_cannot_be_used_is_refused(
    site: Site, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    """With exit code 2 and the reason in a line."""
    site.write(text)

    assert cli.main(["doctor", f"--falco-config={site.main}"]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--falco-config=/nowhere/falco.yaml", "--falco-version=new", "--output=xml"])
def test_settings_that_are_none_are_refused(site: Site, flag: str) -> None:
    """Before anything is looked at."""
    assert cli.main(["doctor", f"--falco-config={site.main}", flag]) == 2


def test_nothing_is_changed(site: Site) -> None:
    """Not a file, not a time."""
    before = {path: path.lstat().st_mtime_ns for path in site.falco.parent.parent.rglob("*")}

    site.doctor()

    assert {path: path.lstat().st_mtime_ns for path in site.falco.parent.parent.rglob("*")} == before


def test_people_read_the_same_findings(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """With the lines to write, and with a hostile value as it stands."""
    site.write(changed({"metrics.interval": "[red]1h"}))

    assert cli.main(["doctor", f"--falco-config={site.main}", f"--host-root={site.host}"]) == 1
    text = capsys.readouterr().out
    assert "1. critical Falco does not start: the metrics interval is not one (interval_invalid)" in text
    assert "metrics.interval: [red]1h in" in text
    assert "             metrics:\n               interval: 1m\n" in text
