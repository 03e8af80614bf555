"""Boards that people draw."""

from mlsys.drills import Typed, Variant

BOARD = """\
data collection -> data verification: raw events
data verification -> feature extraction: accepted rows
feature extraction -> feature store: dated values
feature store -> ml code: rows as of each event
feature store -> server: online features
ml code -> evaluation pipeline: candidate model
evaluation pipeline -> server: model that passed
evaluation pipeline -> analysis tools: metrics by slice
server -> data collection: served impressions
server -> monitoring: scores, latency
monitoring -> analysis tools: alerts to explain
monitoring -> process management: retrain or roll back
popularity snapshot -> server: fallback
model registry -> server: roll back to the last good model
configuration, process management, resource management -> everything
"""


def reference(variant: Variant) -> Typed:
    """The house diagram, a fallback and a way back."""
    return Typed({"board": BOARD, "starved": list(variant.key["starved"]), "first_sign": variant.key["sign"]})


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right = reference(variant).values
    struck = variant.key["struck"]

    def without(line: str) -> str:
        return BOARD.replace(f"{line}\n", "")

    def board(text: str, row: str, says: str) -> Typed:
        return Typed({**right, "board": text}, row=row, says=says)

    # The strike row reads the arrows of the struck box, so other mistakes are made elsewhere.
    open_loop, gap = ("server -> data collection: served impressions", "never learns")
    if struck == "Serving infrastructure":
        open_loop, gap = ("evaluation pipeline -> server: model that passed", "no way from Evaluation pipeline")
    second_path = "data verification" if struck == "Feature extraction" else "feature extraction"
    few = without("configuration, process management, resource management -> everything")
    return {
        "management_forgotten": board(
            few.replace("process management", "model registry"), "components", "without an arrow or not there"
        ),
        "no_loop": board(without(open_loop), "loop", gap),
        "two_paths": board(f"{BOARD}{second_path} -> server: fresh features\n", "definition", "drift apart"),
        "no_fallback": board(without("popularity snapshot -> server: fallback"), "survival", "nothing answers"),
        "next_but_one": Typed(
            {**right, "starved": [*right["starved"], "Configuration"], "first_sign": "nothing to draw"},
            row="strike",
            says="Configuration",
        ),
    }
