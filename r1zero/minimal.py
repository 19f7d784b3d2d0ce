"""GRPO on one screen: ``python -m r1zero.minimal [steps=170] [seed=0]`` does the default run in plain torch.

Task, judge, sampling and all numbers are those of ``python -m r1zero.train``. With the same seed and number of steps,
both draw the same prompts and the same completions, until differences in rounding have grown (and up to step 256, where
TRL shuffles anew). The decode loop is that of ``rollout/decode.py``. What is left out here:

    rollout                     judging while others still decode, stop strings, other loops
    training                    other losses, a KL term, several updates a batch; less work for the same gradient;
                                checkpoints, exact resume, steps skipped when they are not finite
    evaluating, measuring       greedy accuracy, pass@k, intervals; behaviours, alarms
    runs, watching, reporting   every completion and metric on disk, trackers, the report
    config, launching           other tasks, models and keys; several processes, GPUs, DeepSpeed
"""

import math
import sys
import time
from collections.abc import Iterator, Sequence

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from r1zero.command_line import quiet
from r1zero.config.schema import ModelConfig, RewardConfig
from r1zero.config.tasks import CountdownConfig
from r1zero.models.cpu import speed_up_cpu
from r1zero.models.load import load_model, load_tokenizer
from r1zero.models.tokens import encode
from r1zero.rollout.decode import decode
from r1zero.rollout.sampling import Sampling
from r1zero.tasks.countdown import build_countdown
from r1zero.tasks.judging import judge_all
from r1zero.tasks.task import Row, Task
from rewards import Outcome, Verdict

# From conf/model/nano.yaml, conf/task/countdown_nano.yaml and conf/trainer/nano.yaml, where the reasons are.
MODEL = ModelConfig(name="nano", path="nano")
TASK = CountdownConfig(
    name="countdown", template="nano", num_train=8192, num_test=512, use_all_numbers=True, num_numbers=[3],
    number_min=1, number_max=20, target_min=1, target_max=100, max_intermediate=200,
)  # fmt: skip
PROMPTS, GROUP, MICRO_BATCH = 32, 8, 32  # 32 prompts x 8 completions a step; gradients of 32 completions at a time
SAMPLING = Sampling(max_tokens=224, temperature=1.0)
PEAK_RATE, WARMUP_STEPS, MAX_GRAD_NORM = 3e-4, 5, 1.0
BETAS, ADAM_EPSILON, WEIGHT_DECAY = (0.9, 0.999), 1e-8, 0.0  # of AdamW, from transformers
EVAL_EVERY = 34


def grpo_step(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    problems: Sequence[Row],
    keys: Sequence[str],
) -> tuple[float, float]:
    """Mean reward and mean length in tokens of the step's batch; ``keys`` name the randomness of each completion."""
    # 1. Sample a group of G completions o_1 .. o_G from the policy pi for each problem's prompt q, and judge them:
    #    r_i = 1 if o_i solves the problem, 0 if it does not, NaN if the judge cannot tell.
    rows = [problem for problem in problems for _ in range(GROUP)]
    pairs, verdicts = attempt(model, tokenizer, task, rows, keys)
    rewards_PG = torch.tensor([math.nan if v.score is None else v.score for v in verdicts]).view(-1, GROUP)

    # 2. Compare each completion with its group: A_i = (r_i - mean(r)) / (std(r) + 1e-4). A NaN is left out of mean and
    #    standard deviation, and its A_i is 0. If all of a group earn the same, every A_i is 0.
    deviations_PG = rewards_PG - rewards_PG.nanmean(dim=1, keepdim=True)
    judged_P1 = (~rewards_PG.isnan()).sum(dim=1, keepdim=True)
    std_P1 = (deviations_PG.square().nansum(dim=1, keepdim=True) / (judged_P1 - 1)).sqrt()
    advantages = (deviations_PG / (std_P1 + 1e-4)).nan_to_num().flatten()

    # 3. Add up the gradient of L = - 1/N sum_i sum_t min(ratio A_i, clip(ratio, 0.8, 1.2) A_i), where N is the number
    #    of all completion tokens and ratio = pi(o_it | q, o_i<t) / pi_old(o_it | q, o_i<t). A batch serves one update,
    #    so pi is still the policy pi_old that sampled it: the ratio is 1, never clipped, and its gradient is that of
    #    log pi.
    lengths = torch.tensor([len(completion) for _, completion in pairs])
    for chosen_B in lengths.argsort().split(MICRO_BATCH):  # completions of like length, which need little padding
        logprobs_BS, mask_BS = completion_logprobs(model, [pairs[i] for i in chosen_B])
        ratio_BS = (logprobs_BS - logprobs_BS.detach()).exp()
        loss = -(ratio_BS * advantages[chosen_B, None])[mask_BS].sum() / lengths.sum()
        loss.backward()

    # 4. Shorten the gradient to length 1 if it is longer, g <- g min(1, 1 / |g|), and take a step of AdamW without
    #    weight decay: m <- 0.9 m + 0.1 g, v <- 0.999 v + 0.001 g^2, w <- w - rate m / (sqrt(v) + 1e-8), where m and v
    #    are first divided by 1 - 0.9^k and 1 - 0.999^k in step k.
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
    optimizer.step()
    optimizer.zero_grad()
    return float(rewards_PG.nanmean()), float(lengths.float().mean())


