"""What a sweep's runs say, in sentences: every number with its n and spread."""

from collections.abc import Iterable

from scipy.special import stdtr

from analysis.cells import CellRuns, describe
from analysis.compare import SIGNIFICANT
from analysis.published import figure_3, is_figure_3_setting
from analysis.results import Results
from analysis.runs import TrialRun
from analysis.tables.sweep_table import estimate_text, p_text, reduction_text
from softaug.estimate import t_975

SHARED = ("data_fingerprint", "device", "torch", "git_commit")  # what arms should share to be compared


def provenance(results: Results) -> list[tuple[str, str]]:
    """Return how the numbers came about: name and text."""
    runs = [run for run in results.runs if run.facts]
    sweep = results.sweep
    finished = sum(run.state == "finished" for run in results.runs)
    return [
        ("runs", f"{finished} of {len(results.runs)} finished, {len(results.cells)} cells"),
        ("seeds", f"{len(sweep.seeds)} per cell: {', '.join(map(str, sweep.seeds))}"),
        ("device", _distinct(runs, "device")),
        ("processor", _distinct(runs, "cpu")),
        ("torch", _distinct(runs, "torch")),
        ("commit", commits(runs)),
        ("training time", duration(sum(run.seconds for run in runs))),
        ("data", f"{results.baseline.cell.recipe['data']['name']}, fingerprint {_distinct(runs, 'data_fingerprint')}"),
        *([("expected cost", sweep.cost)] if sweep.cost else []),
    ]


def commands(results: Results) -> list[str]:
    """Return the commands that make the runs and this report again."""
    sweep = results.sweep
    seeds = ",".join(map(str, sweep.seeds))
    return [
        f"softaug launch {sweep.name} --scale {sweep.scale} --seeds {seeds}",
        f"softaug report {sweep.name} --scale {sweep.scale}",
    ]


def findings(results: Results) -> list[str]:
    """Return the answer in sentences: baseline, best cell, what stands a test, what three seeds can show."""
    error, ece = (results.baseline.estimate(metric) for metric in ("test/top1_error", "test/ece"))
    if error is None:
        return [f"The baseline is a hole ({'; '.join(results.baseline.problems)}): nothing can be compared with it."]
    sentences = [
        f"Baseline {results.sweep.baseline}: {estimate_text(error)} % top-1 error at {estimate_text(ece)} % ECE "
        f"(n = {error.n})."
    ]
    compared = [cell for cell in results.cells if cell.cell.cell_key in results.comparisons]
    return sentences + ([_best(results, compared), _tested(results)] if compared else [])


def cautions(results: Results) -> list[str]:
    """Return what a reader must know before trusting a comparison; empty if there is nothing."""
    finished = [run for run in results.runs if run.state == "finished"]
    between = [
        f"{fact} differs between runs: {_distinct(finished, fact)}" for fact in SHARED if _differs(finished, fact)
    ]
    dirty = sum(run.facts["git_dirty"].lower() == "true" for run in finished)
    within = [f"{name(results, cell)}: {text}" for cell in results.cells for text in cell.warnings]
    return between + within + ([f"{dirty} runs came from a tree with uncommitted changes"] if dirty else [])


def holes(results: Results) -> list[tuple[str, str, str]]:
    """Return name, finished seeds and reasons of every hole."""
    return [(name(results, cell), cell.seeds, "; ".join(cell.problems)) for cell in results.cells if cell.problems]


def paper_says(results: Results) -> str:
    """Return the paper's numbers for its Figure 3 in words, and whether they are about the same setting."""
    numbers = ", ".join(f"{row.arm} about {row.points:g}" for row in figure_3())
    source = f"The paper's text gives, for ResNet-18 on CIFAR-100 after 500 epochs, points less error: {numbers}."
    data, model = (results.baseline.cell.recipe[part]["name"] for part in ("data", "model"))
    if is_figure_3_setting(results.baseline.cell.recipe):
        return f"{source} They are drawn dotted and marked “published”."
    return f"{source} These runs are {model} on {data}: another setting, so the numbers are not drawn beside ours."


def name(results: Results, cell: CellRuns) -> str:
    """Return a cell's name: "soft target, σ = 0.3"."""
    return describe(cell.cell, results.sweep.axes)


def commits(runs: Iterable[TrialRun]) -> str:
    """Return the runs' commits, shortened, with a + where the tree had uncommitted changes."""
    marks = {run.facts["git_commit"][:10] + ("+" if run.facts.get("git_dirty", "").lower() == "true" else "")
             for run in runs if "git_commit" in run.facts}  # fmt: skip
    return ", ".join(sorted(marks)) or "unknown"


def duration(seconds: float) -> str:
    """Return "5,025 s (1.4 h)"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds:,.0f} s ({f'{seconds / 3600:.1f} h' if seconds >= 3600 else f'{seconds / 60:.1f} min'})"


def _best(results: Results, compared: list[CellRuns]) -> str:
    best = max(compared, key=lambda cell: results.comparisons[cell.cell.cell_key].reduction.mean)
    comparison = results.comparisons[best.cell.cell_key]
    test = "" if comparison.p_holm is None else f", Holm-corrected p {_equals(p_text(comparison.p_holm))}"
    base = results.sweep.compared_with(best.cell)
    over = "the baseline" if base is None or base.arm == results.sweep.baseline else base.arm
    return (
        f"Best cell: {name(results, best)}, {estimate_text(best.estimate('test/top1_error'))} % error; over "
        f"{over} {reduction_text(comparison.reduction)} points (mean ± SE [95 % interval], "
        f"n = {comparison.reduction.n}{test}). The best of {len(compared)} cells flatters: expect less in new runs."
    )


def _tested(results: Results) -> str:
    comparisons = results.comparisons.values()
    tested = [comparison for comparison in comparisons if comparison.p_holm is not None]
    if not tested:
        return "No comparison can be tested: that takes at least two seeds and a spread between them."
    n = tested[0].reduction.n
    better = sum(comparison.significant and comparison.reduction.mean > 0 for comparison in tested)
    worse = sum(comparison.significant and comparison.reduction.mean < 0 for comparison in tested)
    return (
        f"By a paired t test at p < {SIGNIFICANT:g} after Holm's correction, {better} of {len(tested)} cells are "
        f"better than their baseline and {worse} worse. With n = {n}, a 95 % interval is ±{t_975(n - 1):.2f} SE; "
        f"±1 SE covers {1 - 2 * float(stdtr(n - 1, -1)):.0%}."
    )


def _equals(text: str) -> str:
    return text if text.startswith("<") else f"= {text}"


def _differs(runs: Iterable[TrialRun], fact: str) -> bool:
    return len({run.facts[fact] for run in runs}) > 1


def _distinct(runs: Iterable[TrialRun], fact: str) -> str:
    return ", ".join(sorted({run.facts[fact] for run in runs if fact in run.facts})) or "unknown"
