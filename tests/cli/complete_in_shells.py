"""Presses Tab in a real shell on a terminal: usage complete_in_shells.py ATTUNE SHELL DATABASE. A wrong line is an error."""

import os
import pty
import re
import select
import sys
import tempfile
import time

attune, shell, database = sys.argv[1:]

START = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"], "fish": ["fish", "--no-config", "-i"]}
SETUP = {
    "bash": "source <(attune completion bash)",
    "zsh": "autoload -U compinit; compinit -u -D; source <(attune completion zsh)",
    "fish": "attune completion fish | source",
}
LINES = [  # what is typed before Tab, and the line as it is then, but for a space or slash at its end (zsh takes it back)
    ("attune que", "attune query"),
    ("attune query --form", "attune query --format"),
    ("attune query --format js", "attune query --format json"),
    ("attune query --format=js", "attune query --format=json"),
    ("attune query --status k", "attune query --status keep"),
    ("attune export --per", "attune export --per-family"),
    ("attune tune smok", "attune tune smoke-cpu"),
    ("attune cases broa", "attune cases broad"),
    ("attune tune --strategy exh", "attune tune --strategy exhaustive"),
    (f"attune best --db {database} --study ful", f"attune best --db {database} --study full-sm90_ws"),
    ("attune export --to a-fold", "attune export --to a-folder"),
]
PATIENCE_S = 60


def plain(text):
    """What a terminal shows, as lines: without colours, titles and cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|\x1b[()=>][B0]?", "", text).replace("\r", "\n")


def read_until(terminal, pattern):
    text = ""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            text += os.read(terminal, 65536).decode(errors="replace")
            found = re.search(pattern, plain(text), re.MULTILINE)
            if found:
                return found
    raise AssertionError(f"{shell}: no {pattern!r} in {text!r}")


folder = tempfile.TemporaryDirectory()
os.mkdir(os.path.join(folder.name, "a-folder"))
environment = {"PATH": os.path.dirname(attune) + ":" + os.environ["PATH"], "HOME": folder.name, "TERM": "xterm",
               "LC_ALL": "C.UTF-8"}
child, terminal = pty.fork()
if child == 0:
    os.chdir(folder.name)
    os.execvpe(START[shell][0], START[shell], environment)
try:
    os.write(terminal, (SETUP[shell] + "; echo re''ady\n").encode())
    read_until(terminal, r"^ready$")
    for typed, expected in LINES:
        # Ctrl-A and Ctrl-E put quotes around the line as Tab left it, and echo prints it.
        os.write(terminal, f'{typed}\t\x01echo "@\x05@"\n'.encode())
        line = read_until(terminal, r"^@(.*)@$").group(1).rstrip(" /")
        assert line == expected, (shell, typed, line)
finally:
    os.kill(child, 9)
    os.waitpid(child, 0)
