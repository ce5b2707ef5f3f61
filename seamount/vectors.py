"""Vectors of 32 float32 for compiled loops: what numba has no words for.

A loop over 32 neurons at a time keeps their states in registers through all steps, which no loop over single neurons
is compiled to. Every operation is one of LLVM's on vectors; a machine whose vectors are narrower takes several.
Memory holds float32 or bf16, the latter seen as its 16 bits, because numpy does not know it.

numba keeps compiled kernels on disk, and looks at a kernel's own file alone: where something changes here, theirs
have to be touched.
"""

# mypy: ignore-errors
# (numba types these)

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model
from numba.np import arrayobj

from seamount.compiled import has_avx512

LANES = 32
"""Two of the widest vectors: each waits for its own results while the other computes."""


class _Vector(types.Type):
    """Values of one LLVM type."""

    def __init__(self, element: ir.Type) -> None:
        super().__init__(name=f"vector of {LANES} x {element}")
        self.vector = ir.VectorType(element, LANES)


@register_model(_Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: _Vector) -> None:
        super().__init__(manager, fe_type, fe_type.vector)


LINE = 16
"""float32 in a line of the cache."""

_SHORT, _INT, _FLOAT = ir.IntType(16), ir.IntType(32), ir.FloatType()
_SHORTS, _INTS = ir.VectorType(_SHORT, LANES), ir.VectorType(_INT, LANES)
FLOATS, MASK = _Vector(_FLOAT), _Vector(ir.IntType(1))


def _all(value: float, element: ir.Type = _INT) -> Any:
    return ir.Constant(ir.VectorType(element, LANES), [value] * LANES)


def _two(result: types.Type, emit: Callable[[Any, Any, Any], Any]) -> Any:
    """An operation on two vectors."""

    @intrinsic
    def op(typing_context: Any, a: Any, b: Any) -> Any:
        return result(FLOATS, FLOATS), lambda context, builder, signature, args: emit(builder, *args)

    return op


