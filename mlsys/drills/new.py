"""`mlsys drill new`: a folder with a small drill that is proved as it stands, to be changed from there."""

from __future__ import annotations

import re
from pathlib import Path

from mlsys.drills.source import FOLDER, DrillError

TOML = """\
title = "How many events a day?"
step = 1
signal = "estimation"
kind = "estimate"
level = "E5"
minutes = 3

[[fields]]
name = "events"
kind = "interval"
asks = "Logged impressions a day"
example = [1e6, 2e6]
unit = "events"

[[fields]]
name = "storage"
kind = "interval"
asks = "Log storage a day"
example = [10, 20]
unit = "GB"

[[rows]]
id = "estimate"
title = "Events"
check = "estimate"
needs = ["events"]
levels = ["misses the truth", "holds it, and almost anything else", "within a factor of ten (E5)", "within three (E6)"]

[[rows]]
id = "log"
title = "Storage"
check = "log"
needs = ["storage"]
levels = ["misses the truth", "holds it, and almost anything else", "within a factor of ten (E5)", "within three (E6)"]

[[rows]]
id = "said"
title = "How it was said"
levels = ["a number", "a number with its unit", "the formula, then the number (E5)", "and what would change it (E6)"]

[[facts]]
id = "impressions"
words = ["impression", "posts", "see"]
text = "A request shows {{impressions}} posts."

[hints]
estimate = ["Users, times who is active, times sessions, times requests, times posts."]

[[follow_ups]]
row = "estimate"
when = "strong"
ask = "Now all of them watch a world cup final. What breaks first?"
"""

PROMPT = """\
Your feed has {{users:,.0f}} users. Six in ten come on a day, for six sessions with five requests each. How many
impressions do you log a day, and how many gigabytes? Give intervals that you are 80 % sure of. Ask for what you miss.
An event takes {{bytes:.0f}} bytes.
"""

DRILL = '''\
"""How many events a day: the key is the capacity plan's."""

from mlsys.capacity import Assumptions, plan, unit_costs
from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.rubric import interval_evidence


def variant(seed: int) -> Variant:
    """So many users, so many posts per request."""
    rng = generator(seed, 1)
    users, shown = float(10 ** rng.integers(5, 10) * rng.integers(1, 10)), int(rng.integers(5, 21))
    assume = Assumptions(impressions_per_request=(shown, shown, shown))
    found = plan([users], assume=assume).set_index("case").loc["mid"]
    key = {"events": float(found["events_per_day"]), "storage": float(found["log_gb_per_day"])}
    return Variant({"users": users, "impressions": shown, "bytes": unit_costs()["event_bytes"]}, key)


def truths(variant: Variant) -> dict[str, float]:
    """What the intervals should hold."""
    return dict(variant.key)


def estimate(answer: Answer, variant: Variant) -> Evidence:
    """Does the interval hold what the plan says?"""
    return interval_evidence("events a day", *answer["events"], variant.key["events"])


def log(answer: Answer, variant: Variant) -> Evidence:
    """Does the interval hold what the plan says?"""
    return interval_evidence("gigabytes a day", *answer["storage"], variant.key["storage"])
'''

ANSWERS = '''\
"""What proves the checks: a reference, and the wrong answers that people give."""

from mlsys.drills import Typed, Variant


def reference(variant: Variant) -> Typed:
    """By the formula, with the posts per request asked for."""
    events = variant.shown["users"] * 0.6 * 6 * 5 * variant.shown["impressions"]
    gigabytes = events * variant.shown["bytes"] / 1e9
    values = {"events": [0.8 * events, 1.2 * events], "storage": [0.8 * gigabytes, 1.2 * gigabytes]}
    return Typed(values, questions=["How many posts does a request show?"])


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    values = reference(variant).values
    events, gigabytes = values["events"], values["storage"]
    return {
        "forgot_the_posts": Typed({**values, "events": [v / 30 for v in events]}, row="estimate", says="missed"),
        "bits_for_bytes": Typed({**values, "storage": [8 * v for v in gigabytes]}, row="log", says="missed"),
    }
'''


def create(name: str, folder: Path = FOLDER) -> Path:
    """Make the folder `NN_slug`; raises `DrillError` if it is there, or the number is taken."""
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        raise DrillError(f"a drill cannot be called {name!r}", why="it is two digits and a slug, NN_slug",
                         fix="10_cold_start")  # fmt: skip
    taken = sorted(path.name for path in folder.glob(f"{name[:2]}_*"))
    if taken:
        raise DrillError(f"{name[:2]} is taken by {taken[0]}", why="drills are called by their number",
                         fix="take the next one; python start.py drill list")  # fmt: skip
    made = folder / name
    made.mkdir(parents=True)
    for file, text in (("drill.toml", TOML), ("prompt.md", PROMPT), ("drill.py", DRILL), ("answers.py", ANSWERS)):
        (made / file).write_text(text, encoding="utf-8", newline="\n")
    return made
