"""Diagrams and tables agree with their data; figures repeat to the byte; the report stands alone."""

import re
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import FancyArrowPatch
from matplotlib.text import Text

from mlsys.analysis import anatomy, architecture, diagrams, plots, reference, report
from mlsys.analysis.style import png
from mlsys.core import MlsysError

TECHNOLOGIES = """
Kafka|Kinesis|Flume|Logstash|S3|Azure Data Lake|HDFS|Snowflake|BigQuery|Redshift|Feast|Tecton
|Hopsworks|MLflow|Weights & Biases|SageMaker Model Registry|Spark|Pandas|Dask|Flink|Kafka Streams|Airflow
|Prefect|Dagster|TensorFlow|PyTorch|XGBoost|TensorBoard|Optuna|Hyperopt|Ray Tune|Kubeflow|SageMaker Pipelines
|TensorFlow Serving|TorchServe
|Triton|FastAPI|Flask|gRPC|SageMaker|Vertex AI|Azure ML|Prometheus|CloudWatch|Datadog|ELK Stack|Splunk
|CloudWatch Logs|Grafana|New Relic|Evidently AI|Fiddler|Arize|Azure ML Pipelines|PostgreSQL|scikit-learn|Docker
|Kubernetes|Delta Lake|Databricks Feature Store|TF Serving|AutoML""".replace("\n", "")

