"""A checkpoint of ZeRO shards for another number of ranks, by way of DeepSpeed's universal checkpoint.

Under ZeRO each rank writes its own part of the moments and of the float32 weights. DeepSpeed's converter puts the parts
together, a file for each weight, and any number of ranks can read those. They lie in the checkpoint, beside the parts.
"""

import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from r1zero.runs.checkpoints import other_ways, read_facts

log = logging.getLogger(__name__)

UNIVERSAL = "universal"
LATEST = "latest"  # DeepSpeed's file that names the folder with the shards
LOAD_UNIVERSAL: dict[str, Any] = {"checkpoint": {"load_universal": True}}  # to be added to a DeepSpeed config


def needs_resharding(checkpoint: Path | None, num_ranks: int) -> bool:
    """Whether the checkpoint is in shards that another number of ranks wrote."""
    if checkpoint is None:
        return False
    facts = read_facts(checkpoint)
    return bool(facts.get("zero_stage")) and facts["num_ranks"] != num_ranks


def reshard(checkpoint: Path) -> None:
    """Write what any number of ranks can read; one process calls it, before any rank loads.

    What is there already is written anew: it may be half of what a killed process was at.

    Raises:
        ValueError: DeepSpeed cannot convert it (it knows Adam's moments alone), or the disk is full.
    """
    log.info("%s holds ZeRO shards of another number of ranks: they are put together first.", checkpoint)
    shutil.rmtree(checkpoint / UNIVERSAL, ignore_errors=True)
    (checkpoint / f"{LATEST}_{UNIVERSAL}").unlink(missing_ok=True)
    shards = checkpoint / (checkpoint / LATEST).read_text().strip()
    converter = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--inject_missing_state"]
    folders = ["--input_folder", str(shards), "--output_folder", str(checkpoint / UNIVERSAL)]
    done = subprocess.run([*converter, *folders], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = next(iter(done.stderr.strip().splitlines()[-1:]), f"exit code {done.returncode}")
        raise ValueError(f"{checkpoint}: DeepSpeed cannot put its shards together ({reason}). {other_ways(checkpoint)}")
