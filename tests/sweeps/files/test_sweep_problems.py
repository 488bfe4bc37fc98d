"""Bad sweep files: every mistake is one line that says where, what, what is allowed and the way out."""

from typing import Any

import pytest

from sweeps.files.expand import resolve
from sweeps.problems import Problems

GOOD = """\
name: tiny
question: Does it?
seeds: [0, 1]
baseline: hard
preset: paper
default_scale: laptop
cost: {laptop: a minute}
base:
  data: {name: digits, train_images: 300}
  model: {name: resnet8, width: 8}
  optim: {epochs: 3, lr: 0.1}
axes:
  sigma: {field: crop.sigma, label: s, values: [0.1, 0.2]}
  k: {field: softening.k, label: k, values: [2.0]}
arms:
  - {name: hard, set: {crop: {kind: uniform, radius_px: 1}}}
  - {name: soft, set: {crop: {kind: gaussian}, softening: {apply_to: target}}, over: [sigma, k]}
figure: {kind: softening-over-sigma, x: sigma, lines: {soft: k}}
resources: {cpus: 1}
scales:
  laptop: {}
  smoke: {base: {optim: {epochs: 1}}, arms: {hard: {crop: {radius_px: 2}}}, axes: {sigma: [0.3]}}
"""
EPOCHS = "must be a whole number above 0 and at most 10000"
SEEDS = "must be a whole number at least 0 and below 4294967296"
NAME = "1 to 64 letters, digits, dots, underscores or hyphens, the first a letter or digit"


def complaints(text: str) -> list[str]:
    with pytest.raises(Problems) as caught:
        resolve(text, "f.yaml")
    return str(caught.value).splitlines()


