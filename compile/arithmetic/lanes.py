"""Vectors of 32 lanes for compiled loops: what numba has no words for.

A loop over 32 neurons at a time keeps their states in registers through all steps, which no loop over single neurons
is compiled to. Every operation is one of LLVM's on vectors; a machine whose vectors are narrower takes several.

numba keeps compiled kernels on disk, and looks at a kernel's own file alone: where something changes here, theirs
have to be touched.
"""

# mypy: ignore-errors
# (numba types these)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numba.np import arrayobj

from seamount.compiled import has_avx512

LANES = 32
"""Two of the widest vectors: each waits for its own results while the other computes."""

_NATIVE = 16


class _Lanes(types.Type):
    """Values of one LLVM type."""

    def __init__(self, element: ir.Type, n: int = LANES) -> None:
        super().__init__(name=f"{n} x {element}")
        self.vector = ir.VectorType(element, n)


@register_model(_Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: _Lanes) -> None:
        super().__init__(manager, fe_type, fe_type.vector)


_BIT, _BYTE, _SHORT, _INT = (ir.IntType(bits) for bits in (1, 8, 16, 32))
_FLOAT, _DOUBLE = ir.FloatType(), ir.DoubleType()
INTS, FLOATS, MASK = _Lanes(_INT), _Lanes(_FLOAT), _Lanes(_BIT)
_DOUBLES = ir.VectorType(_DOUBLE, LANES)

TOWARDS_ZERO = 3 | 8
"""As AVX-512's operations take it: rounding towards zero, and no exceptions."""


WIDE = 256 if has_avx512() else 128
"""16-bit values of eight registers: no more, so that sums stay in them while rows are added."""


def _constant(builder: Any, value: int, element: ir.Type) -> Any:
    return ir.Constant(ir.VectorType(element, LANES), [value] * LANES)


def _operation(result: types.Type, given: types.Type, emit: Callable[[Any, Any, Any], Any]) -> Any:
    """Of two vectors."""

    @intrinsic
    def op(typing_context: Any, a: Any, b: Any) -> Any:
        return result(given, given), lambda context, builder, signature, args: emit(builder, *args)

    return op


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


plus = _operation(INTS, INTS, lambda builder, a, b: builder.add(a, b))
minus = _operation(INTS, INTS, lambda builder, a, b: builder.sub(a, b))
smaller = _operation(INTS, INTS, _smaller)
larger = _operation(INTS, INTS, _larger)
above = _operation(MASK, INTS, lambda builder, a, b: builder.icmp_signed(">", a, b))
differ = _operation(MASK, INTS, lambda builder, a, b: builder.icmp_signed("!=", a, b))
either = _operation(MASK, MASK, lambda builder, a, b: builder.or_(a, b))


@intrinsic
def fill(typing_context: Any, value: Any) -> Any:
    """An int32 in every lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.insert_element(ir.Constant(INTS.vector, ir.Undefined), args[0], ir.Constant(_INT, 0))
        return builder.shuffle_vector(one, one, _constant(builder, 0, _INT))

    return INTS(types.int32), codegen


@intrinsic
def choose(typing_context: Any, mask: Any, a: Any, b: Any) -> Any:
    """a where the mask is set, else b."""
    return INTS(MASK, INTS, INTS), lambda context, builder, signature, args: builder.select(*args)


@intrinsic
def any_of(typing_context: Any, x: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Where x is not 0, or a differs from b, or c from d."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, a, b, c, d = args
        found = builder.or_(builder.or_(x, builder.xor(a, b)), builder.xor(c, d))
        return builder.icmp_signed("!=", found, _constant(builder, 0, _INT))

    return MASK(INTS, INTS, INTS, INTS, INTS), codegen


@intrinsic
def count(typing_context: Any, total: Any, mask: Any) -> Any:
    """One more where the mask is set."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        more = builder.add(args[0], _constant(builder, 1, _INT))
        return builder.select(args[1], more, args[0])

    return INTS(INTS, MASK), codegen


@intrinsic
def how_many(typing_context: Any, mask: Any) -> Any:
    """Set lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(LANES)
        return builder.zext(builder.ctpop(builder.bitcast(args[0], word)), ir.IntType(64))

    return types.int64(MASK), codegen


@intrinsic
def times_64(typing_context: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.shl(args[0], _constant(builder, 6, _INT))

    return INTS(INTS), codegen


@intrinsic
def shares(typing_context: Any, keep: Any) -> Any:
    """keep / 4096, exact: what ``decayed`` multiplies with."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        unit = ir.Constant(FLOATS.vector, [1 / 4096] * LANES)
        return builder.fmul(builder.sitofp(args[0], FLOATS.vector), unit)

    return FLOATS(INTS), codegen


