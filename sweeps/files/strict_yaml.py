"""YAML without its traps, as a tree whose every node knows the line it was written on.

Refused: duplicate keys, keys that are no text, anchors and aliases, tags, merge keys, numbers that mean something
else than they show (017, 1:30, 1_000), several documents, deep nesting. YAML 1.1 reads 1e-3 as text and no as false:
such a scalar keeps its own text in `Node.written`, so that a later complaint can say what happened.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from sweeps.problems import Problem, Problems

type_of: Callable[..., str] = yaml.resolver.Resolver().resolve
LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
NON_PRINTABLE = yaml.reader.Reader.NON_PRINTABLE
MAX_DEPTH = 20
PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?(e[-+][0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE)

Scalar = None | bool | int | float | str


@dataclass(frozen=True)
class Node:
    """A value of a YAML file with the place it was written.

    `field` is the dotted path; `line` that of a scalar itself, of the key for a mapping or list; `written` the
    text of an unquoted scalar.
    """

    value: "Scalar | dict[str, Node] | list[Node]"
    file: str
    line: int | None
    field: str
    written: str = ""

    @property
    def entries(self) -> "dict[str, Node]":
        """Keys and values of a mapping; none for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> "list[Node]":
        """Items of a list; none for anything else."""
        return self.value if isinstance(self.value, list) else []

    @property
    def plain(self) -> object:
        """The value without its places."""
        if isinstance(self.value, dict):
            return {key: node.plain for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain for node in self.value]
        return self.value

    def has(self, key: str | int) -> bool:
        """Say whether a mapping has this key, or a list this index."""
        return key in self.entries if isinstance(key, str) else key < len(self.items)

    def at(self, key: str | int) -> "Node":
        """Return an entry or item; one that is not there is a null at this node's line."""
        if self.has(key):
            return self.entries[key] if isinstance(key, str) else self.items[key]
        return Node(None, self.file, self.line, joined(self.field, key))

    def problem(self, message: str, hint: str = "") -> Problem:
        """Return a problem at this node's place."""
        return Problem(self.file, self.line, self.field, message, hint)


def joined(field: str, key: str | int) -> str:
    """Return the dotted path of an entry (`crop.sigma`) or item (`seeds[0]`)."""
    if isinstance(key, int):
        return f"{field}[{key}]"
    return f"{field}.{key}" if field else key


def as_node(value: Any, file: str, field: str = "") -> Node:
    """Return plain mappings, lists and scalars that were not written as YAML as a tree; its nodes know no line."""
    if isinstance(value, dict):
        value = {key: as_node(each, file, joined(field, key)) for key, each in value.items()}
    elif isinstance(value, list):
        value = [as_node(each, file, joined(field, index)) for index, each in enumerate(value)]
    return Node(value, file, None, field)


def parse(text: str, file: str) -> Node:
    """Return the mapping that a YAML text holds, or raise Problems. `file` is its name in messages."""
    if unprintable := NON_PRINTABLE.search(text):
        line = text.count("\n", 0, unprintable.start()) + 1
        raise Problems([Problem(file, line, "", f"the character {unprintable[0]!r} is not allowed", "remove it")])
    reader = _Reader(text, file)
    try:
        root = reader.document()
    except yaml.MarkedYAMLError as error:
        raise Problems([*reader.problems, _syntax_problem(error, text, file)]) from None
    if not reader.problems and not isinstance(root.value, dict):
        reader.problems.append(root.problem("the file must be a mapping of sweep fields", "such as name: my-sweep"))
    if reader.problems:
        raise Problems(reader.problems)
    return root


