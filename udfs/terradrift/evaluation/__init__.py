"""How true a map is: a finished run against a scene's planted changes or against sites a person digitised."""

from __future__ import annotations

from terradrift.evaluation.evaluate import evaluate
from terradrift.evaluation.figures import Evaluation

__all__ = ["Evaluation", "evaluate"]
