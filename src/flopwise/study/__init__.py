"""The study file: read safely, checked for every mistake at once, frozen to its canonical form."""

from flopwise.study.freeze import baseline_config, calibration_key, full_config, space_of, study_hash
from flopwise.study.study import (
    Study,
    load_study,
    parse_study,
    study_from_canonical,
    study_from_mapping,
)
from flopwise.study.template import template

__all__ = [
    "Study",
    "baseline_config",
    "calibration_key",
    "full_config",
    "load_study",
    "parse_study",
    "space_of",
    "study_from_canonical",
    "study_from_mapping",
    "study_hash",
    "template",
]
