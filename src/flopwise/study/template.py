"""The study file that ``flopwise init`` writes: every section, with a word on each key."""

from __future__ import annotations

from flopwise import paths
from flopwise.errors import InputError

_TEMPLATE = """\
# A flopwise study: what is searched, how, and for how much. Every key: docs/study-file.md
# Check it with `flopwise check`, price it with `flopwise plan`, run it with `flopwise run`.

name: {name}                 # the run's folder is runs/{name}
workload: language_model     # what is trained
after: null                  # a run that has to have ended in GO; its winner is then the baseline

base:                        # the baseline that must be beaten; what is left out has the workload's default
  model: {{n_layer: 2, n_head: 2, n_embd: 64}}
  train: {{batch_size: 8, sequence_length: 128, lr: 3e-3}}

space:                       # what may vary; dotted keys of the workload's config
  train.lr:              {{type: float, low: 3e-4, high: 3e-2, scale: log}}
  train.weight_decay:    {{type: float, low: 0.0, high: 0.3}}
  train.warmup_fraction: {{type: float, low: 0.0, high: 0.3}}
  model.mlp_ratio:       {{type: float, low: 1.5, high: 5.0}}
  # model.n_layer:       {{type: int, low: 1, high: 4}}                    # whole numbers; step: 2 for a grid
  # model.mlp:           {{type: categorical, choices: [swiglu, relu2]}}   # for search methods that take these
  # model.tied_head:     {{type: bool}}
  # a parameter that matters only with some values of another one: add `when: {{model.mlp: swiglu}}` to it

constraints: []              # what has to hold in every config, such as "model.n_embd % model.n_head == 0"
derived: {{}}                  # keys computed from others, such as model.n_head: "model.n_embd // 32"
groups:                      # names for parts of the space
  optimizer: [train.lr, train.weight_decay, train.warmup_fraction]

objective:
  metric: val_loss           # held-out loss
  direction: minimize
  # the fewest seconds instead: metric: seconds_to_target, target: {{val_loss: 5.0, fallback: [5.5], tighten: [4.8]}}

evaluation:                  # one training
  stop: {{flops: 3e11}}        # or tokens: 2M, steps: 300, seconds: 60
  seeds: 1                   # trainings per trial; its score is their mean
  timeout: 10m               # one training that takes longer is ended
  progress_timeout: null     # one that reports nothing for so long, such as 2m, hangs and is ended
  validate_every: null       # steps between validations; null: after the last step alone
  count_validation: null     # true: the time of validations counts as training

search:
  method: cmaes              # cmaes (numbers only), tpe (anything), qmc, random, …: docs/searchers.md
  seed: 0
  groups: null               # such as [optimizer]: search these only, the rest stays at the baseline
  freeze: []                 # keys or groups that stay at the baseline
  asynchronous: false        # true: a free slot gets the next trial at once (not nsga2)
  sigma: 0.3                 # cmaes: first spread, as a share of each range

tiers:                       # sizes of the search; `flopwise run --tier min` picks one
  min:    {{population: 8, generations: 2}}
  target: {{population: 12, generations: 10}}
  # min:  {{trials: 16}}       # for methods without generations: tpe, qmc, random, …

limits:                      # whichever is reached first ends the search; null means none
  evaluations: null
  device_hours: null
  wall_clock: 8h
  price: null
  flops: null                # of training, such as 1e16

execution:
  executor: local
  options: {{}}              # of an executor that has some, such as simulated
  slots: auto                # trainings at a time; auto: as many as the cores allow
  threads: 1                 # cores of one training; auto: measured, with slots, before the calibration
  memory: null               # most memory of one training, such as 4 GiB
  accelerators: auto         # GPUs of one training; auto: one if there are any
  exclusive: auto            # leave SMT siblings idle; auto: if the metric is a duration
  wait: null                 # longest wait for cores that other studies hold; null: for ever
  price_per_hour: 0.0        # of the whole machine
  grace: 60s                 # what running trainings get to finish in when the study is stopped
  retries: 2                 # after a training was killed or ran out of memory
  output_limit: 16 MiB       # most that is kept of a training's stdout, and of its stderr
  pass_env: []               # environment variables passed to trainings, such as HF_TOKEN; never recorded

policies:                    # what may pause or end the study; false switches one off
  non_finite: {{pause_above: 0.05}}   # pause above this share of nan that no region of the space explains
  crash_rate: {{pause_above: 0.10}}   # pause above this share of failed trainings
  crash_loop: {{consecutive: 5}}      # pause after so many failures in a row
  time_drift: {{pause_above: 2.0}}    # pause when trainings take so many times what was calibrated
  patience: {{generations: 8}}        # end the search after so many generations without gain
  flat: {{trials: 20, chance: 0.8}}   # end the study when so many trials found nothing beyond the noise
  throughput: {{pause_below: 0.7}}    # pause below this share of the evaluations an hour that were planned

calibration:
  seeds: 3                   # trainings of the baseline that measure time and noise before the search
  signal: auto               # configs spread over the space: do scores differ by more than noise?
  knobs: auto                # whether every knob is tried at both ends of its range
  ladder: auto               # time for finding a larger budget where this one tells nothing apart

proxy: null                  # or {{stop: {{flops: 6e10}}, recheck: 2, pause_below: 0.5}}: search by that, recheck best

confirm:
  top: 3                     # best trials trained again on fresh seeds
  seeds: auto                # fresh seeds for winner and baseline; auto: from the measured noise
  looks: 4                   # how often the decision is looked at while its seeds come in; 1: only at the end
  min_improvement: 0.01      # smallest gain worth a GO, as a share of the baseline's metric
  also: {{}}                   # other metrics, such as {{train_loss: {{worse: 0.05}}}}: reported, or needed for a GO
"""


def template(name: str, schema: str = "") -> str:
    """A commented study file that passes its own check.

    Args:
        name: Name of the study.
        schema: Where editors find the JSON schema, seen from the study file; empty for nowhere.

    Raises:
        InputError: If the name cannot be a folder's name.
    """
    if not paths.NAME.fullmatch(name):
        raise InputError(
            "this cannot be the name of a study",
            expected="1 to 64 letters, digits, '_', '.' or '-', the first a letter or digit",
            got=repr(name)[:80],
        )
    first = f"# yaml-language-server: $schema={schema}\n" if schema else ""
    return first + _TEMPLATE.format(name=name)
