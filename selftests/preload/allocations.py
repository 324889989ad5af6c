# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Allocate in every way a program in Python does; print what came out."""
import gc
import hashlib
import os
import queue
import random
import subprocess
import sys
import threading

scale = int(sys.argv[1])
random.seed(20260101)


def digest(*things):
    return hashlib.sha256(repr(things).encode()).hexdigest()[:16]


def containers(seed):
    rng = random.Random(seed)
    table, items = {}, []
    for i in range(2000 * scale):
        key = "k%d" % rng.randrange(1000 * scale)
        table.setdefault(key, []).append(bytes([i % 256]) * rng.randrange(600))
        if i % 3 == 0:
            items.append([table[key], {i: key}, (i, key * 3)])
        if i % 7 == 0 and items:
            items.pop(rng.randrange(len(items)))
    return digest(sorted((k, [len(v) for v in l]) for k, l in table.items()), len(items))


def large():
    blob = bytearray()
    for i in range(40 * scale):
        blob += os.urandom(0) + bytes([i % 251]) * 100000
        if len(blob) > 20 << 20:
            del blob[: 15 << 20]
    text = "x".join(str(i) for i in range(20000 * scale))
    return digest(len(blob), hashlib.md5(blob).hexdigest(), hashlib.md5(text.encode()).hexdigest())


def threads():
    results, jobs = {}, queue.Queue()

    def work(n):
        results[n] = containers(n)
        while (job := jobs.get()) is not None:
            results[n] = digest(results[n], 1) if job is False else results[n]
            job = [bytes(1000)] * 10

    pool = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in pool:
        thread.start()
    for i in range(1000 * scale):
        jobs.put([i] * (i % 100))
    for _ in pool:
        jobs.put(None)
    for thread in pool:
        thread.join()
    return digest(sorted(results.items()))


def forks():
    keep = [bytes([i % 256]) * (i % 5000) for i in range(500 * scale)]
    answers = []
    for n in range(6):
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            seen = hashlib.md5(b"".join(keep)).hexdigest()
            keep[:] = [b"child"] * len(keep)
            os.write(into, digest(seen, containers(n)).encode())
            os._exit(0)
        mine = containers(100 + n)
        os.close(into)
        answers.append((os.read(out, 100), mine))
        os.close(out)
        answers.append(os.waitpid(pid, 0)[1])
    return digest(answers, hashlib.md5(b"".join(keep)).hexdigest())


def processes():
    outputs = [subprocess.run(["sh", "-c", "seq %d | sort -r | head -3" % n],
                              capture_output=True, check=True) for n in range(1, 8)]
    return digest([(o.stdout, o.stderr) for o in outputs])


def cycles():
    for _ in range(30000 * scale):
        a, b = [], {}
        a.append(b)
        b["a"] = a
    gc.collect()
    return digest(gc.garbage)


def exhaustion():
    for size in (1 << 62, sys.maxsize):
        try:
            bytearray(size)
            return "what?"
        except (MemoryError, OverflowError):
            pass
    return "MemoryError"


for job in (containers, large, threads, forks, processes, cycles, exhaustion):
    print(job.__name__, job(1) if job is containers else job(), flush=True)
