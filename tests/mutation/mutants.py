"""Mutants of a Python module: one place changed, in every way that could be a mistake and that a test could see.

What is **not** mutated, because no test of behaviour could or should see it:

* docstrings, imports, `__all__`, the cause of an exception (``from None``);
* annotations and aliases of types, which mypy checks; what msgspec reads in one (`Meta`) is mutated;
* sentences for people in a ``raise``: every constant with a blank in it;
* `cache`, which changes how fast the answer is there and not what it is;
* a shortcut: what is assigned to a name with ``usual`` in it, and ``if False`` over such a name. The long way says the
  same; that the shortcut takes no more than the long way would, is tested;
* ``usedforsecurity`` of a digest, which only another build of OpenSSL reads;
* ``strict`` of `zip`, ``frozen`` and ``kw_only`` of a struct: they stop a programmer, and no input reaches them.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

#: What each comparison becomes: its neighbour, and its opposite.
COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
#: What each calculation becomes; ``|``, ``&``, ``-`` and ``^`` are those of sets, too.
CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitAnd,
}
#: Functions and methods that are taken for one another.
CONFUSED = {
    one: other
    for pair in (
        ("min", "max"),
        ("any", "all"),
        ("startswith", "endswith"),
        ("lstrip", "rstrip"),
        ("partition", "rpartition"),
        ("removeprefix", "removesuffix"),
        ("fullmatch", "match"),
        ("union", "intersection"),
        ("issubset", "issuperset"),
        ("And", "Or"),
    )
    for one, other in (pair, pair[::-1])
} | {"sorted": "list", "casefold": "lower"}

#: Class keywords and arguments that stop a programmer only; see above.
UNSEEN = frozenset({"frozen", "kw_only", "strict", "usedforsecurity"})
CACHES = frozenset({"cache", "lru_cache", "cached_property"})
#: In the name of what is tried first because it is quick; see above.
SHORTCUT = "usual"
#: What makes the value of an assignment a type.
TYPES = frozenset({"Literal", "Callable", "TypeVar", "Annotated", "NewType", "tuple", "dict", "list"})


class Mutant(NamedTuple):
    """One change of one file: `plant` makes it in the tree it was found in."""

    file: str
    line: int
    last: (
        int  # lines from `line` to here are the place's own: tests that reach one of them can see the change
    )
    operator: str
    before: str
    after: str
    holder: Any  # the node, or the list of nodes, that holds the place
    slot: Any  # name of the field or index
    new: Any
    twin: int = 0  # how many of the same line read the same

    @property
    def name(self) -> str:
        """As it is reported."""
        which = f" ({self.twin + 1})" if self.twin else ""
        return f"{self.file}:{self.line}:{self.operator}: {self.before} -> {self.after}{which}"

    def plant(self, tree: ast.Module) -> ast.Module:
        """The tree it was found in, changed for good."""
        if isinstance(self.holder, list):
            self.holder[self.slot] = self.new
        else:
            setattr(self.holder, self.slot, self.new)
        return ast.fix_missing_locations(tree)


def mutants(tree: ast.Module, file: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines; the tree itself is left as it is."""
    seen: Counter[str] = Counter()
    for holder, slot, node, in_raise in _places(tree, False):
        line = (
            getattr(node, "lineno", None) or node.pattern.lineno
        )  # a case of a match has no line of its own
        for operator, new in _changes(node, in_raise):
            shown = _shown(node), "nothing" if isinstance(new, ast.Pass) else _shown(new)
            mutant = Mutant(file, line, _last(node), operator, *shown, holder, slot, new)
            yield mutant._replace(twin=seen[mutant.name])
            seen[mutant.name] += 1


def _last(node: Any) -> int:
    """The last line of the place's own: of a block, that of its head."""
    body = getattr(node, "body", None)
    if isinstance(body, list):
        first = int(body[0].lineno)
        return max(int(node.lineno), first - 1) if hasattr(node, "lineno") else first
    return int(getattr(node, "end_lineno", None) or node.lineno)


def _shown(node: Any) -> str:
    """The place in one line: of a block, its head."""
    text = ast.unparse(node).strip()
    text = text.partition("\n")[0] if isinstance(node, ast.stmt | ast.match_case) else text.replace("\n", " ")
    return text if len(text) <= 120 else f"{text[:117]}..."


