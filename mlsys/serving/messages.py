"""What goes over the wire: requests of ids, answers that say how good they are, and refusals that say what to do.

Decoding checks types, ranges and unknown fields in one pass (msgspec); what JSON Schema cannot say is checked here. The
same structs are the OpenAPI page's schemas.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np

MOST_CANDIDATES = 10_000
MOST_BYTES = 256 * 1024
DEVICES = ("iOS", "Android", "Web")

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1, description="a whole number; ids nobody knows are answered too")]
Device = Annotated[
    Literal["iOS", "Android", "Web"] | None,
    msgspec.Meta(description="null or left out: not recorded", examples=["iOS"]),
]


class RankRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which posts, for whom. `k`: how many to return; all, if left out."""

    user_id: Id
    candidates: Annotated[
        list[Id],
        msgspec.Meta(
            min_length=1, max_length=MOST_CANDIDATES, extra_json_schema={"uniqueItems": True}, examples=[[11, 12, 13]]
        ),
    ]
    k: Annotated[int, msgspec.Meta(ge=1, le=MOST_CANDIDATES)] | None = None
    device: Device = None


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Will this user like this post?"""

    user_id: Id
    post_id: Id
    device: Device = None


class RankAnswer(msgspec.Struct, frozen=True):
    """Posts best first, with their scores. `rung`: the lowest of the ladder that was needed; `sources`: share of the
    feature values from each; `defaulted`: share that the model's training means stood in for."""

    posts: list[int]
    scores: list[float]
    rung: str
    sources: dict[str, float]
    defaulted: float
    cached: bool
    model_version: str
    latency_ms: float
    request_id: str


class PredictAnswer(msgspec.Struct, frozen=True):
    """`prediction`: P(like). `confidence`: P of the likelier answer. The rest as in `RankAnswer`."""

    prediction: float
    confidence: float
    rung: str
    defaulted: float
    cached: bool
    model_version: str
    latency_ms: float
    request_id: str


class Problem(msgspec.Struct, frozen=True):
    """What was wrong with a request: where, why, and what to do."""

    field: str
    reason: str
    remedy: str


class Refusal(msgspec.Struct, frozen=True):
    """The body of every answer that is not 200."""

    error: Problem
    request_id: str


class Refused(Exception):
    """A request that is not answered: HTTP status and the problem; `headers` such as Retry-After."""

    def __init__(
        self, status: int, field: str, reason: str, remedy: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(reason)
        self.status, self.problem, self.headers = status, Problem(field, reason, remedy), headers


REMEDIES = {
    "user_id": "send a whole number from 0 to 9223372036854775807",
    "post_id": "send a whole number from 0 to 9223372036854775807",
    "candidates": f"send 1 to {MOST_CANDIDATES:,} different whole numbers from 0 on",
    "k": f"send a whole number from 1 to {MOST_CANDIDATES:,}, or leave it out",
    "device": f"send one of {', '.join(DEVICES)}, or leave it out",
}

R = TypeVar("R", bound=RankRequest | PredictRequest)
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (RankRequest, PredictRequest)
}


def decode(body: bytes, kind: type[R]) -> R:
    """The request in a JSON body; raises `Refused` with the field, the reason and the remedy.

    >>> decode(b'{"user_id": 5, "candidates": [1, 2]}', RankRequest).candidates
    [1, 2]
    >>> try:
    ...     decode(b'{"user_id": 5, "candidates": [1, 1]}', RankRequest)
    ... except Refused as refused:
    ...     print(refused.status, refused.problem.field, "-", refused.problem.reason)
    422 candidates - 1 of 2 candidates are there twice
    """
    try:
        request: R = _DECODERS[kind].decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        named = re.search(r"field `(\w+)`", reason)
        field = named[1] if named else (path.strip("`.").split("[")[0].split(".")[0] or "body")
        remedy = REMEDIES.get(field, f"fields are {', '.join(kind.__struct_fields__)}")
        raise Refused(422, field, reason, remedy) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, "body", f"it is no JSON: {error}"[:200], 'send {"user_id": 5, …} in UTF-8') from None
    if isinstance(request, RankRequest) and (twice := len(request.candidates) - len(set(request.candidates))):
        reason = f"{twice} of {len(request.candidates)} candidates are there twice"
        raise Refused(422, "candidates", reason, "send each post once")
    return request


def candidates(request: RankRequest) -> np.ndarray:
    """The request's candidates, int64 (n,)."""
    return np.array(request.candidates, np.int64)
