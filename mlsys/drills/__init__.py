"""Drills: an answer is data, evidence unlocks the score, and the graders are proved."""

from mlsys.drills.answer import Answer, AnswerError, Field
from mlsys.drills.rubric import Evidence
from mlsys.drills.source import Drill, Typed, Variant, drills, find

__all__ = ["Answer", "AnswerError", "Drill", "Evidence", "Field", "Typed", "Variant", "drills", "find"]
