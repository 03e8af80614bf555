"""The drawn world and the drawn loop: what figures say is what was computed, and the command line says what it does."""

import re
import secrets
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import mlsys.world as world_package
from mlsys.analysis import feed, loop
from mlsys.analysis.style import png
from mlsys.cli import main
from mlsys.cli import world as command
from mlsys.core import MlsysError
from mlsys.orchestration import properties
from mlsys.world import KINDS, Incident, Random, World
from mlsys.world.parameters import SCENARIOS, parameters

SEED = secrets.randbelow(10**6)  # of worlds that nobody tuned for


def texts(fig: Figure) -> str:
    return "\n".join(text.get_text() for text in fig.findobj(Text)).replace("−", "-")


def assert_readable(fig: Figure) -> None:
    """No text is cut, and none is written over another; tick labels apart, which matplotlib places."""
    png(fig)
    ticks = {label for ax in fig.axes for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels(which="both")}
    found = [t for t in fig.findobj(Text) if t not in ticks and t.get_visible() and t.get_text().strip()]
    boxes = [(t.get_text(), t.get_window_extent().padded(-2)) for t in found]
    width, height = fig.bbox.size
    for text, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, (f"{text!r} is cut", SEED)
    assert not [(a, b) for (a, x), (b, y) in combinations(boxes, 2) if x.overlaps(y)], SEED


def frame(days: int = 30, alerts: dict[int, list[str]] | None = None, factor: float = 1.0) -> pd.DataFrame:
    """A month of the loop, made up: every number is a function of the day, so that tests can compute it again."""
    day = np.arange(1, days + 1)
    auc = np.where(day % 5 == 2, np.nan, 0.7 + 0.01 * np.sin(day))
    share = factor * (0.7 + 0.05 * np.sin(day / 2))
    return pd.DataFrame(
        {
            "day": day,
            "share_of_oracle": share,
            "random_share": 0.44,
            "likes_per_session": 3.5 * share,
            "sessions": 1_600 + day,
            "active_users": 700 + day,
            "retained": 0.9 - day / 200,
            "auc": auc,
            "auc_low": auc - 0.02,
            "auc_high": auc + 0.02,
            "model_version": [f"ranker:{n // 3}" for n in day],
            "gate": [("promoted", "held: AUC 0.69 against 0.70", "not due")[n % 3] for n in day],
            "alerts": [(alerts or {}).get(int(n), []) for n in day],
            "rungs": [{"fresh": 0.9, "defaults": 0.1} if n % 2 else {"fresh": 0.5, "popularity": 0.5} for n in day],
        }
    )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_drawn_with_its_own_numbers(scenario: str) -> None:
    world = World(scenario, seed=SEED, users=400)
    measured = command.measure(world)
    assert world.day == command.DAYS
    figures = [
        feed.population(world),
        feed.choice(world.p),
        feed.ladder(measured.value),
        feed.truth(measured.p_like, measured.bayes_auc, measured.satisfaction),
    ]
    for fig in figures:
        assert_readable(fig)
    said = texts(figures[2])
    for number in measured.value[["like", "dislike", "share", "enjoyment"]].to_numpy().ravel():
        assert f"{number:.2f}".replace("-0.00", "0.00") in said, (number, SEED)
    assert f"AUC of {measured.bayes_auc:.3f}" in texts(figures[3])
    assert f"{(measured.satisfaction < 0).mean():.0%} are below 0" in texts(figures[3])
    likes = measured.value["like"]
    if scenario == "noise":
        assert measured.bayes_auc == pytest.approx(0.5, abs=1e-6)
        assert np.allclose(likes, 1.5, atol=1e-4) and not measured.satisfaction.any()
    else:
        assert measured.bayes_auc > 0.6
        assert likes["random"] < likes["value oracle"] < likes["like oracle"], (likes, SEED)


def test_the_population_is_drawn_as_it_is() -> None:
    world = World(seed=SEED, users=1_000)
    rate = np.sort(np.minimum(world.users.rate, 20))[::-1]  # satisfaction is still 0
    fig = feed.population(world)
    assert f"has {rate[:100].sum() / rate.sum():.0%} of the sessions" in texts(fig)
    assert f"median {np.median(rate):.2f}" in texts(fig)
    assert f"{(world.users.device == 0).mean():.0%}" in texts(fig)
    bars = sum(patch.get_height() for patch in fig.axes[0].patches)
    assert bars == 1_000, (bars, SEED)  # nobody is left out of the histogram, nobody is counted twice


