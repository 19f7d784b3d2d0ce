"""Devices are claimed by one job at a time, and come back when it ends."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from r1zero.sweeping import devices as sweep_devices


def test_parallel_jobs_get_devices_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sweep_devices, "visible_devices", lambda: ["0", "1", "2", "3"])
    monkeypatch.setattr(sweep_devices.tempfile, "gettempdir", lambda: str(tmp_path))
    assert [sweep_devices.ranks_of_a_job(None, parallel) for parallel in (1, 2, 4, 8)] == [4, 2, 1, 1]
    assert sweep_devices.ranks_of_a_job(3, 4) == 3
    with sweep_devices.devices(2, 2) as one, sweep_devices.devices(2, 2) as other:
        assert (one, other) == ({"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"})
    with sweep_devices.devices(1, 4) as one, sweep_devices.devices(1, 4) as other:
        assert one != other
    monkeypatch.setattr(sweep_devices, "visible_devices", list)
    with sweep_devices.devices(1, 1) as alone:
        assert alone == {}


def test_too_few_free_devices_leave_all_free(tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        assert sweep_devices.claim(["0", "1", "2"], 2, tmp_path, first) == ["0", "1"]
        assert sweep_devices.claim(["0", "1", "2"], 2, tmp_path, second) == []
        assert sweep_devices.claim(["0", "1", "2"], 1, tmp_path, second) == ["2"]  # not kept by the failed claim
    with ExitStack() as later:
        assert sweep_devices.claim(["0", "1", "2"], 3, tmp_path, later) == ["0", "1", "2"]
