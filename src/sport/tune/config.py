"""Settings of pairs and tuners. The docstring of a field is its documentation."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Base of the settings: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PairConfig(Settings):
    """Which candidates become preference pairs (paper, section 3.4)."""

    max_similarity: float = Field(0.97, ge=0, le=1)
    """Candidates whose codes share more of their tokens give no pair, unless something else came
    of them; 1 keeps all."""
    min_margin: float = Field(0.0, ge=0)
    """Smallest difference of the verifier's scores, where it gives scores."""
    max_per_step: int | None = Field(None, ge=1)
    """Pairs of one step at most; those with the largest margin stay."""
    max_per_task: int | None = Field(None, ge=1)
    """Pairs of one task at most; those of its first steps stay."""


class LoraSettings(Settings):
    """A low-rank adapter (paper, section 4.1: rank 64, alpha 16)."""

    r: int = Field(64, ge=1)
    """Rank."""
    alpha: int = Field(16, ge=1)
    """Scale: the update counts `alpha / r` times."""
    target_modules: str | tuple[str, ...] | None = None
    """Names, or a regular expression, of the layers; by default the language model's linear
    layers, without its head."""
    vision: bool = False
    """Whether the vision tower and the projector learn too; by default they are frozen."""


class OptimizerSettings(Settings):
    """What all tuners have in common."""

    epochs: int = Field(1, ge=1)
    """Passes over the data."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak learning rate of AdamW."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the steps over which the rate rises; it then falls linearly to 0."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this norm."""
    token_budget: int = Field(16_384, ge=256)
    """Tokens of one forward, padding included; a larger batch is accumulated."""
    gradient_checkpointing: bool = False
    """Keeps a layer's input alone and computes the layer again in the backward pass: more time, a
    fraction of the memory. On CPUs, MLPs are then also computed in tiles, and freed memory is given
    back at once."""
    bf16: bool = False
    """Computes in bfloat16 where it is safe; weights stay as they are."""
    patience: int = Field(1, ge=1)
    """Epochs without a better development score after which tuning stops."""
    checkpoint_steps: int = Field(20, ge=1)
    """Optimizer steps between checkpoints; a killed tuning goes on from the last one."""
    seed: int = 0
    """Seed of the order and of new adapters."""
    lora: LoraSettings = LoraSettings()
    """A new adapter's shape; a policy that has an adapter goes on with its own."""


class StepDPOConfig(OptimizerSettings):
    """Step-wise direct preference optimisation (paper, section 3.4)."""

    reference: Literal["start", "base"] = "start"
    """What the policy is held to: the policy that the tuning starts from, or the model without an
    adapter."""
    batch_pairs: int = Field(32, ge=1)
    """Pairs of an optimizer step; what is forwarded together stays together."""
    beta: float = Field(0.1, gt=0)
    """How strongly the policy is held to the reference."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Share of the preferences that are taken to be wrong (conservative DPO)."""
    nll_weight: float = Field(0.0, ge=0)
    """Weight of the chosen actions' negative log-likelihood a token."""
    length_normalise: bool = False
    """Divides log-probabilities by the action's number of tokens."""
    max_drop: float | None = Field(50.0, gt=0)
    """Stops with an error if the chosen actions' mean log-probability falls by more nats."""


class SFTConfig(OptimizerSettings):
    """Supervised tuning on the chosen actions."""

    batch_actions: int = Field(32, ge=1)
    """Actions of an optimizer step."""
