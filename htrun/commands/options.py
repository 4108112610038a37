"""The command line of ``htrun``. It is parsed without ``argparse``, which has three disadvantages. It accepts long
options with one dash (like those of QEMU) only together with abbreviations. It cannot stop reliably at the program's
name. It takes a tenth of the start-up time.
"""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import htrun
from htrun.channel.layout import DEFAULT_ARGS, DEFAULT_CLIENTS, MAX_ARGS, MAX_CLIENTS, MIN_ARGS, MIN_CLIENTS, Layout
from htrun.commands.config_files import Found, config_files
from htrun.commands.emulator_options import split
from htrun.commands.input_files import events_of_program
from htrun.errors import HtrunError
from htrun.events.definitions import EVENTS, USER_SYSCALL, USER_SYSCALL_RET
from htrun.events.patterns import select, split_commas
from htrun.rings.ring import Overflow
from htrun.runner.options import RunOptions, Timestamp, Via
from htrun.sinks.output import output_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from enum import Enum

    from htrun.commands.config_files import ConfigFile
    from htrun.commands.configuration import Setting

HELP = f"""\
usage: htrun [OPTIONS] [--] PROGRAM [ARGS...]

Run PROGRAM and record the events that it emits through a hypertrace channel, with time stamps in nanoseconds. PROGRAM
is a native program, a program of another architecture (htrun finds its emulator), an emulator, or a script.

The channel:
  --hypertrace PATH[,args=N][,max-clients=N]   (also -hypertrace)
                        the path of the channel. Events have N arguments ({MIN_ARGS} to {MAX_ARGS}, default \
{DEFAULT_ARGS}) and an
                        index below max-clients ({MIN_CLIENTS} to {MAX_CLIENTS}, default {DEFAULT_CLIENTS}). Write a \
comma in PATH twice.
                        If PATH is empty or the option is missing, htrun chooses a path. PROGRAM always finds the
                        path in the environment variable HYPERTRACE.
  --via auto|store|ring
                        how events of the guest library reach htrun. store: the library stores to an inaccessible
                        page; htrun catches the store and patches it. ring: the library writes records to memory
                        that it shares with htrun, so that no event stops the program. auto (default): ring for
                        native programs, store for emulated programs; with --timestamp ordered, store for all
                        programs. Programs without the library, or with an older library, always use store. In a
                        machine under KVM, only ring works

Output:
  -D, --log FILE        write a log in QEMU's format (default: standard error, or no log with -o).
                        For all outputs, - is standard output
  -o, --output PATH     write a trace; repeatable. The suffix of PATH selects the format. Without a suffix PATH is a
                        directory in CTF 1.8, for hypertrace, babeltrace2 and Trace Compass
  -f, --force           overwrite existing outputs
  --format FORMAT       the format of the -o before it (or of the first -o): ctf, log, simple, perfetto, chrome,
                        jsonl, csv, parquet, ftrace or syslog
  --events FILE         a TOML file that names events by the value of arg1, and gives their arguments names and
                        types; not needed for code from hypertrace header, which names its events itself
  --decode              show system calls as strace does: names, types, flags, errors, and the paths, command lines
                        and bytes that arguments point to. This makes the recorded calls slower
  --sched               record what the kernel does with each thread: context switches (sched_switch_out,
                        sched_switch_in), migration to another processor, and page faults
  --summary FILE        at the end, write counts and facts of the run as JSON
  --trace, -trace [enable=]PATTERN[,events=FILE][,file=FILE]
                        record these events, as in QEMU; repeatable; "help" lists them. Default: guest_hypertrace.
                        Events that are not enabled cost nothing. The environment variable HTRUN_TRACE may contain
                        a further pattern, which precedes the others
  --syscalls NAME,...   (also -e trace=NAME,...) record these system calls (guest_user_syscall and
                        guest_user_syscall_ret), or classes of them: %file, %desc, %process, %network, %signal, %ipc,
                        %memory; "all" records all calls, "help" lists the names
  --overflow block|drop|overwrite
                        what to do when events come faster than htrun can write them. block (default): PROGRAM
                        waits. drop: new events are lost. overwrite: old events are lost. Lost events are counted
  --ring-size SIZE      memory for the events of each thread, such as 512K or 4M (default). Unused memory is not
                        allocated
  --timestamp tsc|ordered
                        tsc: the processor may read the clock while it executes the code around the event.
                        ordered: the processor completes the code before the event, then reads the clock, and then
                        starts the code after the event. This is more accurate for spans below a few microseconds,
                        but each event costs more. The default is tsc, or ordered if HYPERTRACE_CALIBRATE is set,
                        with which the guest library measures the cost of an event

Running PROGRAM:
  --cpu LIST            run PROGRAM only on these processors (0 or 0-3,6), and htrun on the others
  -L SYSROOT            the directory with the libraries of a foreign PROGRAM
  --emulator PROGRAM    the emulator for a foreign PROGRAM
  --no-device           do not add the channel to machines (qemu-system-*) as a PCI device
  --print-device        print the QEMU arguments for that device, for the PATH of --hypertrace, and exit
  --no-ptrace           do not trace PROGRAM, which then runs as a child of htrun. PROGRAM can be gdb, strace or
                        valgrind, and htrun can run under these or in a sandbox. Only events that the guest library
                        writes to rings are recorded. If PROGRAM cannot be traced, htrun uses this option
                        automatically, with a warning, unless --via is store
  --no-patch            never change PROGRAM's code; each event then costs about a thousand times as much

  --no-config           do not read htrun.toml and ~/.config/htrun/config.toml, which contain defaults for options
  -v, -q                print more messages; print no warnings
  --version, -h, --help

The exit status is that of PROGRAM; or 125 if htrun itself fails, 126 if PROGRAM cannot be run, and 127 if it is not
found.

Examples:
  htrun --hypertrace /tmp/ht ./app /tmp/ht               events of a native program, on standard error
  htrun --hypertrace /tmp/ht ./app-arm /tmp/ht           events of a program for another architecture
  htrun --hypertrace /tmp/ht,args=8 -D log -L /srv/arm qemu-aarch64 ./app-arm /tmp/ht
  htrun qemu-arm -hypertrace /tmp/ht -trace 'guest*' ./app-arm /tmp/ht
                                                         options of htrun among those of an emulator
  htrun --hypertrace /tmp/ht qemu-system-x86_64 -kernel bzImage -initrd initrd.gz -nographic
                                                         events of a whole machine
  htrun --no-ptrace gdb ./app                            events of a program in a debugger
  htrun -o trace ./app && babeltrace2 trace              write a trace, and read it with another tool
  htrun --events app.toml -o app.pftrace ./app           write named events for ui.perfetto.dev
  htrun -trace 'guest*' -D log ./app                     record system calls and threads, too
  htrun --syscalls openat,read -o trace ./app            record two system calls and the program's events
"""

