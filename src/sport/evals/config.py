"""The section of a recipe that makes a run the evaluation of an agent on a benchmark."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

BenchmarkName = Literal["gta", "gaia", "pocket"]


class BenchmarkSettings(BaseModel):
    """Which benchmark is run, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: BenchmarkName
    """`gta`, `gaia` or `pocket`."""
    data: str | None = None
    """Folder of its data, as its authors publish it; `pocket` makes its own."""
    limit: int | None = Field(None, ge=1)
    """Only so many of its first items."""
    replay: Literal["gta", "paper"] | None = None
    """Tools that answer from GTA's recordings: under GTA's own names, or under the paper's."""
    pictures: bool = True
    """Whether the controller sees the pictures; without them it is told their names."""
    step_by_step: bool = False
    """Whether each gold step of GTA is asked for on its own, after the gold history."""
    scorer: Literal["gta", "mat", "sport"] = "sport"
    """The scorer of GTA by which AnsAcc is counted; the other two are reported beside it."""
    best_of: int = Field(1, ge=1)
    """Candidates a step, among which the verifier chooses; 1 is plain single-sample evaluation."""
    reformat: bool = False
    """Whether the controller puts its answers into GAIA's form, as a row of its own."""
    like: str = ""
    """The published row that the run reproduces."""
    trained_in: str | None = None
    """Folder of the run that tuned the controller: its tasks must hold no item of the benchmark."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        of_gta = {
            "replay": self.replay is not None,
            "step_by_step": self.step_by_step,
            "pictures": not self.pictures,
            "scorer": self.scorer != "sport",
        }
        wrong = [key for key, given in of_gta.items() if given and self.name != "gta"]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: only GTA has that; leave it out for {self.name}")
        if self.reformat and self.name != "gaia":
            raise ValueError(f"reformat: only GAIA has a form; leave it out for {self.name}")
        if self.step_by_step and self.best_of > 1:
            raise ValueError("step_by_step takes one sample a step: leave best_of out")
        return self
