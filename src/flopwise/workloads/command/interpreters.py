"""Which argument an interpreter runs as code: ``bash -c HERE``, ``python -c HERE``, ``R -e HERE``."""

from __future__ import annotations

import re
from collections.abc import Sequence

INTERPRETER = re.compile(
    r"(ba|da|z|k|a|mk|pdk|fi)?sh|(t?c)sh|busybox|(python|pypy|perl|ruby|lua|php)[\d.]*|\{python\}|node(js)?|deno|bun"
    r"|R|Rscript|julia|octave|guile|racket|tclsh|sqlite3?|psql|mysql|su|ssh"
)
CODE = re.compile(r"-[A-Za-z]*[ceEprC]|--(eval|print|command|execute|exec|expression)")
CODE_INSIDE = re.compile(r"--(eval|print|command|execute|exec|expression)=")
WITH_VALUE = frozenset({"-X", "-W", "-o", "-O", "+o", "+O", "-I", "-M", "-r", "-l", "--rcfile", "--init-file"})
"""Options of interpreters that take the next argument."""


def is_code(before: Sequence[str], prefix: str = "") -> bool:
    """Whether a program would run what stands here, instead of taking it as a value.

    Args:
        before: The arguments before this one, the program first.
        prefix: What stands before it in the same argument.

    Example:
        >>> is_code(["bash", "-o", "pipefail", "-c"]), is_code(["python", "train.py", "-c"]), is_code(["eval"])
        (True, False, True)
    """
    for index, word in enumerate(before):
        if word == "eval":
            return True
        if INTERPRETER.fullmatch(word.rpartition("/")[2]) and _is_code_of_it(before[index + 1 :], prefix):
            return True
    return False


def _is_code_of_it(options: Sequence[str], prefix: str) -> bool:
    """The same for the arguments after an interpreter's name."""
    if CODE_INSIDE.match(prefix):
        return _are_options(options)
    return bool(options) and CODE.fullmatch(options[-1]) is not None and _are_options(options[:-1])


def _are_options(words: Sequence[str]) -> bool:
    """Whether a script's name has not come yet."""
    takes_next = False
    for word in words:
        if not takes_next and not word.startswith(("-", "+")):
            return False
        takes_next = not takes_next and word in WITH_VALUE
    return not takes_next
