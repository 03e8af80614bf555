"""The whiteboard: components and flows of a typed board, against the architecture that `mlsys` is built by."""

from collections.abc import Iterable

from mlsys.analysis.architecture import COMPONENTS, EVERYTHING, FLOWS, MANAGEMENT
from mlsys.analysis.whiteboard import component
from mlsys.core import generator
from mlsys.drills import Answer, Evidence, Variant
from mlsys.drills.graph import Graph

COLLECT, VERIFY, EXTRACT, STORE = (c.name for c in COMPONENTS[:4])
MODEL, EVALUATE, ANALYSE, SERVE, WATCH = (c.name for c in COMPONENTS[4:9])
MANAGE = tuple(c.name for c in COMPONENTS if c.group == MANAGEMENT)
KNOWN = {c.name for c in COMPONENTS}
SPINE = {COLLECT, VERIFY, EXTRACT, STORE, MODEL, EVALUATE, SERVE, WATCH}

STRUCK = {
    COLLECT: ("Its consumers hang, nothing is written any more.", "no new events"),
    VERIFY: ("The check crashes on every batch, so nothing is passed on.", "unchecked rows wait"),
    EXTRACT: ("The job has been dead since midnight.", "age of the newest feature value"),
    STORE: ("It answers neither training nor requests.", "share of values not found"),
    MODEL: ("Training fails every night.", "no new candidate model"),
    EVALUATE: ("Nobody can say any more whether a model may ship.", "age of the last evaluation"),
    SERVE: ("It accepts connections and answers none.", "requests without an answer"),
}
"""What may be struck: what happened, and its first sign (a store that answers nothing: everything is not found)."""

ACCEPTED = {
    *((source, WATCH) for source in (COLLECT, VERIFY, EXTRACT, STORE, MODEL, EVALUATE)),
    *((WATCH, target) for target in (SERVE, MODEL, COLLECT, VERIFY, EVALUATE, EXTRACT, *MANAGE)),
    *((source, ANALYSE) for source in (COLLECT, VERIFY, STORE, SERVE, MODEL)),
    *((ANALYSE, target) for target in (MODEL, EXTRACT, *MANAGE)),
    *((EVALUATE, target) for target in (MODEL, WATCH, *MANAGE)),
    *((SERVE, target) for target in (STORE, ANALYSE, EVALUATE)),
    *((VERIFY, target) for target in (COLLECT, *MANAGE)),
    (EXTRACT, MODEL), (STORE, EVALUATE), (COLLECT, EVALUATE), (VERIFY, STORE), (MODEL, SERVE), (MODEL, STORE),
}  # fmt: skip
"""Flows between components beside `FLOWS` for which somebody has a good reason. Management may point anywhere."""

FALLBACK = ("snapshot", "fallback", "fall back", "popular", "trending", "most liked", "default", "cache", "rule",
            "heuristic", "last good", "backup", "static", "degrad", "times out", "timeout", "without the store",
            "when the store", "if the store", "if store", "store is down", "outage")  # fmt: skip
BACK = ("roll", "revert", "previous model", "previous version", "last good model", "last good version", "old model",
        "old version", "back out", "champion", "kill switch", "undo", "stop the canary", "canary stop")  # fmt: skip
SENDS_BACK = {WATCH, EVALUATE, "Process management", "Configuration"}


def variant(seed: int) -> Variant:
    """One component is struck, and on another day another one."""
    struck, other = (sorted(STRUCK)[i] for i in generator(seed, 1).permutation(len(STRUCK))[:2])
    starved = sorted({flow.target for flow in FLOWS if flow.source == struck and flow.target != EVERYTHING})
    shown = {"struck": struck, "story": STRUCK[struck][0], "other": other, "other_story": STRUCK[other][0]}
    key = {"struck": struck, "starved": tuple(starved), "other": other, "sign": STRUCK[other][1]}
    return Variant(shown, key)