# --- places -----------------------------------------------------------------------------------------------------------


def _places(node: ast.AST, in_raise: bool) -> Iterator[tuple[Any, Any, Any, bool]]:
    """Holder, slot and node of every place below ``node`` that is mutated, and whether it is in a ``raise``."""
    for name, value in ast.iter_fields(node):
        for holder, slot, child in _slots(node, name, value):
            if not isinstance(child, ast.AST) or _left_alone(node, name, child):
                continue
            below = in_raise or isinstance(child, ast.Raise)
            if name in ("annotation", "returns"):
                calls = (each for each in ast.walk(child) if isinstance(each, ast.Call))
                for call in calls:  # `Annotated[int, Meta(ge=0)]`
                    yield from _places(call, below)
                continue
            if isinstance(child, ast.expr | ast.stmt | ast.match_case | ast.pattern):
                yield holder, slot, child, in_raise
            yield from _places(child, below)


def _slots(node: ast.AST, name: str, value: Any) -> Iterator[tuple[Any, Any, Any]]:
    if isinstance(value, list):
        yield from ((value, index, child) for index, child in enumerate(value))
    else:
        yield node, name, value


def _left_alone(parent: ast.AST, name: str, node: ast.AST) -> bool:
    """Whether nothing from this node down is mutated: the list in the module's docstring."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.expr_context() | ast.operator() | ast.cmpop():
            return True
        case ast.Expr(value=ast.Constant()):  # a docstring
            return True
        case ast.Assign(targets=[ast.Name(id=target)]) if SHORTCUT in target.lower():
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.Assign(value=ast.Subscript(value=ast.Name(id=made)) | ast.Call(func=ast.Name(id=made))):
            return made in TYPES
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.keyword(arg=str(arg)):
            return arg in UNSEEN
    if isinstance(parent, ast.Raise) and name == "cause":
        return True
    if name == "decorator_list":
        return isinstance(node, ast.Name) and node.id in CACHES
    return name in ("bases", "type_params") or (name == "func" and isinstance(node, ast.Name))


# --- changes ----------------------------------------------------------------------------------------------------------


def _changes(node: ast.AST, in_raise: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(node, ast.expr):
        yield from _of_expression(node, in_raise)
    elif isinstance(node, ast.stmt):
        yield from _of_statement(node)
    else:
        yield from _of_match(node)


def _with(node: Any, **fields: Any) -> Any:
    """A copy of the node with other fields."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _without(items: list[Any]) -> Iterator[list[Any]]:
    """The list without each of its items."""
    return (items[:place] + items[place + 1 :] for place in range(len(items)))


def _of_expression(node: ast.expr, in_raise: bool) -> Iterator[tuple[str, Any]]:
    match node:
        case ast.Constant(value=value):
            if not (in_raise and isinstance(value, str) and " " in value):
                yield from (("constant", _with(node, value=other)) for other in _constants(value))
        case ast.Compare(ops=ops, comparators=comparators):
            for place, op in enumerate(ops):
                for turned in COMPARED[type(op)]:
                    yield "comparison", _with(node, ops=[*ops[:place], turned(), *ops[place + 1 :]])
            if len(ops) > 1:
                yield "comparison", _with(node, ops=ops[:-1], comparators=comparators[:-1])
                yield "comparison", _with(node, left=comparators[0], ops=ops[1:], comparators=comparators[1:])
        case ast.BoolOp(op=op, values=values):
            yield "and-or", _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            for rest in _without(values):
                yield "operand", rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield "sign", operand
        case ast.BinOp(op=op):
            if type(op) in CALCULATED:
                yield "calculation", _with(node, op=CALCULATED[type(op)]())
        case (
            ast.Tuple(elts=items, ctx=ast.Load()) | ast.List(elts=items, ctx=ast.Load()) | ast.Set(elts=items)
        ):
            if len(items) > 1 or not isinstance(node, ast.Set):
                yield from (("item", _with(node, elts=rest)) for rest in _without(items))
        case ast.Dict(keys=keys, values=values):
            for place in range(len(keys)):
                rest = [keys[:place] + keys[place + 1 :], values[:place] + values[place + 1 :]]
                yield "item", _with(node, keys=rest[0], values=rest[1])
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            for place, each in enumerate(node.generators):
                for rest in _without(each.ifs):
                    generators = list(node.generators)
                    generators[place] = _with(each, ifs=rest)
                    yield "condition", _with(node, generators=generators)
        case ast.IfExp(body=body, orelse=orelse):
            yield "condition", body
            yield "condition", orelse
        case ast.Lambda():
            yield "result", _with(node, body=ast.Constant(None))
        case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper) as cut):
            if lower is not None:
                yield "slice", _with(node, slice=_with(cut, lower=None))
            if upper is not None:
                yield "slice", _with(node, slice=_with(cut, upper=None))
        case ast.Call(func=called, args=args, keywords=keywords):
            if isinstance(called, ast.Name) and called.id in CONFUSED:
                yield "function", _with(node, func=_with(called, id=CONFUSED[called.id]))
            if isinstance(called, ast.Attribute) and called.attr in CONFUSED:
                yield "function", _with(node, func=_with(called, attr=CONFUSED[called.attr]))
            if args and not in_raise:
                yield "argument", _with(node, args=args[:-1])
            for place, keyword in enumerate(keywords):
                if keyword.arg not in UNSEEN:
                    yield "argument", _with(node, keywords=keywords[:place] + keywords[place + 1 :])


