"""Alerts of one schema by columns: a field of many alerts is looked at in one go."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from itertools import repeat
from operator import eq
from typing import Any, Final

from msgspec import UNSET, UnsetType

from falco_enrichment_exporter.core.evidence import (
    BY_OTHERS,
    BY_VALUE,
    ECHO,
    IDENTITY,
    NULL,
    RELATED,
    SANDBOX_IDS,
    TOKENS,
    Evidence,
    Token,
    evidence,
    meaning_of,
    meaning_of_value,
)
from falco_enrichment_exporter.core.forms import ABSENT, Form

Columns = Sequence[Sequence[Any]]
"""The values of every field of some alerts; UNSET where an alert does not show the field."""

Code = Any
"""What a field means in an alert: a token, or what stands for one."""

_MOST_KNOWN: Final = 8192
_TYPE: Final = "container.type"
_NAME: Final = "container.name"
_NAMED: Final = {str(token): token for token in (None, *TOKENS)}


class Column:
    """One judged field: how to look at it, given what its type admits. ``at`` is its place among the columns."""

    def __init__(self, form: Form, places: Mapping[str, int], ignored: frozenset[Token], *, is_related: bool) -> None:
        self.name = form.name
        self._at = places[form.name]
        self._ignored = ignored
        self._meanings = meanings = form.meanings(ignored)
        needed = BY_OTHERS[form.name][0] if is_related else ()
        self._others = [(name, places[name]) for name in needed if name in places]
        self._is_telling = False
        self.look: Callable[[Columns], Iterable[Code]] | None = None  # None: what the type admits means nothing
        if is_related:
            self.look = self._relate
        elif form.is_open and form.name in BY_VALUE:
            self.look = self._look_at_values
        elif meanings and form.has_vocabulary and form.name not in RELATED:
            self.look = self._take
        elif meanings and meanings.keys() <= {None, UNSET}:
            self.look = self._look_at_types
        elif meanings:
            self.look = self._look_up

    def token(self, code: Code) -> Token:
        """Return the token that a code stands for."""
        if isinstance(code, Enum):
            return _NAMED[code.name]
        if isinstance(code, type):
            return {type(None): NULL, UnsetType: ABSENT}.get(code)
        codes: dict[Code, Token] = {None: NULL if self.look == self._take else None, UNSET: ABSENT}
        return codes.get(code, code)

    def _take(self, columns: Columns) -> Iterable[Code]:
        """Take what the decoder has made of it."""
        return columns[self._at]

    def _look_at_types(self, columns: Columns) -> Iterable[Code]:
        return map(type, columns[self._at])

    def _look_up(self, columns: Columns) -> Iterable[Code]:
        column = columns[self._at]
        if not self._is_telling and self._meanings.keys().isdisjoint(column):
            return repeat(None, len(column))
        self._is_telling = True
        return map(self._meanings.get, column)

    def _look_at_values(self, columns: Columns) -> Iterable[Code]:
        """Look at each value once: they are few."""
        column = columns[self._at]
        tokens = {value: self._kept(meaning_of_value(self.name, value)) for value in set(column)}
        return map((tokens | self._meanings).__getitem__, column)

    def _relate(self, columns: Columns) -> Iterable[Code]:
        return map(self._meaning, zip(*(columns[at] for _, at in self._others), strict=True))

    def _meaning(self, values: Sequence[Any]) -> Token:
        """Return what the field means in an alert, of which the fields that it depends on are given."""
        fields = {name: value for (name, _), value in zip(self._others, values, strict=True) if value is not UNSET}
        return self._kept(meaning_of(self.name, fields)) if self.name in fields else ABSENT

    def _kept(self, token: Token) -> Token:
        return token if token not in self._ignored else None


def _is_related(form: Form, forms: Mapping[str, Form]) -> bool:
    """Say whether a field may mean something together with others, by more than being equal to one of them."""
    if form.name == IDENTITY:
        return any(sandbox in forms for sandbox in SANDBOX_IDS)
    if form.name != _NAME or forms.keys().isdisjoint((_TYPE, IDENTITY)):
        return False
    return _TYPE in forms or not all(known.is_text and known.is_short for known in (form, forms[IDENTITY]))


class Lens:
    """The judged fields of a schema, and what becomes of them: a code each for those that can tell anything.

    One more tells whether the container's name is its id, where that is seen by their being equal.
    """

    def __init__(self, forms: Mapping[str, Form], places: Mapping[str, int], ignored: frozenset[Token]) -> None:
        related = {name for name, form in forms.items() if _is_related(form, forms)}
        columns = [Column(form, places, ignored, is_related=name in related) for name, form in forms.items()]
        self._names = [column.name for column in columns]
        self._telling = [column for column in columns if column.look is not None]
        self._looks = [column.look for column in columns if column.look is not None]
        if {_NAME, IDENTITY} <= forms.keys() and _NAME not in related:
            name, identity = places[_NAME], places[IDENTITY]
            self._looks.append(lambda columns: map(eq, columns[name], columns[identity]))
        self.evidence = lru_cache(_MOST_KNOWN)(self._evidence)

    def codes(self, columns: Columns) -> list[Iterable[Code]]:
        """Return what some alerts show: for each field that can tell anything, its code in each of them."""
        return [look(columns) for look in self._looks]

    def _evidence(self, codes: tuple[Code, ...]) -> Evidence:
        """Return the evidence that the codes of an alert stand for."""
        tokens: dict[str, Token] = dict.fromkeys(self._names)
        tokens |= {column.name: column.token(code) for column, code in zip(self._telling, codes, strict=False)}
        if len(codes) > len(self._telling) and codes[-1] and tokens[_NAME] is None:
            tokens[_NAME] = ECHO  # so it is of processes of the host, of which no name is expected
        shown = {name: token for name, token in tokens.items() if token != ABSENT}
        return evidence(tuple(shown), tuple(shown.values()))
