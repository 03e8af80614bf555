"""Is today still like the reference, and is the difference worth waking somebody?"""

from mlsys.monitoring.drift import psi, two_sample_ks
from mlsys.monitoring.monitor import ModelMonitor
from mlsys.monitoring.policy import AlertPolicy, grade

__all__ = ["AlertPolicy", "ModelMonitor", "grade", "psi", "two_sample_ks"]
