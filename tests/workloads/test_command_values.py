"""Values on their way into a program: they arrive as they are, or are refused before anything starts."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.workloads.command.arguments import arguments, unfit_variable, variables
from flopwise.workloads.command.config import CommandConfig
from flopwise.workloads.command.interpreters import is_code
from flopwise.workloads.command.placeholders import NAME, Filling, Refused, TemplateError, filling, parse

PIECES = [
    *(
        "'",
        '"',
        "\\",
        "`",
        "$",
        "$(touch PWNED)",
        "`touch PWNED`",
        "${HOME}",
        "$HOME",
        "%s",
        "%n",
        "!",
        "!!",
        "~",
        "*",
        "?",
    ),
    *("[a]", "{a,b}", "|", "||", "&", "&&", ";", ";;", "<", ">", ">>", "(", ")", "#", "\n", "\r\n", "\t", " ", "\x01"),
    *(
        "\x1b[31m",
        "\x7f",
        "\u00e9",
        "e\u0301",
        "\u202e",
        "\u2028",
        "\ufeff",
        "\U0001f600",
        "\uffff",
        "日本",
        "--",
        "-",
        "-rf",
    ),
    *(
        "--help",
        "--",
        "=",
        "@file",
        "../../etc/passwd",
        "/",
        "a" * 3000,
        "; touch PWNED",
        "'; touch PWNED; '",
        '"; touch PWNED; "',
    ),
]
HANDMADE = [
    *PIECES,
    "",
    "null",
    "true",
    "1e-5",
    "-1",
    "{lr}",
    "{{lr}}",
    "}",
    "\\'",
    "a\\",
    "-\n-",
    "\n-rf",
    "$'\\n'",
    "$((1))",
]


def hostile() -> list[str]:
    """200 texts, the same every time."""
    stream = random.Random(20)
    texts = list(dict.fromkeys(HANDMADE))
    while len(texts) < 200:
        text = "".join(stream.choices(PIECES, k=stream.randint(1, 6)))
        texts += [text] if text not in texts else []
    return texts


def texts(value: Any, *argv: Any, **settings: Any) -> list[str]:
    config = CommandConfig.model_validate({"argv": ["program", *argv], "params": {"x": value}, **settings})
    return arguments(config, {"x": filling("x", value)})


def received(command: list[str], folder: Path) -> list[bytes]:
    """The arguments as another process sees them: ``printf`` ends each with a NUL."""
    done = subprocess.run([a.encode() for a in command], cwd=folder, stdout=subprocess.PIPE, check=True, env={})
    return done.stdout.split(b"\0")[:-1]


def test_two_hundred_hostile_values_arrive_byte_identical_in_argv(tmp_path: Path) -> None:
    values = hostile()
    assert len(values) == len(set(values)) == 200
    for value in values:
        command = texts(value, "%s\\0", "--x={x}", "--", "{x}")
        got = received(["/usr/bin/printf", *command[1:]], tmp_path)
        assert got == [b"--x=" + value.encode(), b"--", value.encode()], repr(value)
    assert list(tmp_path.iterdir()) == []


def test_two_hundred_hostile_values_arrive_byte_identical_through_a_shell(tmp_path: Path) -> None:
    for value in hostile():
        command = CommandConfig.model_validate(
            {"argv": ["/usr/bin/printf '%s\\0' --x={x} --y={x}{x} | cat"], "shell": True}
        )
        got = received(arguments(command, {"x": filling("x", value)}), tmp_path)
        assert got == [b"--x=" + value.encode(), b"--y=" + value.encode() * 2], repr(value)
    assert list(tmp_path.iterdir()) == []


@given(value=st.text(max_size=50))
@settings(max_examples=300, deadline=None)
def test_a_text_at_the_start_of_an_argument_is_never_an_option(value: str) -> None:
    try:
        done = texts(value, "{x}")
    except Refused:
        assert value.startswith("-") or "\0" in value
    else:
        assert done == ["program", value]
        assert not value.startswith("-")


@given(
    value=st.text(alphabet="'\"\\`$(){}|&;<> \n#-=ab", max_size=12),
    before=st.text(alphabet="'\"\\ \n#-=a$", max_size=6),
)
@settings(max_examples=150, deadline=None)
def test_a_shell_gets_one_word_or_nothing_wherever_the_placeholder_stands(value: str, before: str) -> None:
    """``set --`` counts the words of a template that is sound for a plain ``a``: the value must not change how many."""
    config = CommandConfig.model_validate({"argv": [f"set -- {before}{{x}}; echo $#"], "shell": True})
    try:
        command = arguments(config, {"x": filling("x", value)})
    except Refused:
        return
    plain = arguments(config, {"x": filling("x", "a")})
    counts = [subprocess.run(c, capture_output=True, check=False).stdout for c in (plain, command)]
    assert counts[0] == counts[1]


def test_numbers_may_be_negative_and_stand_anywhere() -> None:
    assert texts(-1e-05, "{x}") == ["program", "-1e-05"]
    assert texts(9, "-{x}") == ["program", "-9"]
    assert texts(0.5, "-c", "f({x})") == ["program", "-c", "f(0.5)"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["{x}"], "read as an option"),
        (["{x}.txt"], "read as an option"),
        (["-{x}"], "another option"),
        (["--{x}"], "another option"),
        (["--na{x}=1"], "another option"),
        (["-v{x}"], "another option"),
    ],
)
def test_a_text_becomes_no_option(argv: list[str], says: str) -> None:
    with pytest.raises(Refused, match=says):
        texts("-rf", *argv)


def test_behind_an_equals_sign_or_two_dashes_a_dash_is_harmless() -> None:
    assert texts("-rf", "--x={x}", "a{x}", "--", "{x}") == ["program", "--x=-rf", "a-rf", "--", "-rf"]
    with pytest.raises(Refused):
        texts("-rf", "{x}", "--")


@pytest.mark.parametrize(
    "argv",
    [
        ["bash", "-c", "echo {x}"],
        ["/bin/sh", "-ec", "{x}"],
        ["bash", "-o", "pipefail", "-c", "a {x}"],
        ["nice", "-n", "5", "bash", "-c", "a {x}"],
        ["{python}", "-c", "print('{x}')"],
        ["python3.11", "-X", "utf8", "-c", "print('{x}')"],
        ["Rscript", "-e", "f('{x}')"],
        ["node", "--eval", "{x}"],
        ["node", "--eval={x}"],
        ["perl", "-ne", "{x}"],
    ],
)
def test_a_text_becomes_no_code(argv: list[str]) -> None:
    config = CommandConfig.model_validate({"argv": argv})
    fillings = {"python": Filling(sys.executable, False), "x": filling("x", "a")}
    with pytest.raises(Refused, match="code"):
        arguments(config, fillings)
    arguments(config, {**fillings, "x": filling("x", 3)})


@pytest.mark.parametrize(
    "argv",
    [["python", "t.py", "-c", "{x}"], ["prog", "-e", "{x}"], ["bash", "-c", "f $1", "sh", "{x}"], ["bash", "{x}"]],
)
def test_what_is_no_code_is_let_through(argv: list[str]) -> None:
    config = CommandConfig.model_validate({"argv": argv})
    assert arguments(config, {"x": filling("x", "a b")})[-1] == "a b"


def test_finding_code_looks_at_the_interpreters_own_options_only() -> None:
    assert is_code(["bash", "-x", "-c"])
    assert not is_code(["bash", "script.sh", "-c"])
    assert not is_code(["python", "--config=c", "train.py"], "--eval=")


@pytest.mark.parametrize(
    "script",
    [
        'echo "{x}"',
        "echo '{x}'",
        "echo `cat {x}`",
        "echo \\{x}",
        "cat <<E\n{x}\nE",
        "echo a # {x}",
        "echo $(({x}))",
        "[[ {x} = a ]]",
        "{x} --fast",
        "true; {x}",
        "if {x}; then true; fi",
        "true | nice {x}",
        "eval echo {x}",
        "bash -c {x}",
        'echo "$(cat {x})"',
        "rm {x}",
        "rm -f{x}",
        "echo ${x}",
    ],
)
def test_a_script_takes_no_text_where_quoting_is_not_safe(script: str) -> None:
    config = CommandConfig.model_validate({"argv": [script], "shell": True})
    with pytest.raises(Refused):
        arguments(config, {"x": filling("x", "-rf")})


@pytest.mark.parametrize("script", ["echo {x}>out", "echo ${x}", "cat {x}<in"])
def test_a_number_in_a_script_becomes_neither_descriptor_nor_variable(script: str) -> None:
    config = CommandConfig.model_validate({"argv": [script], "shell": True})
    with pytest.raises(Refused, match="right"):
        arguments(config, {"x": filling("x", 2)})


def test_a_comment_ends_with_its_line_and_quotes_end_with_their_mate() -> None:
    script = "# it's a comment\necho \"it's\" 'a \" b' --x={x} | cat > {x}.txt"
    config = CommandConfig.model_validate({"argv": [script], "shell": True})
    assert arguments(config, {"x": filling("x", "a b")})[2].endswith("--x='a b' | cat > 'a b'.txt")


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x" * 40_000, None])
def test_what_no_argument_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(Refused):
        filling("x", value)


def test_all_arguments_together_are_bounded() -> None:
    with pytest.raises(Refused, match="together"):
        texts("x" * 30_000, *["--x={x}"] * 10)


def test_values_read_as_they_are_written() -> None:
    values = {"a": 0.001, "b": 1e-05, "c": True, "d": 3, "e": [1, "é"], "f": 1e22, "g": 0.1 + 0.2}
    done = {name: filling(name, value).text for name, value in values.items()}
    assert done == {
        "a": "0.001",
        "b": "1e-05",
        "c": "true",
        "d": "3",
        "e": '[1,"é"]',
        "f": "1e+22",
        "g": repr(0.1 + 0.2),
    }
    assert all(float(done[name]) == values[name] for name in ("a", "b", "d", "f", "g"))


@given(name=st.text(max_size=70))
@settings(max_examples=300, deadline=None)
def test_names_are_what_the_rule_says(name: str) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
    fits = 0 < len(name) <= 64 and name[0] in letters and all(c in letters + "0123456789.-" for c in name)
    assert bool(NAME.fullmatch(name)) == fits


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "FLOPWISE_SEED", "FLOPWISE_RUN"),
        *("BASH_ENV", "BASH_FUNC_ls%%", "IFS", "DYLD_INSERT_LIBRARIES", "NODE_OPTIONS", "PERL5LIB", "OMP_NUM_THREADS"),
        *("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "A=B", "A B", "1A", "", "A\nB", "É"),
    ],
)
def test_variables_that_matter_are_refused(name: str) -> None:
    assert unfit_variable(name)


def test_other_variables_are_taken_and_filled_in() -> None:
    assert unfit_variable("LR") is None and unfit_variable("PATHWAY") is None
    config = CommandConfig.model_validate({"argv": ["p"], "env": {"LR": "-{x}-"}})
    assert variables(config, {"x": filling("x", "-a $b\n")}) == {"LR": "--a $b\n-"}


@pytest.mark.parametrize("text", ["{", "}", "{}", "{1}", "{a b}", "{a:d}", "{{x}", "awk {print $1}"])
def test_lone_braces_are_errors(text: str) -> None:
    with pytest.raises(TemplateError, match="lone"):
        parse(text)
