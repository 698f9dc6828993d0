"""What a PromQL expression selects, from its syntax tree."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as promql


@dataclass(frozen=True)
class Selected:
    """One selector: the series, its matchers, and the innermost function around it."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]
    function: str


def selected(expression: str) -> list[Selected]:
    """Return all selectors of an expression. Raises ValueError if it does not parse."""
    return list(_walk(promql.parse(expression), ""))


def _walk(node: Any, function: str) -> Iterator[Selected]:
    if isinstance(node, promql.VectorSelector):
        matchers = tuple((str(m.op), str(m.name), str(m.value)) for m in node.matchers.matchers)
        yield Selected(str(node.name), matchers, function)
    elif isinstance(node, promql.MatrixSelector):
        yield from _walk(node.vector_selector, function)
    elif isinstance(node, promql.Call):
        for argument in node.args:
            yield from _walk(argument, node.func.name)
    elif isinstance(node, promql.BinaryExpr):
        yield from _walk(node.lhs, function)
        yield from _walk(node.rhs, function)
    elif isinstance(node, promql.AggregateExpr | promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        yield from _walk(node.expr, function)
