"""The whole config of a language-model training, with its documented defaults. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from flopwise.workloads.language_model.ngpt.config import TRAIN_DEFAULTS, NgptConfig
from flopwise.workloads.language_model.optimizer.config import OptimizerConfig
from flopwise.workloads.language_model.section import Section
from flopwise.workloads.language_model.synaptic.config import SynapticConfig


class ModelConfig(Section):
    """The architecture: a decoder-only transformer."""

    kind: Literal["gpt", "ngpt", "synaptic"] = Field(
        "gpt",
        description="gpt: plain attention. ngpt: the normalised transformer, set in model.ngpt. "
        "synaptic: attention with synapses, set in model.synaptic.",
    )
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
    vocabulary_multiple: int = Field(
        1, ge=1, le=1024, description="Embedding and head have rows for the tokens, rounded up to a multiple of this."
    )
    ngpt: NgptConfig = Field(NgptConfig(), description="What is special to kind ngpt.")
    synaptic: SynapticConfig = Field(SynapticConfig(), description="The synapses of kind synaptic.")

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


MOST_FILES = 1000
MOST_SOURCES = 100
Files = Annotated[list[str], Field(max_length=MOST_FILES)]


class SourceConfig(Section):
    """One text of a mixture."""

    source: Literal["stdlib", "text", "bin"] = Field(description="As data.source, mixture aside.")
    files: Files = Field([], description="As data.files.")
    valid_files: Files = Field([], description="As data.valid_files.")
    text_field: str | None = Field(None, min_length=1, max_length=200, description="As data.text_field.")
    weight: float = Field(
        1.0, gt=0, le=1e9, description="Share of the training sequences, relative to the other weights."
    )


class DataConfig(Section):
    """The text, how it becomes tokens, and which part of it is held out."""

    source: Literal["stdlib", "text", "bin", "mixture"] = Field(
        "stdlib",
        description="stdlib: the interpreter's own standard library. text: files of text. "
        "bin: shards of tokens. mixture: several of these.",
    )
    files: Files = Field([], description="Paths and globs of a text or bin source, relative to where the study starts.")
    valid_files: Files = Field([], description="Files that are held out. []: valid_fraction of files is.")
    text_field: str | None = Field(
        None, min_length=1, max_length=200, description="Of JSON lines the key, of parquet the column. null: text."
    )
    mixture: Annotated[list[SourceConfig], Field(max_length=MOST_SOURCES)] = Field(
        [], description="Sources with their weights, where source is mixture."
    )
    tokenizer: Literal["byte", "bpe", "gpt2", "ids"] = Field(
        "byte",
        description="byte: one token a byte. bpe: trained on the training text. gpt2: from its two files. "
        "ids: what shards of unknown origin hold.",
    )
    vocabulary: int | None = Field(
        None, ge=2, le=2**20, description="Tokens of bpe (null: 4096) or of ids; byte has 256, gpt2 50257."
    )
    tokenizer_files: Annotated[list[str], Field(max_length=2)] = Field(
        [], description="encoder.json and vocab.bpe of gpt2. []: where other programs keep them."
    )
    valid_fraction: float = Field(
        0.05, gt=0, lt=1, description="Share of all tokens held out, by whole documents; more than 0, less than 1."
    )
    valid_tokens: int = Field(65536, ge=1, description="Held-out tokens that the loss is taken over: always the same.")
    valid_span: int = Field(
        2048, ge=2, description="Tokens of one held-out excerpt; excerpts are spread evenly over the held-out part."
    )
    split_seed: int = Field(0, ge=0, lt=2**32, description="Which documents are held out.")

    @property
    def sources(self) -> list[SourceConfig]:
        """What the text is made of: the mixture, or the one source with weight 1."""
        if self.source == "mixture":
            return self.mixture
        own = {"files": self.files, "valid_files": self.valid_files, "text_field": self.text_field}
        return [SourceConfig.model_validate({"source": self.source, "weight": 1.0, **own})]


class TrainConfig(Section):
    """How the model is trained."""

    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="The optimizer.")
    lr: float = Field(3e-3, gt=0, le=100, description="Peak learning rate.")
    beta1: float = Field(
        0.9, ge=0, lt=1, description="adamw: decay of the mean of gradients. lion: its weight in the update."
    )
    beta2: float = Field(
        0.95, ge=0, lt=1, description="adamw: decay of the mean of squared gradients. lion: of the momentum."
    )
    eps: float = Field(1e-8, gt=0, le=1, description="adamw: added to the root of the mean square.")
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
    compile: bool | Literal["auto"] = Field(
        False, description="Whether to use torch.compile (pays on cuda with long trainings). auto: on accelerators."
    )
    processes: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Processes that share every batch. null: one for each accelerator of the slot, on a cpu 1.",
    )
    checkpoint: Annotated[int, Field(ge=1, le=10**9)] | Literal["end"] | None = Field(
        None,
        description="Steps between checkpoints (checkpoint.pt in the attempt's folder, the last one stays). "
        "end: one when training ends or is stopped. null: none.",
    )
    start_from: str | None = Field(
        None, min_length=1, max_length=4096, description="Absolute path of a checkpoint to go on from. null: none."
    )

    @property
    def micro_batch(self) -> int:
        """Sequences computed at a time, the default filled in."""
        return self.batch_size if self.micro_batch_size is None else self.micro_batch_size


class LanguageModelConfig(Section):
    """Everything that decides a training, seed and length aside."""

    model: ModelConfig = Field(ModelConfig(), description="The architecture.")
    data: DataConfig = Field(DataConfig(), description="The text.")
    train: TrainConfig = Field(TrainConfig(), description="The training.")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_kind(cls, data: Any) -> Any:
        """Defaults of train that depend on ``model.kind``."""
        if not isinstance(data, Mapping):
            return data
        model, train = data.get("model", {}), data.get("train", {})
        kind = model.get("kind") if isinstance(model, Mapping) else getattr(model, "kind", None)
        if kind == "ngpt" and isinstance(train, Mapping):
            return {**data, "train": {**TRAIN_DEFAULTS, **train}}
        return data
