"""The drill engine through its public face: answers as text, points from evidence, progress that survives, proofs that
can fail. The drills themselves are proved by `mlsys drill prove`."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlsys.core import MlsysError, VirtualClock
from mlsys.drills import session as session_module
from mlsys.drills import source
from mlsys.drills.answer import Answer, AnswerError, Field, dump, line_of, load, parse, replaced, template
from mlsys.drills.grading import QUESTIONS, Help, grade, listen
from mlsys.drills.graph import Graph
from mlsys.drills.new import create
from mlsys.drills.progress import TABLES, Progress, weakest
from mlsys.drills.proof import prove
from mlsys.drills.report import card_text, verdict
from mlsys.drills.rubric import calibration, interval_evidence, interval_score, level
from mlsys.drills.session import Session
from mlsys.drills.source import Drill, DrillError, Variant, drills, fill, find, read

FIELDS = [
    Field("why", "text", "Why?", "because"),
    Field("steps", "list", "Which?", ["first: this"]),
    Field("cause", "choice", "What is it?", "skew", options=("skew", "noise", "leak")),
    Field("seen", "choices", "What do you see?", ["drop"], options=("drop", "rise", "nothing")),
    Field("days", "number", "How long?", 2, unit="days"),
    Field("lift", "interval", "How much?", [0.5, 2]),
    Field("board", "graph", "Draw", "a -> b"),
    Field("claims", "rows", "Claim", [{"box": "store", "day": 1}], columns={"box": ("store", "server"), "day": ()}),
]
BY_NAME = {one.name: one for one in FIELDS}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.one_of(st.times(), st.datetimes()).map(lambda at: at.replace(fold=0))
VALUE = st.recursive(
    st.one_of(TEXT, st.booleans(), st.integers(), st.floats(), st.dates(), TIMES),
    lambda inside: st.one_of(st.lists(inside, max_size=3), st.dictionaries(TEXT, inside, max_size=3)),
    max_leaves=6,
)
"""Anything that TOML can hold, control characters and dates among it."""


class TestAnswer:
    def test_the_empty_template_is_an_answer_with_nothing_in_it(self) -> None:
        assert parse(template(FIELDS, "title"), FIELDS) == {}

    def test_every_example_passes_and_survives_the_text(self) -> None:
        values = {one.name: one.example for one in FIELDS}
        found = parse(dump(values), FIELDS)
        assert set(found) == set(values)
        assert found["lift"] == (0.5, 2.0) and found["board"].has("a", "b") and found["claims"] == values["claims"]

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ('cause = "drift"', "one of skew, noise, leak"),
            ('cause = "skev"', "did you mean 'skew'"),
            ("cause = 3", "one of"),
            ('seen = "drop"', "a list of texts"),
            ('seen = ["drop", "fall"]', "one of drop, rise, nothing"),
            ('seen = ["drop", "drop"]', "named once"),
            ('days = "two"', "a number"),
            ("days = nan", "a number"),
            ("days = inf", "a number"),
            ("days = true", "a number"),
            ("days = 1" + "0" * 400, "a number"),
            ("days = 2026-01-01", "a number"),
            ("lift = 3", "two numbers"),
            ("lift = [3, 1]", "low below high"),
            ("lift = [1, 2, 3]", "two numbers"),
            ('board = "store ->"', "an arrow without a box"),
            ('claims = [{box = "store"}]', "exactly box, day"),
            ('claims = [{box = "shop", day = 1}]', "box is one of store, server"),
            ("steps = [1]", "a list of texts"),
            ("why = 5", "a text"),
        ],
    )
    def test_what_does_not_fit_names_field_and_line_and_shows_what_would_pass(self, line: str, says: str) -> None:
        with pytest.raises(AnswerError) as caught:
            parse(f"# comment\n\n{line}\n", FIELDS)
        error, name = caught.value, line.split(" ")[0]
        assert error.what.startswith(f"line 3: {name}") and says in error.why
        shown = error.fix.removeprefix("write for example: ")
        assert name in parse(shown, FIELDS)

    @pytest.mark.parametrize("value", ["0", "11", "2.5"])
    def test_a_number_that_cannot_be_is_refused(self, value: str) -> None:
        day = Field("day", "number", "When?", 3, at_least=1, at_most=10, whole=True)
        with pytest.raises(AnswerError, match="a whole number, at least 1, at most 10"):
            parse(f"day = {value}", [day])
        assert parse("day = 10", [day]) == {"day": 10}

    def test_an_interval_of_what_cannot_be_is_refused(self) -> None:
        share = Field("share", "interval", "Which share?", [0.1, 0.2], at_least=0, at_most=1)
        for value in ("[-0.1, 0.5]", "[0.5, 1.1]"):
            with pytest.raises(AnswerError, match="at least 0, at most 1"):
                parse(f"share = {value}", [share])
        assert parse("share = [0, 1]", [share]) == {"share": (0, 1)}

    def test_the_line_of_an_item_is_its_own(self) -> None:
        text = 'why = """\nclaims = none\n"""\nclaims = [\n  {box = "store", day = 1},\n  {box = "shop", day = 2},\n]\n'
        with pytest.raises(AnswerError, match=r"line 6: claims, item 2,"):
            parse(text, FIELDS)
        assert line_of(text, "claims") == 4
        tables = '[[claims]]\nbox = "store"\nday = 1\n[[claims]]\nbox = "shop"\nday = 2\n'
        with pytest.raises(AnswerError, match=r"line 4: claims, item 2,"):
            parse(tables, FIELDS)

    @pytest.mark.parametrize("above", ['# """', 'why = "x" # """', "why = 'cause = 3'", "# a\u2028b", "steps = [\n]"])
    def test_a_line_is_counted_as_an_editor_does(self, above: str) -> None:
        for line in ("cause = 3", '"cause" = 3'):
            with pytest.raises(AnswerError, match=f"line {above.count(chr(10)) + 2}: cause"):
                parse(f"{above}\n{line}", FIELDS)

    def test_an_unknown_field_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(AnswerError, match="line 2: there is no field 'causes'") as caught:
            parse('# \ncauses = "skew"', FIELDS)
        assert "did you mean cause?" in caught.value.fix

    @pytest.mark.parametrize("text", ["cause = skew", "cause = ", "= 3", "x" * 300_000, "a = " + "[" * 5000, "\x00"])
    def test_what_is_no_toml_is_one_clear_error(self, text: str) -> None:
        with pytest.raises(AnswerError):
            parse(text, FIELDS)

    @given(st.text(max_size=200))
    @settings(max_examples=200, deadline=None)
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        for given_text in (text, f"board = '''{text}'''", f"cause = {json.dumps(text)}"):
            try:
                parse(given_text, FIELDS)
            except AnswerError as error:
                assert error.what and error.fix

    @given(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80),
        st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=2, unique=True).map(sorted),
        st.lists(st.sampled_from(["drop", "rise", "nothing"]), unique=True, min_size=1),
    )
    @settings(max_examples=100, deadline=None)
    @example(why='""', lift=[0.0, 1.0], seen=["drop"])
    def test_dump_and_parse_are_inverse(self, why: str, lift: list[float], seen: list[str]) -> None:
        values = {"why": f'{why}\n"""{why}\\', "lift": lift, "seen": seen}
        found = parse(dump(values), FIELDS)
        assert (found["why"], list(found["lift"]), found["seen"]) == (values["why"], lift, seen)

    @given(st.dictionaries(TEXT, VALUE, max_size=4), VALUE)
    @settings(max_examples=200, deadline=None)
    def test_whatever_a_file_holds_is_written_so_that_it_reads_the_same(
        self, held: dict[str, object], new: object
    ) -> None:
        assert repr(load(dump(held))) == repr(held)
        found = replaced(f"{dump(held)}# told", {"why": new})
        assert repr(sorted(load(found).items())) == repr(sorted({**held, "why": new}.items()))