def _constants(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
        if value > 0:
            yield value - 1
    elif isinstance(value, str):
        yield f"{value}~q"
    elif isinstance(value, bytes):
        yield value + b"~q"
    elif value is None:
        yield 1


def _of_statement(node: ast.stmt) -> Iterator[tuple[str, Any]]:
    match node:
        case ast.Return(value=ast.expr() as value):
            if not (isinstance(value, ast.Constant) and value.value is None):
                yield "result", _with(node, value=ast.Constant(None))
            if isinstance(value, ast.Compare | ast.BoolOp | ast.UnaryOp) or _is_call_of(value, "any", "all"):
                yield "result", _with(node, value=ast.Constant(True))
                yield "result", _with(node, value=ast.Constant(False))
        case ast.Raise():
            yield "raise", ast.Pass()
        case ast.Expr():
            yield "statement", ast.Pass()
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            if not isinstance(value, ast.Constant):
                yield "assignment", _with(node, value=ast.Constant(None))
        case ast.AugAssign(op=op):
            yield "statement", ast.Pass()
            if type(op) in CALCULATED:
                yield "calculation", _with(node, op=CALCULATED[type(op)]())
        case ast.If(test=test):
            yield "condition", _with(node, test=ast.Constant(True))
            if not any(isinstance(each, ast.Name) and SHORTCUT in each.id.lower() for each in ast.walk(test)):
                yield "condition", _with(node, test=ast.Constant(False))
        case ast.While():
            yield "condition", _with(node, test=ast.Constant(False))
        case ast.For(iter=iterated):
            yield "condition", _with(node, iter=ast.copy_location(ast.Tuple([], ast.Load()), iterated))
        case ast.Continue():
            yield "jump", ast.Break()
            yield "jump", ast.Pass()
        case ast.Break():
            yield "jump", ast.Continue()
            yield "jump", ast.Pass()
        case ast.Try(body=body, handlers=handlers):
            for rest in _without(handlers):
                kept = rest or node.finalbody
                yield "handler", _with(node, handlers=rest) if kept else ast.If(ast.Constant(True), body, [])
        case ast.With(body=body):
            yield "handler", ast.If(ast.Constant(True), body, [])
        case ast.Match(cases=cases) if len(cases) > 1:
            yield from (("case", _with(node, cases=rest)) for rest in _without(cases))
        case ast.FunctionDef(decorator_list=decorators):
            for place, each in enumerate(decorators):
                if not (isinstance(each, ast.Name) and each.id in CACHES):
                    rest = decorators[:place] + decorators[place + 1 :]
                    yield "decorator", _with(node, decorator_list=rest)


def _of_match(node: ast.AST) -> Iterator[tuple[str, Any]]:
    match node:
        case ast.match_case(guard=ast.expr()):
            yield "condition", _with(node, guard=None)
        case ast.MatchOr(patterns=patterns):
            for rest in _without(patterns):
                yield "case", rest[0] if len(rest) == 1 else _with(node, patterns=rest)


def _is_call_of(node: ast.expr, *names: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
