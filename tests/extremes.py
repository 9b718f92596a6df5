"""Configs of extreme sizes in every command: ``python -m tests.extremes [WORD]...``.

Each run ends within a minute of processor time, says what was done or why it was refused, shows nothing of convcheck's
own, and stays within some memory. Those are bad of which that is not true; exit status 1 if there is one. With words,
only the runs whose names have all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.shell import ROOT

#: Seconds of processors that a run may take, and so many times as long by the clock, where other things run too.
SECONDS = 60.0
PATIENCE = 10

#: Bytes of memory, for all processes of a run.
MEMORY = 6 * 2**30

#: Layers, as they stand in a config.
LAYERS = {
    "kernel": "{channels: 1, filters: 1, kernel: 1000000, input: 1000003}",
    "kernel-of-two-axes": "{channels: 1, filters: 2, kernel: [1000000, 1], input: [1000001, 2]}",
    "kernel-in-padding": "{channels: 1, filters: 1, kernel: 1000000, input: 5, padding: 1000000}",
    "kernel-on-long-input": "{channels: 1, filters: 1, kernel: 1000000, input: 2000000, batch: 1}",
    "kernel-of-a-plane": "{channels: 1, filters: 1, kernel: [1500, 1500], input: [1501, 1501], batch: 1}",
    "dilation": "{channels: 1, filters: 1, kernel: 3, dilation: 1000000, input: 2000010}",
    "dilation-of-a-tap": "{channels: 2, filters: 2, kernel: 1, dilation: 1000000000, input: 5}",
    "dilation-of-two-axes": "{channels: 1, filters: 1, kernel: [2, 2], dilation: [1000000, 1], input: [1000003, 3]}",
    "dilation-in-padding": "{channels: 1, filters: 1, kernel: 3, dilation: 1000000, input: 5, padding: 1000000}",
    "input": "{channels: 1, filters: 1, kernel: 3, input: 5000000, batch: 1}",
    "input-with-stride": "{channels: 1, filters: 1, kernel: 3, stride: 2, padding: 1, input: 5000000, batch: 1}",
    "input-float16": "{channels: 1, filters: 1, kernel: 3, input: 5000000, batch: 1, dtype: float16}",
    "input-circular": "{channels: 1, filters: 1, kernel: 5, padding: 2, padding_mode: circular, input: 5000000}",
    "padding": "{channels: 1, filters: 1, kernel: 3, input: 10, padding: 3000000}",
    "padding-replicated": "{channels: 1, filters: 1, kernel: 3, input: 10, padding: 3000000, padding_mode: replicate}",
    "padding-without-end": "{channels: 1, filters: 1, kernel: 3, input: 10, padding: 1000000000000}",
    "stride": "{channels: 1, filters: 1, kernel: 3, input: 10, stride: 1000000000}",
    "stride-over-padding": "{channels: 1, filters: 1, kernel: 3, input: 10, stride: 1000000, padding: 3000000}",
    "transposed-stride": "{channels: 1, filters: 1, kernel: 3, input: 10, stride: 1000000000, transposed: true}",
    "transposed-stride-in-range": "{channels: 1, filters: 1, kernel: 3, input: 3, stride: 600000, transposed: true}",
    "transposed-kernel": "{channels: 1, filters: 1, kernel: 1000000, input: 5, transposed: true}",
    "output-padding": (
        "{channels: 1, filters: 1, kernel: 3, input: 3, stride: 1000001, output_padding: 1000000, transposed: true}"
    ),
    "channels": "{channels: 1000000, filters: 1, kernel: 1, input: 3, batch: 1}",
    "filters": "{channels: 1, filters: 1000000, kernel: 1, input: 3, batch: 1}",
    "groups": "{channels: 1000000, filters: 1000000, groups: 1000000, kernel: 1, input: 3, batch: 1}",
    "channels-and-filters": "{channels: 1000000, filters: 1000000, kernel: 3}",
    "batch": "{channels: 1, filters: 1, kernel: 3, input: 4, batch: 1000000}",
    "same-padding": "{channels: 1, filters: 1, kernel: 999999, padding: same, input: 5}",
    "largest-integer": "{channels: 1, filters: 1, kernel: 3, input: 9223372036854775807}",
    "huge-integer": "{channels: 1, filters: 1, kernel: 3, input: 1" + 400 * "0" + "}",
}


def layers(*those: str) -> str:
    return "version: 1\nlayers:\n" + "".join(f"  - {one}\n" for one in those)


def _numbered(count: int, more: str = "") -> str:
    return layers(*(f"{{name: n{n}, channels: 1, filters: 1, kernel: 1, input: 1{more}}}" for n in range(count)))


SMALL = "channels: 1, filters: 1, kernel: 2, input: 3"

#: Whole files. What has no layer to look at is refused by every command alike.
FILES = {
    "long-name": lambda: layers(f"{{name: {'n' * 900_000}, {SMALL}}}"),
    "long-wrong-name": lambda: layers(f"{{name: [{'n' * 900_000}], {SMALL}}}"),
    "long-key": lambda: layers(f"{{? {'n' * 900_000} : 1, {SMALL}}}"),
    "unknown-keys": lambda: layers("{" + SMALL + "".join(f", key{n}: 1" for n in range(20_000)) + "}"),
    "similar-keys": lambda: layers("{" + SMALL + "".join(f", kernel{n}: 1" for n in range(20_000)) + "}"),
    "layers": lambda: "defaults: {channels: 1, filters: 1, kernel: 1, input: 1}\nlayers: [" + "{}," * 10_000 + "]",
    "layers-with-names": lambda: _numbered(10_000),
    "a-thousand-layers": lambda: _numbered(1_000, ", batch: 1"),
    "equal-names": lambda: layers(*(f"{{name: same, {SMALL}}}" for _ in range(7_000))),
    "layers-of-nothing": lambda: "layers: [" + "{}," * 40_000 + "]",
    "texts-for-layers": lambda: "layers: [" + "a," * 45_000 + "]",
    "long-list": lambda: layers("{channels: 1, filters: 1, kernel: [" + "1," * 45_000 + "]}"),
    "aliases": lambda: (
        "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "".join(f"{b}: &{b} [{', '.join(9 * [f'*{a}'])}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
        + layers(f"{{{SMALL}}}")
    ),
    "merges": lambda: (
        f"a: &a {{{SMALL}}}\n"
        + "".join(
            f"{b}: &{b} {{<<: [{', '.join(9 * [f'*{a}'])}]}}\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
        )
        + layers("{<<: *h}")
    ),
    "deep-nesting": lambda: "[" * 400_000 + "]" * 400_000,
    "deep-blocks": lambda: "".join(" " * n + "a:\n" for n in range(1200)),
    "brackets": lambda: "[" * 900_000,
    "quote": lambda: '"' + "a" * 900_000,
    "comment": lambda: "#" + "c" * 900_000 + "\n" + layers(f"{{{SMALL}}}"),
    "empty-lines": lambda: "\n" * 900_000,
    "tabs": lambda: layers(f"{{{SMALL}}}") + "\t" * 900_000,
    "huge-integers": lambda: layers("{channels: " + "9" * 900_000 + ", filters: 1, kernel: 1}"),
    "huge-float": lambda: layers("{channels: 1e" + "9" * 900_000 + ", filters: 1, kernel: 1}"),
    "dots": lambda: layers("{channels: " + "." * 900_000 + ", filters: 1, kernel: 1}"),
    "long-target": lambda: f"target: {'t' * 900_000}.py:T\n" + layers(f"{{{SMALL}}}"),
    "long-dtype": lambda: layers(f"{{dtype: {'d' * 900_000}, {SMALL}}}"),
    "line-of-350-MB": lambda: "# " + "x" * 350_000_000,
    "zeros": lambda: "\0" * 900_000,
    "anchors": lambda: "".join(f"a{n}: &a{n} 1\n" for n in range(20_000)) + layers(f"{{{SMALL}}}"),
}

TARGET = "tests.targets_for_tests:Right"
WRONG = "tests.targets_for_tests:Unflipped"

#: What is run on each file; CONFIG stands for it.
COMMANDS = {
    "verify": "verify CONFIG",
    "verify-json": "verify CONFIG --output-format json",
    "verify-target": f"verify CONFIG --target {TARGET}",
    "verify-wrong": f"verify CONFIG --target {WRONG}",
    "visualize": "visualize CONFIG --output-dir pictures",
    "visualize-svg": "visualize CONFIG --output-dir pictures --format svg",
    "visualize-gif": "visualize CONFIG --output-dir pictures --format gif",
    "visualize-page": "visualize CONFIG --output-dir pictures --format html",
    "visualize-terminal": "visualize CONFIG --terminal",
    "visualize-wrong": f"visualize CONFIG --output-dir pictures --target {WRONG}",
    "explain": "explain CONFIG",
    "explain-entry": "explain CONFIG --entry bias[0]",
    "explain-all": "explain CONFIG --all --output-format latex",
    "mistakes": "mistakes kernel-not-flipped CONFIG --layer layer1",
    "audit": "audit CONFIG",
    "bench": "bench CONFIG --rounds 1",
    "hunt": f"hunt {TARGET} CONFIG --seconds 2 --cases 20",
    "judge": f"judge {TARGET} CONFIG --seconds 2",
    "import": "import CONFIG",
    "import-list": "import CONFIG --format benchdnn",
}


def words_of(command: str, config: str) -> list[str]:
    return [config if word == "CONFIG" else word for word in command.split()]


def ran(words: list[str], folder: Path, seconds: float) -> tuple[int | None, float, int, str, str]:
    """Run a command; gives its status, seconds of processors, bytes of memory at the most, and both outputs.

    The status is None if it did not end.
    """
    out, err = folder / "out", folder / "err"
    began, busy, most = time.monotonic(), 0.0, 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    with out.open("wb") as to, err.open("wb") as errors:
        process = psutil.Popen(
            [sys.executable, "-m", "convcheck", *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=to, stderr=errors,
        )  # fmt: skip
        while process.poll() is None:
            family = []
            with suppress(psutil.Error):
                family = [process, *process.children(recursive=True)]
            used, spent = 0, 0.0
            for one in family:
                with suppress(psutil.Error):
                    used += one.memory_info().rss
                    spent += sum(one.cpu_times())
            most, busy = max(most, used), max(busy, spent)
            if busy > seconds or time.monotonic() - began > PATIENCE * seconds or used > 2 * MEMORY:
                for one in family:
                    with suppress(psutil.Error):
                        one.kill()
                process.wait()
                return None, busy, most, _text(out), _text(err)
            time.sleep(0.05)
    return process.returncode, busy, most, _text(out), _text(err)


def _text(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(2**22).decode(errors="replace")


def wrong_with(status: int | None, seconds: float, memory: int, out: str, err: str) -> str:
    """What is wrong with a run; empty if nothing is."""
    if status is None:
        return "did not end"
    problems = []
    if seconds > SECONDS:
        problems.append(f"{seconds:.0f} s")
    if memory > MEMORY:
        problems.append(f"{memory / 2**30:.1f} GiB")
    if status not in (0, 1, 2):
        problems.append(f"status {status}")
    if "Traceback" in out + err or "convcheck/" in err or "internal" in err.lower():
        problems.append("shows its own")
    if status == 2 and not err.strip():
        problems.append("says nothing")
    if len(err) > 200_000:
        problems.append("says too much")
    return ", ".join(problems)


def main(*words: str) -> int:
    cases = {name: lambda text=text: layers(text) for name, text in LAYERS.items()} | FILES
    tried = bad = 0
    with tempfile.TemporaryDirectory() as base:
        for config, text in cases.items():
            for name, command in COMMANDS.items():
                if not all(word in f"{name} {config} " for word in words):
                    continue
                folder = Path(base)
                file = folder / "extreme.yaml"
                file.write_text(text())
                tried += 1
                found = ran(words_of(command, file.name), folder, SECONDS)
                problem = wrong_with(*found)
                bad += bool(problem)
                status, took, memory, out, err = found
                last = (err.strip().splitlines() or out.strip().splitlines() or [""])[-1][:150]
                sys.stdout.write(
                    f"{'BAD ' + problem if problem else 'ok'}: {name} · {config} · status {status} · {took:.1f} s · "
                    f"{memory / 2**20:,.0f} MiB · {last}\n"
                )
                sys.stdout.flush()
    sys.stdout.write(f"{tried} runs, {bad} bad\n")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