class TestGraph:
    def test_chains_lists_labels_comments_and_lone_boxes(self) -> None:
        board = Graph.parse("A -> b: x: y  # told\nb --> C -> d\ne, f -> A\nlonely\n\n")
        arrows = [(a.source, a.target, a.what) for a in board.arrows]
        assert arrows == [("a", "b", "x: y"), ("b", "c", ""), ("c", "d", ""), ("e", "a", ""), ("f", "a", "")]
        assert board.boxes == ("a", "b", "c", "d", "e", "f", "lonely")
        assert board.reaches("e", "d") and not board.reaches("d", "e") and not board.reaches("lonely", "lonely")
        assert board.after("a") == {"b"} and board.before("a") == {"e", "f"}

    def test_renaming_merges_what_is_one_box(self) -> None:
        for line in ("a → b: x", "a => b: x", "a ⇒ b: x  # drawn"):
            assert Graph.parse(line) == Graph.parse("a -> b: x")
        assert Graph.parse("C# svc -> db").boxes == ("c# svc", "db")
        for line in ("store -- server", "store--server", "a -> b - c", "a <= b"):
            with pytest.raises(ValueError, match="without a head: type ->"):
                Graph.parse(line)
        for line in ("a -> b: x -> y", "a: b -> c"):
            with pytest.raises(ValueError, match="an arrow behind the colon"):
                Graph.parse(line)
        assert Graph.parse("a -> b\u2028\nc -> d").arrows[1].line == 2
        assert Graph.parse("my store -> b\nstore").renamed(lambda name: name.split()[-1]).alone == ()
        assert Graph.parse("c <- b <- a: x") == Graph.parse("a -> b -> c: x")
        with pytest.raises(ValueError, match="write two lines"):
            Graph.parse("a -> b <- c")
        board = Graph.parse("model server -> log\nserver -> cache").renamed(lambda name: name.split()[-1])
        assert board.after("server") == {"log", "cache"}

    def test_too_many_arrows_are_refused(self) -> None:
        with pytest.raises(ValueError, match="at most"):
            Graph.parse(",".join("abcdefghijklmnopqrst") + "->" + ",".join("abcdefghijklmnopqrst"))
        for line in ("box {0}", "box {0} -> other {0}"):
            with pytest.raises(ValueError, match="at most 100 boxes"):
                Graph.parse("\n".join(line.format(i) for i in range(101)))
        many = [",".join(f"{side}{i}" for i in range(5_000)) for side in "ab"]
        with pytest.raises(ValueError, match="at most"):
            Graph.parse("->".join(many))

    @given(st.text("ab->:,# \n", max_size=120))
    @settings(max_examples=200, deadline=None)
    def test_any_text_is_a_board_or_says_which_line(self, text: str) -> None:
        try:
            board = Graph.parse(text)
        except ValueError as error:
            assert "line" in str(error) or "at most" in str(error)
        else:
            assert all(arrow.source in board.boxes and arrow.target in board.boxes for arrow in board.arrows)


