"""What is wrong with a sweep file or a command line: all problems at once, one line each."""

import dataclasses
from collections.abc import Iterable
from difflib import get_close_matches

SHORT_LIST = 16


@dataclasses.dataclass(frozen=True)
class Problem:
    """One mistake and where it stands. `line` is None for what is no line of a file, such as an option.

    `hint` says the way out; two problems that differ in the hint alone are the same problem.
    """

    file: str
    line: int | None
    field: str
    message: str
    hint: str = dataclasses.field(default="", compare=False)

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        hint = f" ({self.hint})" if self.hint else ""
        line = ": ".join(part for part in (place, self.field, self.message) if part) + hint
        # One line, whatever the file holds: a newline or an escape sequence is shown, not obeyed.
        return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)


class Problems(Exception):
    """Everything that is wrong, without repeats, in the order of the lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)
        super().__init__("\n".join(map(str, self.problems)))


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return a hint that names the word that `word` resembles, or nothing."""
    return "".join(f"did you mean {match}" for match in get_close_matches(word, list(words), n=1))


def known(word: str, words: Iterable[str]) -> str:
    """Return a hint that lists the known words; of many only the one that `word` resembles, if there is one."""
    listed = list(dict.fromkeys(words))
    close = did_you_mean(word, listed)
    if close and len(listed) > SHORT_LIST:
        return close
    return "; ".join(part for part in (close, f"known: {', '.join(listed) or 'none'}") if part)
