"""What proves the checks: a reference that multiplies what is shown, and the slips that people make."""

from __future__ import annotations

from typing import Any

from mlsys.drills import Typed, Variant

ASKED = ("How high is the peak over the mean?", "How busy may a core be at peak?")


def reference(variant: Variant) -> Typed:
    """By hand from the prompt and two facts; every number within a factor of 1.15."""
    v = variant.shown
    requests = v["active"] * v["sessions"] * v["requests"]  # per user and day
    qps = requests / 86_400 * v["peak"]
    log = requests * v["impressions"] * v["event_bytes"]  # bytes per user and day
    rows = (1 + v["posts"]) * v["row_bytes"]  # bytes per user
    cores = qps * v["rank_us"] / 1e6 * v["candidates"] / 500 / v["utilization"]
    carries = {
        "store reads": 1e6 * v["own_reads_million"] / (qps * (1 + v["candidates"])),
        "store memory": v["own_memory"] * 1e9 / rows,
        "log disks": v["own_disks"] * 1e12 / (log * v["days"]),
        "cores": v["own_cores"] / cores,
    }
    first = min(carries, key=lambda name: carries[name])
    said = {
        "requests_1m": 1e6 * qps, "requests_100m": 1e8 * qps, "requests_1b": 1e9 * qps,
        "log_100m": 1e8 * log / 1e9, "log_1b": 1e9 * log / 1e9, "online_1b": 1e9 * rows / 1e9,
        "cores_100m": 1e8 * cores, "cores_1b": 1e9 * cores, "breaks_at": carries[first],
    }  # fmt: skip
    return Typed({"bottleneck": first} | {name: around(value) for name, value in said.items()}, questions=ASKED)


def around(value: float, factor: float = 1.15) -> list[float]:
    """An interval around a value."""
    return [value / factor, value * factor]


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    right, shown = dict(reference(variant).values), variant.shown

    def changed(row: str, says: str, factor: float = 1.0, *names: str, **more: Any) -> Typed:
        scaled = {name: [factor * end for end in right[name]] for name in names}
        return Typed(right | scaled | more, questions=ASKED, row=row, says=says)

    shifted = {name: around(0.86 * (low * high) ** 0.5, 1.02) for name, (low, high) in
               ((name, ends) for name, ends in right.items() if isinstance(ends, list))}  # fmt: skip
    other = next(name for name in ("cores", "store reads") if name != right["bottleneck"])
    middle = (right["requests_1b"][0] * right["requests_1b"][1]) ** 0.5
    return {
        "a_billion_is_a_hundred_million": changed("qps", "a factor of 10 more", 0.1, "requests_1b"),
        "no_idea_how_many_at_a_billion": changed("qps", "too wide to plan with", 1, requests_1b=around(middle, 4)),
        "counted_requests_in_the_log": changed("storage", "a factor of", 1 / shown["impressions"],
                                               "log_100m", "log_1b"),
        "megabytes_for_gigabytes": changed("storage", "a factor of 1,000 less", 1e3, "log_1b"),
        "time_of_500_for_each_candidate": changed("replicas", "a factor of 500 less", 500, "cores_100m", "cores_1b"),
        "adds_servers": changed("bottleneck", "something else", bottleneck=other),
        "the_right_limit_at_no_scale": changed("bottleneck", "a factor of 10 less", 10, "breaks_at"),
        "three_digits_after_rounding_the_day": Typed(right | shifted, ASKED, row="calibration", says="too sure"),
    }  # fmt: skip


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 guesses the facts, and the limit, too; E5 guesses the facts, rounds bytes up, and widens; E6 asks."""
    right, v = dict(reference(variant).values), variant.shown
    qps, bytes_up = 2.0 / v["peak"], 64 / 41
    cores = qps * v["utilization"] / 0.5
    first = {"store reads": 1 / qps, "cores": 1 / cores, "log disks": 1 / bytes_up, "store memory": 1 / bytes_up}
    off = {"requests": qps, "log": bytes_up, "online": bytes_up, "cores": cores, "breaks": first[right["bottleneck"]]}
    guessed = {name: [ends[0] * off[name.split("_")[0]] / 2, ends[1] * off[name.split("_")[0]] * 2]
               for name, ends in right.items() if isinstance(ends, list)}  # fmt: skip
    other = next(name for name in ("cores", "store reads") if name != right["bottleneck"])
    return {
        "E4": Typed(right | guessed | {"bottleneck": other}, human={"aloud": 1}),
        "E5": Typed(right | guessed, human={"aloud": 2}),
        "E6": Typed(right, questions=ASKED, human={"aloud": 3}),
    }