class TestRubric:
    def test_levels(self) -> None:
        cases = [([3, 3, 3], "E6"), ([3, 2, 2], "E5"), ([3, 3, 2, 2], "E6"), ([3, 3, 3, 1], "E4"), ([], "E4")]
        assert [level(points) for points, _ in cases] == [wanted for _, wanted in cases]

    def test_the_interval_score_is_cheapest_for_the_interval_you_believe_in(self) -> None:
        truths = 10 ** np.random.default_rng(7).normal(3, 0.5, 4_000)
        honest = np.quantile(truths, [0.1, 0.9])
        cost = {}
        for name, (low, high) in {
            "honest": honest, "narrow": honest ** [1.05, 0.95], "wide": honest ** [0.9, 1.1], "shifted": honest * 2,
        }.items():  # fmt: skip
            cost[name] = np.mean([interval_score(low, high, truth) for truth in truths])
        assert min(cost, key=cost.__getitem__) == "honest"

    @pytest.mark.parametrize(
        ("low", "high", "points"), [(90, 110, 3), (50, 150, 3), (30, 200, 2), (1, 1e9, 1), (1, 50, 0), (-5, 1e9, 1)]
    )
    def test_interval_points(self, low: float, high: float, points: int) -> None:
        assert interval_evidence("x", low, high, 100).points == points

    def test_calibration_is_wilson(self) -> None:
        share, low, high = calibration([True] * 30 + [False] * 10)  # Newcombe (1998), Wilson without continuity
        assert (share, round(low, 4), round(high, 4)) == (0.75, 0.5981, 0.8581)


@pytest.fixture
def drill(tmp_path: Path) -> Drill:
    """The drill that `mlsys drill new` makes: machine rows `estimate` and `log`, one human row `said`."""
    return read(create("09_events", tmp_path))


def around(drill: Drill, seed: int, factor: float = 1.0) -> dict[str, tuple[float, float]]:
    """Intervals around `factor` times the truth."""
    return {name: (0.9 * factor * right, 1.1 * factor * right) for name, right in drill.truths(seed).items()}


def text(values: dict[str, tuple[float, float]]) -> str:
    return dump({name: list(pair) for name, pair in values.items()})


class TestGrading:
    def test_evidence_unlocks_and_the_reason_names_what_the_run_says(self, drill: Drill) -> None:
        card = grade(drill, 5, around(drill, 5))
        assert card.points == {"estimate": 3, "log": 3} and card.open == ("said",)
        assert "the run says" in card.rows[0].reason
        assert grade(drill, 5, around(drill, 5, 3)).points == {"estimate": 0, "log": 0}

    def test_an_empty_field_locks_its_row_and_is_named(self, drill: Drill) -> None:
        row, other, _ = grade(drill, 5, {"storage": around(drill, 5)["storage"]}).rows
        assert row.points == 0 and "events empty" in row.reason and other.points == 3

    def test_help_caps(self, drill: Drill) -> None:
        values = around(drill, 5)
        cases = [
            (Help(hints={"estimate": 1}), 2), (Help(hints={"estimate": 2}), 1), (Help(hints={"estimate": 9}), 1),
            (Help(seen={"estimate": 0}), 2), (Help(seen={"estimate": 3}), 3), (Help(revealed=True), 0),
            (Help(hints={"said": 1}), 3),
        ]  # fmt: skip
        for helped, points in cases:
            card = grade(drill, 5, values, helped=helped)
            assert card.points["estimate"] == points, helped
            assert (points == 3) == ("capped" not in card.rows[0].reason)

    def test_a_human_row_takes_only_a_human_s_points(self, drill: Drill) -> None:
        card = grade(drill, 5, {}, human={"said": 3, "estimate": 3})
        assert card.points == {"estimate": 0, "log": 0, "said": 3}

    def test_the_text_says_what_is_locked_why_and_who_scores_the_rest(self, drill: Drill) -> None:
        shown = card_text(drill, grade(drill, 5, {}), 5)
        for part in ("locked", "you left events empty", "for 1:", "a human scores this row", "E4 so far"):
            assert part in shown
        best = grade(drill, 5, around(drill, 5), human={"said": 3})
        assert verdict(best).startswith("E6") and "world cup" in card_text(drill, best, 5)

    def test_one_question_releases_one_fact(self, drill: Drill) -> None:
        fact = listen(drill, "How many posts does one request show?")
        assert fact is not None and fact.id == "impressions"
        assert listen(drill, "What is the weather like?") is None
        for bad in ("posts", " ".join(["posts"] * 40), "", "?"):
            with pytest.raises(MlsysError, match="words"):
                listen(drill, bad)
        with pytest.raises(MlsysError, match="ask in English words"):
            listen(drill, "Сколько постов показывает запрос?")

    def test_a_list_of_keywords_is_no_question(self, drill: Drill) -> None:
        facts = tuple(source.Fact(name, (name,), name) for name in ("peak", "delay", "policy"))
        many = Drill(**{**vars(drill), "facts": facts})
        with pytest.raises(MlsysError, match="more than one question"):
            listen(many, "peak delay policy?")
        for question in ("What is the label delay?", "Does the delay depend on the policy?"):
            found = listen(many, question)
            assert found is not None and found.id == "delay"


