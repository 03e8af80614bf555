"""The usual defaults, questioned by runs."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest

from mlsys.cli import main
from mlsys.config import SystemConfig
from mlsys.orchestration import questions


def test_every_answer_is_about_a_setting_and_holds_its_own_numbers() -> None:
    answers = list(islice(questions.questions(13, users=100), 2))
    assert [answer.setting for answer in answers] == ["serving.max_latency_ms", "serving.replicas"]
    for answer in answers:
        assert answer.default == SystemConfig().flat()[answer.setting]
        assert re.search(r"\d", answer.measured) and re.search(r"\d", answer.verdict)
    assert "50 ms saves" in answers[0].verdict


def test_answers_follow_the_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = questions._replicas(10)[1]
    slow = questions.budget(60) * 10
    monkeypatch.setattr(questions, "budget", lambda _: slow)
    assert questions._replicas(10)[1] != before


def test_config_show_marks_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[serving]\nreplicas = 12\n", encoding="utf-8")
    assert main(["config", "show", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if "serving.replicas" in line)
    assert "12" in line and "(default 10)" in line and "MLSYS_SERVING__REPLICAS" in line
    assert said.count("(default") == 1
