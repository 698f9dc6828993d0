"""What alerts of a log looked like so far, and a decoder that takes nothing else.

A rule's alerts are alike: the same fields, a few hosts, users and programs. What was seen becomes a type for msgspec,
which then decodes and checks whole blocks at once. A block that has anything new in it is refused: it goes the general
way, which decodes whatever there may be, and is learned from.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from falco_enrichment_exporter.core.catalog import SYSCALL
from falco_enrichment_exporter.core.columns import Lens
from falco_enrichment_exporter.core.evidence import Counts, Evidence, is_judged
from falco_enrichment_exporter.core.forms import Form, Vocabulary, ignorable
from falco_enrichment_exporter.core.lines import Block
from falco_enrichment_exporter.core.records import Head, begins_with_object, is_internal

MOST_NAMES: Final = 256

RawKind = tuple[str | None, str | None, str | None, str | None]
"""Hostname, source, priority, rule as Falco wrote them."""

Alike = Any
"""An alert as the present schema has it."""


class Reader:
    """The decoder that a schema has become, and the counts of what it has decoded."""

    def __init__(
        self, heads: Mapping[str, Vocabulary], forms: Mapping[str, Form], others: Mapping[str, Vocabulary]
    ) -> None:
        names = sorted([*forms, *others])  # as Falco sorts them
        ignored = ignorable(forms.values())
        attributes = {name: f"field_{at}" for at, name in enumerate(names)}
        fields = msgspec.defstruct(
            "Fields",
            [
                (attribute, forms[name].type(ignored), *([UNSET] * forms[name].is_optional))
                if name in forms
                else (attribute, others[name].type if others[name].is_closed else Any, None)
                for name, attribute in attributes.items()
            ],
            rename={attribute: name for name, attribute in attributes.items()},
            forbid_unknown_fields=True,
            kw_only=True,
            gc=False,
        )
        alert = msgspec.defstruct(
            "Alert",
            [
                ("hostname", heads["hostname"].type | None, None),
                ("output_fields", fields),
                ("priority", heads["priority"].type),
                ("rule", heads["rule"].type),
            ],
            tag_field="source",
            tag=SYSCALL,
            kw_only=True,
            gc=False,
        )
        self._decoder = msgspec.json.Decoder(alert)
        self._has_any_rule = not heads["rule"].is_closed
        places = {name: at for at, name in enumerate(names)}
        self._lens = Lens({name: forms[name] for name in names if name in forms}, places, ignored)
        self.counts: Counter[tuple[Any, ...]] = Counter()  # by hostname, priority, rule, and the codes of the fields

    def decode(self, block: Block) -> list[Alike] | None:
        """Decode a block of alerts; None if it holds anything else."""
        if not begins_with_object(block):
            return None
        with block.view() as data:
            try:
                alerts: list[Alike] = self._decoder.decode_lines(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return None
        if self._has_any_rule and any(map(is_internal, {alert.rule for alert in alerts})):
            return None
        return alerts

    def count(self, alerts: Sequence[Alike]) -> None:
        """Count alerts by kind and by what their fields show."""
        hostnames, shown, priorities, rules = zip(*map(astuple, alerts), strict=True)
        codes = self._lens.codes(list(zip(*map(astuple, shown), strict=True)))
        self.counts.update(zip(hostnames, priorities, rules, *codes, strict=True))

    def drain(self) -> list[tuple[RawKind, Counts]]:
        """Return the counts by kind and evidence, and begin anew."""
        counts, self.counts = self.counts, Counter()
        found: defaultdict[RawKind, list[tuple[Evidence | None, int]]] = defaultdict(list)
        for key, count in counts.items():
            hostname, priority, rule = key[:3]
            found[hostname, SYSCALL, priority, rule].append((self._lens.evidence(key[3:]), count))
        return list(found.items())


class Schema:
    """Learns from alerts, and reads alerts like those. Bounded: where there are too many names, it begins anew."""

    def __init__(self) -> None:
        self.reader: Reader | None = None
        self._forget()

    def learn(self, heads: Sequence[Head]) -> bool:
        """Take in what alerts look like; say whether there is another reader now."""
        alerts = [head for head in heads if head.source == SYSCALL and head.rule is not None and head.output_fields]
        alerts = [head for head in alerts if not is_internal(head.rule or "")]
        shown = [head.output_fields or {} for head in alerts]
        names = {name for fields in shown for name in fields}
        if len(names | self._forms.keys() | self._others.keys()) > MOST_NAMES:
            self._forget()
        if not shown or len(names) > MOST_NAMES:
            return False
        is_new = self._learn_names(names) | self._learn_kinds(alerts)
        for name, form in self._forms.items():
            is_new |= form.widen([fields.get(name, UNSET) for fields in shown])
        for name, vocabulary in self._others.items():
            is_new |= vocabulary.widen([fields[name] for fields in shown if name in fields])
        if is_new:
            self.reader = Reader(self._heads, self._forms, self._others)
        return is_new

    def _learn_names(self, names: set[str]) -> bool:
        new = names - self._forms.keys() - self._others.keys()
        has_begun = bool(self._forms or self._others)
        for name in new:
            if is_judged(name):
                self._forms[name] = Form(name, is_optional=has_begun)  # alerts before these did not show it
            else:
                self._others[name] = Vocabulary()
        return bool(new)

    def _learn_kinds(self, alerts: Sequence[Head]) -> bool:
        is_new = False
        for name, vocabulary in self._heads.items():
            is_new |= vocabulary.widen({text for head in alerts if (text := getattr(head, name)) is not None})
        return is_new

    def _forget(self) -> None:
        self._heads = {name: Vocabulary(most_words=512, most_rounds=128) for name in ("hostname", "priority", "rule")}
        self._forms: dict[str, Form] = {}
        self._others: dict[str, Vocabulary] = {}  # of fields that are not judged
