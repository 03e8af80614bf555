"""Reference tables of notebook 01: what to have seen once, one screen each.

Layers, technologies, stacks and selection criteria follow the curriculum's list; the words are ours.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence

import pandas as pd


class Table:
    """A frame that shows as a left-aligned HTML table in a notebook and as wrapped text elsewhere."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def _repr_html_(self) -> str:
        style = 'style="text-align:left;vertical-align:top"'
        head = "".join(f"<th {style}>{html.escape(str(name))}</th>" for name in self.frame.columns)
        body = "".join(
            "<tr>" + "".join(f"<td {style}>{html.escape(str(value))}</td>" for value in row) + "</tr>\n"
            for row in self.frame.itertuples(index=False)
        )
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"

    def __repr__(self) -> str:
        first, *rest = map(str, self.frame.columns)
        lines = []
        for row in self.frame.itertuples(index=False):
            lines.append(f"{first}: {row[0]}")
            for name, value in zip(rest, row[1:], strict=True):
                lines += textwrap.wrap(f"{name}: {value}", 100, initial_indent="    ", subsequent_indent="        ")
        return "\n".join(lines)


def table(frame: pd.DataFrame) -> Table:
    """The frame, ready to be the last line of a cell."""
    return Table(frame)


def _frame(columns: str, rows: Sequence[Sequence[str]]) -> pd.DataFrame:
    return pd.DataFrame([list(row) for row in rows], columns=columns.split(" | "))


def layers() -> pd.DataFrame:
    """The eight layers: purpose, parts, what each must be good at, technologies."""
    return _frame(
        "layer | purpose | parts | must be good at | technologies",
        [
            ("1 Data collection", "get events in, once and on time",
             "event streams, database connectors, APIs, files, web scraping",
             "batch and real time, schema enforcement, validation, error handling",
             "Apache Kafka, AWS Kinesis, Apache Flume (declared dormant in 2024), Logstash, custom connectors"),
            ("2 Data storage", "keep raw and derived data so that any past state can be read again",
             "lake (raw), warehouse (structured), feature store (features), model registry (artifacts)",
             "scale, query speed, versions, access control",
             "lakes: S3, Azure Data Lake, HDFS · warehouses: Snowflake, BigQuery, Redshift · features: Feast, Tecton, "
             "Hopsworks · models: MLflow, Weights & Biases, SageMaker Model Registry"),
            ("3 Data processing", "turn raw rows into trusted columns",
             "ETL and ELT, validation, cleaning, feature computation, quality checks",
             "batch and stream, fault tolerance, scale, reproducibility",
             "batch: Apache Spark, Pandas, Dask · streams: Apache Flink, Kafka Streams · runs: Airflow, Prefect, Dagster"),
            ("4 Feature store", "one definition, the same value in training and in serving",
             "definitions, computation, online serving, offline storage, feature monitoring",
             "train-serve consistency, low latency, versions, discovery",
             "Feast, Tecton, Hopsworks, custom"),
            ("5 Model training infrastructure", "make a model again, on purpose",
             "training pipelines, experiment tracking, tuning, validation, model registry",
             "distributed and GPU training, reproducible experiments, resource management",
             "training: TensorFlow, PyTorch, XGBoost · tracking: MLflow, Weights & Biases, TensorBoard · tuning: Optuna, "
             "Hyperopt (no longer maintained), Ray Tune · runs: Kubeflow, SageMaker Pipelines"),
            ("6 Model serving", "answer in time, or say which rung answered",
             "model servers, API gateways, load balancers, caches, A/B testing",
             "latency, throughput, scale, model versions",
             "servers: TensorFlow Serving, TorchServe (no longer maintained: pytorch/serve#3396), Triton · APIs: FastAPI, "
             "Flask, gRPC · cloud: SageMaker, Vertex AI, Azure ML"),
            ("7 Monitoring and observability", "notice before the users do",
             "metrics, logs, alerts, dashboards, drift detection",
             "real time and history, anomaly detection, alerts that mean something",
             "metrics: Prometheus, CloudWatch, Datadog · logs: ELK Stack, Splunk, CloudWatch Logs · dashboards: Grafana, "
             "Datadog, New Relic · drift: Evidently AI, Fiddler, Arize"),
            ("8 Orchestration", "run all of the above in order, again, and after a failure",
             "schedulers, pipelines, dependencies, error handling, retries",
             "workflow definition, scheduling, dependency resolution, failure handling",
             "Airflow, Prefect, Dagster, Kubeflow Pipelines, SageMaker Pipelines, Azure ML Pipelines"),
        ],
    )  # fmt: skip