def _half(builder: Any, x: Any, k: int) -> Any:
    places = ir.Constant(ir.VectorType(_INT, _NATIVE), list(range(k * _NATIVE, (k + 1) * _NATIVE)))
    return builder.shuffle_vector(x, x, places)


def _product_towards_zero(builder: Any, a: Any, b: Any) -> Any:
    """Of 16 float32: one instruction."""
    vector = ir.VectorType(_FLOAT, _NATIVE)
    kind = ir.FunctionType(vector, [vector, vector, _INT])
    multiply = builder.module.declare_intrinsic("llvm.x86.avx512.mul.ps.512", (), kind)
    return builder.call(multiply, [a, b, ir.Constant(_INT, TOWARDS_ZERO)])


@intrinsic
def decayed(typing_context: Any, x: Any, share: Any) -> Any:
    """(|x| * keep >> 12) with the sign of x, for |x| <= 2**24.

    A product rounded towards zero to the 24 bits of a float32 keeps all whole bits of |x| * keep / 4096 <= 2**24, so
    that cutting off the rest leaves the exact result; without that rounding, a float64 holds the product's 37 bits.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, share = args
        if not has_avx512():
            product = builder.fmul(builder.sitofp(x, _DOUBLES), builder.fpext(share, _DOUBLES))
            return builder.fptosi(product, INTS.vector)
        real = builder.sitofp(x, FLOATS.vector)
        halves = [_product_towards_zero(builder, _half(builder, real, k), _half(builder, share, k)) for k in (0, 1)]
        everyone = ir.Constant(ir.VectorType(_INT, LANES), list(range(LANES)))
        return builder.fptosi(builder.shuffle_vector(*halves, everyone), INTS.vector)

    return INTS(INTS, FLOATS), codegen


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any, target: ir.Type) -> Any:
    data = arrayobj.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), target.as_pointer())


@intrinsic
def peek(typing_context: Any, array: Any, at: Any) -> Any:
    """One value of a contiguous array of integers; numba's own indexing would ask whether the place is negative."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        element = context.get_data_type(kind.dtype)
        value = builder.load(_pointer(context, builder, kind, args[0], args[1], element))
        return value if element.width == 64 else builder.sext(value, ir.IntType(64))

    return types.int64(array, types.int64), codegen


@intrinsic
def load(typing_context: Any, array: Any, at: Any) -> Any:
    """Values from a place of a contiguous array, whatever its shape, of int16, int32 or whole float32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        element = context.get_data_type(kind.dtype)
        values = builder.load(_pointer(context, builder, kind, args[0], args[1], ir.VectorType(element, LANES)))
        values.align = element.get_abi_size(context.target_data)
        if kind.dtype == types.float32:
            return builder.fptosi(values, INTS.vector)
        return values if element == _INT else builder.sext(values, INTS.vector)

    return INTS(array, types.int64), codegen


@intrinsic
def load_flags(typing_context: Any, array: Any, at: Any) -> Any:
    """Which of the bytes from a place of a contiguous uint8 array are not 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(_BYTE, LANES)
        values = builder.load(_pointer(context, builder, signature.args[0], args[0], args[1], kind))
        values.align = 1
        return builder.icmp_unsigned("!=", values, _constant(builder, 0, _BYTE))

    return MASK(array, types.int64), codegen


def _note_by_table(context: Any, builder: Any, kind: Any, args: Any) -> Any:
    """As ``note``, eight lanes at a time: which of them are set is looked up by their byte."""
    array, at, base, mask = args
    eight = ir.VectorType(_BYTE, 8)
    lanes_of = [[lane for lane in range(8) if byte >> lane & 1] for byte in range(256)]
    rows = [ir.Constant(eight, [*found, *[0] * (8 - len(found))]) for found in lanes_of]
    table = cgutils.global_constant(builder, "lanes_of_a_byte", ir.Constant(ir.ArrayType(eight, 256), rows))
    word = builder.bitcast(mask, _INT)
    for low in range(0, LANES, 8):
        byte = builder.and_(builder.lshr(word, ir.Constant(_INT, low)), ir.Constant(_INT, 255))
        found = builder.load(builder.gep(table, [ir.Constant(_INT, 0), byte]))
        first = builder.insert_element(
            ir.Constant(ir.VectorType(_INT, 8), ir.Undefined),
            builder.add(base, ir.Constant(_INT, low)),
            ir.Constant(_INT, 0),
        )
        everywhere = builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_INT, 8), [0] * 8))
        numbers = builder.add(builder.zext(found, everywhere.type), everywhere)
        builder.store(numbers, _pointer(context, builder, kind, array, at, everywhere.type)).align = 4
        at = builder.add(at, builder.zext(builder.ctpop(byte), at.type))
    return at