_KIB = 1024
_MIN_RING_SIZE, _MAX_RING_SIZE = 64 * _KIB, 1 * _KIB**3


class RunRequest(NamedTuple):
    """A request to run a program. ``unknown_events``: the names in ``-trace`` patterns that match no event. ``remark``:
    the reason why a configuration file is not read; None if all files are read."""

    options: RunOptions
    unknown_events: tuple[str, ...] = ()
    remark: str | None = None


class Information(NamedTuple):
    """A request for information only. ``text``: the information to print."""

    text: str


def parse(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> RunRequest | Information:
    """Parse ``arguments``, which do not include htrun's own name. Raises `HtrunError`.

    Options end at ``--`` or at the first word that is not an option; the rest is the program and its arguments.
    ``environment``: HTRUN_TRACE acts like a ``-trace`` before all other options, HYPERTRACE_CALIBRATE selects ordered
    time stamps, and other variables determine where the user's configuration file is.
    """
    environment = environment or {}
    words, taken = deque(arguments), _Taken()
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.popleft()
        if word == "--":
            break
        if word in _INFORMATION:
            return Information(_INFORMATION[word])
        if _take_flags(word, taken.values):
            continue
        information = taken.take(*_take_value(word, words))
        if information is not None:
            return information
    device_wanted = taken.values.pop("print_device", False)
    program: Sequence[str] = ()
    if not device_wanted:
        if not words or not words[0]:
            raise HtrunError("no program was given; try: htrun --help")
        program, among = split(words)
        for option, value in zip(among[::2], among[1::2], strict=True):
            information = taken.take(option, value)
            if information is not None:
                return information
    found = config_files(environment) if taken.values.pop("configured", True) else Found(())
    for layer in (_of_environment(environment), *map(_of_file, found.files)):
        taken.complete(layer)
    if device_wanted:
        return Information(_device_arguments(taken.values))
    return _request(program, taken)._replace(remark=found.remark)


def _request(program: Sequence[str], taken: _Taken) -> RunRequest:
    values = taken.values
    selection = select(taken.patterns, taken.calls.events)
    values |= {"recorded": selection.events, "syscalls": taken.calls.names}
    if selection.file is not None:
        values.setdefault("log", Path(selection.file))
    values.setdefault("layout", Layout())
    if values.get("via") is Via.RING and values.get("timestamp") is Timestamp.ORDERED:
        raise HtrunError("--via ring and --timestamp ordered exclude each other; try: --via store")
    values |= taken.traces.fields()
    _check_outputs(values)
    # If there is a trace, there is no log, unless a file for the log is given.
    log_wanted = "log" in values or not values.keys() & {"trace", "outputs"}
    options = RunOptions(program=tuple(program), log_wanted=log_wanted, **values)
    if options.no_ptrace:
        _check_untraced(options)
    return RunRequest(options, selection.unknown)


def _check_untraced(options: RunOptions) -> None:
    """Raise `HtrunError` if --no-ptrace is given but other ``options`` need ptrace."""
    if options.sched:
        raise HtrunError("--no-ptrace and --sched exclude each other: only a tracer sees each thread before it runs")
    if options.tracer_events:
        names = ", ".join(definition.name for definition in options.tracer_events)
        raise HtrunError(f"--no-ptrace: only ptrace shows {names}; leave out --syscalls, --decode and -trace")
    if options.needs_ptrace:
        other = "--via store" if options.via is Via.STORE else "--timestamp ordered"
        raise HtrunError(f"--no-ptrace and {other} exclude each other: only ptrace shows stores")


def _check_outputs(values: Mapping[str, Any]) -> None:
    """Raise `HtrunError` if two outputs would be written to the same file. Devices and pipes may be shared."""
    outputs = [values.get("trace"), values.get("log"), values.get("summary")]
    paths = [path.absolute() for path in (*outputs, *(path for path, _ in values.get("outputs", ()))) if path]
    for path in paths:
        if paths.count(path) > 1 and (path.is_file() or not path.exists()):
            raise HtrunError(f"two outputs have the same path {path}; use a different file for each")


def _of_environment(environment: Mapping[str, str]) -> _Taken:
    """The options that are set by environment variables. Raises `HtrunError`."""
    taken = _Taken()
    taken.patterns_before = _inherited_patterns(environment)
    if environment.get(_CALIBRATE_VARIABLE, "") not in {"", "0"}:
        taken.values["timestamp"] = Timestamp.ORDERED
    return taken


def _of_file(file: ConfigFile) -> _Taken:
    """The options that are set by the table ``[htrun]`` of a configuration file. Raises `HtrunError`."""
    from htrun.commands.configuration import settings

    taken = _Taken()
    for setting in settings(file, "htrun"):
        _take_setting(taken, setting)
    if file.of_project and taken.values.get("path") is not None:
        raise HtrunError(f"{file.path}: [htrun] hypertrace: a project's file may not name the path: write ',args=N'")
    if file.of_project and select(taken.patterns).file is not None:
        raise HtrunError(f"{file.path}: [htrun] trace: a project's file may not name a file to write")
    return taken


def _take_setting(taken: _Taken, setting: Setting) -> None:
    """Take one setting of a configuration file. Raises `HtrunError`."""
    if setting.table != "htrun":
        setting._replace(table="htrun", key=setting.table.partition(".")[2]).fail("must not be a table")
    option = f"--{setting.key}"
    if option not in _CONFIGURABLE:
        setting.fail_unknown(each.removeprefix("--") for each in _CONFIGURABLE)
    setting.check_project(_OF_PROJECTS)
    if option in _FLAGS:
        field, value = _FLAGS[option]
        if setting.flag():
            taken.values[field] = value
        return
    for text in setting.texts() if option in _REPEATABLE else [setting.text()]:
        if text == "help":
            setting.fail("help is for command lines only")
        path = setting.path_beside(text) if option == "--events" else text
        taken.take(option, path, setting.label)


def _inherited_patterns(environment: Mapping[str, str]) -> list[str]:
    """The patterns in HTRUN_TRACE, if it is set. Raises `HtrunError` if the value is invalid."""
    inherited = environment.get(_PATTERNS_VARIABLE)
    if not inherited:
        return []
    try:
        select([inherited])
    except HtrunError as error:
        raise HtrunError(f"{_PATTERNS_VARIABLE}: {error}") from error
    return [inherited]


class _Taken:
    """The effect of all options that were taken so far.

    ``values``: fields of `RunOptions`. ``patterns_before``: patterns that come before those of the command line.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.patterns: list[str] = []
        self.patterns_before: list[str] = []
        self.calls = _SystemCalls()
        self.traces = _Traces()

    def take(self, option: str, value: str, label: str | None = None) -> Information | None:
        """Take one option with its value.

        Returns the information that the option requests; None if it requests none. ``label``: the name of the option in
        error messages. Raises `HtrunError`.
        """
        label = label or option
        if option in _TRACE_OPTIONS:
            self.traces.take(option, value)
        elif option == _STRACE_OPTION:
            self.calls.take(option, _traced(value))
        elif option == _CALLS_OPTION and value == "help":
            return Information(_system_calls())
        elif option == _CALLS_OPTION:
            self.calls.take(label, value)
        elif option not in _PATTERN_OPTIONS:
            self.values |= _VALUES[option](label, value)
        elif value == "help":
            return Information("".join(f"{definition.name}\n" for definition in EVENTS))
        else:
            self.patterns.append(value)
        return None

    def complete(self, lower: _Taken) -> None:
        """Take the options from ``lower`` that are not set here. Lists are not merged: a list is taken from ``lower``
        only if it is not set here."""
        values = dict(lower.values)
        if self.values.get("via") is Via.RING and values.get("timestamp") is Timestamp.ORDERED:
            del values["timestamp"]
        if self.values.get("timestamp") is Timestamp.ORDERED and values.get("via") is Via.RING:
            del values["via"]
        self.values = values | self.values
        self.patterns = [*lower.patterns_before, *self.patterns] or lower.patterns
        self.calls = self.calls if self.calls.events else lower.calls
        self.traces = self.traces if self.traces.is_given else lower.traces


def _traced(value: str) -> str:
    """The calls in strace's ``-e trace=CALLS`` or ``-e CALLS``. Raises `HtrunError` for any other expression of
    strace."""
    kind, equals, calls = value.rpartition("=")
    if equals and kind not in {"trace", "t"}:
        raise HtrunError(f"{_STRACE_OPTION} {value}: htrun knows trace=NAME,... only")
    return calls


class _SystemCalls:
    """The requested system calls. ``names``: None for all calls. ``events``: the events that the request enables."""

    def __init__(self) -> None:
        self.names: frozenset[str] | None = None
        self.events: frozenset[str] = frozenset()

    def take(self, option: str, value: str) -> None:
        """Parse ``value``: names separated by commas, or ``all``. Raises `HtrunError`."""
        from htrun.events.syscalls import is_known, similar

        names = frozenset(value.split(","))
        if "%" in value:
            names = _expanded(option, names)
        for name in sorted(names - {"all"}):
            if not is_known(name):
                meant = " or ".join(repr(found) for found in similar(name))
                hint = f"did you mean {meant}?" if meant else f"{option} help lists them"
                raise HtrunError(f"{option} {value}: there is no system call {name!r}; {hint}")
        everything = "all" in names or (self.events and self.names is None)
        self.names = None if everything else (self.names or frozenset()) | names
        self.events = frozenset({USER_SYSCALL.name, USER_SYSCALL_RET.name})


def _expanded(option: str, names: frozenset[str]) -> frozenset[str]:
    """``names``, with the name of each class replaced by the calls in the class. Raises `HtrunError`."""
    from htrun.events.call_classes import call_classes

    known, classes = call_classes(), {name for name in names if name.startswith("%")}
    for name in sorted(classes - known.keys()):
        raise HtrunError(f"{option}: there is no class {name!r} of system calls; choose from {', '.join(known)}")
    return (names - classes).union(*(known[name] for name in classes))


def _system_calls() -> str:
    from htrun.events.syscalls import ARCH_I386, ARCH_X86_64, table

    names = {name for arch in (ARCH_X86_64, ARCH_I386) for name in table(arch).numbers}
    return "".join(f"{name}\n" for name in sorted(names))


class _Traces:
    """The requested traces: each ``-o`` and the ``--format`` that belongs to this ``-o``."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._formats: dict[int, str] = {}

    def take(self, option: str, value: str) -> None:
        """Take one of the options with its value. Raises `HtrunError`."""
        if not value:
            raise HtrunError(f"{option} needs a value; try: htrun --help")
        if option != "--format":
            self._paths.append(output_path(value))
            return
        place = max(len(self._paths) - 1, 0)
        if place in self._formats:
            place += 1
        self._formats[place] = value

    @property
    def is_given(self) -> bool:
        """Whether any of these options was given."""
        return bool(self._paths or self._formats)

    def fields(self) -> dict[str, Any]:
        """The fields of `RunOptions` that the options set. Raises `HtrunError`."""
        if not self._paths and not self._formats:
            return {}
        from htrun.sinks.registry import CTF, choose

        for place, name in self._formats.items():
            if place >= len(self._paths):
                raise HtrunError(f"--format {name} needs an -o PATH")
        chosen = [(path, choose(path, self._formats.get(place)).name) for place, path in enumerate(self._paths)]
        native = [path for path, name in chosen if name == CTF]
        if len(native) > 1:
            raise HtrunError(f"-o {native[0]} and -o {native[1]}: there can be only one native trace; give a --format")
        others = tuple(output for output in chosen if output[1] != CTF)
        fields: dict[str, Any] = {"trace": native[0]} if native else {}
        return fields | ({"outputs": others} if others else {})


def _take_flags(word: str, values: dict[str, Any]) -> bool:
    """Apply ``word`` if it is an option without a value."""
    field = ("verbosity", 1) if re.fullmatch("-v+", word) else _FLAGS.get(word)
    if field is None:
        return False
    key, value = field
    values[key] = value
    return True


def _take_value(word: str, words: deque[str]) -> tuple[str, str]:
    """The option in ``word`` and its value. The value is a part of ``word`` (-Dlog, --log=log), or it is the next of
    ``words``."""
    known = _VALUES.keys() | _PATTERN_OPTIONS | _TRACE_OPTIONS | {_CALLS_OPTION, _STRACE_OPTION}
    name, equals, value = word.partition("=")
    if word in known:
        if not words:
            raise HtrunError(f"{word} needs a value; try: htrun --help")
        return word, words.popleft()
    if equals and name in known and len(name) > len("-D"):
        return name, value
    if word[:2] in known:
        return word[:2], word[2:]
    if word == "-p" or name == "--attach":
        raise HtrunError(f"{word}: htrun traces only what it starts; give a PROGRAM")
    raise HtrunError(f"unknown option {name}; {_meant(name)}try: htrun --help")


def _meant(option: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(option, [*_VALUES, *_PATTERN_OPTIONS, *_TRACE_OPTIONS, _CALLS_OPTION, *_FLAGS], n=1)
    return f"did you mean {close[0]}? " if close else ""


def _hypertrace(option: str, value: str) -> dict[str, Any]:
    path, *settings = split_commas(value)
    if not path and not settings:
        raise HtrunError(f"{option} needs a path")
    numbers = {"args": DEFAULT_ARGS, "max-clients": DEFAULT_CLIENTS}
    limits = {"args": (MIN_ARGS, MAX_ARGS), "max-clients": (MIN_CLIENTS, MAX_CLIENTS)}
    for setting in settings:
        key, _, text = setting.partition("=")
        if key not in numbers:
            raise HtrunError(
                f"{option} {value}: unknown setting {key!r}; choose from args and max-clients "
                "(write a comma in a path twice)"
            )
        low, high = limits[key]
        if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise HtrunError(f"{option} {value}: {key} must be a number from {low} to {high}")
        numbers[key] = int(text)
    return {"path": Path(path) if path else None, "layout": Layout(numbers["args"], numbers["max-clients"])}


def _device_arguments(values: dict[str, Any]) -> str:
    """The QEMU arguments that add the channel described by ``values`` to a machine. They are on one line, and quoted
    for a shell."""
    import shlex

    from htrun.launch.system import Device

    if values.get("path") is None:
        raise HtrunError("--print-device needs the channel's path: give --hypertrace PATH")
    given = {key: values[key] for key in ("via", "timestamp", "ring_size") if key in values}
    rings = RunOptions(program=(), layout=values["layout"], **given).rings
    device = Device.of(str(values["path"].absolute()), values["layout"], rings)
    return shlex.join(device.arguments) + "\n"


def _ring_size(option: str, value: str) -> dict[str, Any]:
    match = re.fullmatch("([0-9]{1,12})([KMG]?)", value)
    size = int(match[1]) * _KIB ** " KMG".index(match[2] or " ") if match else 0
    if not _MIN_RING_SIZE <= size <= _MAX_RING_SIZE:
        raise HtrunError(f"{option} {value}: must be a size from 64K to 1G")
    return {"ring_size": size}


def processors_of(option: str, value: str) -> frozenset[int]:
    """The processors in ``value``, such as 0-3,6. Raises `HtrunError` if this process may not use one of them."""
    import os

    found: set[int] = set()
    for part in value.split(","):
        match = re.fullmatch("([0-9]{1,5})(?:-([0-9]{1,5}))?", part)
        if match is None:
            raise HtrunError(f"{option} {value}: must be numbers of processors, such as 0 or 0-3,6")
        found |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    missing = found - os.sched_getaffinity(0)
    if missing or not found:
        raise HtrunError(f"{option} {value}: there is no processor {min(missing, default='at all')} to run on")
    return frozenset(found)


def _processors(option: str, value: str) -> dict[str, Any]:
    return {"processors": processors_of(option, value)}


def _choice(key: str, choices: type[Enum]) -> Callable[[str, str], dict[str, Any]]:
    def convert(option: str, value: str) -> dict[str, Any]:
        names = [choice.value for choice in choices]
        if value not in names:
            raise HtrunError(f"{option} {value}: must be one of {', '.join(names)}")
        return {key: choices(value)}

    return convert


def _named(key: str, convert: Callable[[str], object] = str) -> Callable[[str, str], dict[str, Any]]:
    def take(option: str, value: str) -> dict[str, Any]:
        if not value:
            raise HtrunError(f"{option} needs a value; try: htrun --help")
        return {key: convert(value)}

    return take


_VALUES: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "--hypertrace": _hypertrace,
    "-hypertrace": _hypertrace,
    "-D": _named("log", output_path),
    "--log": _named("log", output_path),
    "--events": _named("events", events_of_program),
    "--summary": _named("summary", output_path),
    "--overflow": _choice("overflow", Overflow),
    "--ring-size": _ring_size,
    "--via": _choice("via", Via),
    "--cpu": _processors,
    "--timestamp": _choice("timestamp", Timestamp),
    "-L": _named("sysroot"),
    "--emulator": _named("emulator"),
}
"""The options with a value. Each function returns the fields of `RunOptions` that its option sets."""

_FLAGS: dict[str, tuple[str, object]] = {
    "--no-patch": ("patch", False),
    "--no-ptrace": ("no_ptrace", True),
    "--decode": ("decode", True),
    "--sched": ("sched", True),
    "--no-device": ("device", False),
    "--print-device": ("print_device", True),
    "--force": ("force", True),
    "-f": ("force", True),
    "-q": ("verbosity", -1),
    "--no-config": ("configured", False),
}
"""The options without a value, each with the field of `RunOptions` that it sets and the field's value."""

_PATTERN_OPTIONS = {"--trace", "-trace"}
_PATTERNS_VARIABLE = "HTRUN_TRACE"
_CALIBRATE_VARIABLE = "HYPERTRACE_CALIBRATE"
"""The environment variable that makes the guest library measure the cost of an event."""
_CALLS_OPTION = "--syscalls"
_STRACE_OPTION = "-e"
_TRACE_OPTIONS = {"-o", "--output", "--format"}

_REPEATABLE = {"--trace", "--output", _CALLS_OPTION}
_CONFIGURABLE = (
    {each for each in (*_VALUES, *_FLAGS) if each.startswith("--")} - {"--no-config", "--print-device"}
) | _REPEATABLE
"""The options that a configuration file may have as keys. --format is missing, since it belongs to an -o of the same
command line."""
_OF_PROJECTS = frozenset({
    "cpu", "decode", "events", "hypertrace", "no-device", "no-patch", "overflow", "ring-size", "sched", "syscalls",
    "timestamp", "trace", "via",
})  # fmt: skip
"""The options that a project's file may set. None of them writes a file or chooses a program."""

_INFORMATION = {"-h": HELP, "--help": HELP, "--version": f"htrun {htrun.__version__}\n"}
