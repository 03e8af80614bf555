"""Requests that nobody would think of: made from random bytes, from broken good requests, and from the OpenAPI page."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlsys.config import SystemConfig
from mlsys.core import VirtualClock
from mlsys.orchestration import demo
from mlsys.serving.app import Application
from mlsys.serving.control import Control
from mlsys.serving.deployment import open_deployment
from mlsys.serving.telemetry import Telemetry

TOKEN = "a token of tests"
ROUTES = ("/v1/rank", "/v1/predict")
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Application:
    """A server of a small feed, on a clock that stands still."""
    folder = tmp_path_factory.mktemp("fuzz") / "serving"
    clock = VirtualClock(demo.build(folder, users=200, days=3).now)
    config = SystemConfig()
    deployment = open_deployment(folder, config, clock)
    control = Control(folder, deployment, config.model.name)
    return Application(deployment, control, config, Telemetry(clock, None), clock=clock, token=TOKEN)


def post(app: Application, path: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of one request; NaN and Infinity, which are no JSON, are an error here."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    def no_number(text: str) -> None:
        raise AssertionError(f"{text} in an answer")

    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    asyncio.run(app(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (b"content-length", str(len(sent[1]["body"])).encode()) in sent[0]["headers"]
    return sent[0]["status"], json.loads(sent[1]["body"], parse_constant=no_number)


def judge(status: int, body: dict[str, Any]) -> None:
    """An answer, or a refusal that says what is wrong."""
    assert status in (200, 400, 413, 415, 422), body
    if status != 200:
        assert set(body) == {"error", "request_id"} and all(body["error"][key] for key in ("field", "reason", "remedy"))


JSON_HEADERS = [(b"content-type", b"application/json")]
good = st.fixed_dictionaries(
    {"user_id": st.integers(0, 2**63 - 1)},
    optional={
        "candidates": st.lists(st.integers(0, 300) | st.integers(0, 2**63 - 1), min_size=1, max_size=30, unique=True),
        "post_id": st.integers(0, 2**63 - 1),
        "k": st.none() | st.integers(1, 10_000),
        "device": st.sampled_from([None, "iOS", "Android", "Web"]),
    },
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@QUIET
@given(path=st.sampled_from(ROUTES), body=st.binary(max_size=200))
def test_random_bytes_are_refused(app: Application, path: str, body: bytes) -> None:
    status, found = post(app, path, body, JSON_HEADERS)
    judge(status, found)
    assert status != 200


@QUIET
@given(path=st.sampled_from(ROUTES), request=good, at=st.integers(0), byte=st.binary(min_size=0, max_size=2))
def test_a_good_request_with_a_byte_changed_is_answered_or_refused(
    app: Application, path: str, request: dict[str, Any], at: int, byte: bytes
) -> None:
    text = json.dumps(request).encode()
    at %= len(text)
    judge(*post(app, path, text[:at] + byte + text[at + 1 :], JSON_HEADERS))


@QUIET
@given(path=st.sampled_from(ROUTES), request=good, field=st.sampled_from(["user_id", "candidates", "post_id", "k"]),
       value=anything)  # fmt: skip
def test_a_good_request_with_a_strange_value_is_answered_or_refused(
    app: Application, path: str, request: dict[str, Any], field: str, value: Any
) -> None:
    judge(*post(app, path, json.dumps({**request, field: value}).encode(), JSON_HEADERS))


@QUIET
@given(request=good, name=st.sampled_from([b"content-type", b"content-encoding", b"x-request-id", b"content-length"]),
       value=st.binary(max_size=80))  # fmt: skip
def test_strange_headers_are_answered_or_refused(
    app: Application, request: dict[str, Any], name: bytes, value: bytes
) -> None:
    judge(*post(app, "/v1/rank", json.dumps(request).encode(), [*JSON_HEADERS, (name, value)]))


@QUIET
@given(request=good)
def test_every_good_ranking_is_a_permutation_with_falling_scores(app: Application, request: dict[str, Any]) -> None:
    ask = {"candidates": [1], **request}
    ask.pop("post_id", None)
    status, found = post(app, "/v1/rank", json.dumps(ask).encode(), JSON_HEADERS)
    assert status == 200, found
    k = min(ask.get("k") or len(ask["candidates"]), len(ask["candidates"]))
    assert len(found["posts"]) == len(found["scores"]) == k == len(set(found["posts"]))
    assert set(found["posts"]) <= set(ask["candidates"]) and found["scores"] == sorted(found["scores"])[::-1]
    assert sum(found["sources"].values()) == pytest.approx(1, abs=1e-5) and 0 <= found["defaulted"] <= 1


GETS = ("/health/live", "/health/ready", "/metrics", "/admin/status")
POSTS = (*ROUTES, *(f"/admin/{what}" for what in ("promote", "rollback", "shadow", "canary", "ab")))
CASES = [*((path, "GET", "positive") for path in GETS), *((path, "POST", "positive") for path in POSTS)]
CASES += [(path, "POST", "negative") for path in POSTS]  # A GET without parameters can be asked in one way only.


@pytest.mark.parametrize("path, method, mode", CASES)
def test_the_server_does_what_its_page_says(app: Application, path: str, method: str, mode: str) -> None:
    """What the schema allows is answered as it says; what it does not allow is refused."""
    if not importlib.util.find_spec("schemathesis"):
        pytest.skip('the OpenAPI page is not fuzzed: no schemathesis (pip install "schemathesis>=4")')
    import schemathesis
    from schemathesis import checks
    from schemathesis.generation import GenerationMode

    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path][method]
    checks.load_all_checks()
    names = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    wanted = [checks.CHECKS.get_one(name) for name in [*names, *["negative_data_rejection"] * (mode == "negative")]]

    @settings(QUIET, max_examples=12)
    @given(case=operation.as_strategy(GenerationMode(mode)))
    def asked(case: Any) -> None:
        app.clock.advance(seconds=1)  # type: ignore[attr-defined]  # Not too fast for /admin.
        headers = {"Authorization": f"Bearer {TOKEN}"} if path.startswith("/admin") else {}
        case.validate_response(case.call(headers=headers), checks=wanted)

    asked()
