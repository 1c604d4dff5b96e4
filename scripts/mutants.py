"""Small faults for a module's source: what `scripts/mutation.py` asks the tests to notice.

A mutant differs from its module in one place: a comparison, a number, a call that is left out, two
statements swapped. Left alone is what only words a message, what is only for type checkers, and
how classes and caches are declared.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NAMES = {"max": "min", "min": "max", "any": "all", "all": "any", "ceil": "floor", "rint": "floor"}
_NAMES |= {"sum": "size", "argmax": "argmin", "maximum": "minimum", "minimum": "maximum"}
_NAMES |= {"startswith": "endswith", "removeprefix": "removesuffix", "partition": "rpartition"}
_SQL = {" DESC": " ASC", " AND ": " OR ", "MAX(": "MIN(", " > ": " >= ", "ORDER BY key, seq": ""}
_SQL |= {"ORDER BY seq": "ORDER BY key", "UNION ALL": "UNION", " IN ": " NOT IN ", " = ?": " != ?"}
# Of a statement, what tells nothing about its behaviour.
_SKIPPED = {"annotation", "returns", "decorator_list", "type_params", "ctx", "exc", "cause", "op"}


@dataclass(frozen=True, slots=True)
class Place:
    """A node that can be put elsewhere: list `index` of `field` (or the field) of its parent."""

    parent: ast.AST
    field: str
    index: int | None
    node: ast.AST
    lines: range  # of the statement that it belongs to
    function: str
    statements: bool = False  # the node is one statement of a body
    worded: bool = False  # inside an f-string

    def put(self, node: ast.AST) -> None:
        """Put another node there."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


@dataclass(frozen=True, slots=True)
class Mutant:
    """A faulty source, the function it is in ("" at the top) and the lines that were changed."""

    source: str
    function: str
    lines: range
    name: str  # what tells it from others, whatever line it is on


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, each once."""
    tree = ast.parse(source)
    seen, named = {ast.unparse(tree)}, Counter[str]()
    for place in list(_places(tree, Place(tree, "", None, tree, range(0), ""))):
        for new in _variants(place):
            changed, after = _put(tree, place, new)
            if changed not in seen:
                seen.add(changed)
                name = f"{place.function or '<module>'}: {_shown(place.node)} -> {after}"
                named[name] += 1
                name += f" #{named[name]}" if named[name] > 1 else ""
                yield Mutant(changed, place.function, place.lines, name)


def _put(tree: ast.AST, place: Place, new: ast.AST | tuple[ast.AST, ast.AST]) -> tuple[str, str]:
    """Return the source with the change, which is undone then, and the change in words."""
    if isinstance(new, tuple):  # put behind another
        body = getattr(place.parent, place.field)
        before, at = list(body), body.index(new[1])
        body.insert(at, body.pop(body.index(place.node)))
        changed, after = ast.unparse(tree), f"done after {_shown(new[1])}"
        body[:] = before
        return changed, after
    place.put(new)
    changed = ast.unparse(ast.fix_missing_locations(tree))
    place.put(place.node)
    return changed, _shown(new)


def _shown(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:100] or "empty"


def _places(node: ast.AST, here: Place) -> Iterator[Place]:
    for field, value in ast.iter_fields(node):
        if field in _SKIPPED:
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or _is_idle(child):
                continue
            inside = replace(
                here,
                parent=node,
                field=field,
                index=index if isinstance(value, list) else None,
                node=child,
                lines=_lines(child) if isinstance(child, ast.stmt) else here.lines,
                statements=isinstance(child, ast.stmt),
                worded=here.worded or isinstance(node, ast.JoinedStr),
            )
            yield inside
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inside = replace(inside, function=f"{here.function}.{child.name}".lstrip("."))
            yield from _places(child, inside)


def _lines(statement: ast.stmt) -> range:
    """Return the lines of a statement, or of the head of one that holds others."""
    body = getattr(statement, "body", None)
    stop = max(body[0].lineno, statement.lineno + 1) if body else (statement.end_lineno or 0) + 1
    return range(statement.lineno, stop)


def _is_idle(node: ast.AST) -> bool:
    """Tell whether nothing happens here: imports, docstrings, types, what is abstract."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.keyword) and node.arg == "strict":  # states what always holds
        return True
    typed = isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"
    made = isinstance(node, ast.Assign) and "TypeVar" in ast.unparse(node.value)
    return typed or made or isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


