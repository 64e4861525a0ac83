"""The whole config of a language-model training, with its documented defaults. No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Root of all sections: unknown keys, wrong types and values out of range are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ModelConfig(Section):
    """The architecture: a decoder-only transformer."""

    kind: Literal["gpt"] = Field("gpt", description="Kind of model.")
    n_layer: int = Field(4, ge=1, le=1024, description="Transformer blocks.")
    n_head: int = Field(4, ge=1, le=1024, description="Query heads; must divide n_embd into even head widths.")
    n_kv_head: int | None = Field(
        None, ge=1, le=1024, description="Key and value heads; must divide n_head. null: as many as n_head."
    )
    n_embd: int = Field(128, ge=2, le=65536, description="Width of the residual stream.")
    mlp: Literal["swiglu", "relu2"] = Field(
        "swiglu", description="Feed-forward block: silu(gate) * up (three matrices) or relu(up)^2 (two matrices)."
    )
    mlp_ratio: float = Field(
        2.6667, gt=0, le=64, description="Hidden width of the feed-forward block / n_embd, rounded to a multiple of 8."
    )
    tied_head: bool = Field(False, description="Whether the head shares the embedding's matrix.")
    rope_theta: float = Field(10000.0, gt=1, le=1e9, description="Base of the rotary position frequencies.")
    norm_eps: float = Field(1e-5, gt=0, le=0.1, description="Added to the mean square in RMSNorm.")

    @property
    def kv_heads(self) -> int:
        """Key and value heads, the default filled in."""
        return self.n_head if self.n_kv_head is None else self.n_kv_head

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.n_embd // self.n_head

    @property
    def hidden_width(self) -> int:
        """Width inside the feed-forward block: ``mlp_ratio * n_embd`` to the nearest multiple of 8."""
        return max(8, 8 * round(self.mlp_ratio * self.n_embd / 8))


class DataConfig(Section):
    """The text, and which part of it is held out."""

    source: Literal["stdlib"] = Field("stdlib", description="Text: the interpreter's own standard library.")
    tokenizer: Literal["byte"] = Field("byte", description="One token a byte; 256 tokens.")
    valid_fraction: float = Field(
        0.05, gt=0, lt=1, description="Share of all tokens held out, by whole documents; more than 0, less than 1."
    )
    valid_tokens: int = Field(65536, ge=1, description="Held-out tokens that the loss is taken over: always the same.")
    valid_span: int = Field(
        2048, ge=2, description="Tokens of one held-out excerpt; excerpts are spread evenly over the held-out part."
    )
    split_seed: int = Field(0, ge=0, lt=2**32, description="Which documents are held out.")


class TrainConfig(Section):
    """How the model is trained."""

    optimizer: Literal["adamw"] = Field("adamw", description="Optimizer.")
    lr: float = Field(3e-3, gt=0, le=100, description="Peak learning rate.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of the mean of gradients.")
    beta2: float = Field(0.95, ge=0, lt=1, description="Decay of the mean of squared gradients.")
    eps: float = Field(1e-8, gt=0, le=1, description="Added to the root of the mean square.")
    weight_decay: float = Field(0.1, ge=0, le=100, description="Decoupled decay of matrices; vectors never decay.")
    warmup_fraction: float = Field(0.1, ge=0, le=1, description="Share of training in which lr rises from 0.")
    min_lr_fraction: float = Field(0.1, ge=0, le=1, description="Share of lr that the cosine falls to at the end.")
    clip: float | None = Field(1.0, gt=0, description="Longest gradient (2-norm over all params); null: no clipping.")
    batch_size: int = Field(16, ge=1, le=2**20, description="Sequences an optimizer step sees.")
    micro_batch_size: int | None = Field(
        None, ge=1, le=2**20, description="Sequences computed at a time, gradients added up. null: batch_size."
    )
    sequence_length: int = Field(256, ge=2, le=2**20, description="Tokens of a sequence; at most data.valid_span.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where to train. auto: cuda, else mps, else cpu."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of matmuls; params stay float32. auto: bfloat16 on a cuda device that has it."
    )
    compile: bool = Field(False, description="Whether to use torch.compile (pays on cuda with long trainings).")

    @property
    def micro_batch(self) -> int:
        """Sequences computed at a time, the default filled in."""
        return self.batch_size if self.micro_batch_size is None else self.micro_batch_size


class LanguageModelConfig(Section):
    """Everything that decides a training, seed and length aside."""

    model: ModelConfig = Field(ModelConfig(), description="The architecture.")
    data: DataConfig = Field(DataConfig(), description="The text.")
    train: TrainConfig = Field(TrainConfig(), description="The training.")
