"""The program that runs assert tests: source text for a sandbox, without model code in it.

In place of the function under test stands a table of its results. For a call that is not in the table it returns
`Anything`, a value that agrees with everything, so that the rest of a test goes on to name the calls it will make; a
pass in which that happened is never a verdict.

A test must not evaluate text that the program returns (`eval(candidate(x))`): that would run the program in this
process, where it could make every test pass.
"""

CHECK_PROGRAM = '''
import ast
import builtins
import copy

from sandbox import codec


class Anything:
    """Agrees with whatever a test expects."""

    def _self(self, *args, **kwargs):
        return self

    def _true(self, *args, **kwargs):
        return True

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = _true
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __getitem__ = _self
    __floordiv__ = __mod__ = __pow__ = __neg__ = __abs__ = __round__ = __call__ = __getattr__ = _self
    __hash__ = object.__hash__
    __int__ = __index__ = __len__ = lambda self: 0
    __float__ = lambda self: 0.0
    __str__ = __repr__ = lambda self: ""
    __iter__ = lambda self: iter(())
    __deepcopy__ = __copy__ = _self


class Asserts(ast.NodeTransformer):
    """Makes ``assert x`` into ``__holds__(x)``."""

    def visit_Assert(self, node):
        name = ast.Name("__holds__", ast.Load())
        return ast.copy_location(ast.Expr(ast.Call(name, [node.test], [])), node)


class Died(BaseException):
    """The program ended without a value."""


def check(setup, tests, entry, known):
    """([(outcome, detail)], calls that are not in ``known``, calls whose arguments cannot be carried)."""
    wanted, impossible = {}, []

    def candidate(*args, **kwargs):
        key = codec.encode([list(args), kwargs])
        if key in known:
            kind, value = known[key]
            if kind == "value":
                return copy.deepcopy(value)
            # StopIteration would end a loop of the test's instead of failing it.
            raise getattr(builtins, value) if kind == "raised" and value != "StopIteration" else Died
        if known and any(mark in key for mark in (\'["o","Opaque"]\', \'["o","nested too deep"]\')):
            raise Died  # the program's own value, passed back to it
        if \'["o",\' not in key:
            wanted.setdefault(key, [list(args), kwargs])
        elif \'["o","Anything"]\' not in key:  # what came of `Anything` is not what the test will pass
            impossible.append(f"{entry}({\', \'.join(type(arg).__name__ for arg in args)})")
        return Anything()

    def holds(value):
        # With a call unanswered, a test that seems to fail goes on to its next call.
        if not value and not wanted and not impossible:
            raise AssertionError

    namespace = {"__name__": "tests", "__holds__": holds}
    exec(compile(setup, "setup", "exec"), namespace)
    outcomes = []
    for test in tests:
        namespace[entry] = namespace["candidate"] = candidate
        try:
            tree = ast.fix_missing_locations(Asserts().visit(ast.parse(test)))
            code = compile(tree, "test", "exec")
        except (SyntaxError, ValueError) as error:
            outcomes.append(["broken", f"a test does not compile: {error}"])
            continue
        try:
            exec(code, namespace)
            outcomes.append(["pass", ""])
        except BaseException as error:
            outcomes.append(["fail", f"{type(error).__name__}: {error}"[:200]])
    return outcomes, list(wanted.values()), impossible
'''
