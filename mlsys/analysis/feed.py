"""Figures of the feed: who there is, what people do, and what a ranker can win."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlsys.analysis.plots import PERCENT, short
from mlsys.analysis.style import EXTRA, FIXED, GOOD, INK, MUTED, NAIVE, figure, headline, house
from mlsys.world import World, behaviour
from mlsys.world.parameters import DEVICES, IDEAL_LENGTH, REGIONS, Parameters
from mlsys.world.population import Posts, Users

DEVICE_NAMES = (*DEVICES, "not recorded")
Trait = float | np.ndarray


def signed(value: float, spec: str = ".2f") -> str:
    """A number with a proper minus sign, and none before a zero.

    >>> signed(-1.5), signed(-0.001), signed(-0.068, "+.1%")
    ('−1.50', '0.00', '−6.8%')
    """
    text = format(value, spec)
    return text.replace("-", "−") if any(digit in text for digit in "123456789") else text.lstrip("+-")


def top_share(rate: np.ndarray) -> float:
    """The share of all sessions that the most active tenth of users has; `rate` (n,) is sessions per day.

    >>> top_share(np.array([1.0] * 9 + [9.0]))
    0.5
    """
    most = np.sort(rate)[::-1][: max(1, round(len(rate) / 10))]
    return float(most.sum() / rate.sum())


@house()
def population(world: World) -> Figure:
    """Who there is today: activity of users, devices and regions, quality against clickbait of posts."""
    rate, posts = behaviour.session_rate(world.p, world.users), world.posts
    fig = figure(height=3.8)
    headline(fig, f"The most active tenth of users (orange) has {top_share(rate):.0%} of the sessions",
             f"{len(rate):,} users, {world.p.creators:,} creators, {world.p.posts_per_day:,} new posts a day. "
             "Rates, quality and clickbait are latent: no ranker but the oracle sees them.")  # fmt: skip
    left, middle, right = fig.subplots(1, 3)
    edges = np.geomspace(max(rate.min(), 1e-3), rate.max() * 1.001, 40)
    cut = np.sort(rate)[::-1][max(1, round(len(rate) / 10)) - 1]
    left.hist([rate[rate < cut], rate[rate >= cut]], bins=edges.tolist(), color=[FIXED, NAIVE], stacked=True)
    left.axvline(np.median(rate), color=INK, linewidth=1)
    left.set(xscale="log", xlabel=f"log scale; line: median {np.median(rate):.2f}", title="users: sessions per day",
             xticks=[t for t in (0.01, 0.1, 1, 10) if rate.min() < t < rate.max()])  # fmt: skip
    left.xaxis.set_major_formatter(lambda value, _: short(value))
    left.minorticks_off()
    counts = [np.bincount(of, minlength=n) for of, n in ((world.users.device, 4), (world.users.region, len(REGIONS)))]
    y, shares = np.array([8, 7, 6, 5, 3, 2, 1]), np.concatenate(counts) / len(rate)
    middle.barh(y, shares, color=[FIXED] * 4 + [GOOD] * len(REGIONS), height=0.7)
    for place, share in zip(y, shares, strict=True):
        middle.annotate(f"{share:.0%}", (share, place), (4, 0), textcoords="offset points", va="center")
    middle.set(yticks=y, yticklabels=[*DEVICE_NAMES, *REGIONS], xlim=(0, shares.max() * 1.2), xlabel="share of users",
               title="users: devices and regions")  # fmt: skip
    middle.xaxis.set_major_formatter(PERCENT)
    middle.grid(axis="y", visible=False)
    newest = slice(-1_500, None)
    right.plot(posts.quality[newest], posts.clickbait[newest], "o", color=FIXED, markersize=3, alpha=0.3, mew=0)
    correlation = np.corrcoef(posts.quality, posts.clickbait)[0, 1]
    right.set(xlabel="quality", ylabel="clickbait", title=f"posts: correlation {signed(correlation)}")
    return fig


def _posts(n: int, clickbait: Trait = 0.0, length: Trait = 0.25, age: Trait = 1) -> Posts:
    """`n` posts of topics 0 to n - 1 that differ in one trait; quality 0, age in days."""
    traits = [np.broadcast_to(np.asarray(one), n) for one in (length, age, clickbait)]
    none = np.zeros(n, np.int64)
    return Posts(none, np.arange(n), traits[0], none, -traits[1], np.zeros(n), traits[2])


def _response(p: Parameters, posts: Posts, affinity: Trait = 0.0) -> np.ndarray:
    """P of like, dislike, share, null, (n, devices, 4), of posts that are looked at, in order of their topics."""
    zero, none = np.zeros(1), np.zeros(1, np.int64)
    # One user with as many topics as there are posts: affinity is per topic, so each post gets its own.
    user = Users(np.broadcast_to(np.asarray(affinity), (1, len(posts))), zero, zero, zero, none, none, none, none)
    users = behaviour.user_table(p, user)[0][:, None]
    return behaviour.probabilities(*behaviour.odds(users, behaviour.post_table(p, posts, slice(None), 0)))


@house()
def choice(p: Parameters) -> Figure:
    """The choice model: P(like) against everything that moves it, attention, and what clickbait does to whom."""
    unit = np.linspace(-2.5, 2.5, 101)
    part, baits = np.linspace(0, 1, 101), _posts(101, clickbait=unit)
    ages = np.arange(min(p.live_days, 14))
    bait, joy = _response(p, baits)[:, 0], behaviour.post_enjoyment(p, baits, slice(None))
    fig = figure(height=5.6)
    before, after = (int(np.argmin(np.abs(unit - at))) for at in (0, 1))
    headline(
        fig,
        f"Clickbait 0 → 1: P(like) {bait[before, 0]:.2f} → {bait[after, 0]:.2f}, enjoyment {signed(joy[before])} → "
        f"{signed(joy[after])}",
        "What is not on the axis: affinity, quality, clickbait, generosity 0; iOS, length .25, one day old, looked at.",
    )
    axes: list[Axes] = list(fig.subplots(2, 3).ravel())
    axes[0].plot(unit, _response(p, _posts(101), unit)[:, 0, 0], color=FIXED)
    axes[0].set(xlabel="affinity: the user's interest in the topic", title="P(like): affinity")
    by_device = _response(p, _posts(101, length=part))[..., 0]
    groups = {best: [i for i, other in enumerate(IDEAL_LENGTH) if other == best] for best in IDEAL_LENGTH}
    for colour, members in zip((FIXED, NAIVE, MUTED), groups.values(), strict=True):
        label = ", ".join(DEVICE_NAMES[i] for i in members)
        axes[1].plot(part, by_device[:, members[0]], color=colour, label=label)
    axes[1].set(xlabel="length of the post", title="P(like): length × device")
    axes[1].legend(frameon=False, fontsize=8.5, loc="lower center")
    axes[2].plot(ages, _response(p, _posts(len(ages), age=ages))[:, 0, 0], color=FIXED, marker="o", markersize=5)
    axes[2].set(xlabel="age of the post, days", title="P(like): age")
    axes[2].xaxis.set_major_locator(MaxNLocator(integer=True))
    slots = np.arange(1, p.slots + 1)
    axes[3].bar(slots, behaviour.attention(p), color=EXTRA)
    axes[3].set(xlabel="slot", title="P(looked at)", xticks=slots, ylim=(0, 1.05))
    for response, name, colour in ((0, "like", FIXED), (1, "dislike", NAIVE)):
        axes[4].plot(unit, bait[:, response], color=colour, label=f"P({name})")
    axes[4].set(xlabel="clickbait", title="P(like), P(dislike): clickbait")
    axes[4].legend(frameon=False, fontsize=8.5, loc="upper left")
    axes[5].axhline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes[5].plot(unit, joy, color=GOOD)
    axes[5].set(xlabel="clickbait", title="enjoyment: clickbait", ylim=(-4, 4))
    for ax in (*axes[:3], axes[4]):
        ax.set_ylim(0, max(0.25, 1.15 * max(float(line.get_ydata().max()) for line in ax.get_lines())))  # type: ignore[union-attr]
    return fig


@house()
def ladder(value: pd.DataFrame) -> Figure:
    """Exact value per session: a row per ranker (random, like oracle, value oracle among them), as `World.value`."""
    likes = value["like"]
    fig = figure(height=1.5 + 0.4 * len(value))
    headline(fig, f"Likes per session: random {likes['random']:.2f}, like oracle {likes['like oracle']:.2f}, "
             f"value oracle {likes['value oracle']:.2f}",
             "Expected values, no dice. Enjoyment, which nobody logs, decides who comes back.")  # fmt: skip
    y = np.arange(len(value))[::-1]
    panels = (("like", FIXED), ("dislike", NAIVE), ("share", EXTRA), ("enjoyment", GOOD))
    for place, (name, colour) in enumerate(panels, start=1):
        ax, found = fig.add_subplot(1, 4, place), value[name].to_numpy()
        ax.barh(y, found, color=colour, height=0.62)
        for at, one in zip(y, found, strict=True):
            ax.annotate(signed(one), (max(one, 0), at), (4, 0), textcoords="offset points",
                        va="center")  # fmt: skip
        ax.axvline(0, color=MUTED, linewidth=0.8)
        reach = max(np.abs(found).max(), 0.01)
        ax.set(yticks=y, yticklabels=value.index if place == 1 else [], xlim=(min(found.min() * 1.1, 0), reach * 1.45))
        ax.set_title("enjoyment" if name == "enjoyment" else f"{name}s per session")
        ax.tick_params(axis="y", labelcolor=INK)
        ax.grid(axis="y", visible=False)
        ax.xaxis.set_major_locator(MaxNLocator(3))
    return fig


@house()
def truth(p_like: np.ndarray, bayes_auc: float, satisfaction: np.ndarray) -> Figure:
    """True P(like) of impressions (n,) with the best possible AUC, and satisfaction of users (m,)."""
    fig = figure(height=3.4)
    headline(fig, f"Nobody can beat an AUC of {bayes_auc:.3f} here: likes stay dice rolls",
             "Bayes-optimal: scores are the true P(like), position known.")  # fmt: skip
    left, right = fig.subplots(1, 2)
    left.hist(p_like, bins=np.arange(0, 1.01, 0.02).tolist(), color=FIXED, alpha=0.8)
    left.axvline(p_like.mean(), color=INK, linewidth=1)
    left.set(xlabel=f"true P(like) (line: mean {p_like.mean():.3f})", ylabel="impressions")
    left.set_title("impressions of the last random day")
    reach = max(0.1, float(np.abs(satisfaction).max()) * 1.05)
    right.hist(satisfaction, bins=np.linspace(-reach, reach, 60).tolist(), color=GOOD, alpha=0.8)
    right.axvline(0, color=INK, linewidth=1)
    right.set(xlabel="satisfaction (line: where everybody began)", ylabel="users")
    right.set_title(f"users who came: {(satisfaction < 0).mean():.0%} are below 0")
    return fig
