"""What became of a search's cells, in words: those that failed alone are told, and when none ended well, why."""

from collections import Counter
from collections.abc import Iterator

from sweeps.resolved import Cell
from sweeps.survey import Survey

MOST_REASONS = 5
BAD = ("failed", "diverged", "damaged")


def ended_well(now: Survey) -> bool:
    """Say whether a cell of the search has all its trials finished; of a sweep without a search that is so."""
    cells = now.sweep.search_cells
    return now.sweep.search is None or any(
        all(now.trials[key].state == "finished" for key in cell.trials.values()) for cell in cells
    )


def failures(now: Survey) -> Iterator[str]:
    """Yield how many cells of the search failed, and why, the commonest reason first; nothing if none did."""
    search = now.sweep.search
    failed = [each for each in (_failed(now, cell) for cell in now.sweep.search_cells) if each is not None]
    example = dict(reversed(failed))  # of each reason the first trial
    reasons = Counter(reason for reason, _ in failed)
    refused = Counter(f"refused: {ask.refused}" for ask in (search.asks if search is not None else []) if ask.refused)
    cells, found = len(now.sweep.search_cells) + refused.total(), (reasons + refused).most_common()
    if not found:
        return
    count = sum(number for _, number in found)
    yield f"{count} of {cells} cells of the search failed{'' if ended_well(now) else ', and none ended well'}:"
    for reason, number in found[:MOST_REASONS]:
        yield f"  {number} {reason}" + (f" (trial {example[reason][:12]})" if reason in example else "")
    if len(found) > MOST_REASONS:
        yield f"  {sum(number for _, number in found[MOST_REASONS:])} for other reasons"
    if failed:
        yield f"  more: softaug why {failed[0][1][:12]}"


def _failed(now: Survey, cell: Cell) -> tuple[str, str] | None:
    """Return why a cell failed and the trial's key, None if it did not."""
    for key in cell.trials.values():
        trial = now.trials[key]
        if trial.state in BAD:
            return f"{trial.state}: {trial.reason or 'no reason is known'}", key
    return None
