"""Strict YAML: the same values as PyYAML reads, with places, and every trap a problem in its line."""

from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.files.strict_yaml import parse
from sweeps.problems import Problems

TEXT = """\
name: a            # a comment
base:
  lr: 0.1
  flags: [yes, ~, "no", 3]
long: >
  folded
  text
empty:
last: -.5
"""


def complaints(text: str) -> list[str]:
    with pytest.raises(Problems) as caught:
        parse(text, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_values_are_those_of_pyyaml() -> None:
    assert parse(TEXT, "f.yaml").plain == yaml.safe_load(TEXT)


def test_every_node_knows_its_line_and_path() -> None:
    root = parse(TEXT, "f.yaml")
    places = [root.at("base"), root.at("base").at("lr"), root.at("base").at("flags").at(1), root.at("last")]
    assert [(node.line, node.field) for node in places] == [
        (2, "base"),
        (3, "base.lr"),
        (4, "base.flags[1]"),
        (9, "last"),
    ]


def test_a_missing_entry_is_a_null_in_its_parents_line() -> None:
    missing = parse(TEXT, "f.yaml").at("base").at("momentum")
    assert (missing.value, missing.line, missing.field) == (None, 2, "base.momentum")


def test_only_unquoted_scalars_keep_what_was_written() -> None:
    flags = parse(TEXT, "f.yaml").at("base").at("flags").items
    assert [node.written for node in flags] == ["yes", "~", "", "3"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f.yaml:1: the file is empty (see `softaug schema` for the format)"),
        ("# nothing\n", "f.yaml:1: the file is empty (see `softaug schema` for the format)"),
        ("- a\n- b\n", "f.yaml:1: the file must be a mapping of sweep fields (such as name: my-sweep)"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3: a: the key a stands in lines 1 and 3"),
        ("x:\n  a: 1\n  a: 3\n", "f.yaml:3: x.a: the key a stands in lines 2 and 3"),
        ("ä: 1\na:\n\tb: 1\n", "f.yaml:3: a tab in column 1 (indent with spaces)"),
        ("a: [1, 2\n", "f.yaml:2: not YAML, column 1: did not find expected ',' or ']', while parsing a flow sequence"),
        ("a: b: c\n", "f.yaml:1: not YAML, column 5: mapping values are not allowed in this context"),
        ("a: 1\n---\nb: 1\n", "f.yaml:2: a second document starts here (one sweep per file; remove the ---)"),
        ("a: &x 1\n", "f.yaml:1: a: the anchor &x is not allowed (remove it)"),
        (
            "a: !!python/name:os.system x\n",
            "f.yaml:1: a: the tag tag:yaml.org,2002:python/name:os.system is not allowed",
        ),
        ("<<: {a: 1}\n", "f.yaml:1: merge keys (<<) are not allowed (write the values out)"),
        ("a: 1\nno: 2\n", "f.yaml:2: a key must be text, got the boolean false (write 'no')"),
        ("1: 2\n", "f.yaml:1: a key must be text, got 1 (write '1')"),
        ("[a, b]: 2\n", "f.yaml:1: a key must be text, got a list (write a word before the colon)"),
        ("a: 017\n", "f.yaml:1: a: 017 is not read as it looks (write a plain decimal number, or quote it)"),
        ("a: 1:30\n", "f.yaml:1: a: 1:30 is not read as it looks (write a plain decimal number, or quote it)"),
        ("a: 1_000\n", "f.yaml:1: a: 1_000 is not read as it looks (write a plain decimal number, or quote it)"),
        ("a: 0x10\n", "f.yaml:1: a: 0x10 is not read as it looks (write a plain decimal number, or quote it)"),
        (f"a: {'9' * 5000}\n", "f.yaml:1: a: a number of 5000 characters (at most 40)"),
        ('a: 1\nb: "\x07"\n', "f.yaml:2: the character '\\x07' is not allowed (remove it)"),
    ],
)
def test_traps_are_problems(text: str, expected: str) -> None:
    [complaint] = complaints(text)
    assert complaint.startswith(expected)


def test_all_problems_at_once() -> None:
    assert len(complaints("a: 017\nb: 1:30\na: 1\nc: &x 1\nd: *x\n")) == 5


def test_an_alias_bomb_is_refused_at_its_first_alias() -> None:
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 10)]
    found = complaints("\n".join(["l0: &l0 [x]", *levels]))
    assert "f.yaml:2: l1[0]: the alias *l0 is not allowed (write the value out)" in found


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_hostile_nesting_is_refused_without_recursing(opening: str) -> None:
    assert complaints(opening * 50_000) == ["f.yaml:1: nested more than 20 levels deep"]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}#&*!|>'\"%@`,? \n\t~1.0e\x00é\u2028\x85\ufeff")))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(Problems):
        assert isinstance(parse(text, "f.yaml").value, dict)