def test_the_good_file_is_good() -> None:
    assert len(resolve(GOOD, "f.yaml").trial_keys) == 6


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # Types and ranges of recipe fields, in whichever layer they stand.
        ("epochs: 3", 'epochs: "10"', f"11: base.optim.epochs: got the text '10', {EPOCHS} (10 is text; write 10)"),
        ("epochs: 3", "epochs: 0", f"11: base.optim.epochs: got 0, {EPOCHS}"),
        ("epochs: 3", "epochs: -5", f"11: base.optim.epochs: got -5, {EPOCHS}"),
        ("epochs: 3", "epochs: 1000000000", f"11: base.optim.epochs: got 1000000000, {EPOCHS}"),
        ("epochs: 3", "epochs: true", f"11: base.optim.epochs: got the boolean true, {EPOCHS}"),
        ("epochs: 3", "epochs: 0o17", f"11: base.optim.epochs: got the text '0o17', {EPOCHS} (0o17 is text; write 15)"),
        ("epochs: 3", "epochs: ~", f"11: base.optim.epochs: got nothing, {EPOCHS}"),
        ("epochs: 3", "epochs: [3]", f"11: base.optim.epochs: got a list, {EPOCHS}"),
        ("epochs: 1}}", "epochs: 0}}", f"22: scales.smoke.base.optim.epochs: got 0, {EPOCHS}"),
        (
            "lr: 0.1",
            "lr: 1e-3",
            "11: base.optim.lr: got the text '1e-3', must be a number above 0 and at most 10 "
            "(1e-3 is text; write 1.0e-3)",
        ),
        ("lr: 0.1", "lr: .nan", "11: base.optim.lr: got .nan, must be a number above 0 and at most 10"),
        (
            "radius_px: 1",
            "radius_px: 0",
            "16: arms[0].set.crop.radius_px: got 0, must be a whole number at least 1 and at most 112",
        ),
        (
            "radius_px: 2",
            "radius_px: 200",
            "22: scales.smoke.arms.hard.crop.radius_px: got 200, must be a whole number at least 1 and at most 112",
        ),
        ("[0.1, 0.2]", "[0.1, 9]", "13: axes.sigma.values[1]: got 9, must be a number above 0 and at most 2"),
        ("sigma: [0.3]", "sigma: [9]", "22: scales.smoke.axes.sigma[0]: got 9, must be a number above 0 and at most 2"),
        # Names of recipe fields and their values.
        (
            "name: digits",
            "name: digit",
            "9: base.data.name: got the text 'digit', must be one of digits, fashion-mnist, cifar10, cifar100, "
            "imagenet (did you mean digits)",
        ),
        (
            "name: resnet8",
            "name: no",
            "10: base.model.name: got the boolean false, must be one of resnet8, resnet20, resnet18, resnet50, "
            "resnet101, wide-resnet28-10, pyramidnet272, efficientnet-b0, torchvision-resnet50, torchvision-resnet101 "
            "(no is the boolean false; write 'no')",
        ),
        (
            "optim: {epochs: 3",
            "optim: {epoch: 3",
            "11: base.optim.epoch: unknown key (did you mean epochs; "
            "known: epochs, batch_size, lr, momentum, nesterov, weight_decay, first_lr_step, "
            "warmup_epochs)",
        ),
        (
            "  optim: {epochs: 3, ",
            "  optm:\n    {epochs: 3, ",
            "11: base.optm: unknown key (did you mean optim)",
        ),
        (
            "radius_px: 1",
            "radius_px: 1, sigma: 0.1",
            "16: arms[0].set.crop.sigma: unknown key (known: kind, radius_px)",
        ),
        (
            "kind: gaussian",
            "kind: gausian",
            "17: arms[1].set.crop.kind: got the text 'gausian', must be one of uniform, gaussian, random-resized, "
            "gaussian-resized (did you mean gaussian)",
        ),
        (
            "kind: gaussian",
            "sigma: 0.1",
            "17: arms[1].set.crop.kind: is missing, must be one of uniform, gaussian, random-resized, gaussian-resized "
            "(in soft (sigma 0.1, k 2.0) at scale laptop)",
        ),
        (
            "softening: {apply_to: target}",
            "flip: 0.5",
            "17: arms[1].set.softening.apply_to: is missing, must be one of target, weight, both "
            "(in soft (sigma 0.1, k 2.0) at scale laptop)",
        ),
        (
            "radius_px: 1}}}",
            "radius_px: 1}, seed: 3}}",
            "16: arms[0].set.seed: seed is no field of a cell (list the seeds under seeds)",
        ),
        # Combinations of fields, each in the cells that show it.
        (
            "  optim: {epochs: 3",
            "  final_phase: {start: 0.9}\n  optim: {epochs: 3",
            "11: base.final_phase: it switches a Gaussian crop or noise off and there is none; set it to null "
            "(in hard at scale laptop)",
        ),
        (
            "train_images: 300",
            "train_images: 300, validation_images: 300",
            "9: base.data.validation_images: 300 are held out of the 300 training images of digits, which leaves none "
            "to train on; at most 299 (in hard at scale laptop)",
        ),
        # The sweep's own fields.
        (
            "seeds: [0, 1]",
            "sed: 1\nseeds: [0, 1]",
            "3: sed: unknown key (did you mean seeds; known: name, question, expect, cost, default_scale, seeds, "
            "baseline, preset, base, axes, arms, search, figure, resources, prior, scales)",
        ),
        ("seeds: [0, 1]\n", "", "1: seeds: is missing, must be a list of 1 to 1000 values"),
        ("seeds: [0, 1]", "seeds: []", "3: seeds: got an empty list, must be a list of 1 to 1000 values"),
        ("seeds: [0, 1]", "seeds: 3", "3: seeds: got 3, must be a list of 1 to 1000 values"),
        ("seeds: [0, 1]", "seeds: [0, 1, 0]", "3: seeds: 0 is listed twice; remove one"),
        ("seeds: [0, 1]", "seeds: [-1]", f"3: seeds[0]: got -1, {SEEDS}"),
        ("seeds: [0, 1]", "seeds: [4294967296]", f"3: seeds[0]: got 4294967296, {SEEDS}"),
        ("name: tiny", "name: ../tiny", f"1: name: got the text '../tiny', must be a name of {NAME}"),
        ("name: tiny", "name: -tiny", f"1: name: got the text '-tiny', must be a name of {NAME}"),
        ("name: tiny", f"name: {'n' * 65}", f"1: name: got the text '{'n' * 40}…', must be a name of {NAME}"),
        ("name: tiny", 'name: "a\\0b"', f"1: name: got the text 'a\\x00b', must be a name of {NAME}"),
        ("  laptop: {}", "  laptop: {}\n  a b: {}", f"22: scales.a b: a name has {NAME}"),
        (
            "preset: paper",
            "preset: papr",
            "5: preset: got the text 'papr', must be one of paper, authors (did you mean paper)",
        ),
        (
            "question: Does it?",
            "question: no",
            "2: question: got the boolean false, must be text of 1 to 1000 characters "
            "(no is the boolean false; write 'no')",
        ),
        ("{laptop: a minute}", "3", "7: cost: got 3, must be text of 1 to 1000 characters or a mapping"),
        ("a minute", "3", "7: cost.laptop: got 3, must be text of 1 to 1000 characters"),
        ("cpus: 1", "cpus: 0", "19: resources.cpus: got 0, must be a whole number at least 1 and at most 1024"),
        ("cpus: 1", "gpus: -1", "19: resources.gpus: got -1, must be a number at least 0 and at most 64"),
        (
            "cpus: 1",
            "gpus: 1.5",
            "19: resources.gpus: 1.5 GPUs: a trial takes a fraction of one GPU or a whole number of them",
        ),
        (
            "cpus: 1",
            "gpus: 3",
            "19: resources.gpus: 3 GPUs: optim.batch_size: 128 cannot be shared by 3 processes, one per GPU; "
            "use a multiple of 3 (in hard at scale laptop)",
        ),
        *[
            ("resources: {cpus: 1}", f"prior: {{{written}}}", f"19: prior.{said}")
            for written, said in (
                ("factor: 2", "minutes_per_trial: is missing, must be a number above 0 and at most 1000000"),
                ("minutes_per_trial: 0", "minutes_per_trial: got 0, must be a number above 0 and at most 1000000"),
                ("minutes_per_trial: -2", "minutes_per_trial: got -2, must be a number above 0 and at most 1000000"),
                (
                    "minutes_per_trial: .inf",
                    "minutes_per_trial: got .inf, must be a number above 0 and at most 1000000",
                ),
                ("minutes_per_trial: 1, factor: 0.5", "factor: got 0.5, must be a number above 1 and at most 100"),
                ("minutes_per_trial: 1, factor: 1", "factor: got 1, must be a number above 1 and at most 100"),
                ("minutes_per_trial: 1, seed_sd: 0", "seed_sd: got 0, must be a number above 0 and at most 50 or null"),
                (
                    "minutes_per_trial: 1, disk_mb_per_trial: -1",
                    "disk_mb_per_trial: got -1, must be a number at least 0 and at most 1000000 or null",
                ),
                (
                    "minutes_per_trial: 1, sed_sd: 1",
                    "sed_sd: unknown key (did you mean seed_sd; known: minutes_per_trial, minutes_by_model, factor, "
                    "disk_mb_per_trial, seed_sd)",
                ),
            )
        ],
        (
            "laptop: {}",
            "laptop: {prior: {minutes_per_trial: 1, facto: 2}}",
            "21: scales.laptop.prior.facto: unknown key (did you mean factor; known: minutes_per_trial, "
            "minutes_by_model, factor, disk_mb_per_trial, seed_sd)",
        ),
        ("cpus: 1", "cpu: 1", "19: resources.cpu: unknown key (did you mean cpus; known: cpus, gpus)"),
        # References.
        (
            "baseline: hard",
            "baseline: hart",
            "4: baseline: no arm is called hart (did you mean hard; known: hard, soft)",
        ),
        (
            "baseline: hard",
            "baseline: soft",
            "4: baseline: 2 cells at scale laptop, must be one: other cells are compared with it "
            "(name an arm that runs over no axis)",
        ),
        (
            "radius_px: 1}}}",
            "radius_px: 1}}, against: sof}",
            "16: arms[0].against: no arm is called sof (did you mean soft; known: hard, soft)",
        ),
        (
            "radius_px: 1}}}",
            "radius_px: 1}}, against: hard}",
            "16: arms[0].against: an arm cannot be compared with itself (name another one, or remove against)",
        ),
        (
            "over: [sigma, k]}",
            "over: [sigma, k], published: [{table: '2', dataset: cifar10, model: resnet18, method: sa}]}",
            "17: arms[1].published: only an arm without axes has the paper's numbers (remove over, or it)",
        ),
        (
            "radius_px: 1}}}",
            "radius_px: 1}}, published: [{table: '2', dataset: cifar10, modle: resnet18, model: m, method: sa}]}",
            "16: arms[0].published[0].modle: unknown key "
            "(did you mean model; known: table, dataset, model, method, lr, k)",
        ),
        (
            "field: softening.k",
            "field: crop.sigma",
            "17: arms[1].over[1]: sigma and k both run over crop.sigma (keep one of the two)",
        ),
        (
            "field: crop.sigma",
            "field: crop.sgima",
            "13: axes.sigma.field: no recipe field is called crop.sgima (did you mean crop.sigma)",
        ),
        ("[0.1, 0.2]", "[]", "13: axes.sigma.values: got an empty list, must be a list of 1 to 1000 values"),
        ("[0.1, 0.2]", "[0.1, 0.1]", "13: axes.sigma.values: 0.1 is listed twice; remove one"),
        ("[0.1, 0.2]", "[{a: 1}]", "13: axes.sigma.values[0]: every value of an axis must be a number or a text"),
        ("[0.1, 0.2]", "[true]", "13: axes.sigma.values[0]: every value of an axis must be a number or a text"),
        ("x: sigma", "x: sgima", "18: figure.x: no axis is called sgima (did you mean sigma; known: sigma, k)"),
        (
            "lines: {soft: k}",
            "lines: {sof: k}",
            "18: figure.lines.sof: no arm is called sof (did you mean soft; known: hard, soft)",
        ),
        (
            "lines: {soft: k}",
            "lines: {hard: k}",
            "18: figure.lines.hard: no axis of the arm hard is called k (known: none)",
        ),
        (
            "x: sigma, lines: {soft: k}",
            "x: sigma",
            "17: arms[1].over[1]: the figure shows no k of soft (add {soft: k} to figure.lines)",
        ),
        (
            "x: sigma, lines",
            "lines",
            "18: figure.x: is missing: over which axis the figure is drawn (name an axis)",
        ),
        (
            "kind: softening-over-sigma",
            "kind: offset-range",
            "18: figure.x: a figure of the kind offset-range has none (remove it)",
        ),
        (
            "kind: softening-over-sigma, x: sigma, lines: {soft: k}",
            "kind: error-over-occlusion, lines: {soft: k}",
            "18: figure.lines: a figure of the kind error-over-occlusion has none (remove it)",
        ),
        (
            "kind: softening-over-sigma, x: sigma, lines: {soft: k}",
            "kind: offset-range",
            "17: arms[1].over[1]: the figure shows no k of soft (add {soft: k} to figure.lines)",
        ),
        (
            "x: sigma, lines",
            "x: sigma, examples: sof, lines",
            "18: figure.examples: no arm is called sof (did you mean soft; known: hard, soft)",
        ),
        (
            "x: sigma, lines",
            "x: sigma, examples: hard, lines",
            "18: figure.examples: the baseline's predictions are shown always (name the arm beside it)",
        ),
        (
            "default_scale: laptop",
            "default_scale: labtop",
            "6: default_scale: no scale is called labtop (did you mean laptop; known: laptop, smoke)",
        ),
        (
            "default_scale: laptop\n",
            "",
            "1: default_scale: is missing, and no scale is called paper (name one of laptop, smoke)",
        ),
        ("{laptop: a minute}", "{big: a minute}", "7: cost.big: no scale is called big (known: laptop, smoke)"),
        (
            "laptop: {}",
            "laptop: {drop: [sof]}",
            "21: scales.laptop.drop[0]: no arm is called sof (did you mean soft; known: hard, soft)",
        ),
        (
            "laptop: {}",
            "laptop: {drop: [hard]}",
            "21: scales.laptop.drop[0]: the baseline cannot be dropped (every other arm is compared with it)",
        ),
        (
            "laptop: {}",
            "laptop: {keep: [soft]}",
            "21: scales.laptop.keep: the baseline cannot be dropped (every other arm is compared with it)",
        ),
        (
            "laptop: {}",
            "laptop: {baseline: sof}",
            "21: scales.laptop.baseline: no arm is called sof (did you mean soft; known: hard, soft)",
        ),
        (
            "laptop: {}",
            "laptop: {prior: {minutes_per_trial: 1, minutes_by_model: {resnet9: 1}}}",
            "21: scales.laptop.prior.minutes_by_model.resnet9: no network is called resnet9 (did you mean "
            "resnet8; known: resnet8, resnet20, resnet18, resnet50, resnet101, wide-resnet28-10, pyramidnet272, "
            "efficientnet-b0, torchvision-resnet50, torchvision-resnet101)",
        ),
        (
            "laptop: {}",
            "laptop: {axes: {sgima: [1]}}",
            "21: scales.laptop.axes.sgima: no axis is called sgima (did you mean sigma; known: sigma, k)",
        ),
        (
            "laptop: {}",
            "laptop: {arms: {sof: {}}}",
            "21: scales.laptop.arms.sof: no arm is called sof (did you mean soft; known: hard, soft)",
        ),
        (
            "laptop: {}",
            "laptop: {preset: authors}",
            "21: scales.laptop.preset: unknown key (known: seeds, baseline, base, axes, arms, drop, "
            "keep, search, resources, prior)",
        ),
        (
            "apply_to: target}}, over: [sigma, k]}",
            "apply_to: target}}, over: [sigma, k]}\n"
            "  - {name: twin, set: {crop: {kind: gaussian, sigma: 0.2}, softening: {apply_to: target}}}",
            "18: arms[2]: twin and soft (sigma 0.2, k 2.0) are the same cell at scale laptop (drop one)",
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
            "name: hard,",
            'name: "h\\u202e",',
            "16: arms[0].name: must be printable text in one line, without control characters",
        ),
        ("base:\n", "base: 3\nold:\n", "8: base: got 3, must be a mapping"),
        (
            "over: [sigma, k]",
            "over: [sigma, kk]",
            "17: arms[1].over[1]: no axis is called kk (did you mean k; known: sigma, k)",
        ),
        (
            "name: soft,",
            "name: hard,",
            "17: arms[1].name: a second arm is called hard; the first is in line 16 (rename one)",
        ),
        (
            "field: crop.sigma",
            "field: crop.radius_px",
            "13: axes.sigma.values[0]: there is no radius_px in a part with kind, sigma, rounding, fill "
            "(in soft (sigma 0.1, k 2.0) at scale laptop)",
        ),
        (
            "over: [sigma, k]",
            "over: [sigma]",
            "14: axes.k: no arm runs over this axis (name it in an arm's over, or remove it)",
        ),
    ],
)
def test_a_mistake_with_consequences_is_among_them(old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) == 1
    assert f"f.yaml:{expected}" in complaints(GOOD.replace(old, new))


