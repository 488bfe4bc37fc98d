"""Bad searches: every mistake is one line that says where, what, what is allowed and the way out."""

import pytest

from sweeps.files.expand import resolve
from sweeps.problems import Problems

GOOD = """\
name: tiny
question: Which?
seeds: [0, 1]
baseline: hard
base:
  data: {name: digits, train_images: 300}
  model: {name: resnet8, width: 8}
  crop: {kind: gaussian, sigma: 0.2}
  softening: {apply_to: target}
  optim: {epochs: 9}
arms:
  - {name: hard, set: {crop: {kind: uniform, radius_px: 1}, softening: null}}
search:
  space:
    sigma: {field: crop.sigma, low: 0.1, high: 0.5, step: 0.1}
    k: {field: softening.k, low: 0.5, high: 6.0, log: true}
    policy:
      choices:
        none: {policy: null}
        RandAugment: {policy: {kind: rand-augment}}
    magnitude: {field: policy.magnitude, low: 1, high: 15, when: {policy: [RandAugment]}}
    target: {field: softening.apply_to, values: [target, both]}
  minimize: [val/top1_error]
  sampler: tpe
  seeds: [100]
  budget: {cells: 20}
  scheduler: {kind: asha, grace_epochs: 2}
  base: {data: {validation_images: 50}, optim: {epochs: 6}}
"""


def complaints(text: str, **options: list[int]) -> list[str]:
    with pytest.raises(Problems) as caught:
        resolve(text, "f.yaml", **options)
    return str(caught.value).splitlines()


