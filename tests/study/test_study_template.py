"""The study file that ``flopwise init`` writes, and the real workloads, searchers and policies."""

from __future__ import annotations

import pytest

from flopwise import registry
from flopwise.errors import InputError, StudyError
from flopwise.study import parse_study, template
from flopwise.study.schema import StudyFile

pytestmark = pytest.mark.usefixtures("real_members")


def test_the_template_passes_its_own_check() -> None:
    study = parse_study(template("my-study"), "my-study.yaml")
    assert (study.name, study.warnings) == ("my-study", ())


def test_the_template_shows_every_section() -> None:
    for section in StudyFile.model_fields:
        assert f"\n{section}:" in template("x")


@pytest.mark.parametrize(
    "section", [name for name in StudyFile.model_fields if StudyFile.model_fields[name].annotation]
)
def test_the_template_shows_every_key_of_a_section(section: str) -> None:
    keys = getattr(StudyFile.model_fields[section].annotation, "model_fields", {})
    assert [key for key in keys if f"{key}:" not in template("x")] == []


def test_what_the_template_comments_out_is_valid_too() -> None:
    text = template("x").replace("  # model.n_layer:", "  model.n_layer:")
    assert "model.n_layer" in parse_study(text).canonical["space"]
    text = text.replace("  # model.mlp:", "  model.mlp:").replace("  # model.tied_head:", "  model.tied_head:")
    with pytest.raises(StudyError, match=r"cannot vary the categorical or bool model\.mlp, model\.tied_head"):
        parse_study(text)


def test_template_names_are_checked() -> None:
    for name in ("", "a/b", "..", "a: b", "x" * 65, "-x"):
        with pytest.raises(InputError, match="cannot be the name"):
            template(name)


def test_language_model_gets_its_defaults_and_suggestions() -> None:
    canonical = parse_study(template("x")).canonical
    assert canonical["base"]["model"]["n_layer"] == 2
    assert canonical["base"]["data"]["tokenizer"] == "byte"
    assert set(canonical["policies"]) == set(registry.names("policies"))
    with pytest.raises(StudyError, match=r"space\.model\.mlp_rato: .*did you mean 'model\.mlp_ratio'\?"):
        parse_study(template("x").replace("model.mlp_ratio:", "model.mlp_rato:"))


def test_a_stop_that_buys_no_step_is_refused() -> None:
    with pytest.raises(StudyError, match=r"evaluation\.stop: flops: 1000 buys no optimizer step; one step costs"):
        parse_study(template("x").replace("flops: 3e11", "flops: 1e3"))


def test_every_registered_searcher_and_policy_has_options() -> None:
    for method in registry.names("searchers"):
        searcher = registry.load("searchers", method)
        assert searcher.Options.model_config["extra"] == "forbid"
        assert isinstance(searcher.generational, bool)
    for policy in registry.names("policies"):
        assert registry.load("policies", policy).Options.model_config["extra"] == "forbid"
