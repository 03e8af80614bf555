"""Every number with an interval, and every decision from intervals."""

from mlsys.evaluation.bootstrap import bootstrap, bootstrap_sums, cluster_sums
from mlsys.evaluation.decision import Decision, Guardrail, decide
from mlsys.evaluation.experiment import Effect, assign, cuped, difference, explained, sample_ratio
from mlsys.evaluation.intervals import cluster_mean, wilson
from mlsys.evaluation.metrics import (
    Estimate,
    auc,
    average_precision,
    best_threshold,
    calibration_table,
    classification,
    cost,
    evaluate,
    log_loss,
)
from mlsys.evaluation.offpolicy import Feedback, PolicyValue, cross_fit, dm, dr, ips, off_policy, on_policy, snips
from mlsys.evaluation.power import mde, sample_size
from mlsys.evaluation.ranking import coverage, diversity, ndcg, ndcg_at_k, top_k, user_auc
from mlsys.evaluation.reliability import ece, reliability_table
from mlsys.evaluation.sequential import always_valid, peeking
from mlsys.evaluation.slates import Shadow
from mlsys.evaluation.slices import by_slice

__all__ = ["Estimate", "auc", "best_threshold", "calibration_table", "classification", "evaluate", "log_loss"]
__all__ += ["average_precision", "cluster_mean", "cost", "ece", "reliability_table", "wilson"]
__all__ += ["by_slice", "coverage", "diversity", "ndcg", "ndcg_at_k", "top_k", "user_auc"]
__all__ += ["bootstrap", "bootstrap_sums", "cluster_sums"]
__all__ += ["Feedback", "PolicyValue", "Shadow", "cross_fit", "dm", "dr", "ips", "off_policy", "on_policy", "snips"]
__all__ += ["Decision", "Effect", "Guardrail", "always_valid", "assign", "cuped", "decide", "difference", "explained"]
__all__ += ["mde", "peeking", "sample_ratio", "sample_size"]
