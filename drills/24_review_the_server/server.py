"""The server under review, as text: a sound one, and what each defect changes in it."""

from __future__ import annotations

import numpy as np

HEAD = '''import json
import math
from hmac import compare_digest

TTL, ROOM, MOST = {ttl}, {room}, {most}  # seconds, answers, posts
TRIES, TIMEOUT, WAIT = {tries}, {timeout}, {wait}  # reads, seconds, seconds


class BadRequest(Exception):
    """The caller's fault, with a text that is written for the caller."""


class Server:
    def __init__(self, store, models, likes, clock, random, metrics, log, token):
        self.store, self.models, self.likes, self.clock = store, models, likes, clock
        self.random, self.metrics, self.log, self.token = random, metrics, log, token
        self.model, self.cache, self.boosts = models.load("first"), {{}}, {{}}
'''
"""What every variant begins with."""

METHODS = {
    "ready": """
    def ready(self):
        try:
            self.store.read([0], timeout=TIMEOUT)
        except OSError:
            return 503
        return 200
""",
    "swap": """
    def swap(self, name, token):
        if not compare_digest(token, self.token):
            return 403
        self.model = self.models.load(name)
        self.log(f"now serving {name}")
        return 200
""",
    "upload": """
    def upload(self, data, token):
        if not compare_digest(token, self.token):
            return 403
        try:
            self.boosts = json.loads(data)
        except ValueError:
            return 400
        self.cache.clear()
        return 200
""",
    "rank": """
    def rank(self, request):
        start = self.clock.now()
        try:
            body, status = self._rank(request), 200
        except BadRequest as error:
            body, status = {"error": str(error)}, 400
        except Exception as error:
            self.log(f"rank failed: {error}")
            body, status = {"error": "internal error"}, 500
        self.metrics.count("requests", status=status)
        self.metrics.observe("seconds", self.clock.now() - start)
        return status, body
""",
    "_rank": """
    def _rank(self, request):
        user, posts = request["user"], request["posts"]
        model = self.model
        if not 1 <= len(posts) <= MOST:
            raise BadRequest(f"send 1 to {MOST} posts")
        key = user, tuple(posts), model.version
        kept = self.cache.get(key)
        if kept and self.clock.now() < kept[0] + TTL:
            self.metrics.count("cache_hits")
            return kept[1]
        rows = self._features(model, user, posts)
        if rows is None:
            self.metrics.count("fallbacks")
            return {"posts": sorted(posts, key=lambda post: -self.likes.get(post, 0)), "by": "likes"}
        scores = model.predict(rows)
        self.metrics.count("scored", len(posts))
        boosted = [score + self.boosts.get(str(post), 0.0) for score, post in zip(scores, posts)]
        order = sorted(zip(boosted, posts), key=lambda pair: (-pair[0], pair[1]))
        body = {"posts": [p for _, p in order], "scores": [s for s, _ in order], "by": model.version}
        return self._keep(key, body)

    def _keep(self, key, body):
        while len(self.cache) >= ROOM:
            self.cache.pop(next(iter(self.cache)))
        self.cache[key] = self.clock.now(), body
        return body
""",
    "_features": """
    def _features(self, model, user, posts):
        for _ in range(TRIES):
            try:
                found = self.store.read([user, *posts], timeout=TIMEOUT)
                break
            except OSError:
                self.clock.sleep(WAIT * self.random())
        else:
            return None
        rows = []
        for post in posts:
            values = {**found[user], **found[post]}
            row = [values[name] for name in model.features]
            rows.append([x if math.isfinite(x) else 0.0 for x in row])
        return rows
""",
}

SCORED = '        self.metrics.count("scored", len(posts))\n'
TIMED = '        self.metrics.observe("seconds", self.clock.now() - start)\n'
LIKES = 'return {"posts": sorted(posts, key=lambda post: -self.likes.get(post, 0)), "by": "likes"}'

