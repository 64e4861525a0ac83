"""What an expression may be made of: Python's parser reads it, a whitelist decides.

Nothing here computes anything; see :mod:`flopwise.expression`.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from flopwise.errors import ExpressionError

MAX_LENGTH = 500
"""Longest expression, in characters."""
MAX_NODES = 250
"""Most names, numbers and operators of one expression."""
MAX_DEPTH = 40
"""Deepest nesting."""
MAX_BITS = 1000
"""Whole numbers stay below 2**1000: every one of them fits a float."""

LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}
"""Names that are values, as YAML spells them; Python's True, False and None are read as well."""
FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "min": (2, 20, min),
    "max": (2, 20, max),
    "abs": (1, 1, abs),
    "round": (1, 2, round),
    "floor": (1, 1, math.floor),
    "ceil": (1, 1, math.ceil),
    "log": (1, 1, math.log),
    "sqrt": (1, 1, math.sqrt),
}
"""Name to fewest and most arguments, and what computes it."""

KEY = "key"
"""``key('a-b')`` names a key that could not be written plainly."""
_OPERATORS = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow),
    *(ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In, ast.NotIn),
)
_SIGNS = (ast.Not, ast.USub, ast.UAdd)
_GRAMMAR = (
    "expressions are made of numbers, 'texts', true, false, null, dotted keys, + - * / // % **, == != < <= > >=, "
    f"and, or, not, in [..], if else, and {', '.join(FUNCTIONS)}"
)


class Key(NamedTuple):
    """A key that an expression names, and where (from 1)."""

    name: str
    position: int


def read(text: str) -> tuple[ast.expr, tuple[Key, ...]]:
    """The syntax tree of an expression, and the keys it names in order.

    Raises:
        ExpressionError: If it is not one, or is too long or too deep; names the position.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"{len(text)} characters, expected at most {MAX_LENGTH}", text, MAX_LENGTH)
    if "#" in text:
        raise ExpressionError("expected no #: there are no comments inside", text, text.index("#") + 1)
    tree = _syntax(text)
    _check_size(text, tree)
    return tree, tuple(_keys(text, tree))


def _syntax(text: str) -> ast.expr:
    """Python's syntax tree, its positions those of the text."""
    flat = re.sub(r"[\t\n\r\f\v]", " ", text)
    blanks = len(flat) - len(flat.lstrip(" "))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(flat[blanks:], mode="eval").body
    except SyntaxError as error:
        end = len(text.rstrip()) + 1
        place = min(error.offset + blanks, len(text) + 1) if error.offset else end
        raise ExpressionError(_complaint(text, place, error.msg), text, place) from None
    except (ValueError, MemoryError, RecursionError):
        raise ExpressionError("not an expression, or nested too deep", text, 1) from None
    for node in ast.walk(body):
        if hasattr(node, "col_offset"):
            node.col_offset += blanks
    return body


def _complaint(text: str, place: int, message: str) -> str:
    if not text.strip():
        return "expected an expression, got nothing"
    if text[place - 1 : place] == "=":
        return "not an expression: a comparison is written =="
    if place > len(text.rstrip()):
        return "not an expression: it ends too early"
    return f"not an expression ({message})"


def _check_size(text: str, tree: ast.expr) -> None:
    """Bounded before anything walks it recursively."""
    level: list[ast.AST] = [tree]
    depth = count = 0
    while level:
        depth, count = depth + 1, count + sum(isinstance(node, ast.expr) for node in level)
        if depth > MAX_DEPTH or count > MAX_NODES:
            limit = f"at most {MAX_DEPTH} levels and {MAX_NODES} parts"
            raise ExpressionError(f"too large, expected {limit}", text, position(text, level[0]))
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]


def _keys(text: str, node: ast.expr) -> Iterator[Key]:
    """The keys below a node, in order; complains about syntax that is not ours."""
    match node:
        case ast.Name() | ast.Attribute():
            name = dotted(text, node)
            if name not in LITERALS:
                yield Key(name, position(text, node))
        case ast.Call():
            yield from _call_keys(text, node)
        case ast.Constant(value=value):
            _check_constant(text, node, value)
        case _:
            for child in _children(text, node):
                yield from _keys(text, child)


def _children(text: str, node: ast.expr) -> list[ast.expr]:
    """The operands of an operator."""
    match node:
        case ast.BoolOp(values=values):
            return values
        case ast.UnaryOp(op=op, operand=operand) if isinstance(op, _SIGNS):
            return [operand]
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _OPERATORS):
            return [left, right]
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return [body, test, orelse]
        case ast.Compare(left=left, ops=ops, comparators=others) if all(isinstance(op, _OPERATORS) for op in ops):
            return [left, *(inner for op, other in zip(ops, others, strict=True) for inner in _right(text, op, other))]
    raise ExpressionError(f"this is not allowed here: {_GRAMMAR}", text, position(text, node))


def _right(text: str, op: ast.cmpop, node: ast.expr) -> list[ast.expr]:
    """What stands right of a comparison: for ``in`` a list, and only there."""
    if not isinstance(op, ast.In | ast.NotIn):
        return [node]
    if isinstance(node, ast.List | ast.Tuple):
        return node.elts
    raise ExpressionError("expected a list such as [1, 2, 4] after `in`", text, position(text, node))


def _call_keys(text: str, node: ast.Call) -> Iterator[Key]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name == KEY:
        yield Key(named_key(text, node), position(text, node))
        return
    if name not in FUNCTIONS:
        wanted = f"expected one of the functions {', '.join(FUNCTIONS)}"
        raise ExpressionError(f"{wanted}, got {name or 'another call'}", text, position(text, node))
    least, most, _ = FUNCTIONS[name]
    if node.keywords or not least <= len(node.args) <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise ExpressionError(
            f"{name} takes {wanted} plain arguments, got {len(node.args) + len(node.keywords)}",
            text,
            position(text, node),
        )
    for argument in node.args:
        yield from _keys(text, argument)


def named_key(text: str, node: ast.Call) -> str:
    """The key of ``key('…')``."""
    match node:
        case ast.Call(args=[ast.Constant(value=str(name))], keywords=[]):
            return name
    raise ExpressionError("key takes one text, such as key('a-b')", text, position(text, node))


def _check_constant(text: str, node: ast.expr, value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ExpressionError("expected a finite number", text, position(text, node))
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ExpressionError("this number is too large", text, position(text, node))
    if value is not None and type(value) not in (bool, int, float, str):
        raise ExpressionError(f"this is not allowed here: {_GRAMMAR}", text, position(text, node))


def dotted(text: str, node: ast.expr) -> str:
    parts: list[str] = []
    here = node
    while isinstance(here, ast.Attribute):
        parts.append(here.attr)
        here = here.value
    if not isinstance(here, ast.Name):
        raise ExpressionError("a dot stands only inside a key such as model.n_layer", text, position(text, node))
    return ".".join((here.id, *reversed(parts)))


def position(text: str, node: ast.AST) -> int:
    """Where a node begins, in characters from 1 (the parser counts UTF-8 bytes)."""
    before = text.encode()[: getattr(node, "col_offset", 0)]
    return len(before.decode(errors="ignore")) + 1