def test_the_good_file_is_good() -> None:
    search = resolve(GOOD, "f.yaml").search
    assert search is not None
    assert [parameter.name for parameter in search.parameters] == ["k", "policy", "sigma", "target", "magnitude"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.5, high: 0.1, step: 0.1",
            "15: search.space.sigma.low: 0.5 is not below high, 0.1 (exchange them)",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.5, high: 0.5",
            "15: search.space.sigma.low: 0.5 is not below high, 0.5 (a single value is none to search: set it in base)",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.1, high: 0.5, step: 0.9",
            "15: search.space.sigma.step: 0.9 is larger than the range from 0.1 to 0.5 (at most 0.4)",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.1, high: 0.5, step: 0.3",
            "15: search.space.sigma.step: steps of 0.3 from 0.1 do not end at 0.5 (the last is 0.4)",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.1, high: 0.5, step: 0",
            "15: search.space.sigma.step: got 0, must be a number above 0 or null",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.1, high: 0.5, step: -1",
            "15: search.space.sigma.step: got -1, must be a number above 0 or null",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.1, high: .inf",
            "15: search.space.sigma.high: got .inf, must be a number or null",
        ),
        ("low: 0.1, high: 0.5, step: 0.1", "low: 0.1", "15: search.space.sigma.high: is missing, must be a number"),
        ("low: 0.1, high: 0.5, step: 0.1", "high: 0.1", "15: search.space.sigma.low: is missing, must be a number"),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: a, high: 0.5",
            "15: search.space.sigma.low: got the text 'a', must be a number or null",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 1e-2, high: 0.5",
            "15: search.space.sigma.low: got the text '1e-2', must be a number or null (1e-2 is text; write 1.0e-2)",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.1, high: 9.0",
            "15: search.space.sigma.high: got 9.0, must be a number above 0 and at most 2",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.0, high: 0.5",
            "15: search.space.sigma.low: got 0.0, must be a number above 0 and at most 2",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.0, high: 0.5, log: true",
            "15: search.space.sigma.low: 0.0 has no logarithm (a log scale begins above 0)",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: -0.1, high: 0.5, log: true",
            "15: search.space.sigma.low: -0.1 has no logarithm (a log scale begins above 0)",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.1, high: 0.5, step: 0.1, log: true",
            "15: search.space.sigma.step: a log scale has no steps (remove step or log)",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "values: []",
            "15: search.space.sigma.values: got an empty list, must be a list of 1 to 1000 values or null",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "values: [0.1, 0.1]",
            "15: search.space.sigma.values: 0.1 is listed twice; remove one",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "values: [0.1, [1]]",
            "15: search.space.sigma.values[1]: every value of an axis must be a number or a text",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "values: [0.1, 9.0]",
            "15: search.space.sigma.values[1]: got 9.0, must be a number above 0 and at most 2",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "low: 0.1, high: 0.5, values: [0.1]",
            "15: search.space.sigma: has values and low and high (give low and high, or values, or choices)",
        ),
        (
            "low: 0.1, high: 0.5, step: 0.1",
            "lo: 0.1, high: 0.5",
            "15: search.space.sigma.lo: unknown key (did you mean low; known: field, label, low, high, step,"
            " log, values, choices, when)",
        ),
        (
            "sigma: {field: crop.sigma, low: 0.1, high: 0.5, step: 0.1}",
            "sigma: {field: crop.sigma}",
            "15: search.space.sigma: has no values (give low and high, or values, or choices)",
        ),
        (
            "sigma: {field: crop.sigma, low: 0.1, high: 0.5, step: 0.1}",
            "sigma: {}",
            "15: search.space.sigma: has no values (give low and high, or values, or choices)",
        ),
        (
            "sigma: {field: crop.sigma, low: 0.1, high: 0.5, step: 0.1}",
            "sigma: 3",
            "15: search.space.sigma: got 3, must be a mapping",
        ),
        (
            "sigma: {field: crop.sigma, low: 0.1, high: 0.5, step: 0.1}",
            "sigma: {low: 0.1, high: 0.5}",
            "15: search.space.sigma: is missing its field (name the recipe field, such as crop.sigma)",
        ),
        (
            "field: crop.sigma",
            "field: crop.sgima",
            "15: search.space.sigma.field: no recipe field is called crop.sgima (did you mean crop.sigma)",
        ),
        ("field: crop.sigma", "field: 3", "15: search.space.sigma.field: got 3, must be text or null"),
        (
            "field: crop.sigma",
            "field: crop",
            "15: search.space.sigma.field: no recipe field is called crop (did you mean crop.kind)",
        ),
        (
            "field: crop.sigma",
            "field: seed",
            "15: search.space.sigma.field: seed is no field of a cell (list the seeds under search.seeds)",
        ),
        (
            "field: crop.sigma",
            "field: model.name",
            "15: search.space.sigma.field: model.name holds no number (list its values under values)",
        ),
        (
            "field: crop.sigma",
            "field: optim.epochs",
            "15: search.space.sigma.field: optim.epochs cannot be searched: all cells see the same data for "
            "equally long",
        ),
        (
            "field: crop.sigma",
            "field: softening.k",
            "15: search.space.sigma.field: k and sigma both set softening.k (keep one, or let when tell them apart)",
        ),
        (
            "field: crop.sigma, low: 0.1, high: 0.5, step: 0.1",
            "field: model.width, low: 4.5, high: 8",
            "15: search.space.sigma.low: got 4.5, must be a whole number: so is model.width",
        ),
        (
            "field: crop.sigma, low: 0.1, high: 0.5, step: 0.1",
            "field: model.width, low: 4, high: 8, step: 0.5",
            "15: search.space.sigma.step: got 0.5, must be a whole number: so is model.width",
        ),
        (
            "      choices:\n        none: {policy: null}\n        RandAugment: {policy: {kind: rand-augment}}",
            "      choices: {}",
            "18: search.space.policy.choices: got an empty mapping, must be a mapping or null",
        ),
        (
            "none: {policy: null}",
            "none: {polcy: null}",
            "19: search.space.policy.choices.none.polcy: unknown key (did you mean policy)",
        ),
        (
            "none: {policy: null}",
            "none: {seed: 3}",
            "19: search.space.policy.choices.none.seed: seed is no field of a cell (list the seeds under search.seeds)",
        ),
        (
            "none: {policy: null}",
            "none: {optim: {epochs: 3}}",
            "19: search.space.policy.choices.none.optim.epochs: optim.epochs cannot be searched: all cells "
            "see the same data for equally long",
        ),
        ("none: {policy: null}", "none: 3", "19: search.space.policy.choices.none: got 3, must be a mapping"),
        (
            "none: {policy: null}",
            "none: {crop: {sigma: 0.3}}",
            "15: search.space.sigma.field: policy and sigma both set crop.sigma (keep one, or let when tell "
            "them apart)",
        ),
        (
            "none: {policy: null}",
            "none: {policy: {kind: rand}}",
            "19: search.space.policy.choices.none.policy.kind: got the text 'rand', must be one of "
            "rand-augment, trivial-augment",
        ),
        (
            "      choices:",
            "      field: policy.kind\n      choices:",
            "18: search.space.policy.field: named choices set recipe fields of their own (remove field, or use values)",
        ),
        (
            "      choices:",
            "      low: 1\n      choices:",
            "17: search.space.policy: has choices and low and high (give low and high, or values, or choices)",
        ),
        (
            "when: {policy: [RandAugment]}",
            "when: {polcy: [RandAugment]}",
            "21: search.space.magnitude.when.polcy: no other parameter is called polcy (did you mean policy;"
            " known: k, policy, sigma, target)",
        ),
        (
            "when: {policy: [RandAugment]}",
            "when: {policy: [RandAugmnt]}",
            "21: search.space.magnitude.when.policy[0]: policy is never the text 'RandAugmnt' (did you mean "
            "RandAugment; known: none, RandAugment)",
        ),
        (
            "when: {policy: [RandAugment]}",
            "when: {policy: RandAugment}",
            "21: search.space.magnitude.when.policy: got the text 'RandAugment', must be a list of 1 to 1000 values",
        ),
        (
            "when: {policy: [RandAugment]}",
            "when: {policy: []}",
            "21: search.space.magnitude.when.policy: got an empty list, must be a list of 1 to 1000 values",
        ),
        (
            "when: {policy: [RandAugment]}",
            "when: {sigma: [0.1]}",
            "21: search.space.magnitude.when.sigma: sigma is a number: a condition names values of a choice",
        ),
        (
            "when: {policy: [RandAugment]}",
            "when: {magnitude: [1]}",
            "21: search.space.magnitude.when: magnitude depends on itself (conditions must not form a circle)",
        ),
        (
            ", when: {policy: [RandAugment]}",
            "",
            "19: search.space.policy.choices.none.policy: magnitude and policy both set policy (keep one, or"
            " let when tell them apart)",
        ),
        (
            "sampler: tpe",
            "sampler: grid",
            "16: search.space.k: a grid needs steps (give a step, or list the values under values)",
        ),
        (
            "sampler: tpe",
            "sampler: tp",
            "24: search.sampler: got the text 'tp', must be one of tpe, random, grid (did you mean tpe)",
        ),
        (
            "[val/top1_error]",
            "[val/top1_eror]",
            "23: search.minimize[0]: got the text 'val/top1_eror', must be one of val/top1_error, val/ece, "
            "val/nll, val/brier (did you mean val/top1_error)",
        ),
        (
            "[val/top1_error]",
            "[test/top1_error]",
            "23: search.minimize[0]: got the text 'test/top1_error', must be one of val/top1_error, val/ece,"
            " val/nll, val/brier (did you mean val/top1_error)",
        ),
        ("[val/top1_error]", "[]", "23: search.minimize: got an empty list, must be a list of 1 to 2 values"),
        (
            "[val/top1_error]",
            "val/top1_error",
            "23: search.minimize: got the text 'val/top1_error', must be a list of 1 to 2 values",
        ),
        (
            "[val/top1_error]",
            "[val/top1_error, val/ece]",
            "27: search.scheduler: a scheduler judges by one objective (minimize one, or remove the scheduler)",
        ),
        (
            "[val/top1_error]",
            "[val/top1_error, val/top1_error]",
            "23: search.minimize: val/top1_error is listed twice; remove one",
        ),
        (
            "[val/top1_error]",
            "[val/top1_error, val/ece, val/nll]",
            "23: search.minimize: got a list of 3, must be a list of 1 to 2 values",
        ),
        (
            "{cells: 20}",
            "{cells: 0}",
            "26: search.budget.cells: got 0, must be a whole number at least 1 and at most 100000 or null",
        ),
        (
            "{cells: 20}",
            "{trials: 0}",
            "26: search.budget.trials: got 0, must be a whole number at least 1 and at most 100000 or null",
        ),
        (
            "{cells: 20}",
            "{trials: -3}",
            "26: search.budget.trials: got -3, must be a whole number at least 1 and at most 100000 or null",
        ),
        ("{cells: 20}", "{wall_hours: 0}", "26: search.budget.wall_hours: got 0, must be a number above 0 or null"),
        ("{cells: 20}", "{gpu_hours: 0.0}", "26: search.budget.gpu_hours: got 0.0, must be a number above 0 or null"),
        (
            "{cells: 20}",
            "{gpu_hours: 2}",
            "26: search.budget.gpu_hours: trials use no GPU at scale paper (give wall_hours, cells or trials)",
        ),
        ("{cells: 20}", "{}", "26: search.budget: limits nothing (give cells, trials, gpu_hours or wall_hours)"),
        ("{cells: 20}", "20", "26: search.budget: got 20, must be a mapping"),
        ("  budget: {cells: 20}\n", "", "13: search.budget: is missing, must be a mapping"),
        (
            "{cells: 20}",
            "{cels: 20}",
            "26: search.budget.cels: unknown key (did you mean cells; known: cells, trials, gpu_hours, wall_hours)",
        ),
        (
            "{cells: 20}",
            "{cells: 20}\n  in_flight: 0",
            "27: search.in_flight: got 0, must be a whole number at least 1 and at most 1000",
        ),
        (
            "{cells: 20}",
            "{cells: 20}\n  winners: 0",
            "27: search.winners: got 0, must be a whole number at least 1 and at most 20",
        ),
        (
            "{cells: 20}",
            "{cells: 20}\n  seed: -1",
            "27: search.seed: got -1, must be a whole number at least 0 and below 4294967296",
        ),
        (
            "grace_epochs: 2",
            "grace_epochs: 6",
            "27: search.scheduler.grace_epochs: a trial has 6 epochs and would never be stopped (lower it)",
        ),
        (
            "grace_epochs: 2",
            "grace_epochs: 0",
            "27: search.scheduler.grace_epochs: got 0, must be a whole number at least 1 and at most 10000",
        ),
        (
            "grace_epochs: 2",
            "grace: 2",
            "27: search.scheduler.grace: unknown key (known: kind, grace_epochs, reduction)",
        ),
        (
            "grace_epochs: 2",
            "reduction: 1",
            "27: search.scheduler.reduction: got 1, must be a whole number at least 2 and at most 10",
        ),
        ("kind: asha", "kind: hyperband", "27: search.scheduler.kind: got the text 'hyperband', must be asha"),
        ("{kind: asha, grace_epochs: 2}", "{}", "27: search.scheduler.kind: is missing, must be asha"),
        (
            "{kind: asha, grace_epochs: 2}",
            "asha",
            "27: search.scheduler: got the text 'asha', must be a mapping or null",
        ),
        (
            "  seeds: [100]",
            "  seeds: [100, 101]",
            "27: search.scheduler: a scheduler screens cells with one seed (list one under search.seeds)",
        ),
        (
            "  seeds: [100]",
            "  seeds: [1]",
            "25: search.seeds[0]: seed 1 confirms the winners too (winners are run again with fresh seeds: use others)",
        ),
        ("  seeds: [100]", "  seeds: []", "25: search.seeds: got an empty list, must be a list of 1 to 1000 values"),
        (
            "  seeds: [100]\n",
            "",
            "13: search.seeds: seed 0 confirms the winners too (winners are run again with fresh seeds: use others)",
        ),
        (
            "data: {validation_images: 50}, ",
            "",
            "28: search.base.data.validation_images: a search needs a validation split: test data selects "
            "nothing (set data.validation_images in search.base)",
        ),
        (
            "{validation_images: 50}",
            "{validation_images: 0}",
            "28: search.base.data.validation_images: a search needs a validation split: test data selects "
            "nothing (set data.validation_images in search.base)",
        ),
        (
            "{validation_images: 50}",
            "{validation_images: 300}",
            "28: search.base.data.validation_images: 300 are held out of the 300 training images of digits, "
            "which leaves none to train on; at most 299 (in search (k 0.5, policy none, sigma 0.1, target "
            "target) at scale paper)",
        ),
        (
            "  base: {data: {validation_images: 50}, optim: {epochs: 6}}\n",
            "",
            "13: search.base.data.validation_images: a search needs a validation split: test data selects "
            "nothing (set data.validation_images in search.base)",
        ),
        (
            "validation_images: 50}, ",
            "validation_images: 50}, seed: 3, ",
            "28: search.base.seed: seed is no field of a cell (list the seeds under search.seeds)",
        ),
        (
            "train_images: 300}",
            "train_images: 300, validation_images: 20}",
            "6: base.data.validation_images: winners are confirmed with all training images (set it in "
            "search.base alone)",
        ),
        ("baseline: hard\n", "baseline: winner 1\n", "4: baseline: no arm is called winner 1 (known: hard)"),
        (
            "  sampler: tpe\n",
            "  sampler: tpe\n  smpler: tpe\n",
            "25: search.smpler: unknown key (did you mean sampler; known: space, minimize, sampler, seed, "
            "seeds, budget, in_flight, scheduler, base, winners)",
        ),
    ],
)
def test_one_mistake_is_one_line(old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) == 1
    assert complaints(GOOD.replace(old, new)) == [f"f.yaml:{expected}"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "values: [target, both]",
            "values: [target, both], when: {x: [0.5]}}\n    x: {field: flip, values: [0.5], when: {target: [both]}",
            [
                "22: search.space.target.when: target depends on itself (conditions must not form a circle)",
                "23: search.space.x.when: x depends on itself (conditions must not form a circle)",
            ],
        ),
        (
            "name: hard, set",
            "name: search, set",
            [
                "4: baseline: no arm is called hard (known: search)",
                "12: arms[0].name: search is what the cells of a search are called (rename the arm)",
            ],
        ),
    ],
)
def test_two_mistakes_are_two_lines(old: str, new: str, expected: list[str]) -> None:
    assert GOOD.count(old) == 1
    assert complaints(GOOD.replace(old, new)) == [f"f.yaml:{line}" for line in expected]


