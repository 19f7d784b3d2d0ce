"""What users type wrong: each is answered in one line that says what to set, before anything is trained."""

import json
import sys
from pathlib import Path

import pytest

from r1zero import train

MISTAKES = [
    ("learning_rate=1e-4", "learning_rate: no such key. Did you mean 'trainer.learning_rate'?"),
    ("max_steps=3", "Did you mean 'trainer.max_steps'?"),
    ("num_train=3", "Did you mean 'task.num_train'?"),
    ("modle=nano", "modle: no such key. Did you mean 'model'?"),
    ("trainer.lerning_rate=1", "Did you mean 'trainer.learning_rate'?"),
    ("eval.num_sample=2", "Did you mean 'eval.num_samples'?"),
    ("experiment=tinyzero_3b", "experiment: set it as +experiment=NAME, with one of arithmetic_nano"),
    ("+experiment=tinyzero_3", "experiment = tinyzero_3: no such name. Did you mean 'tinyzero_3b'?"),
    ("trainer=tinyzer", "trainer = tinyzer: no such name. Did you mean 'tinyzero'?"),
    ("task=countdwn", "task = countdwn: no such name. Did you mean 'countdown'?"),
    ("task=rows.txt", "task = rows.txt: no such name, and no file of rows. Those end in .jsonl, .json, .csv, .parquet"),
    ("task=", "task=: names nothing. Set task=NAME, with one of aime24"),
    ("+experiment=", "Set +experiment=NAME, with one of arithmetic_nano"),
    ("experimnt=tinyzero_3b", "experimnt: no such key. Did you mean '+experiment'?"),
    ("+experimnt=tinyzero_3b", "no such key. Did you mean '+experiment'?"),
    ("+experiment=tinyzero_3b,tinyzero_0_5b", "several values. Add -m to run each in turn"),
    ("trainer=[nano,tinyzer]", "trainer = tinyzer: no such name. Did you mean 'tinyzero'?"),
    ("model=own", "model.path has no value. Set model.path=..."),
    ("model=rows.jsonl", "model = rows.jsonl: is a file. Give the folder that holds it and config.json."),
    ("eval.k=1,4", "eval.k = 1,4: several values. Add -m to run each in turn, or write eval.k=[1,4]."),
    ("+seed=2", "+seed: the key is there already. Set it without +"),
    ("~reward.weights.none", "~reward.weights.none: there is no such value to take out"),
    ("--seed=2", "--seed=2: no such flag. Values are set without dashes, such as seed=1"),
    ("seed=-1", "seed = -1: must be in [0, 2^32)"),
    ("reward=acuracy", "Did you mean 'accuracy'?"),
    ("rollout=nativ", "Did you mean 'native'?"),
    ("deepspeed=zero4", "Did you mean 'zero3'?"),
    ("peft=lorra", "Did you mean 'lora'?"),
    ("tracker=wandbb", "Did you mean 'wandb'?"),
    ("model=qwen2_5_05b", "Did you mean 'qwen2_5_0_5b'?"),
    ("model=./nowhere", "model = ./nowhere: no such folder"),
    ("eval.k=4", "eval.k=4: must be a list. Set eval.k=[4]."),
    ("eval.k=[4]", "pass@4 needs at least 4 samples"),
    ("eval.num_samples=0", "must be at least 1"),
    ("seed=abc", "seed=abc: Value 'abc' of type 'str' could not be converted to Integer"),
    ("seed", "not every argument is key=value, such as seed=1"),
    ("reward.weights=1", "reward.weights=1: "),
    ("reward.weights.countdwn=1", "task 'countdown' has no such judge; it has countdown"),
    ("reward.weights.countdown=0", "nothing pays; set at least one weight above 0"),
    ("reward.accuracy=nothing", "reward.accuracy = nothing: must be one of countdown, format"),
    ("reward.judges.mine=no_module:f", "no_module cannot be imported"),
    ("reward.judges.mine=os:nothing", "module os has no nothing"),
    ("reward.judges.mine=os", "must be an import path, module:name"),
    ("reward.judges.mine=os:sep", "must name a function; it is a str"),
    ("reward.judges.mine=os:getcwd", "cannot be called as judge(text, row)"),
    ("reward.judges.format=os:fspath", "there is a judge of this name"),
    ("trainer.max_steps=-3", "trainer.max_steps = -3: must be at least 1; or -1"),
    ("trainer.max_steps=0", "must be at least 1"),
    ("trainer.learning_rate=-1", "must be at least 0"),
    ("trainer.learning_rate=inf", "must be at least 0, and finite"),
    ("trainer.dataloader_num_workers=-1", "must be at least 0"),
    ("memory.device_gb=0", "memory.device_gb = 0.0: must be above 0"),
    ("memory.prompt_tokens=0", "must be at least 1, or null"),
    ("trainer.learning_rate=abc", "must be a number"),
    ("trainer.eval_steps=0", "trainer.eval_strategy=no turns it off"),
    ("trainer.save_steps=0", "must be above 0"),
    ("trainer.warmup_steps=-1", "must be at least 0"),
    ("trainer.top_p=2", "must be above 0 and at most 1"),
    ("trainer.min_p=7", "must be in [0, 1]"),
    ("trainer.beta=-1", "must be at least 0"),
    ("trainer.scale_rewards=foo", "must be group, batch or none"),
    ("trainer.fp16=true trainer.use_cpu=true", "without a GPU: a CPU does not train in float16. Set trainer.bf16=true"),
    ("trainer.bf16=true trainer.fp16=true", "set one of the two"),
    ("trainer.optim=foo", "trainer.optim = foo: TRL refuses it"),
    ("trainer.optim=galore_adamw", "trainer.optim = galore_adamw: You need to install `galore_torch`"),
    ("trainer.num_generations=1", "Set it to 2 or more"),
    ("trainer.max_completion_length=1020", "the model has 1024 positions. Set trainer.max_completion_length=10"),
    ("task.num_train=0", "must be at least 1 to train"),
    ("task.template=chat", "must be one of nano"),
    ("task=none.jsonl", "task.source = none.jsonl: no such file"),
    ("task=empty.jsonl", "empty.jsonl: holds no row"),
    ("task=rows.jsonl", "are unknown to the tokenizer of model = nano, which could not read it. Set another model"),
    ("task=rows.jsonl task.answer_field=gold", "has none of the columns gold; found ['answer', 'question']"),
    ("task=torn.json", "torn.json: not valid JSON"),
    ("task=lines.json", "call a file with one object a line .jsonl"),
    ("task=list.jsonl", "call a file that holds one list .json"),
    ("task=golds.jsonl", "none of its 4 golds can be judged (bad_gold: it says nothing), such as golds.jsonl, line 1"),
    ("task=same.jsonl", "each of its 4 training questions is also held out, such as '1 + 1?'"),
    ("task=numbers.jsonl", "Rows of Countdown: set task=countdown, and task.source to the file"),
    ("task=countdown task.source=numbers.jsonl", "are wanted: set task.num_train=4 task.num_test=1"),
    ("task=my/folder", "task.source = my/folder: cannot be read as a data set. Give a .parquet"),
    ("task=uneven.csv", "uneven.csv, line 2: the line has more or fewer values"),
    ("resume=nowhere", "nowhere: no run is there"),
    ("launch.num_processes=0", "must be at least 1, or null for every visible GPU"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with files of rows."""
    rows = [{"question": f"What is {number} + 2?", "answer": number + 2} for number in range(3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "torn.json").write_text("[{")
    (tmp_path / "lines.json").write_text((tmp_path / "rows.jsonl").read_text())
    (tmp_path / "list.jsonl").write_text(json.dumps(rows, indent=1))
    (tmp_path / "golds.jsonl").write_text('{"question": "1 + 1?", "answer": null}\n' * 5)
    (tmp_path / "same.jsonl").write_text('{"question": "1 + 1?", "answer": 2}\n' * 5)
    (tmp_path / "numbers.jsonl").write_text('{"nums": [1, 2, 3], "target": 6}\n' * 5)
    (tmp_path / "my" / "folder").mkdir(parents=True)
    (tmp_path / "uneven.csv").write_text("question,answer\n1 + 2, and 3?,6\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_is_answered_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    argv = ["train", *arguments.split(), *([] if "tracker" in arguments else ["tracker=none"]), "hydra.run.dir=run"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        train.main()
    assert str(ended.value).startswith("error: ")
    assert message in str(ended.value)
    assert "\n" not in str(ended.value)
    if "task=" in arguments:
        assert "Hub" not in str(ended.value)
    assert not (folder / "run" / "checkpoints").exists()
