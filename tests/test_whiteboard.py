"""The whiteboard: any text is drawn, the same text to the same bytes, and boards that people draw are judged fairly."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from mlsys.analysis import practice, whiteboard
from mlsys.analysis.architecture import COMPONENTS, FLOWS
from mlsys.analysis.style import png
from mlsys.drills import Typed, find
from mlsys.drills.graph import Graph
from mlsys.drills.proof import score

TERSE = """
logs -> validation -> feature pipeline -> feature store -> training -> evaluation -> registry -> model server
feature store -> model server: online features
model server -> logs: impressions
model server -> monitoring -> orchestrator -> training
monitoring -> dashboards
cache -> model server: fallback
monitoring -> model server: rollback
config, resources -> everything
"""
WITH_USERS = """
users -> server: request
server -> users: ranked feed
users -> data collection: likes, dislikes
server -> data collection: impressions, with position
Data Collection -> Data Verification: raw events     # schema first
Data Verification -> Feature Extraction
feature extraction -> offline store
feature store -> trainer: point in time rows
trainer -> evaluation pipeline: candidate
evaluation pipeline -> model registry: passed
model registry -> server: champion
model registry -> server: roll back to the previous model
feature store -> server
popular posts -> server: when the store is down
server -> monitor: latency, scores
monitor -> process management: drift, retrain
monitor -> analysis tools
evaluation -> analysis tools
configuration -> server, ml code
resource management -> server, ml code
process management -> ml code, feature extraction
"""
TOP_DOWN = """
configuration, orchestration, capacity -> all components
kafka -> data quality -> feature engineering: clean events
feature engineering -> feast -> ml, inference
ml -> offline evaluation -> inference: gate
inference -> kafka: served impressions
inference -> observability: metrics
observability -> orchestration: alerts
observability -> reports
last good snapshot -> inference: defaults
orchestration -> inference: revert the model
"""
SPOKEN = """
Events -> Event log -> data validation
data validation -> feature pipeline: good rows only
data validation -> monitoring: bad rows, counted
feature pipeline -> feature store: one definition for both paths
feature store -> model training: as of the label's time
feature store -> model server: as of now
model training -> model evaluation -> model registry -> model server
model server -> event log: what was shown, where, and by which model
model server -> monitoring: latency, rung, score
monitoring -> orchestration: retrain when it drifts
orchestration -> model training
snapshot -> model server: default features when the store is down
model registry -> model server: rollback to the champion before
analysis <- monitoring
configuration -> model server
resource management -> model server
"""
BACKWARDS = """
reporting <- monitoring <- model server
model server <- model registry: serve, or roll back
model server <- feature store
model server <- cache: fall back
model registry <- evaluation <- training <- feature store <- feature extraction <- validation <- event log
event log <- model server: impressions and actions
training <- scheduler <- monitoring
model server <- config
model server <- autoscaling
"""
NO_LOOP = TERSE.replace("model server -> logs: impressions\n", "")
PIPELINE = "data -> features -> model -> server"
EVERYTHING = "\n".join(f"{a.name} -> {b.name}" for a, b in itertools.permutations(COMPONENTS, 2))
SEED = 11


def points(board: str) -> dict[str, int]:
    drill = find("01")
    key = drill.variant(SEED).key
    return score(
        drill, SEED, Typed({"board": board, "starved": list(key["starved"]), "first_sign": key["sign"]})
    ).points


@pytest.mark.parametrize("board", [TERSE, WITH_USERS, TOP_DOWN, SPOKEN, BACKWARDS])
def test_a_complete_board_passes_in_whoever_s_words(board: str) -> None:
    found = points(board)
    assert min(found.values()) >= 2 and sum(found.values()) >= 12, found


def test_what_is_missing_locks_its_row() -> None:
    assert points(NO_LOOP)["loop"] == 0 and points(NO_LOOP)["components"] == 3
    two = points(TERSE + "logs -> model server: features of the last hour")
    assert two["definition"] == 1
    cut = points(TERSE.replace("cache -> model server: fallback\n", ""))
    assert cut["survival"] == 1 and cut["loop"] == 3
    assert points(TERSE.replace("monitoring -> model server: rollback\n", ""))["survival"] == 1
    weak = points(PIPELINE)
    assert max(weak[row] for row in ("components", "loop", "definition", "survival")) <= 1


def test_arrows_everywhere_earn_nothing() -> None:
    assert max(points(EVERYTHING).values()) == 0


def test_the_strike_follows_the_architecture() -> None:
    for seed in range(30):
        key = find("01").variant(seed).key
        assert {flow.target for flow in FLOWS if flow.source == key["struck"]} == set(key["starved"])
    assert len({find("01").variant(seed).key["struck"] for seed in range(60)}) >= 6
    assert len({str(find("01").variant(seed).key) for seed in range(60)}) >= 25


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cache -> model server: fallback", "trending posts -> model server: if store times out"),
        ("monitoring -> model server: rollback", "model registry -> model server: last good version"),
        ("monitoring -> model server: rollback", "monitoring -> model server: canary stop, previous version"),
    ],
)
def test_a_fallback_and_a_way_back_in_other_words(old: str, new: str) -> None:
    assert old in TERSE and points(TERSE.replace(old, new))["survival"] >= 2


def test_a_registry_between_training_and_evaluation_is_no_mistake() -> None:
    drill = find("01")
    seed = next(seed for seed in range(50) if drill.variant(seed).key["struck"] == "ML code")
    key = drill.variant(seed).key
    board = TERSE.replace("training -> evaluation -> registry", "training -> registry -> evaluation")
    board += "training -> monitoring: loss curves"
    values = {"board": board, "starved": list(key["starved"]), "first_sign": key["sign"]}
    assert score(drill, seed, Typed(values)).points["strike"] == 3


def test_every_component_has_names_and_no_name_has_two() -> None:
    assert set(whiteboard.ALIASES) == set(whiteboard.PLACE) == {c.name for c in COMPONENTS}
    aliases = [alias.strip() for text in whiteboard.ALIASES.values() for alias in text.split(",")]
    assert len(aliases) == len(set(aliases))
    assert all(whiteboard.component(c.name) == c.name for c in COMPONENTS)


@given(st.lists(st.text("ab c->:$_\\{}^%,#é\t", max_size=30), max_size=8).map("\n".join))
@settings(max_examples=25, deadline=None)
def test_whatever_is_typed_is_drawn(text: str) -> None:
    try:
        board = Graph.parse(text)
    except ValueError:
        return
    assert png(whiteboard.draw(board)).startswith(b"\x89PNG")
    whiteboard.ascii(board)


def test_the_drawing_says_every_box_and_label_and_repeats_to_the_byte() -> None:
    board = Graph.parse(WITH_USERS)
    figure = whiteboard.draw(board)
    shown = " ".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text))
    for box in board.renamed(whiteboard.component).boxes:
        assert box in shown
    assert "impressions, with position" in shown and "point in time rows" in shown
    assert png(figure) == png(whiteboard.draw(Graph.parse(WITH_USERS)))
    assert png(figure) != png(whiteboard.draw(Graph.parse(WITH_USERS.replace("ranked feed", "answer"))))
    many = Graph.parse(
        "\n".join(f"box {i} with quite a long name -> box {i + 1} with quite a long name" for i in range(60))
    )
    assert len(whiteboard.draw(many).findobj(Text)) >= 60


def test_in_the_terminal_every_arrow_is_a_line() -> None:
    text = whiteboard.ascii(Graph.parse(TERSE))
    assert text.count("->") == len(Graph.parse(TERSE).arrows) and "Serving infrastructure\n" in text


class TestPractice:
    def test_the_heatmap_has_a_square_per_row_and_says_what_is_due(self) -> None:
        rows = pd.DataFrame(
            [(0, "01_a", "x", 3.0, False), (0, "01_a", "y", 1.0, True), (6, "02_b", "z", np.nan, True)],
            columns=["step", "drill", "row", "points", "due"],
        )
        figure = practice.heatmap(rows)
        texts = [text.get_text() for text in figure.findobj(Text)]
        assert sum(patch.get_gid() == "row" for patch in figure.axes[0].patches) == 3
        assert "2 of 3 rows tried, 1 due again" in texts
        assert {"01_a", "02_b", "All seven", "x", "y", "z", "3", "1"} <= set(texts)
        untried = practice.heatmap(rows.assign(points=np.nan)).findobj(Text)
        assert any("Nothing tried yet" in text.get_text() for text in untried)

    def test_calibration_counts_what_held(self) -> None:
        intervals = pd.DataFrame({"name": "x", "low": [1.0, 5, -1, 2], "high": [3.0, 6, 1, 9], "truth": [2.0, 2, 0, 8]})
        texts = " ".join(text.get_text() for text in practice.calibration_plot(intervals).findobj(Text))
        assert "75% of 4 intervals held the truth" in texts
        assert "No interval yet" in " ".join(
            text.get_text() for text in practice.calibration_plot(intervals.head(0)).findobj(Text)
        )