def test_a_seed_on_the_command_line_that_the_search_uses_is_refused() -> None:
    assert complaints(GOOD, seeds=[100, 3]) == [
        "f.yaml:25: search.seeds[0]: seed 100 confirms the winners too "
        "(winners are run again with fresh seeds: use others)"
    ]


def test_a_scale_is_looked_at_with_what_it_changes() -> None:
    scales = "scales:\n  paper: {}\n  smoke: {search: {space: {sigma: {low: 0.7}}, base: {optim: {epochs: 2}}}}\n"
    assert complaints(GOOD + scales) == [
        "f.yaml:31: scales.smoke.search.space.sigma.low: 0.7 is not below high, 0.5 (exchange them)",
    ]
    assert complaints(GOOD + scales.replace("0.7", "0.2")) == [
        "f.yaml:27: search.scheduler.grace_epochs: a trial has 2 epochs and would never be stopped (lower it)",
    ]


def test_a_scale_cannot_change_a_search_that_is_not_there() -> None:
    without = GOOD[: GOOD.index("search:")] + "scales:\n  paper: {search: {seed: 1}}\n"
    assert complaints(without)[0] == (
        "f.yaml:14: scales.paper.search: the sweep has no search that a scale could change (add search)"
    )


def test_parameters_that_a_condition_tells_apart_may_set_one_field() -> None:
    strong = "    strong: {field: policy.magnitude, values: [20], when: {policy: [none]}}\n"

    text = GOOD.replace("none: {policy: null}", "Trivial: {policy: {kind: trivial-augment}}").replace(
        "  minimize", strong + "  minimize"
    )
    assert [line for line in complaints(text.replace("[none]", "[Trivial]")) if "both set" in line] == []
    assert [line for line in complaints(text.replace("[none]", "[RandAugment]")) if "both set" in line] == [
        "f.yaml:23: search.space.strong.field: magnitude and strong both set policy.magnitude "
        "(keep one, or let when tell them apart)"
    ]


def test_no_message_speaks_pydantic() -> None:
    for old, new in (("{cells: 20}", "[]"), ("  seeds: [100]", "  seeds: {}"), ("sigma: {", "sigma: 3\n    old: {")):
        for complaint in complaints(GOOD.replace(old, new)):
            assert not any(word in complaint for word in ("pydantic", "Input should", "type=", "http", "valid dict"))


def test_mistakes_of_all_kinds_are_told_at_once() -> None:
    text = GOOD.replace("{cells: 20}", "{cells: 0}").replace("seeds: [100]", "seeds: [0]")
    fields = [complaint.split(": ")[1] for complaint in complaints(text.replace("low: 0.1", "low: 0.9"))]
    assert sorted(fields) == ["search.budget.cells", "search.seeds[0]", "search.space.sigma.low"]