def components(answer: Answer, variant: Variant) -> Evidence:
    """Which of the twelve are on the board, with an arrow."""
    board = _board(answer)
    if senseless := _senseless(board):
        return senseless
    missing = [c.name for c in COMPONENTS if not (board.after(c.name) or board.before(c.name))]
    found = len(KNOWN) - len(missing)
    gone = f"; without an arrow or not there: {', '.join(missing)}" if missing else ""
    own = [box for box in board.boxes if box not in KNOWN and box != "everything"]
    gone += f". Boxes of your own: {', '.join(own[:8])}" if missing and own else ""
    spine = SPINE - set(missing)
    points = 3 if not missing else 2 if found >= 10 and spine == SPINE else 1 if found >= 7 else 0
    return Evidence(points, f"{found} of 12 components{gone}")


def loop(answer: Answer, variant: Variant) -> Evidence:
    """From serving to collection, and on to serving again."""
    board = _board(answer)
    if senseless := _senseless(board):
        return senseless
    if not board.has(SERVE, COLLECT) and not _through(board, SERVE, COLLECT):
        return Evidence(
            0, "no arrow brings what was served to data collection: the model never learns from its answers"
        )
    way = [(COLLECT, EXTRACT), (EXTRACT, STORE), (STORE, MODEL), (MODEL, EVALUATE), (EVALUATE, SERVE)]
    broken = [f"{a} to {b}" for a, b in way if not _forward(board, a, b)]
    if broken:
        return Evidence(1, f"impressions are logged, but there is no way from {' or from '.join(broken)}")
    acts = {SERVE, MODEL, "Process management"}
    second = [box for box in board.after(WATCH) if box in acts or _through(board, WATCH, SERVE)]
    if not second:
        return Evidence(2, "served impressions come back as a model; but monitoring tells nobody who could retrain")
    return Evidence(3, f"served impressions come back as a model, and monitoring reaches {', '.join(sorted(second))}")


def definition(answer: Answer, variant: Variant) -> Evidence:
    """One feature store for both, and no second path beside it."""
    board = _board(answer)
    if senseless := _senseless(board):
        return senseless
    fed = [name for name in (MODEL, SERVE) if board.has(STORE, name)]
    if not fed:
        return Evidence(0, "the feature store feeds neither training nor serving")
    beside = [f"{a.source} -> {a.target}: {a.what}" for a in board.arrows if _bypasses(a.source, a.target, a.what)]
    if beside:
        return Evidence(1, f"features also go past the store: {beside[0]}. Two definitions drift apart")
    if len(fed) == 1:
        return Evidence(1, f"the feature store feeds {fed[0]} only: the other path has features of its own")
    feeders = board.before(STORE) - {EXTRACT, *MANAGE, WATCH, "everything"}
    if feeders or not board.has(EXTRACT, STORE):
        odd = f"{', '.join(sorted(feeders))} writes to it as well" if feeders else "nothing extracted is written to it"
        return Evidence(2, f"the store feeds training and serving; but {odd}")
    if not _forward(board, VERIFY, EXTRACT):
        return Evidence(2, "the store feeds training and serving; but what is extracted was never verified")
    return Evidence(3, "verified rows become features once, and the store feeds training and serving")


def survival(answer: Answer, variant: Variant) -> Evidence:
    """Arrows into serving that help when the store is down or the model is bad."""
    board = _board(answer)
    if senseless := _senseless(board):
        return senseless
    into = [a for a in board.arrows if a.target == SERVE]
    rescue = [
        a for a in into if a.source != STORE and _says(f"{a.source} {a.what}", FALLBACK) and not _says(a.what, BACK)
    ]
    back = [a for a in into if _says(a.what, BACK) and a not in rescue]
    told = [a for a in board.arrows if _says(a.what, BACK) and a.source in SENDS_BACK]
    if not rescue and not back and not told:
        return Evidence(0, "no arrow into serving answers without the store, and none takes a bad model back")
    if not rescue:
        return Evidence(1, "there is a way back from a bad model; but without the store nothing answers")
    if not back and not told:
        return Evidence(1, f"{rescue[0].source} answers without the store; but nothing takes a bad model back")
    sees = board.has(SERVE, WATCH) and (told or _through(board, WATCH, SERVE))
    if not sees:
        return Evidence(2, f"{rescue[0].source} answers, and there is a way back; but who rolls back does not see what "
                           "is served")  # fmt: skip
    return Evidence(3, f"{rescue[0].source} answers without the store, and who rolls back hears from monitoring")


