"""What runs in which order: the system once around on a log, and day after day in a world."""

from mlsys.orchestration.system import SIMULATED_LOG, STEPS, SystemRun, leakage, run_system

__all__ = ["SIMULATED_LOG", "STEPS", "SystemRun", "leakage", "run_system"]