def _of_llvm(name: str) -> Any:
    """One of LLVM's own functions of a vector."""

    @intrinsic
    def op(typing_context: Any, a: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(FLOATS.vector, [FLOATS.vector])
            return builder.call(builder.module.declare_intrinsic(f"llvm.{name}.v{LANES}f32", (), kind), args)

        return FLOATS(FLOATS), codegen

    return op


magnitude, root = _of_llvm("fabs"), _of_llvm("sqrt")
larger = _two(FLOATS, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


def _operators() -> None:
    """+ - * / > of two vectors."""
    emitted = {
        operator.add: (FLOATS, lambda builder, a, b: builder.fadd(a, b)),
        operator.sub: (FLOATS, lambda builder, a, b: builder.fsub(a, b)),
        operator.mul: (FLOATS, lambda builder, a, b: builder.fmul(a, b)),
        operator.truediv: (FLOATS, lambda builder, a, b: builder.fdiv(a, b)),
        operator.gt: (MASK, lambda builder, a, b: builder.fcmp_ordered(">", a, b)),
    }
    for symbol, (result, emit) in emitted.items():
        _operator(symbol, _two(result, emit))


def _operator(symbol: Any, op: Any) -> None:
    @overload(symbol, inline="always")
    def _(a, b):  # numba compares names and kinds of arguments, annotations included
        return (lambda a, b: op(a, b)) if a is FLOATS and b is FLOATS else None


_operators()


@intrinsic
def spread(typing_context: Any, value: Any) -> Any:
    """A float32 in every lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.insert_element(ir.Constant(FLOATS.vector, ir.Undefined), args[0], ir.Constant(_INT, 0))
        return builder.shuffle_vector(one, one, _all(0))

    return FLOATS(types.float32), codegen


@intrinsic
def choose(typing_context: Any, mask: Any, a: Any, b: Any) -> Any:
    """a where the mask is set, else b."""
    return FLOATS(MASK, FLOATS, FLOATS), lambda context, builder, signature, args: builder.select(*args)


def _polynomial(builder: Any, x: Any, coefficients: tuple[float, ...]) -> Any:
    """By Horner's rule, the highest power first."""
    kind = ir.FunctionType(FLOATS.vector, [FLOATS.vector] * 3)
    times_plus = builder.module.declare_intrinsic(f"llvm.fmuladd.v{LANES}f32", (), kind)
    value = _all(coefficients[0], _FLOAT)
    for c in coefficients[1:]:
        value = builder.call(times_plus, [value, x, _all(c, _FLOAT)])
    return value


@intrinsic
def exp2_negative(typing_context: Any, x: Any) -> Any:
    """2**x for -126 <= x <= 0, to 2 units in the last place."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (x,) = args
        # so large that its last place is 1: what is added is rounded to a whole number, with which its bits end
        large = _all(1.5 * 2**23, _FLOAT)
        shifted = builder.fadd(x, large)
        rest = builder.fsub(x, builder.fsub(shifted, large))
        # least relative error of 2**rest for -1/2 <= rest <= 1/2
        p = _polynomial(builder, rest, (0.001326697, 0.00967546, 0.055507425, 0.24022122, 0.69314694, 1.0))
        exponent = builder.shl(builder.bitcast(shifted, _INTS), _all(23))
        return builder.bitcast(builder.add(builder.bitcast(p, _INTS), exponent), FLOATS.vector)

    return FLOATS(FLOATS), codegen


def _place(context: Any, builder: Any, signature: Any, args: Any, element: ir.Type) -> Any:
    """Of the vector at a place of a contiguous array, whatever its shape."""
    data = arrayobj.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), ir.VectorType(element, LANES).as_pointer())


@intrinsic
def load(typing_context: Any, array: Any, at: Any) -> Any:
    """Values from a place of a contiguous array, whatever its shape, of float32 or of bf16 as uint16."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        half = signature.args[0].dtype == types.uint16
        values = builder.load(_place(context, builder, signature, args, _SHORT if half else _FLOAT))
        values.align = 2 if half else 4
        if not half:
            return values
        return builder.bitcast(builder.shl(builder.zext(values, _INTS), _all(16)), FLOATS.vector)

    return FLOATS(array, types.int64), codegen


@intrinsic
def store(typing_context: Any, array: Any, at: Any, values: Any) -> Any:
    """Values to a place, of the array's kind; a bf16 is the nearest one, ties to even."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = args[2]
        if signature.args[0].dtype == types.float32:
            builder.store(values, _place(context, builder, signature, args, _FLOAT)).align = 4
            return context.get_dummy_value()
        bits = builder.bitcast(values, _INTS)
        odd = builder.and_(builder.lshr(bits, _all(16)), _all(1))
        nearest = builder.add(builder.add(bits, _all(0x7FFF)), odd)
        short = builder.trunc(builder.lshr(nearest, _all(16)), _SHORTS)
        builder.store(short, _place(context, builder, signature, args, _SHORT)).align = 2
        return context.get_dummy_value()

    return types.void(array, types.int64, FLOATS), codegen


@intrinsic
def store_spikes(typing_context: Any, array: Any, at: Any, mask: Any) -> Any:
    """1 where the mask is set, else 0, to a place, of the array's kind."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        half = signature.args[0].dtype == types.uint16
        element, one, zero = (_SHORT, 0x3F80, 0) if half else (_FLOAT, 1.0, 0.0)
        values = builder.select(args[2], _all(one, element), _all(zero, element))
        builder.store(values, _place(context, builder, signature, args, element)).align = 2 if half else 4
        return context.get_dummy_value()

    return types.void(array, types.int64, MASK), codegen


@intrinsic
def copy_line(typing_context: Any, to: Any, at: Any, array: Any, start: Any) -> Any:
    """Copies 16 values from a place of an array of float32 or of bf16 to one of an array of float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        half = signature.args[2].dtype == types.uint16
        places = [(signature.args[k], args[k], args[k + 1]) for k in (0, 2)]
        to, start = (builder.gep(arrayobj.make_array(kind)(context, builder, a).data, [at]) for kind, a, at in places)
        ints = ir.VectorType(_INT, LINE)
        kind = ir.VectorType(_SHORT, LINE) if half else ints
        values = builder.load(builder.bitcast(start, kind.as_pointer()), align=2 if half else 4)
        if half:
            values = builder.shl(builder.zext(values, ints), ir.Constant(ints, [16] * LINE))
        builder.store(values, builder.bitcast(to, ints.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(to, types.int64, array, types.int64), codegen


@intrinsic(prefer_literal=True)
def add_from(
    typing_context: Any, sums: Any, at: Any, up: Any, room: Any, start: Any, down: Any, places: Any, n: Any,
    n_rows: Any, n_lines: Any,
) -> Any:  # fmt: skip
    """Adds to ``n_lines`` cache lines of ``sums`` from ``at`` on those of ``room`` from start + each of n places on.

    So for ``n_rows`` rows at once, each ``up`` further on in ``sums`` and ``down`` in ``room``; both numbers stand in
    the source, so that the sums stay in registers. Contiguous arrays of float32; places int32.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, at, up, _, start, down, _, n, _, _ = args
        kind = ir.VectorType(_FLOAT, LINE)

        def data(k: int) -> Any:
            return arrayobj.make_array(signature.args[k])(context, builder, args[k]).data

        def line(base: Any, at: Any) -> Any:
            return builder.bitcast(builder.gep(base, [at]), kind.as_pointer())

        whole = ir.IntType(64)
        rows, lines = (signature.args[k].literal_value for k in (8, 9))
        steps = [(row, whole(LINE * k)) for row in range(rows) for k in range(lines)]
        into, found, listed = data(0), data(3), data(6)
        ends = [line(into, builder.add(builder.add(at, builder.mul(up, whole(row))), k)) for row, k in steps]
        begins = [builder.add(builder.add(start, builder.mul(down, whole(row))), k) for row, k in steps]
        held = [cgutils.alloca_once(builder, kind) for _ in steps]
        for end, sum_ in zip(ends, held, strict=True):
            builder.store(builder.load(end, align=4), sum_)
        with cgutils.for_range(builder, n) as loop:
            place = builder.sext(builder.load(builder.gep(listed, [loop.index])), whole)
            for begin, sum_ in zip(begins, held, strict=True):
                value = builder.load(line(found, builder.add(begin, place)), align=4)
                builder.store(builder.fadd(builder.load(sum_), value), sum_)
        for end, sum_ in zip(ends, held, strict=True):
            builder.store(builder.load(sum_), end, align=4)
        return context.get_dummy_value()

    wide = types.int64
    return types.void(sums, wide, wide, room, wide, wide, places, wide, n_rows, n_lines), codegen


@intrinsic
def set_bits(typing_context: Any, array: Any, at: Any) -> Any:
    """An int32 whose bits say which of the values from a place are not 0, the first one's the lowest."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = _SHORT if signature.args[0].dtype == types.uint16 else _INT
        values = builder.load(_place(context, builder, signature, args, element))
        values.align = element.width // 8
        return builder.bitcast(builder.icmp_unsigned("!=", values, _all(0, element)), _INT)

    return types.int32(array, types.int64), codegen


@njit(inline="always")
def aligned(n):
    """Room for n float32 that begins with a line of the cache: a vector across two lines costs twice.

    Its slices of whole lines are aligned, too. What stands in it is anything.
    """
    room = np.empty(n + LINE, np.float32)
    first = (-room.ctypes.data % (4 * LINE)) // 4
    return room[first : first + n]


@intrinsic
def pack(
    typing_context: Any, found: Any, end: Any, words: Any, words_at: Any, values: Any, values_at: Any, bit: Any
) -> Any:
    """Writes those of 32 values whose words have a bit set, side by side from a place of ``found`` on.

    Contiguous arrays of int32, whatever their shapes; ``found`` has room for all of them. No branch depends on the
    words, because none could be foretold.

    Returns:
        The place behind what was written.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found, end, words, words_at, values, values_at, bit = args

        def place(kind: Any, array: Any, at: Any, lanes: int) -> Any:
            data = arrayobj.make_array(kind)(context, builder, array).data
            return builder.bitcast(builder.gep(data, [at]), ir.VectorType(_INT, lanes).as_pointer())

        kinds = signature.args[0], signature.args[2], signature.args[4]
        lanes = 16 if has_avx512() else 1
        vector = ir.VectorType(_INT, lanes)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), builder.shl(_INT(1), bit), _INT(0))
        asked = builder.shuffle_vector(one, one, ir.Constant(vector, [0] * lanes))
        for k in range(0, LANES, lanes):
            here = [builder.add(at, ir.IntType(64)(k)) for at in (words_at, values_at)]
            word = builder.load(place(kinds[1], words, here[0], lanes), align=4)
            value = builder.load(place(kinds[2], values, here[1], lanes), align=4)
            mask = builder.icmp_unsigned("!=", builder.and_(word, asked), ir.Constant(vector, [0] * lanes))
            if lanes > 1:
                kind = ir.FunctionType(vector, [vector, vector, ir.VectorType(ir.IntType(1), lanes)])
                compress = builder.module.declare_intrinsic("llvm.x86.avx512.mask.compress.v16i32", (), kind)
                # to a register and from there to memory, because Zen 4 takes 100 times as long for both at once
                value = builder.call(compress, [value, ir.Constant(vector, [0] * lanes), mask])
            builder.store(value, place(kinds[0], found, end, lanes), align=4)
            set_now = builder.ctpop(builder.bitcast(mask, ir.IntType(lanes)))
            end = builder.add(end, builder.zext(set_now, ir.IntType(64)))
        return end

    return types.int64(found, types.int64, words, types.int64, values, types.int64, types.int32), codegen
