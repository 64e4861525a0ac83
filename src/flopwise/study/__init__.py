"""The study file: read safely, checked for every mistake at once, frozen to its canonical form."""

from flopwise.study import fields
from flopwise.study.amend import amended_sections
from flopwise.study.freeze import (
    baseline_config,
    calibration_key,
    file_form,
    most_at_once,
    space_of,
    study_hash,
    with_keys,
)
from flopwise.study.json_schema import json_schema
from flopwise.study.load import read_file
from flopwise.study.rules import Configs, Rules, full_config, rules_of
from flopwise.study.schema import Section
from flopwise.study.study import (
    Study,
    load_study,
    parse_study,
    read_as,
    study_from_canonical,
    study_from_mapping,
    yaml_text,
)
from flopwise.study.template import template

__all__ = [
    "Configs",
    "Rules",
    "Section",
    "Study",
    "amended_sections",
    "baseline_config",
    "calibration_key",
    "fields",
    "file_form",
    "full_config",
    "json_schema",
    "load_study",
    "most_at_once",
    "parse_study",
    "read_as",
    "read_file",
    "rules_of",
    "space_of",
    "study_from_canonical",
    "study_from_mapping",
    "study_hash",
    "template",
    "with_keys",
    "yaml_text",
]