def test_the_drawn_curves_are_the_stated_formulas() -> None:
    """Utilities by hand, from the page of the model: another path than the tables of `behaviour`."""

    def like(
        affinity: float = 0, clickbait: float = 0, length: float = 0.25, ideal: float = 0.25, age: int = 1
    ) -> float:
        suits, fresh = 0.8 - ((length - ideal) / 0.35) ** 2, np.exp(-age / 1.5) - 0.35
        u = [
            -0.38 + affinity + 0.8 * clickbait + 0.7 * suits + fresh,
            -1.86 - 0.5 * affinity + 0.9 * clickbait,
            -1.77 + 0.4 * affinity - 0.3 * clickbait,
            -1.47 - 0.3 * affinity,
        ]
        return float(np.exp(u[0]) / (1 + np.exp(u).sum()))

    fig = feed.choice(parameters("default"))
    by_affinity, by_length, by_age, slots, by_clickbait, joy = fig.axes
    for x, y in np.asarray(by_affinity.get_lines()[0].get_xydata()):
        assert y == pytest.approx(like(affinity=x), rel=1e-5)
    for line, ideal in zip(by_length.get_lines(), (0.25, 0.75, 0.5), strict=True):
        for x, y in np.asarray(line.get_xydata()):
            assert y == pytest.approx(like(length=x, ideal=ideal), rel=1e-5)
    for x, y in np.asarray(by_age.get_lines()[0].get_xydata()):
        assert y == pytest.approx(like(age=int(x)), rel=1e-5)
    for x, y in np.asarray(by_clickbait.get_lines()[0].get_xydata()):
        assert y == pytest.approx(like(clickbait=x), rel=1e-5)
    assert [bar.get_height() for bar in slots.patches] == pytest.approx(np.arange(1, 11) ** -0.5)
    assert np.ptp(np.asarray(joy.get_lines()[1].get_ydata())) == pytest.approx(7.5)
    assert f"P(like) {like():.2f} → {like(clickbait=1):.2f}, enjoyment 0.00 → -1.50" in texts(fig)


def test_the_loop_says_its_averages_and_what_the_incident_changed() -> None:
    alerts = {9: ["drift: post_age", "likes per session -12%", "drift: score"], 10: ["likes per session -7%"]}
    broken, healthy = frame(alerts=alerts, factor=0.9), frame()
    incidents = [Incident("null_spike", 9, 3, 0.6), Incident("interest_shift", 12, 999, 0.7)]
    fig = loop.loop_overview(broken, incidents, healthy)
    assert_readable(fig)
    said = texts(fig)
    served = (broken["share_of_oracle"] * broken["sessions"]).sum() / broken["sessions"].sum()
    assert f"earns {served:.0%} of the oracle's likes; a random order 44%" in said
    assert "day 9 to 30: -10.0%" in said
    assert "null_spike (size 0.6)" in said and "interest_shift (size 0.7)" in said
    names = [label.get_text() for label in fig.axes[-1].get_yticklabels()]
    assert names == ["drift: post_age", "likes per session", "others"]
    marks = [list(np.asarray(line.get_xdata())) for line in fig.axes[-1].get_lines()]
    assert marks == [[9], [9, 10], [9]]
    share = fig.axes[0].get_lines()
    assert [line.get_label() for line in share] == ["served", "no incident", "random"]
    assert np.allclose(np.asarray(share[0].get_ydata()), broken["share_of_oracle"])
    for day in broken["day"]:
        bars = [bar for bar in fig.axes[4].patches if bar.get_x() < day < bar.get_x() + 0.8 and bar.get_height() > 0]
        heights = [bar.get_height() for bar in bars if bar.get_width() == pytest.approx(0.8)]
        assert sum(heights) == pytest.approx(1), day


@pytest.mark.parametrize("days", [1, 2, 30])
def test_a_loop_of_any_length_is_drawn(days: int) -> None:
    untrained = frame(days).assign(auc=np.nan, auc_low=np.nan, auc_high=np.nan)
    for fig in (loop.loop_overview(frame(days)), loop.offline_online(frame(days)), loop.loop_overview(untrained),
                loop.offline_online(untrained)):  # fmt: skip
        assert_readable(fig)
    assert "alerts: none" in texts(loop.loop_overview(frame(days)))
    assert "no model was trained" in texts(loop.loop_overview(untrained))
    assert "correlation undefined" in texts(loop.offline_online(untrained))


def test_many_kinds_of_alerts_share_one_row() -> None:
    alerts = {day: [f"drift: column_{day}_{i}" for i in "ab"] for day in range(1, 21)}
    fig = loop.loop_overview(frame(alerts=alerts))
    assert_readable(fig)
    names = [label.get_text() for label in fig.axes[-1].get_yticklabels()]
    assert len(names) == loop.ALERT_ROWS + 1 and names[-1] == "others"
    days = {day for line in fig.axes[-1].get_lines() for day in np.asarray(line.get_xdata())}
    assert days == set(alerts)  # no alerting day is lost


def test_a_baseline_that_ends_before_the_incident_is_not_compared() -> None:
    said = texts(loop.loop_overview(frame(), [Incident("store_outage", 25, 1, 1.0)], frame(20)))
    assert "not yet comparable" in said