CHANGES: dict[str, tuple[tuple[str, str], ...]] = {
    "key_too_small": (("key = user, tuple(posts)", "key = user"),),
    "old_model_kept": ((", model.version\n        kept", "\n        kept"),),
    "never_expires": (("if kept and self.clock.now() < kept[0] + TTL:", "if kept:"),),
    "grows_for_ever": (
        ("        while len(self.cache) >= ROOM:\n            self.cache.pop(next(iter(self.cache)))\n", ""),
    ),
    "fallback_kept": ((LIKES, LIKES.replace("return", "body =") + "\n            return self._keep(key, body)"),),
    "no_fallback": ((LIKES, 'raise ConnectionError("no features")'),),
    "feature_order": (("[values[name] for name in model.features]", "list(values.values())"),),
    "nan_passed_on": (("rows.append([x if math.isfinite(x) else 0.0 for x in row])", "rows.append(row)"),),
    "no_timeout": (("read([user, *posts], timeout=TIMEOUT)", "read([user, *posts])"),),
    "endless_retry": (
        ("for _ in range(TRIES):", "while True:"),
        ("        else:\n            return None\n        rows", "        rows"),
    ),
    "no_limit": (("if not 1 <= len(posts) <= MOST:\n            raise BadRequest(f\"send 1 to {MOST} posts\")",
                  "if not posts:\n            raise BadRequest(\"send at least one post\")"),),
    "model_per_request": (("model = self.model\n", "model = self.models.load(self.model.name)\n"),),
    "error_text_sent": (('{"error": "internal error"}', '{"error": str(error)}'),),
    "always_ready": (("            return 503", '            self.log("store is slow")'),),
    "user_label": (("status=status)", 'status=status, user=request["user"])'),),
    "hits_as_scored": ((SCORED, ""), ("        kept = self", SCORED + "        kept = self")),
    "failures_untimed": ((TIMED, ""), ("(request), 200\n", "(request), 200\n    " + TIMED)),
    "secret_logged": (('f"now serving {name}"', 'f"now serving {name}, token {token}"'),),
    "open_admin": (("name, token):\n        if not compare_digest(token, self.token):\n            return 403\n",
                    "name, token):\n"),),
    "code_from_upload": (("json.loads", "pickle.loads"), ("import json", "import pickle"),
                         ("except ValueError", "except pickle.UnpicklingError"),
                         ("import pickle\nimport math", "import math\nimport pickle")),
}  # fmt: skip
"""By defect, the text of the sound server and what stands there instead."""

LINES: dict[str, tuple[str, ...]] = {
    "key_too_small": ("key = ", ".get(key)", "self.cache[key]"),
    "old_model_kept": ("key = ", ".get(key)", "self.cache[key]", "self.model = ", "def swap"),
    "never_expires": ("if kept", "return kept[1]", "self.cache[key]"),
    "grows_for_ever": ("self.cache[key]", "def _keep"),
    "fallback_kept": ("body = {\"posts\": sorted", "            return self._keep", "if rows is None"),
    "no_fallback": ("raise ConnectionError", "if rows is None"),
    "feature_order": ("list(values.values())", "values = {**"),
    "nan_passed_on": ("rows.append(row)", "row = ", "model.predict"),
    "no_timeout": ("read([user, *posts])",),
    "endless_retry": ("while True", "read([user", "self.clock.sleep"),
    "no_limit": ("if not posts", "at least one post"),
    "model_per_request": ("self.models.load(self.model.name)",),
    "error_text_sent": ("{\"error\": str(error)}, 500",),
    "always_ready": ("def ready", "self.store.read([0]", "store is slow"),
    "user_label": ("user=request",),
    "hits_as_scored": ("count(\"scored\"",),
    "failures_untimed": ("observe(\"seconds\"",),
    "secret_logged": ("token {token}",),
    "open_admin": ("def swap", "self.models.load(name)"),
    "code_from_upload": ("pickle.loads", "import pickle", "def upload"),
}  # fmt: skip
"""By defect, what stands on a line that may be named for it; the line above and below will do as well."""

KINDS = tuple(CHANGES)


def source(f: dict[str, float], order: tuple[str, ...], defects: frozenset[str]) -> str:
    """The server with these defects; raises `ValueError` if two of them change the same text."""
    text = HEAD.format(**f) + "".join(METHODS[name] for name in order)
    for name in KINDS:
        for old, new in CHANGES[name] if name in defects else ():
            if text.count(old) != 1:
                raise ValueError(f"{name}: {old!r} is there {text.count(old)} times")
            text = text.replace(old, new)
    return text


def orders(rng: np.random.Generator) -> tuple[str, ...]:
    """The methods in an order of this seed: what is public first."""
    public = rng.permutation(["ready", "swap", "upload"]).tolist()
    ranked = ["rank", "_rank", "_features"]
    return tuple(public + ranked if rng.random() < 0.5 else ranked[:1] + public + ranked[1:])


def lines(text: str, defect: str) -> frozenset[int]:
    """Line numbers, from 1, that may be named for a defect."""
    rows = text.split("\n")
    own = [n for n, row in enumerate(rows, 1) if any(mark in row for mark in LINES[defect])]
    return frozenset(near for n in own for near in (n - 1, n, n + 1))
