"""What proves the checks: a reference, the wrong answers that people give, and one answer per level."""

from __future__ import annotations

from typing import Any

from mlsys.drills import Typed, Variant

QUESTIONS = (
    "How old may a value be before it is withheld?",
    "What does the batch have to pass at night?",
    "Who looks at the signature of a model that is pushed?",
    "How good is the popularity ranking alone?",
)
CLOSEST = ("freshness_alert", "config_diff", "rung_alert", "batch_check", "promotion_gate", "input_drift",
           "score_drift", "likes_alert")  # fmt: skip
TELLING = ("feature_age", "popularity_answers", "input_psi", "score_psi", "repeated_events", "null_share",
           "candidate_auc")  # fmt: skip
SAME = "Everybody sees the same popular posts today, and likes are down {lost:.0%}."
PAGE = {
    "disk": SAME + " The online store's disk is full; popularity holds the feed up without an error. We free space "
    "now, and features are back after tonight's job; an alert at 80 % of the disk would have told us yesterday.",
    "flag": SAME + " The flag of a load test went live; popularity answers as it was told to. We roll it back "
    "now, the model ranks again within minutes; from now on somebody signs the diff before it goes out.",
    "hung": "Feeds hardly know their users today, and likes are down {lost:.0%}. The nightly feature job hung and said "
    "0, its values expired, training means stand in. We run it by hand now, and page on the age of its output.",
    "units": "Feeds are near random today, and likes are down {lost:.0%}. Post lengths come in percent, and answers "
    "still say fresh. We divide at the door now; a range check on the catalogue would have held them yesterday.",
    "push": "Feeds of {size:.0%} of the users are near random, and likes are down {lost:.0%}. A model was pushed past "
    "the gate and misreads its columns; answers still say fresh. We roll back now; only the registry may push.",
    "tastes": "People want other things since midnight, and likes are down {lost:.0%}. Nothing is broken, and no rung "
    "helps. We train on the newest days only until it is learned, and show more at random meanwhile.",
}


def reference(variant: Variant) -> Typed:
    """What the runs show: of what moved and fired, what points at the box."""
    key, shown = variant.key, variant.shown
    one = key[key["priced"]]
    price = 100 * (1 - shown["popular"] / shown["model"]) * one["rungs"]["popularity"]
    costly = sorted((x for x in "ABCDE" if key[x]["lost"] > 0.01), key=lambda x: -key[x]["lost"])
    dearest = key[costly[0]]
    values = {
        "claims": [_claim(letter, key[letter]) for letter in "ABCDE"],
        "costly": costly,
        "price": [round(0.7 * price, 1), round(1.33 * price, 1)],
        "page": PAGE[dearest["name"]].format(**dearest),
    }
    return Typed(values, QUESTIONS)


def wrong(variant: Variant) -> dict[str, Typed]:
    """Each fails one row."""
    key, right = variant.key, reference(variant).values
    harmless = [letter for letter in "ABCDE" if letter not in right["costly"]]
    falls = key[key["priced"]]["rungs"]["popularity"] * 100

    def changed(row: str, says: str, **values: Any) -> Typed:
        return Typed(right | values, QUESTIONS, row=row, says=says)

    def all_claim(row: str, says: str, **claim: str) -> Typed:
        return changed(row, says, claims=[one | claim for one in right["claims"]])

    return {
        "should_have_been_caught": all_claim("components", "not where the fault sits", component="data_verification"),
        "everything_is_an_outage": all_claim("metrics", "request_errors is 0%", metric="request_errors"),
        "everything_shows_in_likes": all_claim("metrics", "likes_per_session", metric="likes_per_session"),
        "nothing_falls": all_claim("rungs", "fresh answered", rung="fresh"),
        "everything_falls": all_claim("rungs", "popularity answered", rung="popularity"),
        "checks_catch_it": all_claim("detectors", "batch_check stays silent", detector="batch_check"),
        "waits_for_likes": all_claim("detectors", "likes_alert", detector="likes_alert"),
        "alarm_is_loss": changed("order", "costs nothing", costly=[*harmless, *right["costly"]]),
        "no_ranking_at_all": changed("price", "missed", price=[0.7 * falls, falls]),
    }


def samples(variant: Variant) -> dict[str, Typed]:
    """E4 names the store and likes for everything; E5 has one of each wrong; E6 is exact."""
    right = reference(variant).values
    first = right["claims"][0]
    slips = {
        "component": "data_verification",
        "metric": "request_errors",
        "rung": "defaults" if first["rung"] == "fresh" else "fresh",
        "detector": next(name for name in CLOSEST if name not in variant.key["A"]["fired"]),
    }
    junior = {"component": "feature_store", "metric": "likes_per_session", "rung": "popularity",
              "detector": "likes_alert"}  # fmt: skip
    e4 = {
        "claims": [one | junior for one in right["claims"]],
        "costly": list("ABCDE"),
        "price": [50, 100],
        "page": "The feature store has a problem, please look at it.",
    }
    low, high = right["price"]
    e5 = {
        "claims": [first | slips, *right["claims"][1:]],
        "price": [round(0.8 * low, 1), round(1.4 * high, 1)],
        "page": right["page"].partition(". ")[0] + ". We are rolling back.",
    }
    return {
        "E4": Typed(e4, human={"told": 0}),
        "E5": Typed(right | e5, QUESTIONS[:2], human={"told": 2}),
        "E6": Typed(right, QUESTIONS, human={"told": 3}),
    }


def _claim(letter: str, one: dict[str, Any]) -> dict[str, str]:
    likes = one["name"] == "tastes"
    metric = next((name for name in TELLING if name in one["moved"]), "none")
    return {
        "failure": letter,
        "component": one["boxes"][0],
        "metric": "likes_per_session" if likes else metric,
        "rung": one["rung"],
        "detector": next((name for name in CLOSEST if name in one["fired"]), "none"),
    }
