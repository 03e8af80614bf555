"""Every number with an interval."""

from mlsys.evaluation.metrics import (
    Estimate,
    auc,
    best_threshold,
    calibration_table,
    classification,
    evaluate,
    log_loss,
)

__all__ = ["Estimate", "auc", "best_threshold", "calibration_table", "classification", "evaluate", "log_loss"]
