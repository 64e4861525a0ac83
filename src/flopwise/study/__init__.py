"""The study file: read safely, checked for every mistake at once, frozen to its canonical form."""

from flopwise.study.freeze import baseline_config, calibration_key, most_at_once, space_of, study_hash
from flopwise.study.json_schema import json_schema
from flopwise.study.rules import Configs, Rules, full_config, rules_of
from flopwise.study.study import (
    Study,
    load_study,
    parse_study,
    study_from_canonical,
    study_from_mapping,
    yaml_text,
)
from flopwise.study.template import template

__all__ = [
    "Configs",
    "Rules",
    "Study",
    "baseline_config",
    "calibration_key",
    "full_config",
    "json_schema",
    "load_study",
    "most_at_once",
    "parse_study",
    "rules_of",
    "space_of",
    "study_from_canonical",
    "study_from_mapping",
    "study_hash",
    "template",
    "yaml_text",
]
