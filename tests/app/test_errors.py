"""How an error puts its fields into words."""

from seamount.errors import InputError, Reason


def test_an_error_says_where_what_is_possible_and_what_to_do() -> None:
    error = InputError("delay 99", where="conv1", possible="possible are 0 to 62", ways_out=("slow down", "split it"))
    assert str(error) == "conv1: delay 99, possible are 0 to 62; slow down; or split it"
    assert error.reasons == (Reason("delay 99", "conv1", "possible are 0 to 62", ("slow down", "split it")),)


def test_what_is_inside_of_a_file_is_named_behind_it() -> None:
    assert str(Reason("no weights", where="conv1").inside("a.nir")) == "a.nir: conv1: no weights"
    assert str(Reason("no nodes").inside("a.nir")) == "a.nir: no nodes"


def test_several_reasons_are_one_error_a_line_each() -> None:
    error = InputError.together([Reason("no type", where="a"), Reason("no type", where="b")])
    assert str(error) == "a: no type\nb: no type"
    assert [reason.where for reason in error.reasons] == ["a", "b"]