def test_too_many_trials_are_refused_before_they_are_expanded() -> None:
    many = ", ".join(f"{1 + n / 1000}" for n in range(1000))
    text = GOOD.replace("[0.1, 0.2]", f"[{many}]").replace("values: [2.0]", f"values: [{many}]")
    assert "f.yaml:15: arms: 2000002 trials at scale laptop, at most 100000 (shorten the axes)" in complaints(text)


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = (
        GOOD.replace("name: tiny", "name: a b").replace("epochs: 3", "epochs: 0").replace("radius_px: 1", "radius: 1")
    )
    text = text.replace("x: sigma", "x: y").replace("laptop: {}", "laptop: {sed: 1}")
    lines = [int(complaint.split(":")[1]) for complaint in complaints(text)]
    assert lines == [1, 11, 16, 16, 18, 21]


def test_a_value_wrong_in_every_cell_is_one_problem() -> None:
    assert len(complaints(GOOD.replace("lr: 0.1", "lr: 11"))) == 1


def test_no_message_speaks_pydantic() -> None:
    text = GOOD.replace("{name: digits, train_images: 300}", "3").replace("{cpus: 1}", "[]").replace("[0, 1]", "{a: 1}")
    for complaint in complaints(text):
        assert not any(word in complaint for word in ("pydantic", "Input should", "type=", "http", "valid dict"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"seeds": [3, 3]}, "command line: --seeds: 3 is listed twice; remove one"),
        ({"seeds": []}, "command line: --seeds: got an empty list, must be a list of 1 to 1000 values"),
        ({"seeds": [-1]}, f"command line: --seeds[0]: got -1, {SEEDS}"),
        ({"gpus": 99.0}, "command line: --gpus: got 99.0, must be a number at least 0 and at most 64"),
        (
            {"scale": "smok"},
            "command line: --scale: no scale is called smok (did you mean smoke; known: laptop, smoke)",
        ),
    ],
)
def test_options_are_checked_like_the_file(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(Problems) as caught:
        resolve(GOOD, "f.yaml", **options)
    assert str(caught.value) == expected
