"""A function call as one script that needs nothing of ours, for backends that start an interpreter for each program."""

import inspect

from sandbox import codec, codec_types, contest, conversation, remote, serving

_SCRIPT = """
import builtins, os, sys, types
package = sys.modules["sandbox"] = types.ModuleType("sandbox")
for name, text in {modules!r}.items():
    module = types.ModuleType("sandbox." + name)
    sys.modules[module.__name__] = module
    setattr(package, name, module)
    exec(compile(text, name + ".py", "exec"), module.__dict__)
codec = package.codec
request = codec.decode(sys.stdin.read())
module = types.ModuleType("solution")
module.__dict__["__builtins__"] = package.contest.builtins_with(package.contest.customary_names())
sys.setrecursionlimit(package.contest.FUNCTION_RECURSION)
sys.modules["solution"] = module
encode, leave, entry, failure = codec.encode, os._exit, request["entry"], None
try:
    package.contest.prepare()
    text = package.contest.place(request["code"], module.__dict__)
    exec(compile(text, "solution.py", "exec"), module.__dict__)
    function = package.serving.find(module.__dict__, entry)
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
    modules = (codec_types, codec, contest, remote, conversation, serving)
    texts = {module.__name__.rpartition(".")[2]: inspect.getsource(module) for module in modules}
    return _SCRIPT.format(modules=texts, target=target)