def strike(answer: Answer, variant: Variant) -> Evidence:
    """Who starves, by the architecture and by your own board; and the first sign."""
    board, key = _board(answer), variant.key
    if senseless := _senseless(board):
        return senseless
    said, needed = set(answer["starved"]), set(key["starved"])
    allowed = needed | {target for source, target in ACCEPTED if source == key["struck"] and board.has(source, target)}
    missed, wrong = sorted(needed - said), sorted(said - allowed)
    who, sign = not missed and not wrong, answer["first_sign"] == key["sign"]
    told = []
    if missed:
        told.append(f"{len(missed)} more that {key['struck']} feeds directly")
    if wrong:
        told.append(f"{', '.join(wrong)} gets nothing straight from {key['struck']}")
    if not sign:
        told.append(f"'{answer['first_sign']}' is not the first sign that {key['other']} fails")
    if not (who and sign):
        return Evidence(int(who or sign), f"{key['struck']} is struck: {'; '.join(told)}")
    direct = board.after(key["struck"])
    drawn = direct & KNOWN
    own = {target for box in direct - KNOWN for target in board.after(box)}  # A registry of your own stands between.
    if not said <= drawn | own or not drawn - said <= allowed:
        return Evidence(2, f"right; but your board draws arrows from {key['struck']} to {_list(drawn)}, not to "
                           f"{_list(said)}")  # fmt: skip
    return Evidence(
        3,
        f"nothing comes to {_list(said)} any more, your board says the same; and '{answer['first_sign']}' is the first "
        f"sign that {key['other']} fails",
    )


def _board(answer: Answer) -> Graph:
    """The board with the components' own names."""
    board: Graph = answer["board"].renamed(component)
    return board


def _senseless(board: Graph) -> Evidence | None:
    """A board on which more than a quarter of the arrows between components make no sense says nothing."""
    flows = {(flow.source, flow.target) for flow in FLOWS} | ACCEPTED
    between = {(a.source, a.target) for a in board.arrows if a.source in KNOWN and a.target in KNOWN}
    odd = sorted((a, b) for a, b in between if (a, b) not in flows and a not in MANAGE)
    # Management may point anywhere, but not everything may point at each other.
    back = sorted((a, b) for a, b in between if b in MANAGE and (a, b) not in flows and a in MANAGE)
    if 4 * (len(odd) + len(back)) <= len(between):
        return None
    shown = "; ".join(f"{a} -> {b}" for a, b in [*odd, *back][:3])
    return Evidence(0, f"{len(odd) + len(back)} of {len(between)} arrows carry nothing, the first: {shown}")


def _forward(board: Graph, source: str, target: str) -> bool:
    """Whether data gets from one to the other without going round by serving or by management."""
    kept = tuple(a for a in board.arrows if a.source not in (*MANAGE, WATCH) and not (a.source == SERVE != source))
    return Graph(kept).reaches(source, target)


def _through(board: Graph, source: str, target: str) -> bool:
    """Whether one box of the candidate's own, or of management, stands between."""
    return any(board.has(box, target) for box in board.after(source) if box not in KNOWN or box in MANAGE)


def _bypasses(source: str, target: str, what: str) -> bool:
    """Features that reach training or serving from elsewhere than the store."""
    if target not in (MODEL, SERVE) or source == STORE or source not in KNOWN:
        return False
    return source == EXTRACT or (source in (COLLECT, VERIFY) and (target == SERVE or "feature" in what.lower()))


def _says(text: str, words: Iterable[str]) -> bool:
    return any(word in text.lower() for word in words)


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none of the twelve"
