"""Plans of runs: what is in the store, what changed, what is to come. Nothing is carried out."""

from __future__ import annotations

from spa.engine.planning.plan import plan_run
from spa.engine.planning.values import FIGURES, Basis, RunPlan, StagePlan, Status

__all__ = ["FIGURES", "Basis", "RunPlan", "StagePlan", "Status", "plan_run"]
