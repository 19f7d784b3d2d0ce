"""The other backends behind the same judge: a server with SandboxFusion's protocol, and bubblewrap."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rewards.code_tests import CodeTests, Runner, run_tests, verdict
from sandbox import Sandbox, SandboxUnavailableError, Status
from sandbox.bubblewrap import BubblewrapSandbox
from sandbox.fusion import FusionSandbox

CASES = [
    ({"type": "stdin", "tests": [{"stdin": "1 2", "expected": "3"}]}, "print(sum(map(int, input().split())))", 1.0),
    ({"type": "stdin", "tests": [{"stdin": "1 2", "expected": "3"}]}, "import os; os._exit(0)", 0.0),
    (
        {"type": "function", "entry": "f", "tests": [{"args": [2], "expected": [2, 2.5]}]},
        "def f(x): return x, 2.5",
        1.0,
    ),
    (
        {"type": "function", "entry": "f", "tests": [{"args": [2], "expected": 5}]},
        "import os\ndef f(x): os._exit(0)",
        0.0,
    ),
    ({"type": "assert", "entry": "f", "tests": ["assert f(f(1)) == 3"]}, "def f(x): return x + 1", 1.0),
    ({"type": "assert", "entry": "f", "tests": ["assert f(f(1)) == 3"]}, "import sys\ndef f(x): sys.exit(0)", 0.0),
    ({"type": "assert", "entry": "f", "tests": ["assert f(1) == 3"]}, "def f(x): raise ValueError", 0.0),
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server that speaks ``/run_code`` and runs programs in our own sandbox."""
    try:
        sandbox = Sandbox(workers=2)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = run_code(sandbox, body)
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    sandbox.close()


def run_code(sandbox: Sandbox, body: dict[str, Any]) -> dict[str, Any]:
    """SandboxFusion's RunCodeResponse. A file asked for is printed by the program, as ours keeps no files."""
    if body["code"] == "break the server":
        return {
            "status": "SandboxError",
            "message": "out of order",
            "compile_result": None,
            "run_result": None,
            "files": {},
        }
    mark = "\n--file--\n"
    tail = "".join(
        f"\nimport os\nif os.path.exists({n!r}): print({mark!r}, open({n!r}).read())" for n in body["fetch_files"]
    )
    limits = {"timeout_s": body["run_timeout"], "memory_mb": body["memory_limit_MB"]}
    result = sandbox.run(body["code"] + tail, body["stdin"], **limits)
    stdout, _, content = result.stdout.partition(mark)
    files = {n: base64.b64encode(content.strip().encode()).decode() for n in body["fetch_files"] if content}
    timed_out = result.status == Status.TIMEOUT
    return {
        "status": "Success" if result.status == Status.OK else "Failed",
        "message": "",
        "compile_result": None,
        "run_result": {
            "status": "TimeLimitExceeded" if timed_out else "Finished",
            "execution_time": result.wall_s,
            "return_code": None if timed_out else result.exit_code,
            "stdout": stdout,
            "stderr": result.stderr,
        },
        "files": files,
    }


def judge_cases(runner: Runner) -> None:
    for spec, code, score in CASES:
        report = run_tests(code, CodeTests.parse(spec), runner, timeout_s=20)
        assert verdict(report, "all").score == score, (spec, code)


def test_http_is_judged_by_the_same_judge(server: str) -> None:
    judge_cases(FusionSandbox(server))


def test_http_statuses(server: str) -> None:
    remote = FusionSandbox(server)
    assert remote.run("while True: pass", timeout_s=0.5).status == Status.TIMEOUT
    assert remote.run("1 / 0").status == Status.RUNTIME_ERROR
    assert remote.run("bytearray(1 << 34)").status == Status.MEMORY_LIMIT
    broken = remote.run("break the server")
    assert broken.status == Status.INFRASTRUCTURE_ERROR
    assert "out of order" in broken.error


def test_a_server_that_is_away_is_an_infrastructure_error() -> None:
    result = FusionSandbox("http://127.0.0.1:9").run("print(1)")
    assert result.status == Status.INFRASTRUCTURE_ERROR
    assert "127.0.0.1:9" in result.error


def test_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R1ZERO_TEST_TOKEN", "token-of-the-trainer")
    try:
        sandbox = BubblewrapSandbox()
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    judge_cases(sandbox)
    assert sandbox.run("import time; time.sleep(30)", timeout_s=0.5).status == Status.TIMEOUT
    assert sandbox.run("while True: print('x' * 1000)", timeout_s=20).status == Status.OUTPUT_LIMIT
    assert sandbox.run("bytearray(1 << 32)", timeout_s=20).status == Status.MEMORY_LIMIT
    look = "import os, glob; print(os.environ, glob.glob('/proc/*'), glob.glob('/home/*'), os.getuid())"
    printed = sandbox.run(look, timeout_s=20).stdout
    assert "token" not in printed
    assert "[] [] 65534" in printed
    forged = sandbox.run("import sys; sys.stderr.write('bwrap: out of order'); sys.exit(1)", timeout_s=20)
    assert forged.status == Status.RUNTIME_ERROR  # its own doing, whatever it writes
    monkeypatch.setattr(sandbox, "arguments", [*sandbox.arguments, "--bind", "/nowhere", "/nowhere"])
    assert sandbox.run("print(1)", timeout_s=20).status == Status.INFRASTRUCTURE_ERROR


def test_bubblewrap_writes_to_its_scratch_directory_only() -> None:
    try:
        sandbox = BubblewrapSandbox()
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    write = """for path in ("/x", "/dev/x", "/dev/shm/x", "/usr/lib/x", "/tmp/x"):
        try: open(path, "w"); print(path)
        except OSError: pass"""
    limits = "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_CPU)"
    assert "PermissionError" in sandbox.run(limits, timeout_s=20).stderr
    assert sandbox.run(write.replace("\n        ", "\n  "), timeout_s=20).stdout == "/tmp/x\n"


def test_bubblewrap_limits_the_number_of_processes_or_says_that_it_cannot() -> None:
    try:
        sandbox = BubblewrapSandbox()
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    bomb = """import os, time
for count in range(100):
    try: child = os.fork()
    except OSError: break
    if not child: time.sleep(5); os._exit(0)
print(count)"""
    started = int(sandbox.run(bomb, timeout_s=20).stdout)
    unlimited = any("limit on processes" in layer for layer in sandbox.confinement.missing)
    assert (started < 64) != unlimited
