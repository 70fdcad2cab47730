"""The calibration cards that ship, in one table and as pictures.

bayesesi calibrate MODEL ...         # makes a card: minutes to hours, resumable
python -m tests.oracle.cards
"""

from __future__ import annotations

from bayesesi import list_models, load_model
from bayesesi.calibration import CalibrationCard, card_of
from bayesesi.report.card_figure import plot_card
from tests.oracle.sets import HERE

#: How the cards that ship were made: cases of the repair and behind sets.
HEADER = (
    "# Calibration cards",
    "",
    "`bayesesi calibrate MODEL`, then `python -m tests.oracle.cards`; seed 1, cases of each "
    "model's own simulators (any head, any cap), each purpose with cases of its own. Deviations "
    "are of randomised ranks, mean over 11 levels, with 95 % intervals over cases; bar .05. Slope "
    ".85 to 1.15, ECE .05. Sets: bar is the exact law of a split's coverage at 1 %. `parcels` "
    "without its simulator of rhythms (`resting`), whose windows take a quarter of a minute each; "
    "`gaussian` on the cases of `atoms`, patches of cortex, which it does not believe in. "
    "`patches` has no card: a case takes half a minute (64 cases beside `atoms`: beside.md).",
    "",
)


def main() -> None:
    HERE.mkdir(parents=True, exist_ok=True)
    for name, card in cards().items():
        plot_card(card).savefig(HERE / f"{name}.png", dpi=100)
    (HERE / "README.md").write_text("\n".join(lines()) + "\n")


def cards() -> dict[str, CalibrationCard]:
    """Those that ship."""
    found = {name: card_of(load_model(name)) for name in list_models()}
    return {name: card for name, card in found.items() if card is not None}


def lines() -> list[str]:
    """What the folder's README says of them."""
    known = cards()
    rows = {name: card.summary() for name, card in known.items()}
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    told = [*HEADER, f"| | {' | '.join(known)} |", "|---" * (1 + len(known)) + "|"]
    told += [f"| {key} | {' | '.join(row.get(key, '') for row in rows.values())} |" for key in keys]
    for name, card in known.items():
        worst = [c for c in card.sets if c.p_value is not None and c.p_value < 0.01]
        told += [
            "",
            f"Sets of `{name}` that fail the law of a split: {len(worst)} of "
            f"{sum(c.p_value is not None for c in card.sets)}.",
            "",
            f"![Card of {name}]({name}.png)",
        ]
    return told


if __name__ == "__main__":
    main()
