"""The output of ``hypertrace header`` compiles for any names of events, or the verb reports the name that is
impossible."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.requirements import require_tool
from tests.support.run import HTRUN
from tests.support.toolchain import GUEST_LIBRARY

_COMPILERS = {
    "gcc": ("c", ["c99", "gnu99", "c17", "gnu17", "c2x"]),
    "g++": ("c++", ["c++11", "gnu++11", "c++17", "c++20", "gnu++23"]),
    "clang": ("c", ["c99", "gnu17", "c2x"]),
}
_FLAGS = ["-Wall", "-Wextra", "-Werror", f"-I{GUEST_LIBRARY}", "-fsyntax-only"]
_KEYWORDS = (
    "auto register restrict inline _x alignas alignof bool constexpr false nullptr static_assert thread_local "
    "true typeof typeof_unqual asm catch char8_t char16_t char32_t class co_await co_return co_yield compl "
    "concept const_cast consteval constinit decltype delete dynamic_cast explicit export friend mutable "
    "namespace new noexcept operator private protected public reinterpret_cast requires static_cast template "
    "this throw try typeid typename using virtual wchar_t and and_eq bitand bitor not not_eq or or_eq xor "
    "xor_eq int double struct volatile while for if"
)
"""The keywords of C23 (6.4.1) and C++23 ([lex.key]) that older standards of C do not have, and some older keywords."""
_OWN = "slot data index index_ data_ uint64_t int64_t memcpy qemu_hypertrace qemu_hypertrace_data UINT64_C"
"""Names that the functions themselves use or used."""


def _macros(compiler: str, includes: str = "") -> set[str]:
    """The names that are predefined by ``compiler`` or defined in ``includes``, in any of its languages."""
    language, standards = _COMPILERS[compiler]
    found: set[str] = set()
    for standard in standards:
        words = [compiler, "-x", language, f"-std={standard}", f"-I{GUEST_LIBRARY}", "-O2", "-dM", "-E", "-"]
        done = subprocess.run(words, input=includes, capture_output=True, text=True, check=True)
        found |= {line.split()[1].partition("(")[0] for line in done.stdout.splitlines()}
    return found


def _header(directory: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    source = directory / "events.toml"
    source.write_text(text)
    words: list[str | Path] = [HTRUN.with_name("hypertrace"), "header", source, "-o", directory / "events.h", *options]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def _compile(directory: Path) -> None:
    for compiler, (language, standards) in _COMPILERS.items():
        require_tool(compiler, compiler)
        for standard in standards:
            words = [compiler, *_FLAGS, "-x", language, f"-std={standard}", "-"]
            includes = f'#include "{directory}/events.h"\n'
            done = subprocess.run(words, input=includes, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{compiler} -std={standard}\n{done.stderr}"


def _event(number: int, name: str, arguments: Iterable[str]) -> str:
    return f'[[event]]\nid = {number}\nname = "{name}"\nargs = {[f"{word}:i64" for word in arguments]}\n'


def test_arguments_may_be_any_words(tmp_path: Path) -> None:
    includes = (GUEST_LIBRARY / "qemu-hypertrace.h").read_text() + "#include <stdbool.h>\n#include <string.h>\n"
    predefined = _macros("gcc", includes) | _macros("g++", includes) | _macros("clang")
    assert {"linux", "unix", "NULL"} <= predefined
    words = sorted({word for word in predefined if not word.startswith("_")} | {*_KEYWORDS.split(), *_OWN.split()})
    assert len(words) > 150
    events = [
        _event(number, f"e{number}", words[place : place + 50]) for number, place in enumerate(range(0, len(words), 50))
    ]
    done = _header(tmp_path, "\n".join(events))
    assert (done.returncode, done.stderr) == (0, "")
    _compile(tmp_path)


def test_a_name_that_is_the_compilers_is_refused(tmp_path: Path) -> None:
    done = _header(tmp_path, _event(1, "io", ["__linux"]))
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == (
        "hypertrace: the argument '__linux' of the event 'io' can't be a name in C, where such names are the "
        "compiler's; rename it\n"
    )


def test_functions_that_would_have_a_meaning_are_refused(tmp_path: Path) -> None:
    predefined = _macros("gcc") | _macros("g++") | _macros("clang")
    words = {word for word in {*predefined, *_KEYWORDS.split()} if not word.startswith("_") and len(word) > 1}
    assert {"linux", "unix", "export", "typeid"} <= words
    for word in sorted(words):
        done = _header(tmp_path, _event(1, word[1:], []), "--prefix", word[0])
        assert (done.returncode, done.stderr) == (
            125,
            f"hypertrace: the event {word[1:]!r} would be {word}() in C, where {word} has a meaning; "
            "choose another --prefix\n",
        )


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (
            _event(1, "num_args", []),
            "the number of arguments and the event 'num_args' would both be trace_num_args in C; rename one",
        ),
        (
            _event(1, "a b", []) + _event(2, "a-b", []),
            "the event 'a b' and the event 'a-b' would both be trace_a_b in C; rename one",
        ),
        (
            '[[event]]\nid = 1\nname = "io"\nargs = ["kind:enum:READ=0"]\n' + _event(2, "io_kind_READ", []),
            "the event 'io' and the event 'io_kind_READ' would both be trace_io_kind_READ in C; rename one",
        ),
    ],
    ids=["number", "functions", "label"],
)
def test_two_of_one_name_are_refused(tmp_path: Path, events: str, message: str) -> None:
    done = _header(tmp_path, events)
    assert (done.returncode, done.stderr) == (125, f"hypertrace: {message}\n")
