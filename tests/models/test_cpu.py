"""What is set up for training on a CPU changes no result beyond rounding."""

import copy
import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import linear
from transformers import LlamaForCausalLM
from trl.trainer import utils as trl_utils
from trl.trainer.utils import add_fused_lm_head

from r1zero.config.schema import ModelConfig
from r1zero.models import cpu


def products(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Results and gradients of products of many shapes, with and without a bias."""
    torch.manual_seed(0)
    results = []
    for rows, inner, columns in [
        (300, 128, 512),
        (64, 512, 223),
        (5, 7, 9),
        (0, 7, 9),
        (300, 64, 1024),
        (1, 2048, 1024),
    ]:
        x, w = (torch.randn(size, inner, dtype=dtype, requires_grad=True) for size in (rows, columns))
        b = torch.randn(columns, dtype=dtype, requires_grad=True)
        y = linear(x, w) + linear(x.view(1, rows, inner), w, b)[0] + torch.addmm(b, x, w.t(), beta=0.5, alpha=2)
        (y**2).sum().backward()
        results += [tensor for tensor in (y, x.grad, w.grad, b.grad) if tensor is not None]
        results += [torch.mm(x.t(), x), torch.mm(y.t(), x), torch.mm(x.t(), y)]  # wider and taller than long
    return [result.detach() for result in results]


GROWTH = """
import torch
from r1zero.models import cpu
cpu.served_at_half_speed = lambda: True
cpu.use_onednn_where_faster()
def resident_mb():
    fields = open("/proc/self/statm").read().split()
    return int(fields[1]) * 4096 >> 20
x, w = torch.randn(6000, 128), torch.randn(512, 128)
torch.nn.functional.linear(x, w)
before = resident_mb()
for rows in range(700, 5700, 10):
    torch.nn.functional.linear(x[:rows], w)
print(resident_mb() - before)
"""


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> object:
    """oneDNN's products, on any processor, until the test is over."""
    monkeypatch.setattr(cpu, "served_at_half_speed", lambda: True)
    library = cpu.use_onednn_where_faster.__wrapped__()
    if library is None:
        pytest.skip("this torch cannot hand over a kernel that another replaces")
    yield library
    library._destroy()


def test_products_are_those_of_torch(onednn: object) -> None:
    found = products()
    onednn._destroy()  # type: ignore[attr-defined]
    for ours, theirs in zip(found, products(), strict=True):
        # float32 sums of up to 1,000 terms of size 1: rounding of about 1e-6 of the largest.
        scale = float(theirs.abs().max()) if theirs.numel() else 1.0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_stay_with_torch(dtype: torch.dtype, onednn: object) -> None:
    found = products(dtype)
    onednn._destroy()  # type: ignore[attr-defined]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, products(dtype), strict=True))


def test_large_products_go_to_onednn_and_small_ones_do_not(onednn: object) -> None:
    x, w = torch.randn(256, 512), torch.randn(512, 512)

    def kernels(rows: int) -> str:
        with torch.profiler.profile() as profile:
            linear(x[:rows], w)
        return " ".join(event.key for event in profile.key_averages())

    assert "mkldnn" in kernels(256)
    assert "mkldnn" not in kernels(2)


@pytest.mark.parametrize("vocab_size", [50, 40_000])
def test_logits_lie_side_by_side(
    vocab_size: int, tiny_model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL's own log-probs and gradients, from tiles as wide as the vocabulary or as TRL's widest."""
    ids = torch.randint(3, 200, (2, 9), generator=torch.Generator().manual_seed(0))

    def gradients() -> list[torch.Tensor]:
        model = copy.deepcopy(tiny_model)
        add_fused_lm_head(model)
        model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs.sum().backward()
        return [parameter.grad for parameter in model.parameters()]

    theirs = gradients()
    widths = []
    mm = torch.mm
    monkeypatch.setattr(torch, "mm", lambda *args, out: (widths.append(out.stride(0)), mm(*args, out=out))[1])
    monkeypatch.setattr(trl_utils, cpu.TILE_WIDTH, cpu.WIDEST_TILE)
    cpu.fit_logit_tiles(vocab_size)
    torch.testing.assert_close(gradients(), theirs)
    assert set(widths) == {min(vocab_size, 32_768)}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from Linux's /proc")
def test_kernels_of_past_shapes_do_not_pile_up() -> None:
    grown = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True).stdout
    # 500 shapes took 3,126 MB before the caches of oneDNN were bounded, and 452 to 498 MB since.
    assert int(grown) < 1000, f"resident memory grew by {grown} MB over 500 shapes"


def test_freed_memory_is_kept_where_the_libc_can(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Libc:
        @staticmethod
        def mallopt(name: int, value: int) -> int:
            calls.append((name, value))
            return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Libc)
    assert cpu.keep_freed_memory()
    assert (-4, 0) in calls
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not cpu.keep_freed_memory()


ONEDNN, TILES, MEMORY = "oneDNN float32 products", "logit tiles as wide as the vocabulary", "freed memory kept"


@pytest.mark.parametrize(
    ("megabytes", "gpu", "wanted", "expected"),
    [
        (540, False, True, {"products": ONEDNN, "tiles of 99": TILES, "memory": MEMORY}),
        (4, False, True, {"products": ONEDNN, "tiles of 99": TILES}),
        (540, True, True, {}),
        (540, False, False, {}),
    ],
)
def test_what_is_set_up_for_a_model(
    megabytes: int, gpu: bool, wanted: bool, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done is what is said to be done."""
    done: list[str] = []
    library = object()
    monkeypatch.setattr(cpu, "use_onednn_where_faster", lambda: (done.append("products"), library)[1])
    monkeypatch.setattr(cpu, "keep_freed_memory", lambda: (done.append("memory"), True)[1])
    monkeypatch.setattr(cpu, "fit_logit_tiles", lambda width: (done.append(f"tiles of {width}"), True)[1])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=99))
    model = SimpleNamespace(num_parameters=lambda: megabytes << 18, dtype=torch.float32, config=config)
    said = cpu.speed_up_cpu(model, ModelConfig(cpu_kernels=wanted))  # type: ignore[arg-type]
    assert done == list(expected)
    assert said == list(expected.values())