def attempt(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, rows: Sequence[Row], keys: Sequence[str]
) -> tuple[list[tuple[list[int], list[int]]], list[Verdict]]:
    """For each row: the token ids of its prompt and of one sampled completion, and the judge's verdict."""
    prompts = [encode(row["prompt"], tokenizer) for row in rows]
    completions = decode(model, prompts, keys, SAMPLING, [tokenizer.eos_token_id], tokenizer.pad_token_id)
    ids = [completion.ids for completion in completions]
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    judged = [row["prefill"] + text for row, text in zip(rows, texts, strict=True)]
    return list(zip(prompts, ids, strict=True)), judge_all(task.judges[task.accuracy_judge], judged, rows)


def completion_logprobs(
    model: PreTrainedModel, pairs: Sequence[tuple[list[int], list[int]]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """log pi of each token but the first, given those before it, and which tokens the completion holds; (B, S - 1)."""
    # Padding is on the right: no token before it attends to it.
    ids_BS = pad_sequence([torch.tensor(q + o) for q, o in pairs], batch_first=True)
    mask_BS = pad_sequence([torch.tensor([False] * (len(q) - 1) + [True] * len(o)) for q, o in pairs], batch_first=True)
    logits_BSV = model(input_ids=ids_BS[:, :-1], use_cache=False).logits / SAMPLING.temperature
    return logits_BSV.log_softmax(dim=-1).gather(2, ids_BS[:, 1:, None]).squeeze(2), mask_BS


def learning_rate(step: int, steps: int) -> float:
    """The rate after ``step`` updates of ``steps``: up to the peak over the warm-up, then straight down to 0."""
    return PEAK_RATE * min(step / WARMUP_STEPS, (steps - step) / max(1, steps - WARMUP_STEPS))


def accuracy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, seed: int) -> float:
    """The share of held-out problems that one sampled completion solves, with the same randomness at every call."""
    _, verdicts = attempt(model, tokenizer, task, task.test, [f"eval/{seed}/{i}" for i in range(len(task.test))])
    return sum(verdict.outcome is Outcome.CORRECT for verdict in verdicts) / len(verdicts)


def train(steps: int, seed: int) -> Iterator[str]:
    """The lines to print: a header, the base model as step 0, and one line a step."""
    tokenizer, model = load_tokenizer(MODEL), load_model(MODEL).eval()
    speed_up_cpu(model, MODEL)
    task = build_countdown(TASK, RewardConfig(), tokenizer)
    order = torch.randperm(len(task.train), generator=torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW(model.parameters(), betas=BETAS, eps=ADAM_EPSILON, weight_decay=WEIGHT_DECAY)
    yield "step  reward  length  seconds  held-out accuracy"
    yield f"{0:4}{accuracy(model, tokenizer, task, seed):44.3f}"
    for step in range(steps):
        started = time.perf_counter()
        problems = [task.train[i] for i in order.roll(-step * PROMPTS)[:PROMPTS]]
        keys = [f"train/{seed}/{step}/0/{i}" for i in range(PROMPTS * GROUP)]  # as r1zero.train names them
        optimizer.param_groups[0]["lr"] = learning_rate(step, steps)
        reward, length = grpo_step(model, optimizer, tokenizer, task, problems, keys)
        line = f"{step + 1:4}{reward:8.3f}{length:8.1f}{time.perf_counter() - started:9.1f}"
        evaluate = (step + 1) % EVAL_EVERY == 0 or step + 1 == steps
        yield line + (f"{accuracy(model, tokenizer, task, seed):19.3f}" if evaluate else "")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    if {"-h", "--help"} & set(sys.argv[1:] if argv is None else argv):
        print(__doc__)
        return
    options = {"steps": 170, "seed": 0}
    for argument in sys.argv[1:] if argv is None else argv:
        name, _, value = argument.partition("=")
        if name not in options or not value.isdecimal():
            sys.exit(f"error: {argument}: everything else is fixed. Give steps=N or seed=N, with a whole number N.")
        options[name] = int(value)
    quiet()
    for line in train(**options):
        print(line, flush=True)


if __name__ == "__main__":
    main()
