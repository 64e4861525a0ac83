"""Values in a shell script: where quoting them is safe, and the refusal of every other place.

Quotes make one word of any text, but only where the shell reads plain words: in ``"{x}"`` they would be
characters like others, and a ``$(…)`` in the value would run. So a text may stand among plain words and
nowhere else. Numbers are not quoted, and may stand nearly anywhere.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from flopwise.workloads.command.interpreters import is_code
from flopwise.workloads.command.placeholders import Filling, Refused, Template, refuse_option

SEPARATORS = " \t\n;|&()<>"
COMMAND_STARTS = "\n;|&("
"""After one of these the next word names a program."""

KEEPS_NAMING = frozenset({"{", "!", "if", "then", "else", "elif", "do", "while", "until", "time", "exec", "command"})
KEEPS_NAMING |= {"nohup", "nice", "env", "sudo", "xargs", ".", "source"}
"""After one of these words the next one still names a program."""

SECOND_READINGS = ("`", "<<", "((", "[[")
"""Constructs that read their text again, or by rules of their own."""


class _Reader:
    """What the shell makes of a script, up to some character."""

    def __init__(self) -> None:
        self.quote = ""
        self.escaped = False
        self.comment = False
        self.word = ""
        self.words: list[str] = []
        self.names_program = True

    def read(self, text: str) -> None:
        """Go on reading literal text."""
        for character in text:
            self._read(character)

    def _read(self, character: str) -> None:
        if self.comment:
            self.comment = character != "\n"
        if self.escaped:
            self.escaped = False
            self.word += character
        elif character == "\\" and self.quote != "'":
            self.escaped = True
        elif self.quote:
            self.quote = "" if character == self.quote else self.quote
        elif not self.comment:
            self._plain(character)

    def _plain(self, character: str) -> None:
        if character in SEPARATORS:
            self._end_word()
            if character in COMMAND_STARTS:
                self.names_program, self.words = True, []
        elif character == "#" and not self.word:
            self.comment = True
        else:
            self.quote = character if character in "'\"" else ""
            self.word += character

    def _end_word(self) -> None:
        if not self.word:
            return
        self.words.append(self.word)
        self.names_program = self.names_program and self.word in KEEPS_NAMING
        self.word = ""

    def fill(self, value: Filling) -> None:
        """A value stands here, and belongs to the word."""
        self.word += value.text if value.is_plain else f"'{value.text}'"
        self.escaped = False

    def complaint(self) -> str | None:
        """Why no text may stand here."""
        if self.quote:
            return f"it stands inside {self.quote}…{self.quote}; drop those quotes, values are quoted already"
        if self.escaped:
            return "a backslash stands right before it; drop the backslash"
        if self.comment:
            return "it stands in a comment"
        if self.names_program and not self.word:
            return "it would name the program to run; a value never does"
        if is_code(self.words, self.word):
            return f"{self.words[0]} would run it as code"
        return None


def script(template: Template, fillings: Mapping[str, Filling]) -> str:
    """A script for ``/bin/sh -c`` with its values filled in, texts quoted.

    Raises:
        Refused: If a text stands where quoting does not make one word of it, or would become an option.

    Example:
        >>> from flopwise.workloads.command.placeholders import Hole
        >>> script(("echo --name=", Hole("x")), {"x": Filling("$(id) '", is_plain=False)})
        'echo --name=\\'$(id) \\'"\\'"\\'\\''
    """
    reader = _Reader()
    literal = "".join(piece for piece in template if isinstance(piece, str))
    again = next((mark for mark in SECOND_READINGS if mark in literal), None)
    done = ""
    for piece, following in zip(template, (*template[1:], ""), strict=True):
        if isinstance(piece, str):
            done += piece
            reader.read(piece)
            continue
        value = fillings[piece.name]
        if value.is_plain and isinstance(following, str) and following.startswith(("<", ">")):
            raise Refused(
                piece.name, f"stands right before {following[0]}, as a descriptor's number; put a space between"
            )
        done += _quoted(piece.name, value, reader, again)
        reader.fill(value)
    return done


def _quoted(name: str, value: Filling, reader: _Reader, again: str | None) -> str:
    if reader.word.endswith("$"):
        raise Refused(name, f"stands right after $, as a variable's name; write {{{name}}} alone")
    if value.is_plain:
        return value.text
    complaint = reader.complaint() or (f"the script holds {again}, where quoting is not safe" if again else None)
    if complaint:
        raise Refused(name, f"a text cannot be quoted here: {complaint}, or set env and use the variable")
    refuse_option(name, reader.word, value)
    quoted = shlex.quote(value.text)
    return quoted if quoted.startswith("'") else f"'{quoted}'"