def test_what_cannot_be_set_up_is_not_claimed(tiny_model: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another processor, a vocabulary wider than the widest tile, and a libc without mallopt."""
    monkeypatch.setattr(cpu, "use_onednn_where_faster", cpu.use_onednn_where_faster.__wrapped__)
    monkeypatch.setattr(cpu, "served_at_half_speed", lambda: False)
    monkeypatch.setattr(cpu, "WIDEST_TILE", 100)
    monkeypatch.setattr(trl_utils, cpu.TILE_WIDTH, cpu.WIDEST_TILE)
    monkeypatch.setattr(cpu, "is_large", lambda model: True)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert tiny_model.config.vocab_size > 100
    assert cpu.speed_up_cpu(tiny_model, ModelConfig()) == []


FENCE = """
import ctypes, sys, torch
from trl.trainer import utils as trl_utils
from toy import compose_config
from r1zero.models import cpu
from r1zero.rollout.engine import load_engine
cpu.served_at_half_speed = lambda: True
cpu.MIN_MODEL_BYTES_TO_KEEP_MEMORY = 0
registered, asked = [], []
register, find = torch.library.Library.impl, ctypes.CDLL
torch.library.Library.impl = lambda *args, **how: registered.append(args[1]) or register(*args, **how)
ctypes.CDLL = lambda *args: asked.append(args) or find(*args)
before = getattr(trl_utils, cpu.TILE_WIDTH)
load_engine(compose_config("model.cpu_kernels=" + sys.argv[1]))
print(registered, asked.count((None,)), getattr(trl_utils, cpu.TILE_WIDTH) == before)
"""


@pytest.mark.parametrize(("switch", "expected"), [("false", "[] 0 True"), ("true", "['mm', 'addmm'] 1 False")])
def test_the_switch_leaves_torch_trl_and_glibc_as_they_come(switch: str, expected: str) -> None:
    """In a process of its own: what is registered stays until the process ends."""
    tests = Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-c", FENCE, switch],
        cwd=tests.parent,
        env=os.environ | {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == expected
