"""What a universal checkpoint leaves wrong in ZeRO-3's optimizer, put right."""

from pathlib import Path

import torch

from r1zero.training.universal import mend_optimizer


def test_each_weight_counts_its_own_steps_and_each_group_keeps_its_decay(tmp_path: Path) -> None:
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [{"params": weights[:1], "weight_decay": 0.1}, {"params": weights[1:], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)
    (tmp_path / "universal" / "zero").mkdir(parents=True)
    saved = {"optimizer_state_dict": {"param_groups": optimizer.state_dict()["param_groups"]}}
    torch.save(saved, tmp_path / "universal" / "zero" / "optimizer_state.pt")

    step = torch.tensor(2.0)  # as DeepSpeed loads it: one counter for both, and the first group's decay
    for weight in weights:
        optimizer.state[weight] = {"step": step, "exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}
        weight.grad = torch.ones(2)
    optimizer.param_groups[1]["weight_decay"] = 0.1

    mend_optimizer(optimizer, tmp_path)
    optimizer.step()
    assert [float(state["step"]) for state in optimizer.state.values()] == [3.0, 3.0]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
