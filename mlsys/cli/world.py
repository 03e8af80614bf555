"""`mlsys world show | prove | incidents`: what the simulated feed is, that it is so, and what can go wrong in it."""

from __future__ import annotations

import argparse
import difflib
import inspect
import secrets
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

import mlsys.world as world_package
from mlsys.analysis import feed, report
from mlsys.core import MlsysError
from mlsys.orchestration.measures import LIKE, VALUE
from mlsys.world import KINDS, Popularity, Random, World, behaviour, recency
from mlsys.world.parameters import SCENARIOS
from mlsys.world.rankers import Ranker
from mlsys.world.truth import expected_auc

DAYS, REPEATS = 10, 5
"""Days of random ranking before anything is measured, and draws of the day that is."""


def add_parser(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "world",
        help="draw the simulated feed, prove its properties, list its incidents",
        description="The world is a simulated feed whose every probability is known, so the best possible ranker and "
        "the true value of any other are known too.",
        epilog="Examples:\n"
        "  python start.py world show\n"
        "  python start.py world show --model\n"
        "  python start.py world prove --seeds 5\n"
        "  python start.py world incidents",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="what to do", metavar="WHAT", required=True)
    _add_show(actions)
    _add_prove(actions)
    incidents = actions.add_parser(
        "incidents",
        help="list what can be broken, and how",
        description="Print every incident: what happens, why, where, how long and how large it is by default.",
        epilog="Example:\n  python start.py run --incident null_spike@20:days=3:size=0.5",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    incidents.set_defaults(handler=print_incidents)


def _add_show(actions: Any) -> None:
    parser = actions.add_parser(
        "show",
        help="draw the population, the choice model and the truth",
        description=f"Simulate {DAYS} days of random ranking, then draw who there is, how people choose, and what "
        "rankers can win. Prints a summary and writes world.html.",
        epilog="Examples:\n"
        "  python start.py world show\n"
        "  python start.py world show --model                  the formulas, on one page\n"
        "  python start.py world show --scenario noise         nothing to learn: every ranker is worth the same\n"
        "  python start.py world show --users 500 --seed 7 --folder work/seven",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", default="default", help=f"one of {', '.join(SCENARIOS)} (default: default)")
    parser.add_argument("--seed", type=int, default=13, help="seed of the world (default 13)")
    parser.add_argument("--users", type=int, metavar="N", help="users on day 0 (default: the scenario's)")
    parser.add_argument("--folder", type=Path, default=Path("work"), help="where world.html goes (default work/)")
    parser.add_argument("--model", action="store_true", help="only print the model on one page")
    parser.set_defaults(handler=show)


def _add_prove(actions: Any) -> None:
    parser = actions.add_parser(
        "prove",
        help="check what is claimed of the world on fresh seeds",
        description="Run every property of the world on seeds nobody tuned for, and print claim, measurement and "
        "verdict. Exit code 1 when one does not hold.",
        epilog="Examples:\n"
        "  python start.py world prove                         20 fresh seeds, takes minutes\n"
        "  python start.py world prove --seeds 3 --only NAME   one property (an unknown name lists them)\n"
        "  python start.py world prove --first-seed 4711       the same seeds again: 4711, 4712, ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="how many seeds (default 20)")
    parser.add_argument("--first-seed", type=int, metavar="S", help="use S, S+1, ... (default: drawn anew, printed)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this property; can be repeated")
    parser.set_defaults(handler=prove)


@dataclass(frozen=True)
class Measured:
    """What ten random days show: exact value per ranker, P(like) of the last day's impressions, who was there."""

    value: pd.DataFrame
    p_like: np.ndarray
    satisfaction: np.ndarray

    @property
    def bayes_auc(self) -> float:
        """AUC of the true P(like), position known."""
        return expected_auc(self.p_like, self.p_like)


def measure(world: World) -> Measured:
    """Let the world run for `DAYS` random days; then value the rankers and look at the users who came."""
    popularity, came = Popularity(), np.zeros(0, np.int64)
    with tqdm(total=DAYS + 1, desc="  world", unit="day", leave=False) as bar:
        for _ in range(DAYS):
            day = world.step(Random())
            popularity.observe(day.log)
            came = np.union1d(came, day.log["user_id"])
            bar.update()
        rankers: list[Ranker] = [Random(), recency(world.posts.created), popularity, LIKE, VALUE]
        value = world.value(rankers, repeats=REPEATS)
        bar.update()
    once = ~day.log["event_id"].duplicated().to_numpy()  # a repeated delivery is no impression
    return Measured(value, day.p_like[once], world.users.satisfaction[came])


def summary(world: World, measured: Measured) -> pd.DataFrame:
    """The numbers of the page: columns number, value (text)."""
    likes, joy = measured.value["like"], measured.value["enjoyment"]
    rate = behaviour.session_rate(world.p, world.users)
    rows = {
        "users, creators, live posts": f"{len(world.users):,}, {world.p.creators:,}, "
        f"{world.p.posts_per_day * world.p.live_days:,}",
        "sessions per user and day": f"mean {rate.mean():.2f}, median {np.median(rate):.2f}",
        "sessions of the most active tenth": f"{feed.top_share(rate):.0%}",
        "P(like) of a random impression": f"{measured.p_like.mean():.3f}",
        "Bayes AUC, position known": f"{measured.bayes_auc:.3f}",
        **{f"likes, enjoyment per session: {one}": f"{likes[one]:.2f}, {feed.signed(joy[one])}" for one in likes.index},
        "users less satisfied than they began": f"{(measured.satisfaction < 0).mean():.0%}",
    }
    return pd.DataFrame(rows.items(), columns=["number", "value"])


def show(arguments: argparse.Namespace) -> int:
    """Draw the world."""
    if arguments.model:
        print(inspect.cleandoc(world_package.__doc__ or ""))
        return 0
    _not_negative("--seed", arguments.seed)
    if arguments.users is not None and arguments.users < 100:
        raise MlsysError(f"--users {arguments.users}", why="below 100 there is nothing to see", fix="--users 500")
    world = World(arguments.scenario, seed=arguments.seed, **({"users": arguments.users} if arguments.users else {}))
    path = arguments.folder / "world.html"
    if path.is_dir():
        raise MlsysError(f"{path} is a folder", why="a result goes there", fix="choose another --folder")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(f"The world {arguments.scenario!r}, seed {arguments.seed}, after {DAYS} days of random ranking")
    measured = measure(world)
    numbers = summary(world, measured)
    for row in numbers.itertuples():
        print(f"  {row.number:<48}{row.value}")
    sections: list[report.Section] = [
        ("Who there is", "Traits are latent: a ranker sees ids, devices, times and what people did.", None,
         feed.population(world)),
        ("How people choose", "Every formula: python start.py world show --model", None, feed.choice(world.p)),
        ("What rankers can win", f"Day {DAYS}, {REPEATS} draws of its sessions, the same for every ranker. The value "
         f"oracle maximizes {_weights()}.", measured.value.rename_axis("ranker").reset_index(),
         feed.ladder(measured.value)),
        ("The truth", "What only a simulation can know.", None,
         feed.truth(measured.p_like, measured.bayes_auc, measured.satisfaction)),
        ("What can go wrong", "Break the daily loop: python start.py run --incident null_spike@20", _kinds(), None),
    ]  # fmt: skip
    report.write_report(path, f"The world {arguments.scenario!r}, seed {arguments.seed}", sections, numbers)
    print(f"\nFigures: {path.resolve()}\nThe formulas: python start.py world show --model")
    return 0


def prove(arguments: argparse.Namespace) -> int:
    """Prove the properties; exit code 1 when one does not hold."""
    from mlsys.orchestration import properties  # heavy: it trains models

    if arguments.seeds < 1:
        raise MlsysError(f"--seeds {arguments.seeds}", why="a proof needs a seed", fix="--seeds 20")
    for name in arguments.only:
        if name not in properties.PROPERTIES:
            near = difflib.get_close_matches(name, properties.PROPERTIES, n=1)
            raise MlsysError(
                f"there is no property {name!r}",
                why=f"properties are {', '.join(properties.PROPERTIES)}",
                fix=f"did you mean {near[0]!r}?" if near else "choose one of these",
            )
    first = secrets.randbelow(10**6) if arguments.first_seed is None else arguments.first_seed
    _not_negative("--first-seed", first)
    seeds = list(range(first, first + arguments.seeds))
    print(f"Seeds {seeds[0]} to {seeds[-1]}; again: python start.py world prove --seeds {len(seeds)} "
          f"--first-seed {first}")  # fmt: skip
    with tqdm(total=None, desc="  prove", leave=False) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        table = properties.prove(arguments.only or list(properties.PROPERTIES), seeds, progress=advance)
    for row in table.itertuples():
        print(f"  {'holds' if row.holds else 'DOES NOT HOLD'}  {row.property}")
        print(textwrap.indent(f"claim     {row.claim}\nmeasured  {row.measured}", "         "))
    print(f"\n{int(table['holds'].sum())} of {len(table)} properties hold")
    return int(not table["holds"].all())


def print_incidents(arguments: argparse.Namespace) -> int:
    """Print the table of incidents."""
    for row in _kinds().itertuples(index=False):
        print(f"{row.name}: {row.what}\n  cause    {row.cause}\n  where    {row.where}")
        print(f"  default  {row.days} day{'s' * (row.days != 1)}, size {row.size:g}\n  size     {row.size_means}\n")
    print("Inject one into the daily loop, or several:\n"
          "  python start.py run --incident null_spike@20                   day 20, its default days and size\n"
          "  python start.py run --incident null_spike@20:days=3:size=0.5")  # fmt: skip
    return 0


def _kinds() -> pd.DataFrame:
    """One row per kind of incident."""
    return pd.DataFrame([{"name": name, **vars(kind)} for name, kind in KINDS.items()])


def _weights() -> str:
    return " ".join(f"{weight:+g}·{name}" for name, weight in VALUE.weights.items())


def _not_negative(option: str, seed: int) -> None:
    if seed < 0:
        raise MlsysError(f"{option} {seed}", why="a seed is 0 or more", fix=f"{option} 7")
