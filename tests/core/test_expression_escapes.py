"""Expressions reach nothing but what their values declare."""

from __future__ import annotations

import pytest

from tests.core.expression_values import Position, hostile_scope
from tickwork.core.conditions import compile_condition
from tickwork.core.expressions import compile_expression
from tickwork.errors import InvalidInput

# -- escapes


ESCAPES = [
    # attributes that lead out of the value
    "().__class__.__bases__[0].__subclasses__()", "[].__class__.__base__", "''.__class__.__mro__[1]", "foo.__dict__",
    "foo.__globals__", "foo.bar.__globals__", "foo.__init__.__globals__['sys']", "len.__self__", "len.__globals__",
    "fn.__code__", "fn.__closure__", "fn.__reduce__()", "print.__reduce__()", "foo.__reduce_ex__(2)", "fn.func_globals",
    "name._mapping", "level._hidden", "level['_hidden']", "level['__class__']", "level[dunder]", "foo['__class__']",
    "level.__struct_fields__", "position.__dataclass_fields__", "inner.model_fields", "inner.model_dump",
    "event.model_dump_json", "inner['model_fields']", "event.event_name", "event.replace", "event.__class__",
    "position.known", "position.secret", "level.secret", "level.method", "level.method()", "flag.real", "n.numerator",
    "n.bit_length", "n.to_bytes", "f.hex", "side.name.x", "at.year", "at.tzinfo", "foo.shown",
    # methods, above all those that look attributes up in texts
    "'{0.__class__}'.format(foo)", "'{0.__class__}'.format_map(foo)", "name.format(foo)", "name.format", "name.upper()",
    "'%s' % foo", "'%1000000000d' % 1", "name % 1", "f'{foo.__class__}'", "f'{n:1000000000}'", "rf'{n}'", "t'{n}'",
    "string.Formatter().format('{0.__class__}', foo)", "items.append(1)", "items.pop(0)", "items.sort", "d.items",
    "d.get('a')", "d.keys()", "d.__getitem__('a')", "''.join(items)", "items.__len__()",
    # frames
    "foo.bar().gi_frame.f_globals['__builtins__']", "gen.gi_frame", "gen.gi_code", "gen.gi_frame.f_back",
    "coro.cr_frame", "coro.cr_await", "error.__traceback__.tb_frame", "error.tb_frame", "error.with_traceback",
    "error.args", "error.name", "error.obj",
    # builtins and modules
    "__import__('os').system('id')", "__builtins__", "__builtins__['eval']", "__loader__", "__spec__", "eval('1')",
    "exec('1')", "compile('1', '', 'eval')", "open('/etc/passwd')", "getattr(foo, '__class__')", "vars(foo)",
    "dir(foo)",
    "globals()", "locals()", "type(foo)", "type('X', (), {})", "object", "super()", "setattr(foo, 'a', 1)", "hash(foo)",
    "breakpoint()", "help()", "input()", "print(1)", "id(foo)", "chr(65)", "repr(foo)", "str(foo)", "iter(items)",
    "map(fn, items)", "filter(fn, items)", "sorted(items, key=fn)", "range(10)", "os.system('id')", "os.environ",
    "os.path.os", "sys.modules", "np.load('x')", "np.f2py", "np.array", "arr.tofile('x')", "arr.dtype", "arr.ctypes",
    "arr[0]", "ast.parse", "operator.attrgetter('__class__')(foo)", "attrgetter(foo)", "functools.reduce",
    "string.Formatter", "asyncio.run(coro)", "foo()", "fn()", "fn(1)", "(fn)()", "items[0]()", "len(fn)(1)", "foo[0]",
    "foo.bar", "{{foo.bar}}", "{{foo.__class__}}", "{{__import__('os')}}", "{{os.system}}", "{{7*7}}",
    "{{''.__class__}}", "{% import os %}", "${7*7}", "#{7*7}", "{{foo|attr('__class__')}}", "{{foo['__class__']}}",
    # constructs
    "lambda: 1", "(lambda x: x)(1)", "[x for x in items]", "{x for x in items}", "(x for x in items)",
    "{x: x for x in items}", "[x for x in items for x.y in [1]]", "[0 for items[0] in [1]]", "(x := 1)", "x := 1",
    "x = 1", "x += 1", "del foo", "import os", "from os import system", "yield", "yield 1", "yield from items",
    "await coro", "async lambda: 1", "@fn", "@fn\nclass A: pass", "class A: pass", "def f(): pass", "return 1",
    "raise error", "assert foo", "global foo", "try: 1\nexcept* E: 2", "match foo: 1", "with foo: 1", "while true: 1",
    "pass", "n; n", "n\nn", "type X = 1", "len(*items)", "len(**d)", "[*items]", "{**d}", "abs(x=1)",
    "max(items, key=fn)",
    "items[0:1]", "items[::-1]", "items[...]", "...", "{1, 2}", "{'a': 1}", "1j", "b'x'", "u'x'", "r'x'", "~n", "n @ n",
    "n ^ 1", "n | 1", "+n", "n << 3", "n >> 1", "`n`", "n if n", "n ? n : n", "exec 'x'", "print n", "\\", "$x",
    "a\x00b", "'''x'''", "name[len]", "\uff47etattr(foo)", "foo.\uff3f\uff3fclass\uff3f\uff3f",
    "__\U0001d4b8lass__", "_\u200b_class__",
    # bombs
    "9 ** 9 ** 9 ** 9", "pow(9, 9 ** 9)", "2 << 10000000", "'x' * 1000000000", "1000000000 * 'x'", "[0] * 1000000000",
    "() * 9", "items * 9", "round(1, 1000000000)", "round(1, -1000000000)", "9" * 1000, "1e1000", "1e400 - 1e400",
    "long + long", "many + many", "huge * huge", "sum([huge, huge])", "round(decimal)", "abs(decimal) // 3",
    "decimal * decimal", "decimal % 7", "upper(long + 'x')", "*".join(["1" + "0" * 60] * 10), "(" * 5000, "[" * 5000,
    "-" * 5000, "not " * 400, "a." * 900, "{{" * 900, "f(" * 900, "'" + "\\" * 1001, "circle == circle",
    "deep == deeper",
]  # fmt: skip


@pytest.mark.parametrize("text", ESCAPES)
def test_every_known_escape_is_refused(text: str) -> None:
    """Collected from the issues and advisories of simpleeval, asteval and RestrictedPython, and of who used them."""
    scope = hostile_scope()
    with pytest.raises(InvalidInput):
        compile_expression(text)(scope)
    with pytest.raises(InvalidInput):
        compile_condition(text)(scope, missing="error")


def test_a_subclass_cannot_put_code_in_the_place_of_a_field() -> None:
    class Sly(Position):
        @property
        def entry_price(self) -> float:  # type: ignore[override]
            raise AssertionError("a property was read")

    sly = Sly.__new__(Sly)
    with pytest.raises(InvalidInput):
        compile_expression("sly.entry_price")({"sly": sly})