def stacks() -> pd.DataFrame:
    """Three stacks by scale."""
    return _frame(
        "component | starter (small) | production (medium) | enterprise (large)",
        [
            ("data storage", "PostgreSQL + S3", "Snowflake + S3", "Delta Lake + Snowflake"),
            ("feature store", "Feast, local", "Feast on Redis", "Tecton or Databricks Feature Store"),
            ("training", "scikit-learn, XGBoost", "PyTorch or TensorFlow on GPU", "distributed, on Kubernetes"),
            ("experiment tracking", "MLflow", "MLflow + Weights & Biases", "custom + MLflow"),
            ("serving", "FastAPI + Docker", "TorchServe or TF Serving + Kubernetes", "Triton Inference Server"),
            ("monitoring", "Prometheus + Grafana", "Datadog + Evidently AI", "custom platform + Fiddler"),
            ("orchestration", "Airflow", "Kubeflow Pipelines", "custom + Kubeflow"),
        ],
    )


def selection() -> pd.DataFrame:
    """Four criteria, what each asks, and what follows."""
    return _frame(
        "criterion | if | then | why",
        [
            ("scale", "small", "Pandas, Flask", "one machine that you understand beats ten that you do not"),
            ("scale", "medium", "managed services: SageMaker, Vertex AI", "you rent the operations team"),
            ("scale", "large", "distributed: Spark, Kubernetes", "only now does the overhead pay"),
            (
                "latency",
                "real time, < 100 ms",
                "features in memory, an optimised model server",
                "one read, one product",
            ),
            ("latency", "near real time, < 1 s", "cached features, a fast model server", "a cache hides most of it"),
            ("latency", "batch", "an ordinary pipeline", "nobody waits: do not build a server"),
            ("team", "data scientists", "high-level tools: AutoML, managed services", "their time is the bottleneck"),
            ("team", "ML engineers", "flexible frameworks: MLflow, own pipelines", "they can own the glue"),
            ("team", "platform team", "infrastructure: Kubernetes, own systems", "many models share one base"),
            ("cost", "open source, self-hosted", "cheap licence, dear people", "you run it at night, too"),
            ("cost", "managed", "pay per use", "easier, and more expensive at volume"),
            ("cost", "hybrid", "manage the critical parts, host the rest", "spend where an outage hurts"),
        ],
    )


def ml_versus_software() -> pd.DataFrame:
    """How an ML system differs from other software."""
    return _frame(
        "question | other software | ML system | so you need",
        [
            ("Where is the behaviour written?", "in code", "in code, data and settings", "versions of all three"),
            ("How does it fail?", "an exception, a stack trace", "silently: a plausible, worse number", "monitoring of values, not only of errors"),
            ("What is a correct answer?", "known at once", "known later, for some rows, with bias", "delayed labels, off-policy estimates, A/B tests"),
            ("What does a test prove?", "a case works", "a distribution worked last month", "slices, intervals, checks on fresh data"),
            ("What changes without a release?", "little", "users, content, upstream tables", "drift checks, retraining, freshness limits"),
            ("Does output change the input?", "rarely", "yes: what you rank is what you learn from", "exploration, logged propensities"),
            ("What is a rollback?", "the last build", "the last model with its features and settings", "a registry, one signature"),
        ],
    )  # fmt: skip


def lifecycle() -> pd.DataFrame:
    """The life of a model, and what each stage hands on."""
    return _frame(
        "stage | question | hands on | sent back when",
        [
            ("1 requirements", "what is success worth, and to whom?", "a metric, a budget, limits", "nobody can say what a win is"),
            ("2 framing", "which label, at which moment, for which decision?", "input, output, objective", "the label arrives after the decision"),
            ("3 data", "what did we know, and when?", "verified rows, point-in-time features", "counts do not add up"),
            ("4 model", "what beats the simplest baseline?", "a candidate with its signature", "the gain is inside the interval"),
            ("5 evaluation", "is it better, for whom, how sure?", "a decision with an interval", "a slice or a guardrail loses"),
            ("6 deployment", "can we go back in a minute?", "canary, then all traffic", "a guardrail trips"),
            ("7 operation", "is it still true?", "alerts, labels, the next training set", "drift, decay, a new product: back to 1"),
        ],
    )  # fmt: skip


