"""A command that is told to stop ends in order, with the exit code that shells report."""

import signal
import subprocess
import sys

import pytest

DEFAULTS = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
"""Tests that are started in the background inherit ignored signals."""

WAITS = """
import sys, time
from seamount.cli import shell, signals

signals.stop_on_signals()

def work():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("in order", flush=True)

sys.exit(shell._run(work, as_json=False, debug=False))
"""


def stopped_by(*numbers: signal.Signals, before: str = "") -> tuple[int, str, str]:
    with subprocess.Popen(
        [sys.executable, "-c", DEFAULTS + before + WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
        stdout, stderr = process.communicate(timeout=600)
    return process.returncode, stdout, stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_in_order(number: signal.Signals, code: int) -> None:
    returned, stdout, stderr = stopped_by(number)
    assert (returned, stdout) == (code, "in order\n")
    assert "what was finished is saved, continue with --resume" in stderr
    assert "Traceback" not in stderr


def test_an_ignored_hang_up_stays_ignored() -> None:
    under_nohup = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    assert stopped_by(signal.SIGHUP, signal.SIGTERM, before=under_nohup)[0] == 143


IN_A_FINALISER = """
class Callback:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(60)

def work():
    Callback()
    try:
        time.sleep(60)
    finally:
        print("in order", flush=True)
"""


BUSY = """
import threading, time

start = threading.Thread.start

def slowly(thread):
    start(thread)
    time.sleep(0.5)  # as where others have the processor: the signal must not come again before this ends

threading.Thread.start = slowly
"""


@pytest.mark.parametrize("before", ["", BUSY], ids=["quiet", "busy"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_a_finaliser_is_not_lost(number: signal.Signals, code: int, before: str) -> None:
    head, ran = before + WAITS.split("def work():")[0], WAITS[WAITS.index("sys.exit(") :]
    with subprocess.Popen(
        [sys.executable, "-c", DEFAULTS + head + IN_A_FINALISER + ran],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=600)
    assert (process.returncode, stdout) == (code, "in order\n")