FIGURES = {
    "components": lambda: diagrams.component_diagram(anatomy.lines_of_code()),
    "layers": diagrams.layered_diagram,
    "steps": diagrams.steps_strip,
    "auc": lambda: plots.auc_curve(*(np.array([[1e3, 1e4, 1e5], [1, 0.9, 0.7], [0.5] * 3, [0.4] * 3, [0.6] * 3]))),
    "costs": lambda: plots.costs_bar(["a", "b"], [1e-3, 2e-3], [1e-5, 1e-4]),
    "scores": lambda: plots.score_histogram(np.linspace(0.1, 0.3, 50), 0.2),
    "drift": lambda: plots.drift_bars(["a", "b"], np.array([0.3, 0.01]), 0.1),
    "intervals": lambda: plots.intervals(["a"], [0.5], [0.4], [0.6], 0.5),
    "funnel": lambda: plots.loss_funnel(["in", "out"], [10, 9]),
    "scale": lambda: plots.scale_curves(*(np.array([1.0, 10.0, 100.0]) * k for k in (1e6, 4, 1e8, 2))),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_repeat_to_the_byte(name: str) -> None:
    first = png(FIGURES[name]())
    assert first == png(FIGURES[name]())
    assert first[:4] == b"\x89PNG" and len(first) > 5_000


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_or_written_over_another(name: str) -> None:
    fig = FIGURES[name]()
    png(fig)
    ticks = {label for ax in fig.axes for axis in (ax.xaxis, ax.yaxis) for label in axis.findobj(Text)}
    ticks -= {ax.xaxis.label for ax in fig.axes}  # matplotlib drops tick labels that do not fit
    texts = [t for t in fig.findobj(Text) if t not in ticks and t.get_visible() and t.get_text().strip()]
    boxes = {t.get_text(): t.get_window_extent().padded(-2) for t in texts if t.get_window_extent().width > 1}
    width, height = fig.bbox.size
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, f"{text!r} is cut"
    over = [(a, b) for (a, x), (b, y) in combinations(boxes.items(), 2) if x.overlaps(y)]
    assert not over


@pytest.mark.parametrize("name", ["components", "layers", "steps"])
def test_no_arrow_runs_through_a_box(name: str) -> None:
    axes = FIGURES[name]().axes[0]
    boxes = [p.get_path().get_extents(p.get_patch_transform()) for p in axes.patches if p.get_gid() == "box"]
    arrows = [p for p in axes.patches if isinstance(p, FancyArrowPatch)]
    assert len(boxes) >= 7 and arrows
    for arrow in arrows:
        corners = arrow._path_original.vertices  # the polyline as given, before the head is put on
        steps = np.linspace(0.02, 0.98, 200)[:, None]
        points = np.concatenate([a + (b - a) * steps for a, b in pairwise(corners)])
        home = [b for b in boxes if b.contains(*corners[0])]  # the registry lies inside its layer
        for box in (b for b in boxes if b not in home):
            inside = (points > (box.x0 + 0.1, box.y0 + 0.1)) & (points < (box.x1 - 0.1, box.y1 - 0.1))
            assert not inside.all(axis=1).any(), (corners.tolist(), box)


def test_every_flow_is_an_arrow() -> None:
    """One arrow per flow; the three that reach every component share one."""
    for draw, flows in (
        (diagrams.component_diagram, architecture.FLOWS),
        (diagrams.layered_diagram, architecture.LAYER_FLOWS),
    ):
        axes = draw().axes[0]
        solid = [p for p in axes.patches if isinstance(p, FancyArrowPatch)]
        everywhere = sum(flow.target == architecture.EVERYTHING for flow in flows)
        shared, band = (1, 0) if everywhere else (0, 7)  # orchestration reaches seven layers
        assert len(solid) == len(flows) - everywhere + shared + band


def test_sizes_of_unknown_components_are_refused() -> None:
    with pytest.raises(MlsysError, match="no component is called 'ML'"):
        diagrams.component_diagram({"ML": 3})


def test_the_three_counts_and_the_seven_steps() -> None:
    counts = architecture.counts()
    assert len(counts) == 12
    assert {int(n) for n in counts["in the list of groups"] if n.isdigit()} == set(range(1, 9))
    assert {int(n) for n in counts["in the run by stages"] if n.isdigit()} == set(range(1, 10))
    assert [step.name for step in architecture.STEPS] == [
        "Clarifying requirements", "Framing the problem as an ML task", "Data preparation", "Model development",
        "Evaluation", "Deployment and serving", "Monitoring and infrastructure",
    ]  # fmt: skip


def test_every_flow_joins_components_and_the_loop_is_closed() -> None:
    names = {c.name for c in architecture.COMPONENTS}
    for flow in architecture.FLOWS:
        assert flow.source in names and flow.target in names | {architecture.EVERYTHING}
    edges = {(flow.source, flow.target) for flow in architecture.FLOWS}
    assert ("Serving infrastructure", "Data collection") in edges


def test_the_whiteboard_fits_and_names_every_component() -> None:
    lines = diagrams.component_ascii().splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 76
    words = set(re.findall(r"[A-Za-z]+", diagrams.component_ascii()))
    assert all(set(c.name.split()) <= words | {"and"} for c in architecture.COMPONENTS)
    assert diagrams.component_ascii().isascii()


def test_every_file_of_a_component_is_counted_once() -> None:
    lines = anatomy.lines_of_code()
    assert set(lines) == {c.name for c in architecture.COMPONENTS} and min(lines.values()) > 0
    assert anatomy.count_lines(Path(anatomy.__file__)) < len(Path(anatomy.__file__).read_text().splitlines())


def test_every_technology_of_the_curriculum_has_its_place() -> None:
    text = " ".join(reference.layers().to_string().split()) + " ".join(reference.stacks().to_string().split())
    text += " ".join(reference.selection().to_string().split())
    assert not [name for name in TECHNOLOGIES.split("|") if name not in text]


def test_failure_modes_cover_all_components() -> None:
    assert reference.failure_modes()["component"].tolist() == [c.name for c in architecture.COMPONENTS]


def test_tables_escape_and_repeat() -> None:
    shown = reference.table(pd.DataFrame({"a": ["<b>"], "c": ["x" * 150 + " y"]}))
    assert "&lt;b&gt;" in shown._repr_html_() and shown._repr_html_() == shown._repr_html_()
    assert max(map(len, repr(shown).splitlines())) < 180


def test_the_report_stands_alone_and_escapes(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    table = pd.DataFrame({"reason": ["<script>"], "rows": [1.5]})
    sections = [("A & B", "text", table, FIGURES["funnel"]())]
    report.write_report(page, "title <x>", sections, pd.DataFrame({"part": ["system"]}))  # type: ignore[arg-type]
    text = page.read_text(encoding="utf-8")
    assert "<script>" not in text and "&lt;script&gt;" in text and "A &amp; B" in text
    assert "://" not in text and "data:image/png;base64," in text
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