@intrinsic
def note(typing_context: Any, found: Any, at: Any, base: Any, mask: Any) -> Any:
    """Writes base + lane of every set lane, side by side from found[at] on; the place behind them.

    No branch depends on the lanes, because none could be foretold. An int32 array, with room for all lanes.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, at, base, mask = args
        kind = signature.args[0]
        if not has_avx512():
            return _note_by_table(context, builder, kind, args)
        vector, bits = ir.VectorType(_INT, _NATIVE), ir.VectorType(_BIT, _NATIVE)
        compress = builder.module.declare_intrinsic(
            "llvm.x86.avx512.mask.compress.v16i32", (), ir.FunctionType(vector, [vector, vector, bits])
        )
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), base, ir.Constant(_INT, 0))
        everywhere = builder.shuffle_vector(one, one, ir.Constant(vector, [0] * _NATIVE))
        for k in (0, 1):
            some = _half(builder, mask, k)
            numbers = builder.add(everywhere, ir.Constant(vector, list(range(k * _NATIVE, (k + 1) * _NATIVE))))
            # to a register and from there to memory, because Zen 4 takes 100 times as long for both at once
            packed = builder.call(compress, [numbers, ir.Constant(vector, [0] * _NATIVE), some])
            builder.store(packed, _pointer(context, builder, kind, array, at, vector)).align = 4
            count = builder.ctpop(builder.bitcast(some, ir.IntType(_NATIVE)))
            at = builder.add(at, builder.zext(count, at.type))
        return at

    return types.int64(found, types.int64, types.int32, MASK), codegen


def _storing(kind: _Lanes, n_bytes: int) -> Any:
    @intrinsic
    def store(typing_context: Any, array: Any, at: Any, values: Any) -> Any:
        """Values to a place of a contiguous array of their type."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            to = _pointer(context, builder, signature.args[0], args[0], args[1], kind.vector)
            builder.store(args[2], to).align = n_bytes
            return context.get_dummy_value()

        return types.void(array, types.int64, kind), codegen

    return store


def shorts(n: int) -> tuple[Any, ...]:
    """Operations on n int16, in as many registers as they need: none, load, plus, doubled, store."""
    kind = _Lanes(_SHORT, n)

    @intrinsic
    def none(typing_context: Any) -> Any:
        return kind(), lambda context, builder, signature, args: ir.Constant(kind.vector, [0] * n)

    @intrinsic
    def load(typing_context: Any, array: Any, at: Any) -> Any:
        """Values from a place of a contiguous array of int16 or int8."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            held = signature.args[0]
            element = context.get_data_type(held.dtype)
            values = builder.load(_pointer(context, builder, held, args[0], args[1], ir.VectorType(element, n)))
            values.align = element.width // 8
            return values if element == _SHORT else builder.sext(values, kind.vector)

        return kind(array, types.int64), codegen

    @intrinsic
    def plus(typing_context: Any, a: Any, b: Any) -> Any:
        return kind(kind, kind), lambda context, builder, signature, args: builder.add(*args)

    @intrinsic
    def doubled(typing_context: Any, x: Any, times: Any) -> Any:
        """x << times: modulo 2**16, as all sums here."""

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            times = builder.trunc(args[1], _SHORT)
            one = builder.insert_element(ir.Constant(kind.vector, ir.Undefined), times, ir.Constant(_INT, 0))
            return builder.shl(
                args[0], builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_INT, n), [0] * n))
            )

        return kind(kind, types.int64), codegen

    return none, load, plus, doubled, _storing(kind, 2)


store = _storing(INTS, 4)


@intrinsic
def store_flags(typing_context: Any, array: Any, at: Any, mask: Any) -> Any:
    """Bytes, 0 or 1."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(_BYTE, LANES)
        to = _pointer(context, builder, signature.args[0], args[0], args[1], kind)
        builder.store(builder.zext(args[2], kind), to).align = 1
        return context.get_dummy_value()

    return types.void(array, types.int64, MASK), codegen


@intrinsic
def total(typing_context: Any, x: Any) -> Any:
    """The sum of all lanes, in 64 bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = ir.Constant(ir.IntType(64), 0)
        for lane in range(LANES):
            found = builder.add(
                found, builder.sext(builder.extract_element(args[0], ir.Constant(_INT, lane)), ir.IntType(64))
            )
        return found

    return types.int64(INTS), codegen
