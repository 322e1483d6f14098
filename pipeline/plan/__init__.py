"""The core types of what is asked for, and whether they fit together."""

from pipeline.plan.execution import Execution, PlacedCall, Places
from pipeline.plan.metric import Metric
from pipeline.plan.plan import Grid, Plan
from pipeline.plan.postprocessing import Postprocessing
from pipeline.plan.search import SearchSettings
from pipeline.plan.settings import (
    BASELINE,
    CallStep,
    Constraints,
    Explain,
    GateRules,
    MeasureSettings,
    RunLimits,
    Scenario,
)
from pipeline.plan.source import InputSignature, ModelSource, may_be_state, state_of
from pipeline.plan.stage import Comparison, Context, Speed, Stage, Variant, changed_fields, is_export, role_of
from pipeline.plan.target import (
    Backend,
    Device,
    Enqueuing,
    Profiler,
    Reading,
    Resident,
    Session,
    Target,
    Waking,
    as_read,
    unavailable,
)
from pipeline.plan.tracking import Tracking

__all__ = [
    "BASELINE",
    "Backend",
    "CallStep",
    "Comparison",
    "Constraints",
    "Context",
    "Device",
    "Enqueuing",
    "Execution",
    "Explain",
    "GateRules",
    "Grid",
    "InputSignature",
    "MeasureSettings",
    "Metric",
    "ModelSource",
    "PlacedCall",
    "Places",
    "Plan",
    "Postprocessing",
    "Profiler",
    "Reading",
    "Resident",
    "RunLimits",
    "Scenario",
    "SearchSettings",
    "Session",
    "Speed",
    "Stage",
    "Target",
    "Tracking",
    "Variant",
    "Waking",
    "as_read",
    "changed_fields",
    "is_export",
    "may_be_state",
    "role_of",
    "state_of",
    "unavailable",
]
