import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tune_toys import candidate, small_world, step, tiny_model, trajectory

from sport.policy.base import Request, SamplingPlan
from sport.policy.local import LocalPolicy
from sport.policy.messages import history
from sport.tune import (
    SFT,
    Hooks,
    LoraSettings,
    PairwiseDPO,
    SFTConfig,
    StepDPOConfig,
    TuningError,
    build_pairs,
    preference_logps,
)
from sport.tune.fit import rate_share
from sport.tune.losses import dpo_loss
from sport.types import Action, Candidate, Trajectory, Verdict

LORA = LoraSettings(r=8, alpha=16)
DPO = StepDPOConfig(batch_pairs=8, epochs=4, learning_rate=1e-2, lora=LORA)
IMITATE = SFTConfig(
    batch_actions=4, epochs=80, learning_rate=5e-3, lora=LoraSettings(r=16, alpha=32)
)


@pytest.fixture
def policy() -> LocalPolicy:
    model, processor = tiny_model()
    return LocalPolicy(model, processor, "toy")


def logps(policy: LocalPolicy, told: list[Trajectory]) -> torch.Tensor:
    with torch.no_grad():
        return preference_logps(policy.model, policy.processor, told)


def tuned(policy: LocalPolicy, adapter: Path) -> LocalPolicy:
    model, processor = tiny_model()
    return LocalPolicy(PeftModel.from_pretrained(model, str(adapter)), processor, "tuned")


def rows(curve: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in curve.read_text().splitlines()]


def test_the_loss_is_the_papers() -> None:
    chosen, rejected, chosen_ref, rejected_ref = torch.tensor([-3.0, -4.0, -3.5, -3.0])
    margin = 0.1 * ((-3.0 + 3.5) - (-4.0 + 3.0))
    loss, found = dpo_loss(chosen, rejected, chosen_ref, rejected_ref, beta=0.1)
    assert float(found) == pytest.approx(margin)
    assert float(loss) == pytest.approx(-math.log(1 / (1 + math.exp(-margin))))
    smooth, _ = dpo_loss(chosen, rejected, chosen_ref, rejected_ref, 0.1, label_smoothing=0.2)
    wrong = -math.log(1 / (1 + math.exp(margin)))
    assert float(smooth) == pytest.approx(0.8 * float(loss) + 0.2 * wrong)


def test_dpo_learns_the_preferences_and_reloads_equal(policy: LocalPolicy, tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs")
    before = logps(policy, told)
    curve = tmp_path / "tuning.jsonl"
    out = PairwiseDPO(DPO, hooks=Hooks(curve=curve)).tune(told, policy, tmp_path / "r1")

    first, *_, last = rows(curve)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5), "the start is the reference"
    assert first["chosen_drift"] == pytest.approx(0, abs=1e-3)
    assert last["loss"] < 0.5 * first["loss"]
    assert last["accuracy"] == 1.0
    assert {"epoch", "step", "of", "lr", "margin", "rejected_drift", "grad_norm"} <= set(first)
    assert first["tokens_per_s"] > 0

    after = logps(tuned(policy, out), told)
    grown = (after - before)[:, 0] - (after - before)[:, 1]
    assert bool((grown > 0).all())
    assert torch.equal(logps(policy, told), before), "the policy itself is as it was"
    assert not isinstance(policy.model, PeftModel)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "nothing half-written"


