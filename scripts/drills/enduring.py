"""Programs that work in a folder without a pause, and take every error for a failure: enduring.py KIND FOLDER STOP

Each works until the file STOP is there, then checks what it made. Prints a line of JSON: what it did how often, its errors, and how
long its longest call took.
"""

import fcntl
import json
import mmap
import os
import random
import sqlite3
import struct
import sys
import time

KIND, FOLDER, STOP = sys.argv[1:4]
OWN = os.path.join(FOLDER, KIND)
done = 0
errors = []
longest = 0.0


def path(name):
    return os.path.join(OWN, str(name))


def timed(call, *arguments, **named):
    """Returns the call's result, and notes how long it took."""
    global longest
    began = time.monotonic()
    try:
        return call(*arguments, **named)
    finally:
        longest = max(longest, time.monotonic() - began)


def expect(condition, what):
    if not condition:
        errors.append(what)


def fsync():
    """Whole files, each durable before the next one."""
    for number in forever():
        with timed(open, path(number % 50), "wb") as file:
            file.write(b"%d " % number * 500)
            file.flush()
            timed(os.fsync, file.fileno())
    for name in os.listdir(OWN):
        with open(path(name), "rb") as file:
            words = file.read().split()
        expect(len(words) == 500 and len(set(words)) == 1, f"{name} is torn")


def replace():
    """A new file over the old one: readers see one of the two."""
    for number in forever():
        with timed(open, path("new"), "wb") as file:
            file.write(b"%d " % number * 300)
            file.flush()
            timed(os.fsync, file.fileno())
        timed(os.rename, path("new"), path("current"))
        with timed(open, path("current"), "rb") as file:
            expect(file.read() == b"%d " % number * 300, f"round {number} reads something else")


def names():
    """Each call must succeed exactly once: a second execution would say EEXIST or ENOENT."""
    for number in forever():
        a, b, c, d = (path(f"{letter}{number}") for letter in "abcd")
        os.close(timed(os.open, a, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        timed(os.link, a, b)
        timed(os.rename, a, c)
        timed(os.symlink, "target", d)
        timed(os.mkdir, a)
        timed(os.setxattr, c, "user.once", b"value", os.XATTR_CREATE)
        timed(os.removexattr, c, "user.once")
        expect(timed(os.stat, c).st_nlink == 2, f"links of {c}")
        for name in (b, c, d):
            timed(os.unlink, name)
        timed(os.rmdir, a)
    expect(os.listdir(OWN) == [], f"names are left: {os.listdir(OWN)}")


def append():
    """Numbered lines at the end: each once, in order."""
    file = os.open(path("log"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    last = 0
    for number in forever():
        expect(timed(os.write, file, b"%09d\n" % number) == 10, "a short write")
        last = number
    os.close(file)
    with open(path("log"), "rb") as read:
        lines = read.read().split()
    expect(lines == [b"%09d" % number for number in range(last + 1)], f"{len(lines)} lines of {last + 1}")


def mapped():
    """Counters in a mapped file."""
    size = 1 << 20
    file = os.open(path("map"), os.O_CREAT | os.O_RDWR)
    os.ftruncate(file, size)
    view = mmap.mmap(file, size)
    wanted = {}
    for number in forever():
        at = random.randrange(size // 8) * 8
        struct.pack_into("<q", view, at, number)
        wanted[at] = number
        if number % 20 == 0:
            timed(view.flush)
        time.sleep(0.001)
    view.flush()
    view.close()
    os.fsync(file)
    content = os.pread(file, size, 0)
    os.close(file)
    expect(all(struct.unpack_from("<q", content, at)[0] == number for at, number in wanted.items()), "a counter is old")


def unlinked():
    """A file without a name, open and locked, among others that come and go."""
    file = os.open(path("held"), os.O_CREAT | os.O_RDWR)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.unlink(path("held"))
    length = 0
    for number in forever():
        expect(timed(os.pwrite, file, b"%09d\n" % number, length) == 10, "a short write")
        length += 10
        at = random.randrange(length // 10)
        expect(timed(os.pread, file, 10, at * 10) == b"%09d\n" % at, f"record {at} reads something else")
        other = os.open(path("other"), os.O_CREAT | os.O_RDWR)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
        timed(os.unlink, path("other"))
    expect(os.fstat(file).st_nlink == 0 and os.fstat(file).st_size == length, "its size or links")
    os.close(file)


def listing():
    """A directory that never changes lists the same names each time."""
    wanted = sorted(f"{number:05d}" for number in range(500))
    for name in wanted:
        open(path(name), "w").close()
    for _ in forever():
        expect(sorted(timed(os.listdir, OWN)) == wanted, "a listing lacks names, or has some twice")


def rollback():
    database("DELETE")


def wal():
    database("WAL")


def database(mode):
    connection = sqlite3.connect(path("data.db"), isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS lines (number INTEGER PRIMARY KEY, text TEXT)")
    last = -1
    for number in forever():
        timed(connection.execute, "INSERT INTO lines VALUES (?, ?)", (number, "x" * 200))
        last = number
    (count,) = connection.execute("SELECT count(*) FROM lines").fetchone()
    (check,) = connection.execute("PRAGMA integrity_check").fetchone()
    expect(count == last + 1 and check == "ok", f"{count} rows of {last + 1}, {check}")
    connection.close()


def forever():
    global done
    while not os.path.exists(STOP):
        yield done
        done += 1


KINDS = [fsync, replace, names, append, mapped, unlinked, listing, rollback, wal]

if __name__ == "__main__":
    os.makedirs(OWN)
    try:
        next(kind for kind in KINDS if kind.__name__ == KIND)()
    except Exception as error:  # noqa: BLE001
        errors.append(repr(error))
    print(json.dumps({"kind": KIND, "done": done, "errors": errors[:5], "longestMs": round(longest * 1000)}))
