"""What code under test can do to whoever runs it, on purpose or not: one entry each, as lines of Python.

Every target's weight gradient is wrong, so that none of them may pass, whatever else they do.
"""

import textwrap

#: By name: what is done, where `MOMENTS` says. ``self`` is not used; every name is imported first.
BEHAVIOURS = {
    # Ends
    "raises": "raise ValueError('not today')",
    "system-exit": "sys.exit(0)",
    "system-exit-with-words": "sys.exit('words')",
    "quick-exit": "os._exit(0)",
    "posix-exit": "posix._exit(0)",
    "exit-of-the-c-library": "ctypes.CDLL(None).exit(0)",
    "abort": "os.abort()",
    "abort-of-the-c-library": "ctypes.CDLL(None).abort()",
    "segmentation-fault": "ctypes.string_at(0)",
    "kills-itself": "os.kill(os.getpid(), 9)",
    "terminates-itself": "os.kill(os.getpid(), 15)",
    "becomes-another-program": "os.execv('/bin/true', ['true'])",
    "becomes-a-program-that-stays": "os.execv('/bin/sleep', ['sleep', '1000'])",
    "stops-itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "keyboard-interrupt": "raise KeyboardInterrupt",
    "generator-exit": "raise GeneratorExit",
    "memory-error": "raise MemoryError",
    "base-exception": "raise type('Odd', (BaseException,), {})('odd')",
    "exception-without-words": "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})",
    "exception-of-a-megabyte": "raise ValueError('x' * 2**20)",
    "exception-with-control-characters": "raise ValueError('\\x1b[31m\\x07::error::forged\\r')",
    "deep-recursion": "f = lambda g: g(g)\nf(f)",
    "recursion-without-limit": (
        "sys.setrecursionlimit(10**9)\nclass A:\n    def __repr__(self): return repr(self)\nrepr(A())"
    ),
    "lets-a-child-answer": "if os.fork(): os._exit(0)",
    "exits-at-the-end": "atexit.register(posix._exit, 0)",
    "alarm": "signal.signal(signal.SIGALRM, signal.SIG_DFL)\nsignal.setitimer(signal.ITIMER_REAL, 0.01)",
    "interrupt-signal": "os.kill(os.getpid(), signal.SIGINT)",
    # Goes on
    "endless-loop": "while True: pass",
    "endless-loop-that-catches": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "endless-loop-in-c": "ctypes.CDLL(None).pause()",
    "endless-sum-in-c": "sum(itertools.repeat(0))",
    "waits-for-a-lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "masks-signals": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
    "ignores-signals": (
        "for n in (1, 2, 3, 10, 12, 14, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    ),
    "reads-standard-input": "sys.stdin.read(); os.read(0, 10); input()",
    "sleeps": "time.sleep(10000)",
    # Takes
    "memory-without-end": "held = []\nwhile True: held.append(b'x' * 2**24)",
    "memory-in-files": "held = os.memfd_create('held')\nwhile os.write(held, b'x' * 2**22): time.sleep(0.005)",
    "a-huge-array": "np.ones(2**40)",
    "an-array-of-a-gigabyte": "held = np.ones(2**27)",
    "all-threads": "while True: threading.Thread(target=time.sleep, args=(10000,), daemon=True).start()",
    "all-descriptors": "held = []\nwhile True: held.append(os.open('/dev/null', 0))",
    "prints-without-end": "while True: os.write(1, b'x' * 2**16)",
    "prints-a-lot": "os.write(2, b'x' * 2**24)",
    "prints-bytes-that-are-no-text": "os.write(1, bytes(range(256)))",
    # Leaves behind
    "a-thread": "threading.Thread(target=time.sleep, args=(10000,)).start()",
    "a-busy-thread": "threading.Thread(target=exec, args=('while True: pass',), daemon=True).start()",
    "a-child": "os.fork() or time.sleep(10000)",
    "a-child-that-goes-on": "os.fork()",
    "a-daemon": "os.fork() or (os.setsid(), os.fork() or time.sleep(10000), os._exit(0))",
    "a-program": "subprocess.Popen(['sleep', '10000'])",
    "a-program-in-its-own-session": "subprocess.Popen(['sleep', '10000'], start_new_session=True)",
    # Closes and replaces
    "closes-descriptors": "os.closerange(0, 4096)",
    "closes-standard-streams": "sys.stdout.close(); sys.stderr.close(); os.close(0); os.close(1); os.close(2)",
    "writes-into-every-descriptor": (
        "for n in range(3, 300):\n    try: os.write(n, b'\\xff' * 64)\n    except OSError: pass"
    ),
    "replaces-comparisons": (
        "np.count_nonzero = lambda *a, **k: 0\nnp.array_equal = np.allclose = lambda *a, **k: True\n"
        "np.abs = lambda a, *more, **k: a * 0\nnp.asarray = np.array"
    ),
    "replaces-results": (
        "import convcheck.reports.results as results\nresults.LayerReport.passed = True\n"
        "results.GradientResult.passed = results.GradientResult.acceptable = True"
    ),
    "replaces-checks": (
        "import convcheck.checks.comparison as comparison\ncomparison.compare = lambda *a: None\n"
        "import convcheck.targets.form as form\nform.Form.changed = lambda *a: set()"
    ),
    "replaces-what-is-sent-with": (
        "json.dumps = lambda *a, **k: 'null'\npickle.loads = lambda *a: None\nos.write = print"
    ),
    "replaces-builtins": "import builtins\nbuiltins.abs = builtins.max = lambda *a, **k: 0\nbuiltins.all = bool",
    "replaces-the-clock": "time.monotonic = time.perf_counter = time.time = lambda: 0.0",
    "replaces-random-numbers": "np.random.default_rng = lambda *a: None\nrandom.random = lambda: 0.5",
    "reaches-for-the-gate": (
        "for o in gc.get_objects():\n    if type(o).__name__ == 'Demand': object.__setattr__(o, 'max_error', 1e9)"
    ),
    "replaces-the-trace": "sys.settrace(lambda *a: None); sys.setprofile(lambda *a: None); sys.excepthook = print",
    "deletes-modules": "sys.modules.clear()",
    "sets-limits": "for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE): resource.setrlimit(kind, (5, 5))",
    "replaces-how-arrays-are-sent": (
        "import mmap\nos.pwrite = lambda n, piece, at: len(piece)\nmmap.mmap = np.frombuffer = None"
    ),
    "overwrites-numpy": "ctypes.memset(id(np.add), 255, 64)",
    "sends-an-answer-of-its-own": (
        'piece = b\'{"number": 3, "values": []}\'\n'
        "for n in range(3, 300):\n"
        "    try: os.write(n, len(piece).to_bytes(8, 'little') + piece)\n    except OSError: pass"
    ),
    "shortens-shared-memory": (
        "def cut():\n    while True:\n        for n in range(200, 220):\n            try: os.ftruncate(n, 0)\n"
        "            except OSError: pass\nthreading.Thread(target=cut, daemon=True).start()"
    ),
    "writes-into-shared-memory-later": (
        "def write():\n    while True:\n        for n in range(200, 220):\n"
        "            try: os.pwrite(n, b'\\x01' * 4096, 0)\n            except OSError: pass\n"
        "threading.Thread(target=write, daemon=True).start()"
    ),
    "says-what-does-not-apply": (
        "import convcheck.targets.form as form\nfrom convcheck.mistakes.conditions import CONDITIONS\n"
        "form.Form.inapplicable = dict.fromkeys(CONDITIONS, 'no')\n"
        "form.Form.changed = lambda *a: ()"
    ),
    "turns-off-the-fault-handler": (
        "import faulthandler\nfaulthandler.disable()\nfor n in range(34, 64): faulthandler.unregister(n)\n"
        "while True: pass"
    ),
    "ends-when-garbage-is-collected": "gc.callbacks.append(lambda *a: os._exit(0))",
    "interrupts-itself-for-ever": (
        "def now(*a): raise KeyboardInterrupt\n"
        "if threading.current_thread() is threading.main_thread():\n"
        "    signal.signal(signal.SIGALRM, now); signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)"
    ),
    "refuses-imports": "sys.meta_path.insert(0, type('No', (), {'find_spec': lambda *a: 1 / 0})())",
    # Reaches for the judge
    "answers-for-itself": (
        # A well-formed answer under the number of the request, which stands in the frames above; then the real one.
        "frame = sys._getframe()\n"
        "while frame and 'request' not in frame.f_locals: frame = frame.f_back\n"
        "number = frame.f_locals['request']['number'] if frame else 1\n"
        "piece = json.dumps({'number': number, 'values': [None] * 4, 'starts': [0]}).encode()\n"
        "for n in os.listdir('/proc/self/fd'):\n"
        "    try:\n        if os.readlink(f'/proc/self/fd/{n}').startswith('socket'):\n"
        "            os.write(int(n), len(piece).to_bytes(8, 'little') + piece)\n    except OSError: pass"
    ),
    "answers-requests-to-come": (
        "for number in range(2000):\n"
        "    piece = json.dumps({'number': number, 'values': ['float64 1'], 'starts': [0]}).encode()\n"
        "    for n in range(200, 206):\n"
        "        try: os.write(n, len(piece).to_bytes(8, 'little') + piece)\n        except OSError: pass"
    ),
    "swallows-requests": (
        "def swallow():\n    while True:\n        try: os.read(200, 2**16)\n        except OSError: pass\n"
        "threading.Thread(target=swallow, daemon=True).start()"
    ),
    "announces-a-message-of-exabytes": (
        "for n in range(200, 206):\n    try: os.write(n, b'\\xff' * 8)\n    except OSError: pass"
    ),
    "announces-a-message-that-never-comes": (
        "for n in range(200, 206):\n"
        "    try: os.write(n, (2**19).to_bytes(8, 'little') + b'{')\n    except OSError: pass"
    ),
    "nests-an-answer": (
        "piece = b'[' * 2**19\n"
        "for n in range(200, 206):\n"
        "    try: os.write(n, len(piece).to_bytes(8, 'little') + piece)\n    except OSError: pass"
    ),
    "takes-its-parents-files": (
        "for n in os.listdir(f'/proc/{os.getppid()}/fd'):\n"
        "    with open(f'/proc/{os.getppid()}/fd/{n}', 'wb', 0) as file: file.write(b'\\xff' * 64)"
    ),
    "writes-into-its-parents-memory": (
        "for line in open(f'/proc/{os.getppid()}/maps').read().splitlines():\n"
        "    with open(f'/proc/{os.getppid()}/mem', 'r+b', 0) as memory:\n"
        "        memory.seek(int(line.split('-')[0], 16)); memory.write(b'\\0' * 64)"
    ),
    "replaces-objects-around-it": (
        "for o in gc.get_objects():\n"
        "    if type(o).__name__ in ('_Code', 'Guarded', 'Room', 'Mapped', 'Incoming', 'OneThread', '_GuardedRun'):\n"
        "        vars(o).clear()"
    ),
    "replaces-modules": (
        "for name in list(sys.modules):\n    if name.split('.')[0] in ('numpy', 'json', 'convcheck', 'os'):\n"
        "        sys.modules[name] = None"
    ),
    "leaves-modules-in-its-folder": (
        "for name in ('json', 'numpy', 'pickle', 'socket', 'psutil', 'sitecustomize', 'usercustomize', 'convcheck'):\n"
        "    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name + '.py'), 'w') as file:\n"
        "        file.write('import os; os._exit(0)')\n"
        "os.kill(os.getpid(), 9)"
    ),
    "stops-its-parent-and-hangs": "os.kill(os.getppid(), signal.SIGSTOP)\nwhile True: pass",
    "stops-its-parent-and-answers": "os.kill(os.getppid(), signal.SIGSTOP)",
    "ends-the-processes-beside-it": (
        "import psutil\n"
        "me = psutil.Process().parent()\n"
        "for other in me.parent().children():\n"
        "    if other != me and 'keeper' in ' '.join(other.cmdline()): other.kill()"
    ),
    # Multiplies
    "moves-from-process-to-process": "while True:\n    if os.fork(): os._exit(0)\n    os.setsid()",
    "child-of-its-parent": (
        # clone(CLONE_PARENT | SIGCHLD)
        "ctypes.CDLL(None).syscall(56, 0x8000 | 17, 0, 0, 0, 0) or time.sleep(10000)"
    ),
    "parent-waits-for-the-child-that-answers": "os.fork() and time.sleep(10000)",
    "hides-from-its-parent": "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)",
    # Limits itself
    "allows-itself-nothing": (
        "os.nice(19)\n"
        "for kind in (resource.RLIMIT_AS, resource.RLIMIT_STACK, resource.RLIMIT_NPROC, resource.RLIMIT_DATA):\n"
        "    resource.setrlimit(kind, (1, 1))"
    ),
    "allows-itself-a-second": "resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass",
    # Streams
    "opens-other-streams": (
        "for n in (0, 1, 2): os.close(n)\n"
        "os.open('/dev/zero', 0); os.open('/dev/full', 1); os.open('/dev/full', 1)\n"
        "print('x' * 2**20, flush=True)"
    ),
    "prints-commands": (
        "os.write(2, b'\\x1b]0;title\\x07\\n::error::forged\\n::stop-commands::x\\n\\x1b[2J\\r\\x00\\xed\\xa0\\x80\\n')"
    ),
    "replaces-streams": "sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = sys.stdin = object()",
    "hooks-that-end": (
        "sys.excepthook = sys.unraisablehook = threading.excepthook = lambda *a: os._exit(0)\n"
        "class Dies:\n    def __del__(self): raise ValueError\nDies()"
    ),
    # What is raised
    "exception-that-hangs-when-shown": "raise type('Odd', (Exception,), {'__str__': lambda self: time.sleep(10000)})",
    "exception-with-a-name-of-lines": (
        "raise type('A\\nPASSED\\x1b[31m', (Exception,), {'__module__': 'x\\n::error::'})('a')"
    ),
    "exception-with-half-a-character": "raise ValueError('\\ud800 \\x00 \\x0b \\ufffe \\u2028 ]]> </failure>')",
    "exception-that-causes-itself": "e = ValueError('a'); e.__cause__ = e; e.__context__ = e; raise e",
    "exceptions-in-exceptions": (
        "e = ValueError('a')\nfor n in range(900): e = ExceptionGroup('x' * 1000, [e, e])\nraise e"
    ),
    "exception-without-a-class-of-its-own": (
        "no = lambda *a: 1 / 0\n"
        "Meta = type('Meta', (type,), {'__name__': property(no), '__subclasscheck__': no, '__instancecheck__': no})\n"
        "raise Meta('Odd', (Exception,), {'__class__': property(no), '__getattribute__': no})()"
    ),
    "says-that-it-is-not-implemented": "raise NotImplementedError('float64')",
    # Ends later
    "ends-when-it-is-let-go": ("held = type('Held', (), {'__del__': lambda self: os._exit(0)})()\nheld.itself = held"),
    "hangs-when-it-is-let-go": (
        "held = type('Held', (), {'__del__': lambda self: time.sleep(10000)})()\n"
        "held.itself = held\ndel held; gc.collect()"
    ),
    "writes-around-its-arrays": (
        "kept = getattr(self, 'kept', None) if 'self' in locals() else None\n"
        "if kept: ctypes.memset(kept[1].ctypes.data - 4096, 255, 4096)"
    ),
    # Where it is
    "goes-to-another-folder": "os.chdir('/')",
    "goes-to-a-folder-that-is-gone": "d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)",
    "empties-the-environment": "os.environ.clear(); sys.path.clear()",
    # Who is around
    "kills-its-parent": "os.kill(os.getppid(), 9)",
    "stops-its-parent": "os.kill(os.getppid(), signal.SIGSTOP); os.kill(os.getpid(), 9)",
    "kills-its-group": "os.killpg(0, 9)",
}

#: Where it is done.
MOMENTS = ("import", "construct", "forward", "backward")

#: What a backward pass or a forward pass can give that is none of what was asked for.
RESULTS = {
    "nothing": "return None",
    "a-structured-array": "return np.zeros(3, [('a', int)])",
    "an-array-of-objects": "return np.array([object()] * 3, object)",
    "text": "return np.array(['a', 'b'])",
    "a-huge-shape": "return np.broadcast_to(np.zeros(()), (2**20, 2**20))",
    "sixty-axes": "return np.zeros((1,) * 60)",
    "what-raises-when-looked-at": "return type('Lazy', (), {'__array__': lambda self, *a, **k: 1 / 0})()",
    "what-hangs-when-looked-at": "return type('Lazy', (), {'__array__': lambda self, *a, **k: time.sleep(1000)})()",
    "its-input": "return self.kept[1]",
    "no-entries": "return np.zeros((0, 3))",
    "another-byte-order": "return np.zeros(3, '>f8')",
    "a-long-double": "return np.zeros(3, np.longdouble)",
    "dates": "return np.zeros(3, 'M8[s]')",
    "voids": "return np.zeros(3, 'V8')",
    "an-address-that-is-none": (
        "return type('Lies', (), {'__array_interface__': "
        "{'shape': (2**20,), 'typestr': '<f8', 'data': (8, False), 'version': 3}})()"
    ),
    "a-file-that-is-cut": (
        "file = tempfile.TemporaryFile(); file.write(b'x' * 2**16); file.flush()\n"
        "mapped = np.memmap(file, np.float64, 'r+'); os.truncate(file.fileno(), 0)\nreturn mapped"
    ),
    "what-lies-about-its-shape": (
        "return np.zeros(3).view(type('Lies', (np.ndarray,), {'shape': property(lambda self: (1, 2)), "
        "'dtype': property(lambda self: np.dtype('f4')), 'nbytes': 2**40, 'reshape': lambda self, *a: self}))"
    ),
    "what-grows": (
        "result = np.zeros(3)\n"
        "def grow():\n    while True:\n        for size in (2**20, 3):\n"
        "            try: result.resize(size, refcheck=False)\n            except ValueError: pass\n"
        "threading.Thread(target=grow, daemon=True).start()\nreturn result"
    ),
    "what-cannot-be-let-go": (
        "return np.zeros(3).view(type('Stays', (np.ndarray,), {'__del__': lambda self: os._exit(0)}))"
    ),
    "an-endless-list": "result = []; result.append(result); return result",
    "an-iterator": "return itertools.repeat(1.0)",
    "three-huge-ones": "return [np.broadcast_to(np.zeros(()), (2**12, 2**12))] * 3",
    "many": "return (np.zeros(1),) * 10000",
    "what-says-that-it-is-equal": "return np.zeros(3).view(type('Same', (np.ndarray,), {'__eq__': lambda *a: True}))",
}

_HEAD = """\
import atexit, ctypes, gc, itertools, json, os, pickle, posix, random, resource, signal, subprocess, sys, tempfile
import threading, time
import numpy as np
from convcheck.gradients import formulation
UNFOLD = formulation("unfold")
"""

_CLASS = """\
class Wrong:
    def __init__(self):
        pass
{construct}
    def forward(self, x, weight, bias, layer):
        self.kept = layer, x, weight
{forward}
        return UNFOLD.forward(layer, x, weight, bias)
    def backward(self, grad_output):
{backward}
        right = UNFOLD.backward(*self.kept, grad_output)
        return right.input, 2 * right.weight, right.bias
"""


def source(lines, moment):
    """A file with the class ``Wrong`` that does something at a moment."""
    at = {name: textwrap.indent(lines if name == moment else "pass", " " * 8) for name in MOMENTS}
    return f"{_HEAD}{lines if moment == 'import' else ''}\n{_CLASS.format(**at)}"
