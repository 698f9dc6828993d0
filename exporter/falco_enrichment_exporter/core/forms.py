"""What the values of a field were like so far, as a narrow type that takes them all.

The type does most of the looking: what it does not admit need not be looked for among the values that it let through.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, IntEnum
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from falco_enrichment_exporter.core.domains import domain_of
from falco_enrichment_exporter.core.evidence import (
    ASSIGNED_FROM,
    BY_OTHERS,
    BY_VALUE,
    EXCUSING,
    FULL_ID_CHARS,
    MISSING,
    NULL,
    RELATED,
    Token,
    meaning_of_value,
    meanings,
)
from falco_enrichment_exporter.core.records import MAX_NAME_CHARS

ABSENT: Final = "absent"  # what UNSET means: the alert does not show the field
_MOST_NUMBER: Final = 1 << 62


class Vocabulary:
    """Values that were seen so far, as long as they are few and new ones do not come again and again.

    msgspec hands out known values without making them anew: they are faster to decode, to hash and to count.
    """

    def __init__(self, *, most_words: int = 32, most_rounds: int = 4) -> None:
        self.words: frozenset[Any] = frozenset()
        self.is_closed = True
        self._most_words = most_words
        self._rounds_left = most_rounds

    def widen(self, values: Iterable[Any]) -> bool:
        """Take in values; say whether that changes anything.

        If there are too many, or any that is neither a text nor a number, the vocabulary is open from then on.
        """
        if not self.is_closed:
            return False
        known = list(values)
        if not all(map(_is_word, known)):
            self.is_closed = False
            return True
        new = frozenset(known) - self.words
        if not new:
            return False
        self.words |= new
        self._rounds_left -= 1
        self.is_closed = len(self.words) <= self._most_words and self._rounds_left >= 0
        return True

    @property
    def type(self) -> Any:
        """The type that takes these values, and if it is open any text; none at all: null."""
        if not self.is_closed:
            return Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
        return Literal[tuple(sorted(self.words, key=repr))] if self.words else type(None)


def _is_word(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_NAME_CHARS
    return type(value) is int and abs(value) < _MOST_NUMBER


class _ByIdentity:
    __hash__ = object.__hash__  # that of an enumeration is a function in Python


class _Kind(IntEnum):
    """What the values are that are shown, the narrowest first."""

    WORDS = 0  # texts of a vocabulary
    NUMBERS = 1  # numbers of a vocabulary
    LONG = 2  # texts, longer than any that means something
    COUNT = 3  # numbers of no meaning
    TEXT = 4  # any texts
    ANY = 5


class Form:
    """The form of a judged field's values. It begins with no value at all, and only ever grows wider."""

    def __init__(self, name: str, *, is_optional: bool = False) -> None:
        self.name = name
        self._kind = _Kind.WORDS
        self._vocabulary = Vocabulary()
        self.is_nullable = False
        self.is_optional = is_optional
        self.is_short = name in BY_OTHERS  # shorter than the full id of a container
        texts = [value for value in meanings(name) if isinstance(value, str)]
        numbers = [value for value in meanings(name) if isinstance(value, int) and value < ASSIGNED_FROM]
        self._least_chars = 1 + max(map(len, texts))
        self._least_number = 1 + max(numbers, default=-1)

    def widen(self, values: Sequence[Any]) -> bool:
        """Take in what the field was in some alerts, UNSET where it was not shown; say whether the form has changed."""
        before = self._state
        shown = [value for value in values if value is not None and value is not UNSET]
        self.is_nullable = self.is_nullable or any(value is None for value in values)
        self.is_optional = self.is_optional or any(value is UNSET for value in values)
        self.is_short = self.is_short and all(len(x) < FULL_ID_CHARS for x in shown if isinstance(x, str))
        has_new_words = self.has_vocabulary and self._vocabulary.widen(x for x in shown if isinstance(x, str | int))
        seen = [*shown, *self._vocabulary.words]  # what went before is like the words, which are the first of it
        while not all(self._takes(value) for value in seen):
            self._kind = _Kind(self._kind + 1)
        return has_new_words or before != self._state

    def _takes(self, value: Any) -> bool:
        match self._kind:
            case _Kind.WORDS:
                return isinstance(value, str) and self._vocabulary.is_closed
            case _Kind.NUMBERS:
                return type(value) is int and self._vocabulary.is_closed
            case _Kind.LONG:
                return isinstance(value, str) and len(value) >= self._least_chars and self.name not in BY_VALUE
            case _Kind.COUNT:
                return type(value) is int and self._least_number <= value < ASSIGNED_FROM
            case _Kind.TEXT:
                return isinstance(value, str)
        return True

    @property
    def _state(self) -> object:
        return self._kind, self.is_nullable, self.is_optional, self.is_short

    @property
    def has_vocabulary(self) -> bool:
        """Say whether the type admits nothing but the values that were seen."""
        return self._kind in (_Kind.WORDS, _Kind.NUMBERS)

    @property
    def is_open(self) -> bool:
        """Say whether the type admits all texts, or all scalars."""
        return self._kind >= _Kind.TEXT

    @property
    def is_text(self) -> bool:
        """Say whether what the type admits are texts, apart from null and what is not shown."""
        return self._kind in (_Kind.WORDS, _Kind.LONG, _Kind.TEXT)

    @property
    def may_be_missing(self) -> bool:
        """Say whether the type admits anything that says nothing."""
        return self.name == "container.name" or not MISSING.isdisjoint(self.meanings().values())

    def type(self, ignored: frozenset[Token] = frozenset()) -> Any:
        """Return the type that takes the values so far; msgspec refuses others. Never lists and objects.

        Words of a vocabulary become what they mean, unless that is ignored.
        """
        most_chars = FULL_ID_CHARS - 1 if self.is_short else None
        parts: list[Any] = [type(None)] * self.is_nullable + [UnsetType] * self.is_optional
        if self.has_vocabulary:
            parts += [self._type_of_words(ignored)] if self._vocabulary.words else []
        elif self._kind is _Kind.LONG:
            parts += [Annotated[str, Meta(min_length=self._least_chars, max_length=most_chars)]]
        elif self._kind is _Kind.COUNT:
            parts += [Annotated[int, Meta(ge=self._least_number, lt=ASSIGNED_FROM)]]
        elif self._kind is _Kind.TEXT:
            parts += [Annotated[str, Meta(max_length=most_chars)]]
        else:
            parts += [Annotated[str, Meta(max_length=most_chars)], int, float, bool, type(None)]
        return reduce(or_, parts)

    def _type_of_words(self, ignored: frozenset[Token]) -> Any:
        words = self._vocabulary.words
        if self.name in RELATED:  # then it is compared with another field
            return Literal[tuple(sorted(words))]
        tokens = {word: meaning_of_value(self.name, word) for word in words}
        return words_that_mean({word: token if token not in ignored else None for word, token in tokens.items()})

    def meanings(self, ignored: frozenset[Token] = frozenset()) -> dict[Any, Token]:
        """Return the values that mean something by themselves, of those that the type admits."""
        found: dict[Any, Token] = dict(meanings(self.name)) if self.is_open else {}
        words = self._vocabulary.words if self.has_vocabulary else ()
        found |= {word: token for word in words if (token := meaning_of_value(self.name, word)) is not None}
        found = {value: token for value, token in found.items() if token not in ignored}
        found |= {None: NULL} if self.is_nullable else {}
        return found | ({UNSET: ABSENT} if self.is_optional else {})


def ignorable(forms: Iterable[Form]) -> frozenset[Token]:
    """Return what need not be told of alerts of these forms: what excuses, where nothing that it excuses is missing."""
    domains = {domain_of(form.name) for form in forms if form.may_be_missing}
    return frozenset(token for token, excused in EXCUSING.items() if excused.isdisjoint(domains))


def words_that_mean(tokens: Mapping[Any, Token]) -> Any:
    """Return an enumeration that takes these values; a member is named for what its values mean."""
    first = {str(token): value for value, token in tokens.items()}
    make: Any = Enum  # mypy wants to see the members
    words = make("Words", first, type=_ByIdentity)
    for value, token in tokens.items():
        words._value2member_map_[value] = words[str(token)]  # what msgspec decodes by; Python 3.13 has a name for it
    return words
