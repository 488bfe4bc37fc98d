"""Evaluations: what the stored weights of a finished trial do on test images of which a part is covered (§1.11), and on
those of further test sets, such as ImageNet-V2 of a network trained on ImageNet.

Beside the numbers over all test images it keeps what figures show of single ones: of a few images, the same for every
network, what is said of them under each condition; of a thousand, class and confidence; and the hardest of those.

    trials/<key[:2]>/<key>/0001/evaluation.json     in the folder of the attempt whose weights it is of

One measurement per percentage, fill and seed of the patches, and one per further test set. A file is of one code on one
kind of machine and grows as more is asked for; written whole, so that what is there is always right. It changes neither
the trial's end nor any key: `softaug.versions.EVALUATION` says which numbers it holds, and one of an earlier version
counts as none. No torch here.
"""

import base64
import hashlib
import struct
from collections.abc import Iterable, Sequence
from math import fsum
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from softaug.versions import EVALUATION
from trainables.ledger import AttemptFolder
from trainables.sealed import Damaged, Entry

FILE = "evaluation.json"
FEWEST_SEEDS = 3  # of the patches, for a number to be shown
MOST_ASKED = 1_000

Fill = Literal["mean", "black", "noise"]


class Condition(NamedTuple):
    """What is covered of every test image: a percentage of its area, with what, where by seed.

    `data` names a further test set; None are the test images of the recipe's own data set.
    """

    percent: int
    fill: Fill | None = None
    seed: int | None = None
    data: str | None = None


UNCOVERED = Condition(0)


def conditions(percents: Iterable[int], fill: Fill, seeds: int, further: Iterable[str] = ()) -> list[Condition]:
    """Return the conditions for these percentages with this many seeds each, the uncovered images always first.

    `further`: names of further test sets, of which nothing is covered; they come last.
    """
    covered = [Condition(percent, fill, seed) for percent in sorted(set(percents) - {0}) for seed in range(seeds)]
    return [UNCOVERED, *covered, *(Condition(0, data=name) for name in sorted(set(further)))]


def metric_prefix(percent: int, fill: Fill | None, data: str | None = None) -> str:
    """Return how metrics' names begin: test, test/occlusion_40, test/occlusion_40_black, test/imagenet-v2."""
    if data is not None:
        return f"test/{data}"
    if percent == 0:
        return "test"
    return f"test/occlusion_{percent}{'' if fill == 'mean' else f'_{fill}'}"


class Part(BaseModel):
    """Base of what an evaluation consists of."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Origin(Part):
    """Which code measured, on what: numbers of two origins are never mixed in a file."""

    git_commit: str
    git_dirty: bool
    device: str
    cpu: str
    threads: int
    data_fingerprint: str
    versions: dict[str, str]


class Prediction(Part):
    """What a network says of one image: a class, the confidence in it, and that in the true one, 0..1.

    `corner`: row and column of the first pixel of the patch, None if nothing is covered.
    """

    predicted: int
    confidence: float
    of_label: float
    corner: tuple[int, int] | None = None


class Example(Part):
    """A test image by its place in the test set. `png`: its pixels as a network sees them, uncovered, in base64."""

    image: int
    label: int
    png: str


class Hard(Example):
    """An example that was chosen for what its network says of it."""

    prediction: Prediction


class Asked(Part):
    """Class and confidence that the network gives uncovered images, evenly spaced over the test set (`places`).

    `images`: of the test set. Packed in base64: uint16 and float32, little-endian, in the order of the places.
    """

    images: int
    predicted: str
    confidence: str

    @classmethod
    def pack(cls, images: int, predicted: Sequence[int], confidence: Sequence[float]) -> "Asked":
        """Keep classes and confidences at the places of a test set of so many images."""
        n = len(predicted)
        packed = (struct.pack(f"<{n}H", *predicted), struct.pack(f"<{n}f", *confidence))
        return cls(images=images, predicted=_text(packed[0]), confidence=_text(packed[1]))

    def unpack(self) -> dict[int, tuple[int, float]]:
        """Return class and confidence by the image's place in the test set."""
        asked = places(self.images)
        predicted = struct.unpack(f"<{len(asked)}H", base64.b64decode(self.predicted))
        confidence = struct.unpack(f"<{len(asked)}f", base64.b64decode(self.confidence))
        return dict(zip(asked, zip(predicted, confidence, strict=True), strict=True))


