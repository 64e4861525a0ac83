"""Small expressions over a config: what constraints and derived values of a study are written in.

    model.n_embd % model.n_head == 0
    0.003 * sqrt(train.batch_size / 32)

They look like Python and are read by Python's parser, but nothing is ever executed: a whitelist says which
syntax there is, and a walker of our own computes it. Length, depth and the size of numbers are bounded, so
a hostile study file can neither reach anything nor keep the machine busy.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from flopwise.errors import ExpressionError
from flopwise.grammar import FUNCTIONS, KEY, LITERALS, MAX_BITS, Key, dotted, named_key, position, read

MAX_DIGITS = 15
"""Most digits that ``round`` can be asked for."""

Get = Callable[[str], Any]

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_ORDER: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class Expression:
    """An expression that has been read; made by :func:`parse`.

    Args:
        text: As it was written.
        keys: Every key it names, in order; a key that stands twice is listed twice.
    """

    text: str
    keys: tuple[Key, ...]
    _tree: ast.expr = field(repr=False, compare=False)

    @property
    def names(self) -> frozenset[str]:
        """The keys it depends on."""
        return frozenset(key.name for key in self.keys)

    def value(self, get: Get) -> Any:
        """What it comes to.

        Args:
            get: Dotted key to value.

        Raises:
            ExpressionError: If it has no value here (a division by zero, arithmetic on a text).

        Example:
            >>> parse("min(a.x, 3) ** 2").value({"a.x": 4}.get)
            9
        """
        return _Walk(self.text, get).value(self._tree)


def equal(first: Any, second: Any) -> bool:
    """Whether two plain values are the same: 1 is 1.0, but not true."""
    return isinstance(first, bool) is isinstance(second, bool) and bool(first == second)


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        ExpressionError: If it is not one, or is too long or too deep; names the position.

    Example:
        >>> [key.name for key in parse("model.n_embd % model.n_head == 0").keys]
        ['model.n_embd', 'model.n_head']
    """
    tree, keys = read(text)
    return Expression(text, keys, tree)


class _Walk:
    """Computes one expression for one config."""

    def __init__(self, text: str, get: Get) -> None:
        self._text = text
        self._get = get

    def value(self, node: ast.expr) -> Any:
        """The value of a node."""
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name() | ast.Attribute():
                name = dotted(self._text, node)
                return LITERALS[name] if name in LITERALS else self._get(name)
            case ast.Call():
                return self._call(node)
            case ast.BoolOp(op=op, values=values):
                return self._logic(isinstance(op, ast.Or), values)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._truth(operand)
            case ast.UnaryOp(op=op, operand=operand):
                number = self._number(operand)
                return -number if isinstance(op, ast.USub) else number
            case ast.BinOp():
                return self._computed(node, lambda: self._binary(node))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self._truth(test) else orelse)
            case ast.Compare():
                return self._comparison(node)
        raise self._error("this has no value", node)

    def _logic(self, stop: bool, values: list[ast.expr]) -> bool:
        """and / or: the first value that decides it decides it."""
        return next((stop for node in values if self._truth(node) is stop), not stop)

    def _comparison(self, node: ast.Compare) -> bool:
        """A chain ``a < b < c``: every link holds; what is not needed is not computed."""
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            if not self._holds(left, op, right):
                return False
            left = right
        return True

    def _holds(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool:
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(right, ast.List | ast.Tuple)
            found = any(equal(self.value(left), self.value(item)) for item in right.elts)
            return found is isinstance(op, ast.In)
        if isinstance(op, ast.Eq | ast.NotEq):
            return equal(self.value(left), self.value(right)) is isinstance(op, ast.Eq)
        return _ORDER[type(op)](self._number(left), self._number(right))

    def _binary(self, node: ast.BinOp) -> Any:
        left, right = self._number(node.left), self._number(node.right)
        if not isinstance(node.op, ast.Pow):
            return _ARITHMETIC[type(node.op)](left, right)
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > 2 * MAX_BITS:
            raise OverflowError
        return left**right

    def _call(self, node: ast.Call) -> Any:
        assert isinstance(node.func, ast.Name)
        if node.func.id == KEY:
            return self._get(named_key(self._text, node))
        arguments = [self._number(argument) for argument in node.args]
        if node.func.id == "round" and len(arguments) == 2:
            digits = arguments[1]
            if not isinstance(digits, int) or abs(digits) > MAX_DIGITS:
                raise self._error(f"round takes -{MAX_DIGITS} to {MAX_DIGITS} digits, got {digits}", node)
        function = FUNCTIONS[node.func.id][2]
        return self._computed(node, lambda: function(*arguments))

    def _computed(self, node: ast.expr, compute: Callable[[], Any]) -> Any:
        """A result that is a real number of bounded size."""
        try:
            result = compute()
        except ZeroDivisionError:
            raise self._error("a division by zero", node) from None
        except OverflowError:
            raise self._error("the result is too large", node) from None
        except ValueError:
            raise self._error("log and sqrt take numbers above zero", node) from None
        if isinstance(result, complex):
            raise self._error("a root of a negative number", node)
        if isinstance(result, int) and result.bit_length() > MAX_BITS:
            raise self._error("the result is too large", node)
        if not math.isfinite(result):
            raise self._error("the result is too large", node)
        return result

    def _number(self, node: ast.expr) -> Any:
        value = self.value(node)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(f"expected a number, got {_spelled(value)}", node)
        return value

    def _truth(self, node: ast.expr) -> bool:
        value = self.value(node)
        if not isinstance(value, bool):
            raise self._error(f"expected true or false, got {_spelled(value)}", node)
        return value

    def _error(self, message: str, node: ast.expr) -> ExpressionError:
        return ExpressionError(message, self._text, position(self._text, node))


def _spelled(value: Any) -> str:
    """A value as a study file spells it, cut short."""
    for name, literal in LITERALS.items():
        if value is literal:
            return name
    return repr(value)[:60]
