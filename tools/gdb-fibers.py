# SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors.
"""Fibers for gdb:  source tools/gdb-fibers.py

    fibers              lists the fibers of every loop: state, name, where they wait
    fiber bt ADDRESS    the stack of one that does not run (leaves the registers as they were)
    fiber bt all        the stacks of all that do not run

The struct names and the frame that rt_switch() leaves are those of src/rt/internal.h and
src/rt/switch_*.S.
"""

import gdb

STATES = ["ready", "running", "waiting", "done"]


def offset_of(type_name, field):
    return gdb.lookup_type(type_name)[field].bitpos // 8


def loops():
    table = gdb.parse_and_eval("rt_loops")
    for i in range(int(gdb.parse_and_eval("rt_loop_count"))):
        yield table[i].dereference()


def fibers(loop):
    """The fibers of one loop, in order of birth."""
    head = loop["fibers"].address
    kind = gdb.lookup_type("struct rt_fiber")
    node = head["next"]
    while node != head:
        base = int(node) - offset_of("struct rt_fiber", "all")
        yield gdb.Value(base).cast(kind.pointer()).dereference()
        node = node["next"]


def saved_registers(fiber):
    """What rt_switch() saved of a fiber that does not run: name -> value."""
    sp = int(fiber["sp"])
    word = gdb.lookup_type("unsigned long").pointer()
    saved = gdb.Value(sp).cast(word)
    if "aarch64" in gdb.selected_inferior().architecture().name():
        names = ["x%d" % n for n in range(19, 31)]
        registers = {name: int(saved[i]) for i, name in enumerate(names)}
        registers.update(sp=sp + 160, pc=registers["x30"])
    else:
        names = ["r15", "r14", "r13", "r12", "rbx", "rbp", "rip"]
        registers = {name: int(saved[i]) for i, name in enumerate(names)}
        registers["rsp"] = sp + 8 * len(names)
    return registers


def with_registers(registers, fn):
    """Runs fn as if the selected thread had these registers. Live processes only."""
    old = {name: int(gdb.parse_and_eval("(unsigned long)$" + name)) for name in registers}
    gdb.execute("frame 0", to_string=True)
    try:
        for name, value in registers.items():
            gdb.execute("set $%s = %d" % (name, value))
        return fn()
    finally:
        gdb.execute("frame 0", to_string=True)
        for name, value in old.items():
            gdb.execute("set $%s = %d" % (name, value))


def waits_in(fiber):
    """The product function that waits: the first frame outside the runtime, on the stack's words."""
    bottom_up = int(fiber["sp"])
    top = int(fiber["stack"])
    word = gdb.lookup_type("unsigned long").pointer()
    for address in range(bottom_up, min(top, bottom_up + 4096), 8):
        value = int(gdb.Value(address).cast(word).dereference())
        block = None
        try:
            block = gdb.block_for_pc(value)
        except RuntimeError:
            continue
        while block and not block.function:
            block = block.superblock
        if not block:
            continue
        where = gdb.find_pc_line(value)
        if where.symtab and "src/rt/" not in where.symtab.filename:
            return "%s at %s:%d" % (block.function.name, where.symtab.filename, where.line)
    return "?"


def describe(fiber):
    state = STATES[int(fiber["state"])]
    flags = " cancelled" if fiber["cancelled"] else ""
    where = "" if state == "running" else "  " + waits_in(fiber)
    return "  %#x  %-8s %s%s%s" % (int(fiber.address), state, fiber["name"].string(), flags, where)


class Fibers(gdb.Command):
    """Lists the fibers of every loop."""

    def __init__(self):
        super().__init__("fibers", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        for loop in loops():
            print("loop %d: %d fibers, %d parked sockets"
                  % (loop["index"], loop["fiber_count"], loop["parked"]))
            for fiber in fibers(loop):
                print(describe(fiber))


class Fiber(gdb.Command):
    """fiber bt ADDRESS | fiber bt all"""

    def __init__(self):
        super().__init__("fiber", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = gdb.string_to_argv(argument)
        if len(words) != 2 or words[0] != "bt":
            raise gdb.GdbError("usage: fiber bt ADDRESS | fiber bt all")
        wanted = None if words[1] == "all" else int(words[1], 0)
        for loop in loops():
            for fiber in fibers(loop):
                if wanted in (None, int(fiber.address)):
                    self.backtrace(fiber)

    def backtrace(self, fiber):
        print(describe(fiber))
        if STATES[int(fiber["state"])] != "running":
            with_registers(saved_registers(fiber), lambda: gdb.execute("backtrace"))


Fibers()
Fiber()
