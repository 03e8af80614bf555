"""Is today still like the reference, and is the difference worth waking somebody?"""

from mlsys.monitoring.drift import psi
from mlsys.monitoring.monitor import ModelMonitor, Window
from mlsys.monitoring.policy import AlertPolicy, grade

__all__ = ["AlertPolicy", "ModelMonitor", "Window", "grade", "psi"]
