"""A Python that has loaded torch and Seamount already, for processes of tests: ``quick_python`` of tests/conftest.py.

What starts anew loads them for three seconds. A fork of a process that has loaded them, and computed nothing, prints,
takes signals, fails and ends the same. What is read while modules load (OMP_NUM_THREADS, NUMBA_CACHE_DIR,
TRITON_INTERPRET, ...) is not that of the fork: tests of such settings start anew.

    python -m tests.forks serve SOCKET PID   is what is forked, until the process PID is gone
    python -S -E tests/forks.py SOCKET ...   does as "python ..." does: [-u] [-W ignore] [-P] FILE, -m MODULE, -c CODE
"""

import gc
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import TextIO

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    if sys.argv[1] == "serve":
        path, owner = sys.argv[2:]
        load()
        asked = serve(path, int(owner))
        run(asked["arguments"])  # in the forks, from here to the end of the file as any program
    else:
        sys.exit(command(sys.argv[1], sys.argv[2:]))


# ------------------------------------------------------------------------------------------------- the command


def command(path: str, arguments: list[str]) -> int:
    """Asks for a fork with this process's streams, folder and environment, and ends as it ends."""
    asked = {"arguments": arguments, "cwd": os.getcwd(), "environment": dict(os.environ)}
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it is known whom they are for
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [b"s"], [0, 1, 2])
        told = server.makefile("rw")
        told.write(json.dumps(asked) + "\n")
        told.flush()
        pid = int(told.readline())
        for number in SIGNALS:
            signal.signal(number, lambda number, _: pass_on(pid, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        code = int(told.readline())
    if code < 0:  # by a signal
        if -code in SIGNALS:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def pass_on(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has ended, and its code is on the way
        os.kill(pid, number)


# ----------------------------------------------------------------------------------------------- what is forked


def load() -> None:
    """What most tests' processes need; Triton is among it, which reads TRITON_INTERPRET now."""
    import importlib
    import warnings

    from numba.core.registry import cpu_target

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (
            "seamount.api",
            "seamount.distill.quantised",
            "seamount.distill.train",
            "seamount.hardware_targets.simulator.simulate",
            "seamount.run.pipeline",
            "torch._dynamo",  # of every optimizer, in two seconds
            "torch.distributed.elastic.agent.server.api",  # torchrun's
            "torch.distributed.launcher.api",
        ):
            importlib.import_module(name)
    cpu_target.target_context.refresh()  # half a second, which each fork would spend for its first kernel


def serve(path: str, owner: int) -> dict:
    """In the background forks for every command, until the owner is gone; returns in forks, with what was asked."""
    import select

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what waits for the forks
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(16)
    gc.collect()
    gc.freeze()  # otherwise forks look through all of it when they end, for a second
    if os.fork() != 0:
        os._exit(0)  # who started it sees that it answers
    while is_there(owner):
        if not select.select([listening], [], [], 0.5)[0]:
            continue
        client, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return fork_for(client)
        client.close()
    sys.exit()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def fork_for(client: socket.socket) -> dict:
    """What was asked, in a fork with the command's streams; its parent tells of its end, or ends it with that."""
    import select

    _, streams, *_ = socket.recv_fds(client, 1, 3)
    told = client.makefile("rw")
    asked = json.loads(told.readline())
    if (pid := os.fork()) == 0:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        told.close()
        client.close()
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        return asked
    for stream in (0, 1, 2, *streams):  # so that who reads them sees the fork's end
        os.close(stream)
    say(told, pid)
    while (status := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if select.select([client], [], [], 0.01)[0]:  # a command says no more: it is gone
            os.kill(pid, signal.SIGKILL)
    say(told, os.waitstatus_to_exitcode(status[1]))
    os._exit(0)


def say(told: TextIO, number: int) -> None:
    with suppress(ConnectionError):  # to a command that was killed
        told.write(f"{number}\n")
        told.flush()


def open_streams(unbuffered: bool) -> None:
    """Anew, because a stream remembers of what it wrote to at first whether that is a file or a terminal."""
    for number, (name, errors) in enumerate((("stdin", None), ("stdout", None), ("stderr", "backslashreplace"))):
        stream = open(number, "w" if number else "r", errors=errors, closefd=False)  # noqa: SIM115
        if number:
            stream.reconfigure(line_buffering=number == 2 or stream.isatty(), write_through=unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def run(arguments: list[str]) -> None:
    """As ``python`` with these arguments does."""
    import runpy
    import types
    import warnings

    unbuffered = arguments[0] == "-u"
    open_streams(unbuffered)
    arguments = arguments[unbuffered:]
    if arguments[:2] == ["-W", "ignore"]:
        warnings.simplefilter("ignore")
        sys.warnoptions.append("ignore")  # for the processes that it starts
        arguments = arguments[2:]
    beside = arguments[0] != "-P"  # whether modules beside the file are found
    arguments = arguments[not beside :]
    # this module's folder is not that of a program
    added = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p not in sys.path]
    match arguments:
        case ["-m", name, *rest]:
            sys.path[:1] = [os.getcwd(), *added]
            sys.argv = [name, *rest]
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        case ["-c", code, *rest]:
            sys.path[:1] = ["", *added]
            sys.argv = ["-c", *rest]
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(code, main.__dict__)
        case [file, *rest]:
            sys.path[:1] = [os.path.dirname(os.path.abspath(file)), *added][not beside :]
            sys.argv = [file, *rest]
            runpy.run_path(file, run_name="__main__")


if __name__ == "__main__":
    main()
