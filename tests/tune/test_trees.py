"""Trees against whole sequences: equal in float64, for every family; and unequal where they err."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from families import TEXT, VISION, family
from torch import Tensor, nn
from tune_toys import branching_world, small_world, step, tiny_model, trajectory

from sport.policy.layouts import LayoutUnsupported
from sport.policy.local import LocalPolicy, load_model
from sport.tune import (
    Hooks,
    LoraSettings,
    StepDPOConfig,
    TreeDPO,
    build_pairs,
    preference_logps,
    recompute,
)
from sport.tune import tree_forward as forward_module
from sport.tune.tree import Tree, build_tree
from sport.tune.tree_attention import Layout, _flex, _structured, layout_of
from sport.tune.tree_check import why_no_trees
from sport.tune.tree_packing import TreePacking
from sport.types import Trajectory

FAST = ("llava", "qwen2_vl")
FAMILIES = [
    pytest.param(name, marks=() if name in FAST else pytest.mark.family)
    for name in (*VISION, *TEXT)
]
LOGP_RTOL, GRADIENT_RTOL = 1e-9, 1e-6


def exact_norm(self: Any, hidden: Tensor) -> Tensor:
    epsilon = getattr(self, "variance_epsilon", None) or self.eps
    scale = torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + epsilon)
    return self.weight * hidden * scale  # type: ignore[no-any-return]


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Callable[[nn.Module], nn.Module]:
    """Puts a model into float64 throughout: its norms otherwise pass through float32."""

    def convert(model: nn.Module) -> nn.Module:
        for kind in {type(m) for m in model.modules() if type(m).__name__.endswith("RMSNorm")}:
            monkeypatch.setattr(kind, "forward", exact_norm)
        return model.double()

    return convert


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path, exact: Any) -> Iterator[Any]:
    """A family's model in float64, its processor, and trajectories that it can read."""
    model, processor = family(request.param)
    yield exact(model), processor, branching_world(tmp_path, images=request.param in VISION)


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def worst_gradient(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert found.keys() == expected.keys()
    # The bias of keys has no effect: its gradient is rounding alone.
    largest = max(float(g.norm()) for g in expected.values())
    return max(
        float((found[n] - g).norm() / g.norm().clamp(min=1e-12 * largest))
        for n, g in expected.items()
    )


def both(world: Any, **options: Any) -> tuple[Tensor, Tensor]:
    model, processor, told = world
    whole = preference_logps(model, processor, told, packing="pairwise")
    return whole, preference_logps(model, processor, told, packing="tree", **options)


@pytest.mark.parametrize("world", FAMILIES, indirect=True)
def test_equal_to_whole_sequences_in_float64(world: Any) -> None:
    whole, tree = both(world)
    assert tree.dtype == torch.float64
    assert len(whole) == len(build_pairs(world[2])[0]) == 10
    torch.testing.assert_close(tree, whole, rtol=LOGP_RTOL, atol=0)
    # A weight for each, so that gradients of candidates cannot make up for each other.
    weights = torch.linspace(0.5, 1.5, whole.numel(), dtype=torch.float64).view_as(whole)
    expected = gradients(world[0], (weights * whole).sum())
    found = gradients(world[0], (weights * tree).sum())
    assert worst_gradient(found, expected) < GRADIENT_RTOL


@pytest.mark.parametrize("world", FAMILIES, indirect=True)
def test_a_tree_a_step_is_equal_too(world: Any) -> None:
    with torch.no_grad():
        whole, tree = both(world, token_budget=256)
    torch.testing.assert_close(tree, whole, rtol=LOGP_RTOL, atol=0)


@pytest.mark.parametrize("world", FAMILIES, indirect=True)
def test_a_wrong_mask_is_seen(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were branches to see each other, as in plain causal attention."""

    def causal(trees: list[Tree], device: Any) -> Layout:
        right = layout_of(trees, device)
        return Layout(torch.full_like(right.ends, len(right.ends)), right.blocks)

    monkeypatch.setattr(forward_module, "layout_of", causal)
    assert_unequal(world)


@pytest.mark.parametrize("world", FAMILIES, indirect=True)
def test_wrong_positions_are_seen(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were positions to count nodes, in place of ancestors."""

    def counted(model: nn.Module, tree: Tree) -> Tensor:
        return torch.arange(len(tree)).expand(len(right(model, tree)), -1)

    right = forward_module.tree_positions
    monkeypatch.setattr(forward_module, "tree_positions", counted)
    assert_unequal(world)


def assert_unequal(world: Any) -> None:
    with torch.no_grad():
        whole, tree = both(world)
        assert float(((tree - whole) / whole).abs().max()) > 100 * LOGP_RTOL
        assert why_no_trees(*world) is not None, "the check at start"


@pytest.mark.parametrize("world", ["qwen2_vl", "qwen3_vl"], indirect=True)
@pytest.mark.family
def test_positions_without_axes_of_the_picture_are_seen(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward_module, "tree_positions", lambda _, tree: tree.depths.expand(3, -1))
    assert_unequal(world)


@pytest.mark.parametrize("world", ["llava", "qwen2"], indirect=True)
def test_gradient_checkpointing_gives_the_same_gradients(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MLPs in tiles, the last of which is shorter; and afterwards the model is as before."""
    model, processor, told = world
    plain = gradients(model, preference_logps(model, processor, told, packing="tree").sum())
    mlps = [layer.mlp for layer in model.get_decoder().layers]
    seen: list[int] = []
    hooks = [
        m.gate_proj.register_forward_hook(lambda _, x, y: seen.append(len(y[0]))) for m in mlps
    ]
    monkeypatch.setattr(recompute, "TILE", 50)
    with recompute.recomputing(model, wanted=True):
        logps = preference_logps(model, processor, told, packing="tree")
        assert worst_gradient(gradients(model, logps.sum()), plain) < GRADIENT_RTOL
    assert max(seen) == 50 > min(seen)
    assert len(seen) > 2 * len(set(seen)) * len(mlps), "computed again in the backward pass"
    again = preference_logps(model, processor, told, packing="tree")
    assert max(seen) > 50, "whole again"
    assert worst_gradient(gradients(model, again.sum()), plain) == 0
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("world", ["llava"], indirect=True)
def test_the_flex_rule_is_the_same(world: Any) -> None:
    """On CPUs FlexAttention has no backward pass, so its forward is compared here."""
    model, processor, told = world
    units = TreePacking(16_384).units(processor, told, build_pairs(told)[0])
    layout = layout_of([unit.tree for unit in units])
    nodes = len(layout.ends)
    query = torch.randn(1, 4, nodes, 8, dtype=torch.float64)
    key, value = torch.randn(2, 1, 2, nodes, 8, dtype=torch.float64)
    structured = _structured(query, key, value, layout, 0.3)
    torch.testing.assert_close(_flex(query, key, value, layout, 0.3), structured)


@pytest.mark.parametrize("world", ["llava", "qwen2_vl"], indirect=True)
def test_d9_every_picture_reaches_the_forward_pass(world: Any, tmp_path: Path) -> None:
    from tune_toys import picture

    model, processor, told = world
    with torch.no_grad():
        before = preference_logps(model, processor, told, packing="tree")
        places = [(t, i) for t in told for i in range(len(t.opening[-1].images))]
        assert len(places) >= 3
        for owner, at in places:
            images = list(owner.opening[-1].images)
            images[at] = picture(tmp_path, 77)
            opening = owner.opening[-1].model_copy(update={"images": tuple(images)})
            changed = owner.model_copy(update={"opening": (*owner.opening[:-1], opening)})
            others = [changed if t is owner else t for t in told]
            after = preference_logps(model, processor, others, packing="tree")
            assert not torch.allclose(before, after, rtol=LOGP_RTOL, atol=0), (
                f"image {at} of {owner.task.id}"
            )


def test_what_is_shared_is_there_once() -> None:
    from sport.policy.encode import Encoded

    chat = Encoded([1, 2, 3, 4, 9, 5])
    tree = build_tree(chat, [(3, [4, 9]), (3, [4, 7]), (3, [8]), (6, [1]), (6, [1, 2])])
    assert len(tree) == 6 + 1 + 1 + 2
    assert [tree.ids[path].tolist() for path in tree.paths] == [[4, 9], [4, 7], [8], [1], [1, 2]]
    assert tree.ids[:8].tolist() == [1, 2, 3, 4, 9, 5, 1, 2], "the longest run comes first"
    for node, parent in enumerate(tree.parents.tolist()):
        assert parent < node
        assert parent < 0 or tree.ends[node] <= tree.ends[parent]
        assert tree.depths[node] == (tree.depths[parent] + 1 if parent >= 0 else 0)


def test_several_trajectories_share_a_forward_up_to_the_budget(tmp_path: Path) -> None:
    _, processor = tiny_model()
    told = small_world(tmp_path, 5)
    pairs, _ = build_pairs(told)
    packing = TreePacking(256)
    units = packing.units(processor, told, pairs)
    assert len(units) == 5
    groups = packing.forwards(units)
    assert sorted(i for group in groups for i in group) == list(range(5))
    assert 1 < len(groups) < 5
    assert all(sum(units[i].tokens for i in group) <= 256 for group in groups)
    assert sorted(p for unit in units for p in unit.places) == list(range(len(pairs)))


def test_a_trajectory_that_exceeds_the_budget_becomes_trees_of_steps(tmp_path: Path) -> None:
    _, processor = tiny_model()
    told = branching_world(tmp_path, images=True)
    pairs, _ = build_pairs(told)
    small, large = TreePacking(300), TreePacking(100_000)
    cut, whole = small.units(processor, told, pairs), large.units(processor, told, pairs)
    steps = {(pair.task_id, pair.step) for pair in pairs}
    assert len(whole) == len({task for task, _ in steps}) < len(cut) <= len(steps)
    assert sum(len(unit.targets) for unit in cut) == sum(len(unit.targets) for unit in whole)
    alone = [group for group in small.forwards(cut) if cut[group[0]].tokens > 300]
    assert all(len(group) == 1 for group in alone), "what is too large is alone, and not cut"


def windowed() -> tuple[Any, Any]:
    from transformers import MistralConfig, MistralForCausalLM

    _, processor = family("llama")
    base = family("llama")[0].config.to_dict()
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    shape = {k: base[k] for k in (*keys, "num_attention_heads", "num_key_value_heads")}
    config = MistralConfig(**shape, sliding_window=2048, pad_token_id=None, eos_token_id=None)
    torch.manual_seed(0)
    return MistralForCausalLM(config).eval(), processor


def recurrent() -> tuple[Any, Any]:
    from transformers import MambaConfig, MambaForCausalLM

    _, processor = family("llama")
    torch.manual_seed(0)
    size = len(processor.tokenizer)
    config = MambaConfig(vocab_size=size, hidden_size=32, num_hidden_layers=2, state_size=8)
    return MambaForCausalLM(config).eval(), processor


def plain_text(told: list[Trajectory]) -> list[Trajectory]:
    return [trajectory(t.steps, (), t.task.id, t.task.query) for t in told]


@pytest.mark.parametrize(
    ("build", "reason"),
    [(windowed, "sliding window"), pytest.param(recurrent, "", marks=pytest.mark.family)],
)
def test_what_trees_do_not_serve_is_said_and_done_pairwise(
    build: Any, reason: str, tmp_path: Path
) -> None:
    """A window that is longer than the tree at start must be found too."""
    model, processor = build()
    told = plain_text(small_world(tmp_path / "blobs", 2))
    policy = LocalPolicy(model, processor, "toy", context=4096)
    said: list[str] = []
    lora = LoraSettings(r=4, target_modules=r".*(q_proj|v_proj|in_proj)")
    config = StepDPOConfig(batch_pairs=8, lora=lora)
    out = TreeDPO(config, hooks=Hooks(say=said.append)).tune(told, policy, tmp_path / "r1")
    assert (out / "adapter_model.safetensors").is_file()
    [message] = [s for s in said if "whole sequences" in s]
    assert reason in message


def test_an_attention_of_its_own_is_refused(tmp_path: Path) -> None:
    model, processor = windowed()
    with pytest.raises(LayoutUnsupported, match="sliding window"):
        preference_logps(model, processor, plain_text(small_world(tmp_path, 1)), packing="tree")


def test_an_unknown_packing_is_refused() -> None:
    with pytest.raises(ValueError, match="'tree' or 'pairwise'"):
        preference_logps(*tiny_model(), [], packing="forest")


def test_no_pairs_no_rows() -> None:
    model, processor = tiny_model()
    told = [trajectory([step(0, [], None)])]
    assert preference_logps(model, processor, told, packing="tree").shape == (0, 2)


@pytest.mark.parametrize("name", ["qwen2_vl", pytest.param("internvl", marks=pytest.mark.family)])
def test_a_saved_model_loads_without_its_video_processor(name: str, tmp_path: Path) -> None:
    model, processor = family(name)
    model.save_pretrained(tmp_path / name)
    processor.save_pretrained(tmp_path / name)
    told = branching_world(tmp_path / "blobs", images=True)
    with torch.no_grad():
        found = preference_logps(*load_model(tmp_path / name), told, packing="tree")
        torch.testing.assert_close(found, preference_logps(model, processor, told, packing="tree"))