def test_a_second_round_goes_on_from_the_first_adapter(policy: LocalPolicy, tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs")
    one_epoch = DPO.model_copy(update={"epochs": 1})
    first = PairwiseDPO(one_epoch).tune(told, policy, tmp_path / "r1")
    second_policy = tuned(policy, first)
    start = logps(second_policy, told)
    curve = tmp_path / "tuning.jsonl"
    second = PairwiseDPO(one_epoch, hooks=Hooks(curve=curve)).tune(
        told, second_policy, tmp_path / "r2"
    )
    assert rows(curve)[0]["loss"] == pytest.approx(math.log(2), abs=1e-5), (
        "the reference is the policy that the round starts from"
    )
    assert torch.equal(logps(second_policy, told), start)
    again = logps(tuned(policy, second), told)
    assert not torch.allclose(again, start)


def test_equal_seeds_give_equal_adapters(tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs")

    def tune(name: str, seed: int) -> torch.Tensor:
        model, processor = tiny_model()
        start = LocalPolicy(model, processor, "toy")
        config = DPO.model_copy(update={"seed": seed, "epochs": 1})
        return logps(tuned(start, PairwiseDPO(config).tune(told, start, tmp_path / name)), told)

    a, b, c = tune("a", 1), tune("b", 1), tune("c", 2)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_accumulation_does_not_change_the_step(policy: LocalPolicy, tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs")
    found = []
    for budget in (256, 16_384):
        curve = tmp_path / f"{budget}.jsonl"
        config = DPO.model_copy(update={"epochs": 1, "token_budget": budget, "batch_pairs": 100})
        PairwiseDPO(config, hooks=Hooks(curve=curve)).tune(told, policy, tmp_path / str(budget))
        found.append(rows(curve)[0]["grad_norm"])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize(
    "options", [{"label_smoothing": 0.1}, {"nll_weight": 0.5}, {"length_normalise": True}]
)
def test_options_learn_too(policy: LocalPolicy, tmp_path: Path, options: dict[str, Any]) -> None:
    curve = tmp_path / "tuning.jsonl"
    config = DPO.model_copy(update=options)
    PairwiseDPO(config, hooks=Hooks(curve=curve)).tune(
        small_world(tmp_path / "blobs"), policy, tmp_path / "r1"
    )
    assert rows(curve)[-1]["loss"] < rows(curve)[0]["loss"]
    assert rows(curve)[-1]["margin"] > 0


def test_vision_is_frozen_unless_asked(policy: LocalPolicy, tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs", 1)
    quick = DPO.model_copy(update={"epochs": 1})

    def adapted(config: StepDPOConfig, name: str) -> set[str]:
        out = PairwiseDPO(config).tune(told, policy, tmp_path / name)
        names = [n for n, _ in tuned(policy, out).model.named_parameters() if "lora_" in n]
        return {n.split("base_model.model.model.")[1].split(".")[0] for n in names}

    assert adapted(quick, "a") == {"language_model"}
    everything = quick.model_copy(update={"lora": LORA.model_copy(update={"vision": True})})
    assert adapted(everything, "b") == {
        "language_model",
        "vision_tower",
        "multi_modal_projector",
    }


def test_the_best_epoch_is_kept(policy: LocalPolicy, tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs", 1)
    scores = {1: 0.4, 2: 0.6, 3: 0.5, 4: 0.9}
    seen: dict[int, torch.Tensor] = {}

    def on_epoch(epoch: int, adapter: Path) -> float:
        seen[epoch] = logps(tuned(policy, adapter), told)
        return scores[epoch]

    out = PairwiseDPO(DPO, hooks=Hooks(on_epoch=on_epoch)).tune(told, policy, tmp_path / "r1")
    assert list(seen) == [1, 2, 3], "patience of one epoch"
    assert torch.equal(logps(tuned(policy, out), told), seen[2])
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_nothing_to_learn_is_a_clear_error(policy: LocalPolicy, tmp_path: Path) -> None:
    told = [trajectory([step(0, [candidate("a = 1"), candidate("b = 22")], best=None)])]
    with pytest.raises(TuningError, match="no preference pairs.*2 no verdict"):
        PairwiseDPO(DPO).tune(told, policy, tmp_path / "r1")
    with pytest.raises(TuningError, match="none of 1 trajectories"):
        SFT(IMITATE).tune(told, policy, tmp_path / "r1")
    assert not (tmp_path / "r1").exists()


def test_nan_and_collapse_stop_with_an_error(policy: LocalPolicy, tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs")
    before = logps(policy, told)
    wild = DPO.model_copy(update={"max_drop": 0.5})
    with pytest.raises(TuningError, match="collapses. Lower learning_rate"):
        PairwiseDPO(wild).tune(told, policy, tmp_path / "r1")
    assert not (tmp_path / "r1").exists()
    assert torch.equal(logps(policy, told), before)

    with torch.no_grad():
        policy.model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(TuningError, match="learning_rate"):
        PairwiseDPO(DPO).tune(told, policy, tmp_path / "r1")


def test_bf16_is_close(policy: LocalPolicy, tmp_path: Path) -> None:
    curve = tmp_path / "tuning.jsonl"
    config = DPO.model_copy(update={"bf16": True})
    PairwiseDPO(config, hooks=Hooks(curve=curve)).tune(
        small_world(tmp_path / "blobs"), policy, tmp_path / "r1"
    )
    assert rows(curve)[0]["loss"] == pytest.approx(math.log(2), abs=0.05)
    assert rows(curve)[-1]["accuracy"] == 1.0


async def test_sft_learns_the_chosen_actions(policy: LocalPolicy, tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs", 2)
    out = SFT(IMITATE).tune(told, policy, tmp_path / "sft")
    student = tuned(policy, out)
    plan = SamplingPlan(temperatures=(0.0,), max_new_tokens=60)
    for t in told:
        for at in (0, 1):
            request = Request(messages=history(t.opening, t.steps[:at]), seeds=(0,), plan=plan)
            [[answer]] = await student.sample([request])  # type: ignore[misc]
            assert isinstance(answer, Action)
            winner = t.steps[at].winner
            assert winner is not None
            assert answer.text == winner.action.text
            assert answer.finish == "stop"


def test_sft_leaves_out_what_no_verifier_chose_and_what_failed(
    policy: LocalPolicy, tmp_path: Path
) -> None:
    from sport.tune.sft import trajectory_rows

    good, bad = candidate("a = 1"), candidate("b = 22", "error")
    told = trajectory(
        [step(0, [good], None), step(1, [good]), step(2, [bad]), step(3, [good], None)]
    )
    [row] = trajectory_rows(policy.processor, told)
    [(start, end)] = row.spans
    assert end == len(row.chat.ids), "nothing after the last target"
    text = policy.processor.tokenizer.decode(row.chat.ids[start:end])
    assert text == good.action.text
    assert not list(trajectory_rows(policy.processor, trajectory([step(0, [bad])])))


def test_sft_leaves_out_what_was_drawn_by_lot(policy: LocalPolicy) -> None:
    """Equal scores and another effect: the verifier could not tell, so nothing is imitated."""
    from sport.tune.sft import trajectory_rows

    good = candidate("a = 1", stdout="5")
    same, other = candidate("b = 1", stdout="5"), candidate("c = 1", stdout="6")

    def targets(rival: Candidate, scores: tuple[float, ...] | None) -> int:
        told = trajectory([step(0, [good, rival], 0, scores)])
        return sum(row.targets > 0 for row in trajectory_rows(policy.processor, told))

    assert targets(other, (6.0, 6.0)) == 0
    assert targets(same, (6.0, 6.0)) == 1, "what does the same is as good to imitate"
    assert targets(other, (6.0, 5.0)) == 1
    assert targets(other, None) == 1, "a verifier without scores has named one"


def test_sft_imitates_a_new_verdict_and_not_what_went_on(
    policy: LocalPolicy, tmp_path: Path
) -> None:
    """Else a control would learn what the method chose."""
    from sport.tune.sft import trajectory_rows

    first, second, last = candidate("a = 1"), candidate("b = 22"), candidate("c = 3")
    anew = step(0, [first, second]).model_copy(
        update={"verdict": Verdict(best=1, reason="drawn by lot")}
    )
    rows = trajectory_rows(policy.processor, trajectory([anew, step(1, [last])]))
    learnt = [
        policy.processor.tokenizer.decode(row.chat.ids[start:end])
        for row in rows
        for start, end in row.spans
    ]
    assert learnt == [second.action.text, last.action.text]


def test_learning_rate_schedule() -> None:
    shares = [rate_share(k, 10, 0.2) for k in range(10)]
    assert shares[:3] == [0.5, 1.0, 1.0]
    assert shares[-1] == pytest.approx(1 / 8)
    assert rate_share(0, 1, 0.0) == 1.0


def test_progress_of_references_is_told(policy: LocalPolicy, tmp_path: Path) -> None:
    told = small_world(tmp_path / "blobs", 1)
    heard: list[dict[str, Any]] = []
    one = DPO.model_copy(update={"epochs": 1})
    PairwiseDPO(one, hooks=Hooks(on_step=heard.append)).tune(told, policy, tmp_path / "r1")
    assert heard[0]["phase"] == "reference"
    assert heard[-1]["step"] == heard[-1]["of"]
    assert sum(r.get("pairs", 0) for r in heard) == len(build_pairs(told)[0])


def test_sampling_log_probabilities_are_the_tuners(policy: LocalPolicy, tmp_path: Path) -> None:
    """One encoding for both: the reference is what the actions were sampled from."""
    told = small_world(tmp_path / "blobs", 1)
    SFT(IMITATE).tune(told, policy, tmp_path / "sft")
    student = tuned(policy, tmp_path / "sft")
    plan = SamplingPlan(temperatures=(0.0,), max_new_tokens=60)
    request = Request(messages=told[0].opening, seeds=(0,), plan=plan)
    [[answer]] = asyncio.run(student.sample([request]))  # type: ignore[misc]
    chosen = told[0].steps[0].winner
    assert chosen is not None
    assert answer.text == chosen.action.text
    assert answer.logp == pytest.approx(float(logps(student, told)[0, 0]), abs=1e-3)
