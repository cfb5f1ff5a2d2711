"""JMESPath, of users whom we do not know: bounded in length, in growth and in steps.

An expression cannot loop, but `[@,@][]|[@,@][]|…` doubles its input with each link. What can grow is seen
in the expression itself (`_growth`); what takes long on much data is cut off by counting steps and, for those
that look at a whole list or text at once, the processor's seconds.
"""

import json
import math
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jmespath
from jmespath import exceptions, functions, lexer, visitor

MAX_LENGTH = 500
MAX_GROWTH = 100
MAX_STEPS = 2_000_000
MAX_SECONDS = 15.0
MAX_JOINED = 200_000
MAX_ELEMENTS = 2_000_000
MISSING = object()

_PRODUCTS = frozenset(
    {
        "subexpression",
        "pipe",
        "projection",
        "value_projection",
        "filter_projection",
        "index_expression",
        "flatten",
    }
)


class ExpressionInvalid(ValueError):
    """The text is no JMESPath expression that we take; `str()` says why."""


class ExpressionFailed(Exception):
    """An expression does not fit the data, or takes too long on it."""


class Steps:
    """How many steps all expressions on one page may still take together, and until when by the clock of
    their thread's own work, which does not run while others work."""

    def __init__(self, most: int = MAX_STEPS, seconds: float = MAX_SECONDS) -> None:
        self.left = most
        self.until = time.thread_time() + seconds


class Expression:
    """A compiled expression; `expression(value, steps)` is what it finds, None for nothing."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree = _parsed(text)
        self.fields = _plain_fields(self._tree)
        self.growth = _growth(self._tree)
        self._find: Callable[[Any, Steps], Any] = (
            self._interpret if self.fields is None else self._descend
        )

    def __call__(self, value: Any, steps: Steps) -> Any:
        return self._find(value, steps)

    def is_missing(self, value: Any) -> bool:
        """Whether a plain path leads to no member at all, rather than to a null."""
        if self.fields is None:
            return False
        for field in self.fields:
            if not isinstance(value, dict) or field not in value:
                return True
            value = value[field]
        return False

    def _descend(self, value: Any, _steps: Steps) -> Any:
        for field in self.fields or ():
            if not isinstance(value, dict):
                return None
            value = value.get(field)
        return value

    def _interpret(self, value: Any, steps: Steps) -> Any:
        try:
            return _Interpreter(steps).visit(self._tree, value)
        except (exceptions.JMESPathError, ArithmeticError, TypeError, ValueError) as error:
            raise ExpressionFailed(f"{self.text}: {error}") from error
        except RecursionError:
            raise ExpressionFailed(f"{self.text}: nested too deep.") from None


@lru_cache(4096)
def compiled(text: str) -> Expression:
    """The expression of `text`; raises ExpressionInvalid."""
    return Expression(text)


class _Functions(functions.Functions):
    @functions.signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, glue: str, parts: list[str]) -> str:
        if sum(map(len, parts)) + len(glue) * len(parts) > MAX_JOINED:
            raise ExpressionFailed("join() would make too long a text.")
        return glue.join(parts)

    @functions.signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        """A piece at a time: quotes in quotes double the text with each level."""
        if isinstance(value, str):
            return value
        pieces, length = [], 0
        for piece in _ENCODER.iterencode(value):
            length += len(piece)
            if length > MAX_JOINED:
                raise ExpressionFailed("to_string() would make too long a text.")
            pieces.append(piece)
        return "".join(pieces)


_ENCODER = json.JSONEncoder(separators=(",", ":"))
# They may look at all of a list or text in one step.
_LONG_STEPS = frozenset({"function_expression", "comparator", "flatten", "slice"})


class _Interpreter(visitor.TreeInterpreter):
    def __init__(self, steps: Steps) -> None:
        super().__init__(jmespath.Options(custom_functions=_Functions()))
        self._steps = steps

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._steps.left -= 1
        if self._steps.left < 0:
            raise ExpressionFailed("The expressions take too many steps on one page.")
        if node["type"] in _LONG_STEPS and time.thread_time() > self._steps.until:
            raise ExpressionFailed("The expressions take too long on one page.")
        return super().visit(node, *args, **kwargs)

    def visit_flatten(self, node: Any, value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        if sum(len(one) if isinstance(one, list) else 1 for one in base) > MAX_ELEMENTS:
            raise ExpressionFailed("An expression would make too long a list.")
        found: Any = {"children": [{"type": "literal", "value": base}]}
        return super().visit_flatten(found, value)


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > MAX_LENGTH:
        raise ExpressionInvalid(f"An expression has at most {MAX_LENGTH} characters.")
    try:
        words = [token["value"] for token in lexer.Lexer().tokenize(text)]
        json.dumps(words, ensure_ascii=False).encode()
        tree: dict[str, Any] = {**jmespath.compile(text).parsed}
        growth = _growth(tree)
    except UnicodeEncodeError:
        raise ExpressionInvalid("A literal in it is no text: a lone surrogate.") from None
    except (exceptions.JMESPathError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise ExpressionInvalid(f"Not a JMESPath expression: {said}"[:300]) from None
    except RecursionError:
        raise ExpressionInvalid("The expression is nested too deep.") from None
    if growth > MAX_GROWTH:
        raise ExpressionInvalid("The expression repeats its input too often.")
    return tree


def _plain_fields(node: dict[str, Any]) -> tuple[str, ...] | None:
    """`a.b.c` as its names, `@` as none; None for all that is not so plain."""
    if node["type"] == "current":
        return ()
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] == "subexpression":
        parts = [_plain_fields(child) for child in node["children"]]
        if all(parts):
            return tuple(name for part in parts for name in part or ())
    return None


def _growth(node: dict[str, Any]) -> int:
    """How many copies of its input, at the most, are in what an expression finds."""
    inner = [_growth(child) for child in node.get("children", ()) if isinstance(child, dict)]
    kind = node["type"]
    if kind in _PRODUCTS:
        return math.prod(inner)
    if kind in ("multi_select_list", "multi_select_dict"):
        return max(sum(inner), 1)
    if kind == "function_expression":
        return max(math.prod(inner), sum(inner), 1)
    return max(inner, default=1)