def _variants(place: Place) -> Iterator[ast.AST | tuple[ast.AST, ast.AST]]:
    node = place.node
    if place.statements:
        yield from _statements(place)
    elif isinstance(node, ast.Constant):
        yield from (ast.Constant(value) for value in _constants(node.value, place))
    elif not place.worded:
        for kind, changed in _CHANGES.items():
            if isinstance(node, kind):
                yield from changed(node)


def _compare(node: Any) -> Iterator[ast.AST]:
    for index, op in enumerate(node.ops):
        for other in _COMPARED[type(op)]:
            ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
            yield ast.Compare(node.left, ops, node.comparators)


def _bool_op(node: Any) -> Iterator[ast.AST]:
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for left in _shorter(node.values):
        yield ast.BoolOp(node.op, left) if len(left) > 1 else left[0]


def _bin_op(node: Any) -> Iterator[ast.AST]:
    if type(node.op) in _COMPUTED:
        yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)


def _call(node: Any) -> Iterator[ast.AST]:
    for left in _shorter(node.keywords):
        if {"strict"} != {word.arg for word in node.keywords} - {word.arg for word in left}:
            yield ast.Call(node.func, node.args, left)


def _name(node: Any) -> Iterator[ast.AST]:
    if node.id in _NAMES:
        yield ast.Name(_NAMES[node.id], node.ctx)


def _attribute(node: Any) -> Iterator[ast.AST]:
    if node.attr in _NAMES:
        yield ast.Attribute(node.value, _NAMES[node.attr], node.ctx)


def _slice(node: Any) -> Iterator[ast.AST]:
    for side in ("lower", "upper", "step"):
        if getattr(node, side) is not None:
            sides = {"lower": node.lower, "upper": node.upper, "step": node.step, side: None}
            yield ast.Slice(**sides)


def _comprehension(node: Any) -> Iterator[ast.AST]:
    for left in _shorter(node.ifs):
        yield ast.comprehension(node.target, node.iter, left, node.is_async)


def _shorter(values: list[Any]) -> Iterator[list[Any]]:
    """Yield the list without each of its values."""
    return (values[:index] + values[index + 1 :] for index in range(len(values)))


_CHANGES: dict[type[ast.AST], Callable[[Any], Iterator[ast.AST]]] = {
    ast.Compare: _compare,
    ast.BoolOp: _bool_op,
    ast.BinOp: _bin_op,
    ast.UnaryOp: lambda node: iter([node.operand]),
    ast.IfExp: lambda node: iter([node.body, node.orelse]),
    ast.Call: _call,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Slice: _slice,
    ast.comprehension: _comprehension,
    ast.Starred: lambda node: iter([ast.Starred(ast.Tuple([], ast.Load()), node.ctx)]),
}


def _constants(value: Any, place: Place) -> Iterator[Any]:
    if isinstance(value, str):
        for old, new in _SQL.items() if "SELECT" in value or " = ?" in value else ():
            for at in range(value.count(old)):
                parts = value.split(old)
                yield old.join(parts[: at + 1]) + new + old.join(parts[at + 1 :])
        if not place.worded:
            yield f"{value}XX"
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, bytes):
        yield value + b"XX"
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, float):
        yield from (value * 1.5 + 0.1, value * 0.6 - 0.01)


def _statements(place: Place) -> Iterator[ast.AST | tuple[ast.AST, ast.AST]]:
    node = place.node
    if isinstance(node, ast.If | ast.While):
        yield from _turned(node)
    elif isinstance(node, ast.Return) and node.value is not None:
        if ast.unparse(node.value) != "None":
            yield ast.Return(None)
    elif isinstance(node, ast.Raise | ast.Expr | ast.AugAssign | ast.Delete | ast.Continue):
        yield ast.Pass()
    if isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Break):
        yield from (ast.Continue(), ast.Pass())
    elif isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name):
        yield ast.Pass()
    elif isinstance(node, ast.AugAssign) and type(node.op) in _COMPUTED:
        yield ast.AugAssign(node.target, _COMPUTED[type(node.op)](), node.value)
    if place.index is not None and _acts(node):
        body = getattr(place.parent, place.field)
        yield from ((node, other) for other in body[place.index + 1 :][:2] if _acts(other))


def _turned(node: ast.If | ast.While) -> Iterator[ast.AST]:
    for test in (ast.UnaryOp(ast.Not(), node.test), ast.Constant(False)):
        yield type(node)(test, node.body, node.orelse)


def _acts(statement: ast.AST) -> bool:
    """Tell whether a statement calls something for its effect."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return False
    return any(isinstance(one, ast.Expr) for one in ast.walk(statement))
