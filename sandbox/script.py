"""A function call as one script that needs nothing of ours, for backends that start an interpreter for each program."""

import inspect

from sandbox import codec

_SCRIPT = """
import builtins, os, sys, types
package, codec = types.ModuleType("sandbox"), types.ModuleType("sandbox.codec")
package.codec = codec
sys.modules.update({{"sandbox": package, "sandbox.codec": codec}})
exec(compile({codec_source!r}, "codec.py", "exec"), codec.__dict__)
request = codec.decode(sys.stdin.read())
module = types.ModuleType("solution")
sys.modules["solution"] = module
encode, leave, entry, failure = codec.encode, os._exit, request["entry"], None
try:
    exec(compile(request["code"], "solution.py", "exec"), module.__dict__)
    space = module.__dict__
    function = space.get(entry) or getattr(space["Solution"](), entry)
    answer = ["v", function(*request["args"], **request["kwargs"])]
except Exception as error:
    failure = error
    answer = ["e", next(base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins")]
with open({target!r}, "w") as file:
    file.write(encode(answer))
if failure is not None:
    raise failure
"""


def call_script(target: str | int) -> str:
    """Source that reads a request (code, entry, args, kwargs) from stdin and writes the answer to ``target``.

    ``target`` is a file name or a descriptor; `codec.read_answer` reads what was written.
    """
    return _SCRIPT.format(codec_source=inspect.getsource(codec), target=target)
