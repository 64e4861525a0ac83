"""Every knob of synaptic attention, with its unit and range. No torch here.

Time is counted in tokens. Calcium has a unit of its own: a token with attention logit 0 lets in ``alpha_c`` ln 2.
"""

from __future__ import annotations

from pydantic import Field

from flopwise.workloads.language_model.section import Section


class SynapticConfig(Section):
    """The synapses of all heads and layers. Rates and decays are fractions per token."""

    tau_c: float = Field(0.85, ge=0, lt=1, description="Calcium: share left after one token.")
    alpha_c: float = Field(0.55, gt=0, le=100, description="Calcium: inflow per token for each softplus of the logit.")
    syt1_kd: float = Field(
        3.0, gt=0, le=1000, description="Fast sensor (synaptotagmin 1, Hill exponent 4): calcium of half activation."
    )
    syt7_kd: float = Field(
        1.0, gt=0, le=1000, description="Slow sensor (synaptotagmin 7, Hill exponent 2): calcium of half activation."
    )
    fast_share: float = Field(0.8, ge=0, le=1, description="Share of the fast sensor in the release probability.")
    complexin_clamp: float = Field(
        0.8, ge=0, le=1, description="Share of release that complexin holds back without calcium."
    )
    complexin_kd: float = Field(1.5, gt=0, le=1000, description="Calcium at which half of the clamp is lifted.")
    init_rrp: float = Field(6.0, gt=0, le=1000, description="Readily releasable pool at rest, vesicles an edge.")
    prime_rate: float = Field(0.075, gt=0, le=1, description="Recycled vesicles that are primed, share per token.")
    rec_rate: float = Field(0.06, gt=0, le=1, description="Released vesicles that are recycled, share per token.")
    spontaneous_release: float = Field(
        1e-3,
        gt=0,
        le=1,
        description="Probability of release without calcium, added: the smallest there is.",
    )
    stochastic_train_frac: float = Field(
        0.12, ge=0, le=1, description="Share of edges whose release is random in training; none in evaluation."
    )
    lambda_loge: float = Field(1.0, ge=0, le=100, description="Weight of log(release) in the attention logit, nats.")
    barrier_strength: float = Field(
        0.1, ge=0, le=1000, description="Distance barrier: logits lost over sequence_length tokens of distance, nats."
    )
    rank_eligibility: int = Field(8, ge=1, le=256, description="Rank of the eligibility trace, channels.")
    post_trace_decay: float = Field(0.96, ge=0, lt=1, description="Eligibility trace: share left after one token.")
    post_fast_lr: float = Field(1.5e-3, ge=0, le=1, description="Fast weights: share of the trace added per token.")
    post_fast_decay: float = Field(0.95, ge=0, lt=1, description="Fast weights: share left after one token.")
    post_slow_lr: float = Field(
        5e-4, ge=0, le=1, description="Slow weights: share of the trace added per token while the gate is open."
    )
    post_slow_decay: float = Field(0.999, ge=0, lt=1, description="Slow weights: share left after one token.")
    camkii_decay: float = Field(0.9, ge=0, lt=1, description="CaMKII (writes): share of its activity left per token.")
    pp1_decay: float = Field(0.985, ge=0, lt=1, description="PP1 (erases): share of its activity left per token.")