def challenges() -> pd.DataFrame:
    """What goes wrong most often, how it shows, and the first move."""
    return _frame(
        "challenge | shows as | first move",
        [
            ("label leakage", "offline far too good, online flat", "join point in time; ask what each feature knew"),
            ("training-serving skew", "scores differ for the same user", "one definition; log served values and compare"),
            ("stale features", "slow decay after an upstream delay", "age on every value, a limit, a named fallback"),
            ("feedback loop", "a few posts take all exposure", "explore a little, log propensities"),
            ("position bias", "the top slot always wins", "position as a feature in training only, or weights"),
            ("delayed and missing labels", "the newest days look worst", "a gap in the split, estimates without labels"),
            ("alert fatigue", "pages are muted", "effect size and significance, grade the policy"),
            ("offline gain, online nothing", "the launch review stalls", "a test with enough power, a guardrail, the mechanism"),
        ],
    )  # fmt: skip


def failure_modes() -> pd.DataFrame:
    """For each of the twelve components: what happens when it fails, what answers, how it is noticed."""
    return _frame(
        "component | when it fails | fallback | detected by",
        [
            ("Data collection", "events are lost or late; tomorrow's model learns from less", "replay from the durable log", "events per minute against last week; lag"),
            ("Data verification", "bad rows train a bad model", "hold the batch, train on the last good one", "share of dead letters and quarantined rows"),
            ("Feature extraction", "features stand still", "values of the last successful run, up to an age", "age of the newest value"),
            ("Feature store", "no features at request time", "cache, snapshot, defaults, popularity", "rung mix, share of values not found"),
            ("ML code", "training crashes or learns nothing", "keep the champion", "gate: worse than baseline, or no new model"),
            ("Evaluation pipeline", "nobody knows whether to ship", "do not ship", "age of the last evaluation"),
            ("Analysis tools", "a drop stays unexplained", "raw queries", "open questions per incident"),
            ("Serving infrastructure", "slow or no answers", "shed load, next rung, roll back", "latency percentiles, errors, burn rate"),
            ("Monitoring", "everything looks fine", "a heartbeat that pages when it stops", "an alert that must always fire"),
            ("Configuration", "the wrong setting goes everywhere", "roll back to the last version", "diff at deploy, version on every response"),
            ("Process management", "jobs run late, twice, or not", "idempotent tasks, backfill", "time since the last success per task"),
            ("Resource management", "no machines at peak", "shed, cheaper rung, reserve", "utilization, queue length, headroom"),
        ],
    )  # fmt: skip


def takeaways() -> pd.DataFrame:
    """Six sentences to keep."""
    return _frame(
        "take-away | because",
        [
            ("Every box exists because of a failure.", "Say the failure, and the box explains itself."),
            ("Boxes are joined by contracts.", "Schema, signature, time: most bugs live between two boxes."),
            ("Scale, latency, team and cost choose the tools.", "The fashionable answer is rarely the small one."),
            ("Start simple.", "A baseline that ships teaches more than a design that waits."),
            ("Monitor every box.", "The one you skip is the one that fails in silence."),
            ("Plan for failure.", "A fallback that was never run is a hope."),
        ],
    )


def interview_questions() -> pd.DataFrame:
    """Three questions and the skeleton of an answer."""
    return _frame(
        "question | data and features | model and serving | keeping it true",
        [
            ("Design real-time fraud detection.",
             "Stream transactions (Kafka); velocity and amount computed in the stream (Flink); profile and history in "
             "batch; a feature store joins both; raw history in a lake.",
             "Boosted trees or a network; an answer in under 100 ms; a rule as fallback; retrain hourly, because "
             "fraudsters adapt.",
             "Score distribution, latency, drift; labels come weeks late as chargebacks, so watch proxies and sample "
             "for review."),
            ("Requests grow a hundredfold.",
             "Precompute features and cache them; one packed read per request.",
             "First the code path, then fewer candidates, caching, quantization, batch predictions where possible; then more replicas behind a "
             "load balancer, autoscaled (Kubernetes HPA).",
             "Load test to saturation; shed before collapse; cost per thousand requests as a metric."),
            ("The feature store goes down.",
             "Graceful degradation: cached features up to an age; then the last snapshot; then defaults from training.",
             "A circuit breaker, so that waiting does not take the server down as well; popularity as the last rung; "
             "a second region if the value at stake pays for it.",
             "The rung that answered is in every response and metric; drill it on purpose."),
        ],
    )  # fmt: skip
