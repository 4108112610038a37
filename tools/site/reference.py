"""The reference pages of the site: options of the commands and fields of their JSON, from the parsers and schemas."""

from __future__ import annotations

import argparse
import html
import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from htrun.commands.completed_line import described_options, help_of
from htrun.commands.hypertrace import parsers
from htrun.commands.options import HELP

_SECTION = re.compile(r"^(\S.*):$")


def pages() -> dict[str, str]:
    """The text of each page in Markdown, by its path on the site."""
    return {
        "reference/htrun.md": _htrun(),
        "reference/hypertrace.md": _hypertrace(),
        "reference/json.md": _json(),
    }


def _htrun() -> str:
    usage, description, *rest = HELP.split("\n\n")
    text = [f"# htrun\n\n```text\n{usage}\n```\n\n{description}\n"]
    for part in rest:
        title, _, options = part.partition("\n")
        section = _SECTION.match(title)
        if section is None:
            text.append(f"```text\n{part}\n```\n" if part.startswith(" ") else f"{part}\n")
        else:
            rows = [*described_options(options)]
            text.append(f"## {section[1]}\n\n{_table(rows) if rows else _literal(options)}")
    return "\n".join(text)


def _literal(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```\n"


def _hypertrace() -> str:
    parser, verbs = parsers()
    text = [f"# hypertrace\n\n{parser.description} `hypertrace VERB --help` prints the options of a verb.\n"]
    text.append(
        _table([(f"[{name}](#{name})", verb.description or "") for name, verb in verbs.items()], "verb", code=False)
    )
    for name, verb in verbs.items():
        text.append(f"## {name}\n\n{verb.description}\n")
        text.append(_literal(_usage(verb)))
        for group in verb._action_groups:
            rows = [(_words(action), help_of(action)) for action in group._group_actions if action.help is not None]
            if rows:
                text.append(f"**{(group.title or '').capitalize()}**\n\n{_table(rows)}")
        if verb.epilog:
            text.append(_epilog(verb.epilog))
    return "\n".join(text)


def _usage(verb: argparse.ArgumentParser) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", verb.format_usage()).removeprefix("usage: ")


def _words(action: argparse.Action) -> str:
    """The option as a user writes it, such as ``-o FILE, --output FILE``."""
    metavar = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    value = " ".join(metavar) if isinstance(metavar, tuple) else metavar
    if action.choices is not None and action.metavar is None:
        value = "|".join(map(str, action.choices))
    return ", ".join(f"{option} {value}".strip() for option in action.option_strings) or value


def _epilog(epilog: str) -> str:
    """Paragraphs are not changed, and indented lines become a block."""
    parts = re.split(r"\n[ \t]*\n", epilog.strip("\n"))
    return "\n".join(_literal(part) if re.search(r"^\s", part, re.MULTILINE) else f"{part}\n" for part in parts)


def _json() -> str:
    text = [
        "# JSON of the verbs\n\nEach report of `hypertrace` with `--json`, and htrun's `--summary`, has a schema, "
        "which is installed with the package in `htrun/reports/schemas`.\n"
    ]
    for file in sorted(resources.files("htrun.reports").joinpath("schemas").iterdir(), key=lambda each: each.name):
        schema = json.loads(file.read_text())
        rows = [(path, about) for path, about in _fields(schema, "", schema)]
        text.append(f"## {file.name}\n\n{schema['title']}\n\n{_table(rows, 'field')}")
    return "\n".join(text)


def _fields(schema: Mapping[str, Any], path: str, root: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each field of a schema, such as ``spans[].mean_ns``, with its type and description."""
    if "$ref" in schema:
        schema = {**root["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    if path:
        yield path, ": ".join(filter(None, [_type(schema), schema.get("description", "")]))
    for choice in schema.get("anyOf", ()):
        yield from list(_fields({**choice, "description": ""}, path, root))[1 if path else 0 :]
    for name, field in schema.get("properties", {}).items():
        yield from _fields(field, f"{path}.{name}".lstrip("."), root)
    if isinstance(schema.get("items"), dict):
        yield from list(_fields(schema["items"], f"{path}[]", root))[1:]


def _type(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kinds = [str(choice.get("type", "object")) for choice in schema.get("anyOf", ())]
    kind = schema.get("type", " or ".join(dict.fromkeys(kinds)))
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _table(rows: list[tuple[str, str]], head: str = "option", *, code: bool = True) -> str:
    lines = [f"| {head} | description |", "|---|---|"]
    for name, about in rows:
        shown = f"<code>{_cell(name)}</code>" if code else _cell(name)
        lines.append(f"| {shown} | {_cell(about)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False).replace("|", "&#124;")
