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
    reasons = Counter(reason for cell in now.sweep.search_cells if (reason := _reason(now, cell)))
    refused = Counter(f"refused: {ask.refused}" for ask in (search.asks if search is not None else []) if ask.refused)
    cells, found = len(now.sweep.search_cells) + refused.total(), (reasons + refused).most_common()
    if not found:
        return
    count = sum(number for _, number in found)
    yield f"{count} of {cells} cells of the search failed{'' if ended_well(now) else ', and none ended well'}:"
    for reason, number in found[:MOST_REASONS]:
        yield f"  {number} {reason}"
    if len(found) > MOST_REASONS:
        yield f"  {sum(number for _, number in found[MOST_REASONS:])} for other reasons; see `softaug why`"


def _reason(now: Survey, cell: Cell) -> str:
    """Return why a cell failed, nothing if it did not."""
    bad = [trial for key in cell.trials.values() if (trial := now.trials[key]).state in BAD]
    return f"{bad[0].state}: {bad[0].reason or 'no reason is known'}" if bad else ""