@pytest.fixture
def here(tmp_path: Path, drill: Drill, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sessions look for drills where `drill` lies; the value is the work folder."""
    monkeypatch.setattr(session_module, "find", lambda name: find(name, drill.folder.parent))
    return tmp_path / "work"


class TestSession:
    def test_a_round(self, here: Path) -> None:
        session = Session.start("9", here, seed=5)
        right = around(session.drill, 5)
        assert "intervals" in session.prompt and session.folder == here / "drills" / "09_events" / "5"
        assert f"{session.drill.variant(5).shown['impressions']} posts" in session.ask("How many posts are shown?")
        miss = around(session.drill, 5, 3)
        session.save(text({**right, "events": miss["events"]}))
        assert session.check().points == {"estimate": 0, "log": 3}
        session.save(text(right))
        assert session.check().points == {"estimate": 2, "log": 3}, "who has read the reason gets two"
        session.score({"said": 3})
        card = session.check()
        assert card.points == {"estimate": 2, "log": 3, "said": 3}
        assert card.level == "E5" and "another seed" in verdict(card), "no E6 by reading reasons"
        kinds = session.progress.transcript(session.attempt)["kind"].tolist()
        assert kinds == ["ask", "fact", "check", "check", "score", "check"]
        kept = session.progress.intervals().set_index("name")["low"]
        assert kept.tolist() == [miss["events"][0], right["storage"][0]], (
            "an interval counts as it stood at the first check"
        )

    def test_start_goes_on_where_you_were_and_new_begins_anew(self, here: Path) -> None:
        first = Session.start("09", here)
        first.save("events = [1, 2]")
        again = Session.start("09", here)
        assert again.attempt == first.attempt and again.answer() == {"events": (1.0, 2.0)}
        again.check()
        assert Session.start("09", here).attempt.id == first.attempt.id, "running a notebook again changes no seed"
        other = Session.start("09", here, new=True)
        assert other.attempt.seed != first.attempt.seed and other.answer() == {}
        assert Session.start("09", here, seed=first.attempt.seed).answer() == {"events": (1.0, 2.0)}

    def test_an_empty_answer_is_not_scored(self, here: Path) -> None:
        session = Session.start("09", here)
        with pytest.raises(AnswerError, match="nothing is answered yet"):
            session.check()
        assert session.progress.points(session.attempt) == {}

    def test_a_hint_or_the_reference_follows_the_seed_not_the_attempt(self, here: Path) -> None:
        session = Session.start("09", here, seed=5)
        session.hint("estimate")
        session = Session.start("09", here, seed=5, new=True)
        session.save(text(around(session.drill, 5)))
        assert session.check().points["estimate"] == 2
        session.reference()
        other = Session.start("09", here, seed=5, new=True)
        card = other.check()
        assert card.points == {"estimate": 2, "log": 3}, "what you earned before you looked stays"
        with pytest.raises(MlsysError, match="no more hints"):
            other.hint("estimate")

    def test_saving_merges_fields_and_keeps_what_was_there(self, here: Path, tmp_path: Path) -> None:
        session = Session.start("09", here, seed=5)
        session.save("events = [1, 2] # mine")
        session.save("# nothing new")
        assert session.answer() == {"events": (1.0, 2.0)}
        with pytest.raises(AnswerError, match="line 2: events"):
            session.save("\nevents = 3")
        assert session.answer() == {"events": (1.0, 2.0)}
        session.save("events = [3, 4]\nstorage = []")
        assert session.answer() == {"events": (3.0, 4.0)}
        before = session.path.with_name("answer.toml.before")
        assert "[1" in before.read_text("utf-8") and "# for example:" in session.path.read_text("utf-8")
        session.save("events = []")
        assert session.answer() == {"events": (3.0, 4.0)}, "a cell that was never filled in wipes nothing"
        assert "[1" in before.read_text("utf-8"), "nor is what was there before forgotten for nothing"

    def test_comments_and_other_fields_stay_word_for_word(self, here: Path) -> None:
        session = Session.start("09", here, seed=5)
        session.path.write_text(
            "# why so few?\nstorage = [\n  1, # at least\n  9,\n]\n# the end\n", encoding="utf-8-sig"
        )
        session.save("events = [3, 4]")
        session.save("storage = [2, 8]")
        assert session.path.read_text("utf-8") == "events = [3, 4]\n# why so few?\nstorage = [2, 8]\n# the end\n"

    @pytest.mark.parametrize(
        "held", ["events = nan", "events = [nan, 1]", "events = 2026-01-01", '"my notes" = 3', '"events" = [1, 2] # x',
                 'events = "a\\u0001\\nb"', 'events = """a\nb"""'],
    )  # fmt: skip
    def test_a_save_keeps_what_the_file_holds_and_names_it_where_it_is_wrong(self, here: Path, held: str) -> None:
        session = Session.start("09", here, seed=5)
        session.path.write_text(f"{held}\n", encoding="utf-8")
        try:
            session.save("storage = [1, 2]")
        except AnswerError as error:
            assert error.what.startswith("answer.toml, line ")
        assert repr(session.raw()) == repr({"storage": [1, 2], **load(held)})

    def test_a_text_without_a_last_line_break_is_saved(self, here: Path) -> None:
        session = Session.start("09", here, seed=5)
        session.drill = Drill(**{**vars(session.drill), "fields": tuple(FIELDS)})
        session.path.write_text("", encoding="utf-8")
        session.save('board = """a -> b\nb -> c"""')
        assert session.raw() == {"board": "a -> b\nb -> c"}

    def test_a_file_that_is_held_open_is_tried_again(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        session, real, refused = Session.start("09", here, seed=5), Path.replace, [2]
        monkeypatch.setattr(time, "sleep", lambda seconds: None)

        def replace(path: Path, target: Path) -> Path:
            refused[0] -= 1
            if refused[0] >= 0:
                raise PermissionError
            return real(path, target)

        monkeypatch.setattr(Path, "replace", replace)
        session.save("events = [3, 4]")
        assert session.answer() == {"events": (3.0, 4.0)}
        refused[0] = 99
        with pytest.raises(MlsysError, match="cannot be written"):
            session.save("events = [5, 6]")
        assert not list(session.folder.glob("*.part"))

    def test_two_writers_of_one_file(self, here: Path) -> None:
        one, other = Session.start("09", here, seed=5), Session.start("09", here, seed=5)
        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(s.save, f"events = [{i}, {i + 1}]") for i in range(40) for s in (one, other)]
            assert all(job.result() for job in jobs)
        assert not list(one.folder.glob("*.part"))

    def test_a_new_attempt_does_not_make_the_seed_new(self, here: Path) -> None:
        session = Session.start("09", here, seed=5)
        right, miss = around(session.drill, 5), around(session.drill, 5, 3)
        session.save(text(miss))
        session.check()
        session.save(text(right))
        session.check()
        for seed in (6, 5):
            session = Session.start("09", here, seed=seed, new=True)
        session.save(text(right))
        session.score({"said": 3})
        for _ in range(2):
            assert session.check().level == "E5"
        kept = session.progress.intervals()
        assert kept["low"].tolist() == [miss["events"][0], miss["storage"][0]], "nor are intervals given twice"

    def test_intervals_from_the_reference_are_no_calibration(self, here: Path) -> None:
        session = Session.start("09", here, seed=5)
        session.reference()
        session.save(text(around(session.drill, 5)))
        session.check()
        assert len(session.progress.intervals()) == 0

    def test_an_attempt_outlives_a_change_of_the_drill(self, here: Path) -> None:
        session = Session.start("09", here, seed=5)
        session.ask("How many posts are shown?")
        session.score({"said": 3})
        session.save(text(around(session.drill, 5)))
        rows = tuple(row for row in session.drill.rows if row.id != "said")
        facts = (
            source.Fact("other", ("posts",), "x"),
            source.Fact("more", ("shown",), "y"),
            source.Fact("z", ("how",), "z"),
        )
        session.drill = Drill(**{**vars(session.drill), "rows": rows, "facts": facts})
        assert session.asked() == ["impressions"] and session.check().level == "E6"

    def test_what_is_told_only_to_who_asks_is_not_in_the_folder(
        self, here: Path, drill: Drill, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        module = source.load(drill.folder / "drill.py")
        made = module.variant
        more = {"byte": 1, "user": 2}  # Names that begin as those of the prompt do.
        monkeypatch.setattr(module, "variant", lambda seed: Variant({**made(seed).shown, **more}, made(seed).key))
        session = Session.start("09", here, seed=5)
        assert json.loads((session.folder / ".shown.json").read_text("utf-8")).keys() == {"users", "bytes"}
        assert f"{session.drill.variant(5).shown['impressions']}" in session.ask("How many posts are shown?")

    def test_a_row_without_an_answer_has_its_first_check_before_it(self, here: Path) -> None:
        session = Session.start("09", here, seed=5)
        right = around(session.drill, 5)
        session.save(text({"events": right["events"]}))
        assert session.check().points == {"estimate": 3, "log": 0}
        assert session.progress.points(session.attempt) == {"estimate": 3}
        session.save(text({"storage": right["storage"]}))
        assert session.check().points == {"estimate": 3, "log": 3}

    def test_a_file_that_cannot_be_read_is_not_written_over(self, here: Path) -> None:
        session = Session.start("09", here, seed=5)
        session.path.write_text("events = [1, 2\n# an hour of thought", encoding="utf-8")
        with pytest.raises(AnswerError, match="cannot be read"):
            session.save("storage = [1, 2]")
        assert "an hour of thought" in session.path.read_text("utf-8")

    def test_questions_run_out(self, here: Path) -> None:
        session = Session.start("09", here, seed=5)
        told = session.ask("How many posts are shown?")
        assert session.ask("And again, how many posts?") == told and session.questions_left == QUESTIONS - 1
        for day in [*range(QUESTIONS - 1), 0]:
            session.ask(f"Is it raining on day {day}?")
        assert session.ask("How many posts are shown?") == told
        with pytest.raises(MlsysError, match=f"asked {QUESTIONS} questions"):
            session.ask("Is it snowing?")

    def test_errors_say_what_to_do(self, here: Path) -> None:
        with pytest.raises(MlsysError, match="has not been started"):
            Session.resume("09", here)
        session = Session.start("09", here, seed=5)
        for points in ({"estimate": 3}, {"said": 4}, {"nothing": 1}):
            with pytest.raises(MlsysError, match="a human scores said"):
                session.score(points)
        session.path.write_bytes(b"events = [1, 2] # \xff")
        with pytest.raises(AnswerError, match="not UTF-8"):
            session.check()
        session.path.unlink()
        with pytest.raises(AnswerError, match=r"there is no answer\.toml"):
            session.check()
        with pytest.raises(DrillError, match="there is no drill"):
            Session.start("77", here)


class TestProgress:
    def test_due_and_weakest(self, drill: Drill) -> None:
        clock = VirtualClock("2026-01-01")
        progress = Progress(":memory:", clock)
        other = Drill(**{**vars(drill), "folder": drill.folder.with_name("10_other")})
        rows = progress.rows([drill, other])
        assert rows["due"].all() and rows["points"].isna().all()
        first = weakest(rows)
        assert first is not None and first["drill"] == "09_events"
        attempt = progress.start("10_other", 1)
        progress.keep(attempt, grade(drill, 1, around(drill, 1, 3), human={"said": 2}), {})
        row = weakest(progress.rows([drill, other]))
        assert row is not None and (row["drill"], row["row"]) == ("10_other", "estimate")
        attempt = progress.start("10_other", 2)
        progress.keep(attempt, grade(drill, 2, around(drill, 2), human={"said": 2}), {})
        row = weakest(progress.rows([drill, other]))
        assert row is not None and row["drill"] == "09_events", "what was never tried comes before what is fine"
        assert weakest(progress.rows([other])) is None
        clock.advance(days=4)
        row = weakest(progress.rows([other]))
        assert row is not None and row["row"] == "said", "two points last three days, three points two weeks"

    def test_checking_an_old_answer_again_does_not_put_it_off(self, drill: Drill) -> None:
        clock = VirtualClock("2026-01-01")
        progress, card = Progress(":memory:", clock), grade(drill, 1, around(drill, 1), human={"said": 3})
        attempt = progress.start("09_events", 1)
        progress.keep(attempt, card, {})
        for again in (attempt, progress.start("09_events", 1)):
            clock.advance(days=15)
            progress.give(again, {"said": 3})
            progress.keep(again, card, {})
            assert progress.rows([drill])["due"].all()
        progress.keep(progress.start("09_events", 2), card, {})
        assert not progress.rows([drill])["due"].any()

    def test_a_row_that_nobody_has_scored_comes_after_drills_never_tried(self, drill: Drill) -> None:
        progress = Progress(":memory:", VirtualClock("2026-01-01"))
        other = Drill(**{**vars(drill), "folder": drill.folder.with_name("10_other")})
        progress.keep(progress.start("09_events", 1), grade(drill, 1, around(drill, 1)), {})
        row = weakest(progress.rows([drill, other]))
        assert row is not None and row["drill"] == "10_other"
        row = weakest(progress.rows([drill]))
        assert row is not None and row["row"] == "said"

    def test_a_file_of_another_layout_and_a_locked_one_say_what_to_do(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "old.db") as old:
            old.execute("CREATE TABLE scores (attempt INTEGER)")
        old.close()
        with pytest.raises(MlsysError, match="another version"):
            Progress(tmp_path / "old.db", VirtualClock())
        with pytest.raises(MlsysError, match="is a file"):
            Progress(tmp_path / "old.db" / "progress.db", VirtualClock())
        progress = Progress(tmp_path / "progress.db", VirtualClock())
        progress._connection.execute("PRAGMA user_version = 0")
        progress.start("x", 1)
        assert len(Progress(tmp_path / "progress.db", VirtualClock()).attempts()) == 1, "nobody's progress is lost"
        progress._connection.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(tmp_path / "progress.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(MlsysError, match="locked") as raised:
            progress.start("x", 1)
        assert "leave the file where it is" in raised.value.fix
        other.execute("ROLLBACK")
        other.close()
        assert progress.start("x", 1).seed == 1

    def test_several_writers_lose_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "progress.db"
        code = (
            "import sys; from pathlib import Path; from mlsys.core import SystemClock\n"
            "from mlsys.drills.progress import Progress\n"
            "p = Progress(Path(sys.argv[1]), SystemClock()); a = p.start('x', int(sys.argv[2]))\n"
            "for i in range(60): p.say(a, 'ask', f'{sys.argv[2]}-{i}', '')\n"
        )
        writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(4)]
        assert [writer.wait(timeout=120) for writer in writers] == [0] * 4
        said = Progress(path, VirtualClock()).table("transcript")["what"]
        assert sorted(said) == sorted(f"{n}-{i}" for n in range(4) for i in range(60))

    @pytest.mark.skipif(sys.platform == "win32", reason="kills a process with SIGKILL")
    def test_a_killed_writer_loses_nothing_it_was_told_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "progress.db"
        code = (
            "import sys; from pathlib import Path; from mlsys.core import SystemClock\n"
            "from mlsys.drills.progress import Progress\n"
            "p = Progress(Path(sys.argv[1]), SystemClock()); a = p.start('x', 1); i = 0\n"
            "while True:\n"
            "    p.say(a, 'ask', str(i), 'y' * 5000); print(i, flush=True); i += 1\n"
        )
        rng = np.random.default_rng(3)
        told = 0
        for _ in range(6):
            writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(float(rng.uniform(0.01, 0.15)))
            os.kill(writer.pid, signal.SIGKILL)
            rest = writer.communicate()[0]
            told += 1 + rest.count("\n")
            with sqlite3.connect(path) as found:
                assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                kept = found.execute("SELECT COUNT(*) FROM transcript").fetchone()[0]
            found.close()
            assert told <= kept <= told + 6

    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "progress.db"
        path.write_text("my notes, not a database " * 100)
        with pytest.raises(MlsysError, match="cannot be used"):
            Progress(path, VirtualClock())
        assert path.read_text().startswith("my notes")

    def test_every_table_can_be_exported(self) -> None:
        progress = Progress(":memory:", VirtualClock())
        progress.start("x", 1)
        assert all(isinstance(progress.table(name), pd.DataFrame) for name in TABLES)
        assert len(progress.table("attempts")) == 1


def change(drill: Drill, file: str, old: str, new: str) -> Drill:
    """The drill with one thing changed, in a folder of its own: modules are kept by path."""
    folder = drill.folder.parent / "changed" / drill.folder.name
    folder.mkdir(parents=True)
    for path in drill.folder.glob("*.*"):
        text = path.read_text("utf-8")
        assert path.name != file or old in text
        (folder / path.name).write_text(text.replace(old, new) if path.name == file else text, encoding="utf-8")
    return read(folder)


FINE = "return Evidence(3, 'fine') or interval_evidence("


class TestProof:
    def test_a_new_drill_is_proved(self, drill: Drill) -> None:
        seed = int(np.random.default_rng().integers(10**6))
        assert prove(drill, seed) == [], seed

    @pytest.mark.parametrize(
        ("file", "old", "new", "says"),
        [
            ("drill.toml", "check = ", "# ", "no row has a check"),
            ("drill.py", "return interval_evidence(", FINE, "not caught"),
            ("drill.py", "return interval_evidence(", FINE, "guesses pass"),
            ("drill.py", "return interval_evidence(", FINE, "naming everything earns 3 in log"),
            ("drill.py", "return interval_evidence(", FINE, "the reference of seed 8 passes"),
            ("answers.py", "0.8 * events, 1.2 * events", "8 * events, 12 * events", "the reference is E4"),
            ("answers.py", 'says="missed"', 'says="too narrow"', "without saying 'too narrow'"),
            ("answers.py", 'row="estimate"', 'row="said"', "no wrong answer fails the row estimate"),
            ("answers.py", '{**values, "events"', '{"events"', "also changes log to 0"),
            (
                "drill.py",
                "rng = generator(seed, 1)",
                "rng = generator(1, 1)",
                "2 of the next 2 seeds have the same key",
            ),
            ("drill.toml", 'kind = "estimate"', 'kind = "decision"', "has samples for E4, E5, E6"),
            ("drill.py", '{"users": users, ', '{"people": users, ', "{{users}} is not shown"),
            ("answers.py", '"events": [v / 30', '"event": [v / 30', "there is no field 'event'"),
            ("drill.toml", 'needs = ["events"]\n', "", "KeyError"),
            ("answers.py", 'says="missed"', 'says="the run"', "and so does the reference"),
            ("answers.py", "def wrong", "def rong", "AttributeError"),
        ],
    )
    def test_it_can_fail(self, drill: Drill, file: str, old: str, new: str, says: str) -> None:
        found = " ".join(problem.what for problem in prove(change(drill, file, old, new), 7))
        assert says in found

    @pytest.mark.parametrize(
        ("file", "old", "new", "says"),
        [
            (  # A single row that takes anything: the level of the whole answer is E4 all the same.
                "drill.py",
                'return interval_evidence("gigabytes',
                'return Evidence(3, "wide") if answer["storage"][1] > 1e14 else interval_evidence("gigabytes',
                "naming everything earns 3 in log",
            ),
            (  # A row that an empty answer earns, as it needs no field.
                "drill.py",
                'return interval_evidence("gigabytes',
                'return Evidence(3, "-") if "storage" not in answer.values else interval_evidence("gigabytes',
                "an empty answer earns 3 in log",
            ),
            ("drill.py", "rng = generator(seed, 1)", "rng = generator(seed // 3, 1)", "of the next 5 seeds have the"),
        ],
    )
    def test_a_single_row_and_more_seeds_can_fail_it(
        self, drill: Drill, file: str, old: str, new: str, says: str
    ) -> None:
        if "empty" in says:
            toml = drill.folder / "drill.toml"
            toml.write_text(toml.read_text("utf-8").replace('needs = ["storage"]\n', ""), encoding="utf-8")
        found = " ".join(problem.what for problem in prove(change(drill, file, old, new), 6, following=5))
        assert says in found

    def test_a_reason_is_not_shared_between_rows(self, drill: Drill) -> None:
        """A wrong answer that also costs another row is no proof of its own."""
        two = '[[rows]]\nid = "twin"\ntitle = "Twin"\ncheck = "estimate"\nneeds = ["events"]\n'
        two += 'levels = ["a", "b", "c", "d"]\n\n'
        changed = change(drill, "drill.toml", '[[rows]]\nid = "said"', f'{two}[[rows]]\nid = "said"')
        assert "also changes twin to 0" in " ".join(problem.what for problem in prove(changed, 7))

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ('kind = "estimate"', 'kind = "essay"', "kind 'essay' is none of"),
            ("step = 1", "step = 8", "step 8"),
            ('kind = "interval"', 'kind = "range"', "kind 'range'"),
            ("example = [1e6, 2e6]", "example = 3", "two numbers"),
            ('needs = ["events"]', 'needs = ["evens"]', "needs 'evens'"),
            ('row = "estimate"', 'row = "estimation"', "which is not there"),
            ('title = "How many', 'name = "How many', "name"),
            ("step = 1", "step = ", "Invalid value"),
            ('level = "E5"', 'level = "E9"', "level 'E9'"),
            ("minutes = 3", 'minutes = "3"', "minutes '3'"),
            ('id = "log"', 'id = "estimate"', "'estimate' is there twice"),
            ('name = "storage"', 'name = "events"', "'events' is there twice"),
            ('check = "log"', 'check = "lgo"', "no function 'lgo'"),
            ('when = "strong"', 'when = "storng"', "when 'storng'"),
            ('["impression", "posts", "see"]', "[1]", "words of impressions"),
            ('["impression", "posts", "see"]', '"posts"', "words of impressions"),
            ('["Users, times who is active, times sessions, times requests, times posts."]', '"Users"', "hints of est"),
            ("[hints]", "hints = 3\n[x]", "drill.toml"),
        ],
    )
    def test_a_source_that_is_wrong_is_refused_at_once(self, drill: Drill, old: str, new: str, says: str) -> None:
        with pytest.raises(DrillError, match="09_events") as caught:
            change(drill, "drill.toml", old, new)
        assert says in caught.value.what

    def test_a_drill_py_that_cannot_be_read_is_refused(self, drill: Drill) -> None:
        (drill.folder / "drill.py").write_text("def variant(seed:\n", encoding="utf-8")
        with pytest.raises(DrillError, match="09_events"):
            read(drill.folder)
        (drill.folder / "drill.py").unlink()
        with pytest.raises(DrillError, match=r"09_events: drill\.py") as caught:
            read(drill.folder)
        assert str(drill.folder) not in str(caught.value)

    def test_one_broken_drill_is_named_and_the_others_go_on(
        self, drill: Drill, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken = create("10_broken", drill.folder.parent)
        (broken / "drill.toml").write_text("step = ", encoding="utf-8")
        assert [one.name for one in drills(drill.folder.parent)] == ["09_events"]
        assert "10_broken" in caplog.text and source.names(drill.folder.parent) == ["09_events", "10_broken"]

    def test_a_number_is_taken_once(self, drill: Drill) -> None:
        for name in ("09_again", "9_events", "09 Events"):
            with pytest.raises(DrillError):
                create(name, drill.folder.parent)


def test_placeholders_are_filled_or_named() -> None:
    assert fill("{{n:,}} of {{ what }}", {"n": 1000, "what": "them"}) == "1,000 of them"
    with pytest.raises(DrillError, match="is not shown"):
        fill("{{m}}", {"n": 1})


def test_an_answer_knows_what_was_asked() -> None:
    assert "x" in Answer({}, frozenset("x")).asked and Variant({}).key == {}


def test_every_drill_of_the_house_is_read() -> None:
    found = drills()
    assert len(found) >= 8 and [drill.name[:2] for drill in found] == [f"{n:02}" for n in range(1, len(found) + 1)]
    for drill in found:
        assert any(row.check for row in drill.rows) and any(not row.check for row in drill.rows), drill.name