def places(images: int) -> list[int]:
    """Return the positions in a test set of so many images that `Asked` is about: at most MOST_ASKED, evenly spaced."""
    return [number * images // min(images, MOST_ASKED) for number in range(min(images, MOST_ASKED))]


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


class Measurement(Part):
    """All test images once. `area`: the percentage truly covered; `measured`: Unix seconds; metrics without prefix.

    `side_px`: of the patch; `predictions`: of the evaluation's examples, in their order. Of a further test set there
    are its name, its fingerprint, and no predictions.
    """

    percent: int = Field(ge=0, lt=100)
    fill: Fill | None
    seed: int | None
    area: float
    measured: float
    metrics: dict[str, float]
    reliability: dict[str, list[float]]
    side_px: int = 0
    predictions: list[Prediction] = []
    data: str | None = None
    data_fingerprint: str | None = None

    @property
    def condition(self) -> Condition:
        """What was covered, of which images."""
        return Condition(self.percent, self.fill, self.seed, self.data)


class Value(NamedTuple):
    """A metric's mean over the seeds of its patches, and the Unix seconds of its last measurement."""

    mean: float
    time: float


class Evaluation(Entry):
    """What was measured of one trial, ordered by condition. Those of version 1 have no images."""

    version: int
    origin: Origin
    measurements: list[Measurement]
    examples: tuple[Example, ...] = ()
    hardest: tuple[Hard, ...] = ()
    asked: Asked = Asked(images=0, predicted="", confidence="")

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change with the content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def missing(self, wanted: Iterable[Condition]) -> list[Condition]:
        """Return those of the conditions that are not measured."""
        have = {measurement.condition for measurement in self.measurements}
        return [condition for condition in dict.fromkeys(wanted) if condition not in have]

    def values(self) -> dict[str, Value]:
        """Return every metric by its full name, those under occlusion as means over at least FEWEST_SEEDS seeds."""
        groups: dict[str, list[Measurement]] = {}
        for each in self.measurements:
            groups.setdefault(metric_prefix(each.percent, each.fill, each.data), []).append(each)
        return {
            f"{prefix}/{name}": Value(
                fsum(each.metrics[name] for each in same) / len(same), max(each.measured for each in same)
            )
            for prefix, same in groups.items()
            if same[0].percent == 0 or len(same) >= FEWEST_SEEDS
            for name in same[0].metrics
        }

    def extended(self, older: "Evaluation | None") -> "Evaluation":
        """Return this evaluation with what another of the same version and origin holds, which stays as it is."""
        if older is None or (older.version, older.origin) != (self.version, self.origin):
            return self
        have = {each.condition for each in older.measurements}
        every = older.measurements + [each for each in self.measurements if each.condition not in have]
        ordered = sorted(every, key=lambda each: (each.data or "", each.percent, each.fill or "", each.seed or 0))
        return self.model_copy(update={"measurements": ordered})


def read(attempt: AttemptFolder) -> Evaluation | None:
    """Return the evaluation of an attempt's weights, whatever its version, None if there is none. Raises Damaged."""
    try:
        return Evaluation.read(attempt.store, path_of(attempt))
    except FileNotFoundError:
        return None


def current(attempt: AttemptFolder) -> Evaluation | None:
    """Return the evaluation if it is intact and of this version."""
    try:
        found = read(attempt)
    except Damaged:
        return None
    return found if found is not None and found.version == EVALUATION else None


def write(attempt: AttemptFolder, evaluation: Evaluation) -> None:
    """Keep an evaluation and what another process has added meanwhile. Raises Damaged."""
    path = path_of(attempt)
    attempt.store.write(path, evaluation.extended(read(attempt)).sealed(path, indent=1))


def path_of(attempt: AttemptFolder) -> str:
    """Return the file's path in the store."""
    return f"{attempt.path}/{FILE}"