class _Reader:
    """Builds nodes from parser events; composing them first would recurse without a limit on hostile nesting."""

    def __init__(self, text: str, file: str) -> None:
        self.events: Iterator[yaml.Event] = yaml.parse(text, Loader=LOADER)
        self.file = file
        self.problems: list[Problem] = []

    def document(self) -> Node:
        next(self.events)  # start of the stream
        if isinstance(next(self.events), yaml.StreamEndEvent):
            raise Problems([Problem(self.file, 1, "", "the file is empty", "see `softaug schema` for the format")])
        root = self.node(next(self.events), "", None, depth=0)
        next(self.events)  # end of the document
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            self.complain(after, "", "a second document starts here", "one sweep per file; remove the ---")
        return root

    def node(self, event: yaml.Event, field: str, key_line: int | None, depth: int) -> Node:
        line = _line(event)
        self.refuse_indirection(event, field)
        if depth > MAX_DEPTH:
            raise Problems([Problem(self.file, line, "", f"nested more than {MAX_DEPTH} levels deep")])
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self.entries(field, depth), self.file, key_line or line, field)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self.list_items(field, depth), self.file, key_line or line, field)
        if isinstance(event, yaml.ScalarEvent):
            written = event.value if event.implicit[0] else ""
            return Node(self.scalar(event, field), self.file, line, field, written)
        return Node(None, self.file, line, field)  # an alias, already refused

    def entries(self, field: str, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            line = _line(event)
            key = self.key(event, field, depth)
            node = self.node(next(self.events), joined(field, key), line, depth + 1)
            if key in entries:
                self.complain(event, joined(field, key), f"the key {key} stands in lines {lines[key]} and {line}")
            entries.setdefault(key, node)
            lines.setdefault(key, line)
        return entries

    def key(self, event: yaml.Event, field: str, depth: int) -> str:
        node = self.node(event, field, None, depth + 1)
        if node.written == "<<":
            self.complain(event, field, "merge keys (<<) are not allowed", "write the values out")
        elif not isinstance(node.value, str):
            quote = f"write '{node.written}'" if node.written else "write a word before the colon"
            self.complain(event, field, f"a key must be text, got {shown(node)}", quote)
        return str(node.value)

    def list_items(self, field: str, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, joined(field, len(items)), None, depth + 1))
        return items

    def scalar(self, event: yaml.ScalarEvent, field: str) -> Scalar:
        text = event.value
        tag = type_of(yaml.ScalarNode, text, event.implicit).rpartition(":")[2]
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() in ("true", "yes", "on")
        if tag in ("int", "float"):
            return self.number(event, field)
        return text

    def number(self, event: yaml.ScalarEvent, field: str) -> int | float:
        text = event.value
        if not PLAIN_NUMBER.fullmatch(text):
            self.complain(event, field, f"{text} is not read as it looks", "write a plain decimal number, or quote it")
            return 0
        if len(text) > 40:
            self.complain(event, field, f"a number of {len(text)} characters", "at most 40")
            return 0
        if text.lstrip("+-").isdigit():
            return int(text)
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))

    def refuse_indirection(self, event: yaml.Event, field: str) -> None:
        if isinstance(event, yaml.AliasEvent):
            self.complain(event, field, f"the alias *{event.anchor} is not allowed", "write the value out")
        elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self.complain(event, field, f"the anchor &{event.anchor} is not allowed", "remove it")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            self.complain(event, field, f"the tag {event.tag} is not allowed", "remove it; quote what is text")

    def complain(self, event: yaml.Event, field: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.file, _line(event), field, message, hint))


def shown(node: Node) -> str:
    """Return a node's value in the words of a message."""
    match node.value:
        case None:
            return "nothing"
        case bool():
            return f"the boolean {str(node.value).lower()}"
        case str() if len(node.value) > 40:
            return f"the text '{node.value[:40]}…'"
        case str():
            return f"the text '{node.value}'"
        case dict():
            return "a mapping" if node.value else "an empty mapping"
        case list():
            return "a list" if node.value else "an empty list"
        case number:
            return node.written or str(number)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = error.problem_mark
    line, column, index = (mark.line, mark.column, mark.index) if mark else (0, 0, 0)
    if text[index : index + 1] == "\t":
        return Problem(file, line + 1, "", f"a tab in column {column + 1}", "indent with spaces")
    what = ", ".join(part for part in (error.problem, error.context) if part)
    return Problem(file, line + 1, "", f"not YAML, column {column + 1}: {what}")
