"""A sandbox behind HTTP, for clusters that already run one: the protocol of bytedance/SandboxFusion's ``/run_code``.

The server only runs the program. Its output is compared with the expected one here, so that it is not the server that
says whether a program passed. How the server confines programs cannot be seen from here: `Confinement` says level 0.
"""

import base64
import binascii
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox import codec
from sandbox.result import Confinement, Result, Status
from sandbox.script import call_script

# For the server to answer, beyond the program's own time: it may have to queue.
ANSWER_S = 30.0
MAX_RESPONSE_BYTES = 64 << 20
ANSWER_FILE = "r1zero_answer_{token}.json"
CONFINEMENT = Confinement(0, ("a remote service",), ("levels 1 to 3: the server's business, not visible from here",))


class FusionSandbox:
    """Runs programs on a SandboxFusion server.

    Args:
        endpoint: Its address, such as ``http://host:8080``.
        timeout_s, memory_mb: Limits of a program for which `run` gives none.
    """

    def __init__(self, endpoint: str, timeout_s: float = 10.0, memory_mb: int = 512) -> None:
        self.url = endpoint.rstrip("/") + "/run_code"
        self.timeout_s, self.memory_mb = timeout_s, memory_mb

    def run(
        self, code: str, stdin: str = "", *, timeout_s: float | None = None, memory_mb: int | None = None
    ) -> Result:
        """Run ``code`` as a script; whatever goes wrong on the way there and back is an INFRASTRUCTURE_ERROR."""
        return self._post(code, stdin, timeout_s or self.timeout_s, memory_mb or self.memory_mb, [])[0]

    def call(
        self,
        code: str,
        entry: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        memory_mb: int | None = None,
    ) -> tuple[Result, tuple[str, Any] | None]:
        """Run ``code`` and then ``entry(*args, **kwargs)``, as `sandbox.Sandbox.call`."""
        name = ANSWER_FILE.format(token=secrets.token_hex(8))
        request = codec.encode({"code": code, "entry": entry, "args": list(args), "kwargs": dict(kwargs or {})})
        script = call_script(name)
        limits = (timeout_s or self.timeout_s, memory_mb or self.memory_mb)
        result, files = self._post(script, request, *limits, [name])
        return result, codec.read_answer(files.get(name, b""))

    def _post(
        self, code: str, stdin: str, timeout_s: float, memory_mb: int, fetch: list[str]
    ) -> tuple[Result, dict[str, bytes]]:
        body = {
            "code": code,
            "stdin": stdin,
            "language": "python",
            "run_timeout": timeout_s,
            "compile_timeout": timeout_s,
            "memory_limit_MB": memory_mb,
            "files": {},
            "fetch_files": fetch,
        }
        request = urllib.request.Request(
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s + ANSWER_S) as response:
                answer = json.loads(response.read(MAX_RESPONSE_BYTES))
            return read_response(answer)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = f"{self.url}: {type(error).__name__}: {error}"
            return Result(Status.INFRASTRUCTURE_ERROR, confinement=CONFINEMENT, error=reason), {}


def read_response(answer: Mapping[str, Any]) -> tuple[Result, dict[str, bytes]]:
    """The result in a ``RunCodeResponse``, and the files asked for.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: It is not one.
    """
    run = answer["run_result"]
    if answer["status"] == "SandboxError" or run is None or run["status"] == "Error":
        message = answer.get("message") or (run or {}).get("stderr") or "no run_result"
        return Result(Status.INFRASTRUCTURE_ERROR, confinement=CONFINEMENT, error=f"SandboxError: {message}"[:500]), {}
    exit_code, stderr = run.get("return_code"), run.get("stderr") or ""
    if run["status"] == "TimeLimitExceeded":
        status, exit_code = Status.TIMEOUT, None
    elif run["status"] != "Finished":
        raise ValueError(f"run_result.status = {run['status']!r}")
    elif exit_code == 0:
        status = Status.OK
    else:
        last_line = stderr.rstrip().rpartition("\n")[2]
        status = Status.MEMORY_LIMIT if "MemoryError" in last_line else Status.RUNTIME_ERROR
    try:
        files = {
            name: base64.b64decode(content, validate=True) for name, content in (answer.get("files") or {}).items()
        }
    except binascii.Error as error:
        raise ValueError(f"files: {error}") from error
    result = Result(
        status=status,
        stdout=run.get("stdout") or "",
        stderr=stderr,
        exit_code=exit_code,
        wall_s=float(run.get("execution_time") or 0.0),
        confinement=CONFINEMENT,
    )
    return result, files