def test_offline_against_online_prints_its_correlation() -> None:
    made = frame()
    fig = loop.offline_online(made)
    known = made.dropna()
    assert f"correlation {known['auc'].corr(known['share_of_oracle']):.2f}" in texts(fig)
    assert f"{len(known)} days, {known['model_version'].nunique()} models" in texts(fig)
    dots = np.asarray(fig.axes[0].collections[1].get_offsets())
    assert np.allclose(dots, known[["auc", "share_of_oracle"]])


@pytest.mark.parametrize("draw", [loop.loop_overview, loop.offline_online])
def test_a_frame_that_cannot_be_drawn_is_named(draw: object) -> None:
    assert callable(draw)
    with pytest.raises(MlsysError, match="'rungs'"):
        draw(frame().drop(columns="rungs"))
    with pytest.raises(MlsysError, match="no day"):
        draw(frame(0))


def test_show_prints_what_it_measured_and_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["world", "show", "--seed", str(SEED), "--users", "300", "--folder", str(tmp_path / "new")]
    assert main(words) == 0
    said, page = capsys.readouterr().out, tmp_path / "new" / "world.html"
    assert f"Figures: {page.resolve()}" in said
    world = World(seed=SEED, users=300)
    measured = command.measure(world)
    for row in command.summary(world, measured).itertuples():
        assert re.search(rf"{re.escape(str(row.number))} +{re.escape(str(row.value))}\n", said), (row, SEED)
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == 4 and "://" not in html
    assert f"{measured.bayes_auc:.3f}" in html and "null_spike" in html


def test_impressions_are_counted_once_and_users_who_never_came_are_left_out() -> None:
    measured, world = command.measure(World(seed=SEED, users=300, duplicate_share=0.5)), World(seed=SEED, users=300)
    days = [world.step(Random()) for _ in range(command.DAYS)]
    came = np.unique(np.concatenate([day.log["user_id"] for day in days]))
    assert len(measured.p_like) == days[-1].sessions * world.p.slots, SEED
    assert len(measured.satisfaction) == len(came) < len(world.users), SEED


def test_show_model_prints_the_page_of_the_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["world", "show", "--model", "--folder", str(tmp_path)]) == 0
    said, page = capsys.readouterr().out, world_package.__doc__ or ""
    assert [line.strip() for line in said.splitlines()] == [line.strip() for line in page.strip().splitlines()]
    assert not list(tmp_path.iterdir())


def test_incidents_are_listed_with_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["world", "incidents"]) == 0
    said = capsys.readouterr().out
    for name, kind in KINDS.items():
        assert f"{name}: {kind.what}\n" in said
        assert kind.cause in said and kind.where in said and kind.size_means in said
        assert re.search(rf"{kind.days} days?, size {kind.size:g}\n", said)
    example = re.findall(r"--incident (\S+)", said)
    assert len(example) == 2 and all(Incident.parse(text) for text in example)


def test_prove_prints_its_seeds_and_can_be_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["world", "prove", "--seeds", "2", "--only", "marginals"]) == 0
    said = capsys.readouterr().out
    again = re.search(r"python start.py (world prove .*)", said)
    assert again and properties.PROPERTIES["marginals"].claim in said and "1 of 1 properties hold" in said
    assert main([*again[1].split(), "--only", "marginals"]) == 0
    assert capsys.readouterr().out == said


def test_prove_fails_when_a_property_does(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = properties.Property("Seeds are small.", lambda seed: {"seed": float(seed)}, {"seed": (0, 5)})
    monkeypatch.setitem(properties.PROPERTIES, "wrong", wrong)
    for first, code, verdict in ((4, 0, "  holds  wrong"), (5, 1, "  DOES NOT HOLD  wrong")):
        assert main(["world", "prove", "--seeds", "2", "--first-seed", str(first), "--only", "wrong"]) == code
        said = capsys.readouterr().out
        assert verdict in said and f"measured  seed {first + 0.5:.3f}" in said


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("show --scenario defualt", "there is no scenario 'defualt'"),
        ("show --users 5", "--users 5"),
        ("show --users 0", "--users 0"),
        ("show --seed -1", "--seed -1"),
        ("prove --seeds 0", "--seeds 0"),
        ("prove --first-seed -3", "--first-seed -3"),
        ("prove --only marginal", "did you mean 'marginals'?"),
    ],
)
def test_a_bad_argument_is_explained(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["world", *words.split()]) == 2
    said = capsys.readouterr()
    assert complaint in said.err and "do:" in said.err and not said.out


def test_a_folder_in_the_place_of_the_page_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "world.html").mkdir()
    assert main(["world", "show", "--folder", str(tmp_path)]) == 2
    assert "world.html is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["", "show", "prove", "incidents"])
def test_help_teaches_with_examples(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["world", *words.split(), "--help"])
    assert stopped.value.code == 0
    assert re.search(r"Examples?:\n  python start.py ", capsys.readouterr().out)
