"""Which knobs mattered: PED-ANOVA on the finished search trials, beside what luck alone would show.

PED-ANOVA (Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
Arbitrary Subspaces", IJCAI 2023; Optuna's evaluator) asks of each knob: how differently are its values
distributed among the best trials than among all trials? The answer is a divergence, 0 for a knob that makes no
difference, and with few trials never quite 0.

Therefore each knob has a noise floor: the same number when the losses are dealt out to the configs at random,
``SHUFFLES`` times. A knob *stands out* when its importance is above all but a share of ``ALPHA`` / knobs of its
shuffles, so that a study in which no knob matters shows any as standing out in at most about one case of
twenty. For searchers that adapt, trials are not drawn independently, and the floor is a good approximation.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

from optuna import __version__ as optuna_version
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, create_trial

from flopwise.errors import InputError
from flopwise.report.evidence import Evidence
from flopwise.report.optuna_form import OptunaForm, quiet_study
from flopwise.report.weights import Importance, Weight
from flopwise.seeds import stream

FEWEST_TRIALS = 20
"""With fewer finished search trials nothing is computed."""

TOP_SHARE = 0.25
"""The best trials that all are compared with, as a share of them."""

TOP_LEAST = 5
"""PED-ANOVA's own advice."""

OLDEST_OPTUNA = 5
"""The first with conditional knobs and a choice of the quantile."""

SHUFFLES = 200
ALPHA = 0.05


def importance(evidence: Evidence) -> Importance:
    """Weigh every knob of a run; the same run gives the same numbers.

    Args:
        evidence: Of a finished or running study.

    Raises:
        InputError: If the Optuna that is installed is too old.
    """
    trials = _frozen(evidence)
    count = len(trials)
    if count < FEWEST_TRIALS:
        note = f"Too few finished search trials to tell knobs from luck: {count}, and it takes {FEWEST_TRIALS}."
        return Importance(count, 0, (), note)
    losses = [evidence.sign * float(trial["value"]) for trial in evidence.searched]
    if len(set(losses)) == 1:
        return Importance(count, 0, (), f"All {count} finished search trials have the same value: nothing to weigh.")
    top = max(TOP_LEAST, math.ceil(TOP_SHARE * count))
    found, shuffled = _measure(trials, losses, top, int(evidence.summary["seed"]))
    weights = _weights(found, shuffled)
    return Importance(count, top, weights, _note(weights, count, top))


def _frozen(evidence: Evidence) -> list[FrozenTrial]:
    """Search trials with a value, in Optuna's form."""
    form = OptunaForm(evidence.space)
    found = []
    for trial in evidence.searched:
        params, ranges = form(trial["config"])
        found.append(create_trial(params=params, distributions=ranges, value=trial["value"]))
    return found


def _measure(
    trials: Sequence[FrozenTrial], losses: Sequence[float], top: int, seed: int
) -> tuple[Mapping[str, float], list[Mapping[str, float]]]:
    """Divergence of every knob: as it is, and with the losses dealt out at random."""
    if int(optuna_version.partition(".")[0]) < OLDEST_OPTUNA:
        raise InputError(
            f"importance needs Optuna {OLDEST_OPTUNA}", got=optuna_version, fix="pip install 'flopwise[report]'"
        )
    study = quiet_study()
    study.add_trials(trials)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=top / len(trials))

    def weigh(dealt: Sequence[float]) -> Mapping[str, float]:
        return evaluator.evaluate(study, target=lambda trial: dealt[trial.number])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that losses are minimised, which is what is meant
        return weigh(losses), [weigh(_shuffled(losses, seed, number)) for number in range(SHUFFLES)]


def _shuffled(losses: Sequence[float], seed: int, number: int) -> list[float]:
    dealt = list(losses)
    stream(seed, "importance", number).shuffle(dealt)
    return dealt


def _weights(found: Mapping[str, float], shuffled: Sequence[Mapping[str, float]]) -> tuple[Weight, ...]:
    """Shares and floors; the floor's rank leaves ``ALPHA`` for all knobs together."""
    total = sum(found.values()) or 1.0
    rank = min(len(shuffled) - 1, math.ceil((1.0 - ALPHA / len(found)) * len(shuffled)) - 1)
    floors = {key: sorted(once[key] for once in shuffled)[rank] for key in found}
    weights = [Weight(key, found[key] / total, floors[key] / total, found[key] > floors[key]) for key in found]
    return tuple(sorted(weights, key=lambda weight: (-weight.importance, weight.key)))


def _note(weights: Sequence[Weight], count: int, top: int) -> str:
    basis = f"The best {top} of {count} finished search trials against all of them."
    if any(weight.stands_out for weight in weights):
        return basis
    return f"{basis} No knob stands out from luck: more trials, or wider ranges, would tell more."
