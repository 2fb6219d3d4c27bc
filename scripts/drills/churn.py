"""Random operations on a mount from a seed, and what they mean: one process an agent, beside others on the same bucket.

    python3 scripts/drills/churn.py DIR AGENT SEED SHADOW DEATHS

Half of them happen in DIR/own-AGENT, where nobody else changes anything: each is done in the folder SHADOW too, must end there
with the same errno, and both folders must be alike in the end. The others happen in DIR/shared, where all agents meet. There every
version that is written holds a token of its own, and what is destroyed is read before, so that it can be told which tokens
must be somewhere when everything has converged.

Prints a JSON line for each operation in DIR/shared: {"op", "began", "t", "made", "gone", "sure", "raced", "touched"}: seconds since
1970, tokens that were written, tokens that somebody destroyed who saw them, whether the operation was answered, paths where it may
have hit what nobody looked at (others changed them at that moment, or it was not answered), and paths where it may have if the agent
published in between. Ends when its input does. The file DEATHS grows by a byte before each death of the agent and by
another when it is mounted again.
"""
import errno
import json
import os
import random
import select
import shutil
import sys
import time

from likeness import different, mirror, plain
from operations import *
from watched import Watched, leads_to, missing, open_direct, read_all, tokens

NAMES = [f"{stem}{ext}" for stem in "pqrs" for ext in (".txt", ".log", ".bin")] + ["d", "e", "f"]
DEPTH = 3
# What takes several calls, and may have stopped between them.
SEVERAL = (save, unnamed, overwrite, storm, remove_tree, unlink_open, create)


class Interrupted(Exception):
    """The agent died while it had the operation."""


class Churn:
    def __init__(self, mount, agent, seed, shadow, deaths):
        self.mount, self.agent, self.shadow = mount, agent, shadow
        self.deaths, self.seen_deaths = deaths, 0
        self.random = random.Random(f"{seed}/{agent}")
        self.next_token = 0
        self.began, self.raced, self.touched = 0, [], []
        self.own = os.path.join(mount, f"own-{agent}")
        self.shared = os.path.join(mount, "shared")

    def token(self):
        self.next_token += 1
        return f"T{self.agent}{self.next_token:06d}."

    def data(self, token):
        pick = self.random.random()
        padding = b"x" * self.random.randrange(30)
        if pick < 0.05:
            padding = self.random.randbytes(self.random.randrange(300_000)).replace(b"T", b"t")
        elif pick < 0.1:
            padding = b"y" * self.random.randrange(70_000)
        return token.encode() + padding + b"\n"

    def path(self, root, there=None):
        """A path to work on: an existing one when asked for, else any, the parents of which exist as a rule."""
        at = ""
        for _ in range(DEPTH):
            full = os.path.join(root, at)
            if not os.path.isdir(full) or os.path.islink(full):
                break
            names = sorted(os.listdir(full))
            directories = [name for name in names if os.path.isdir(os.path.join(full, name))]
            if directories and self.random.random() < 0.5:
                at = os.path.join(at, self.random.choice(directories))
                continue
            if there and names:
                return os.path.join(at, self.random.choice(names))
            break
        return os.path.join(at, self.random.choice(NAMES))

    def operation(self, root, token):
        """A function with its arguments, chosen by what is in `root`."""
        pick, there = self.random.random(), lambda: self.path(root, there=True)
        data = lambda: self.data(token)
        small = token.encode()
        choices = [
            (0.12, lambda: (create, self.path(root), data())),
            (0.08, lambda: (overwrite, there(), data())),
            (0.12, lambda: (append, there(), small + b"\n")),
            (0.03, lambda: (patch, there(), self.random.randrange(200), small)),
            (0.08, lambda: (save, there(), data())),
            (0.03, lambda: (unnamed, self.path(root), data())),
            (0.03, lambda: (mapped, there(), self.random.randrange(20), small)),
            (0.03, lambda: (truncate, there(), self.random.choice([0, 13, 40, 5_000]))),
            (0.01, lambda: (punch, there(), 0, 4096)),
            (0.10, lambda: (rename, there(), self.path(root))),
            (0.03, lambda: (exchange, there(), there())),
            (0.04, lambda: (link, there(), self.path(root))),
            (0.02, lambda: (symlink, self.path(root), token)),
            (0.10, lambda: (make_directory, self.path(root))),
            (0.02, lambda: (remove_directory, there())),
            (0.04, lambda: (unlink, there())),
            (0.02, lambda: (unlink_open, there(), small)),
            (0.01, lambda: (storm, os.path.dirname(self.path(root)), self.random.randrange(8))),
            (0.02, lambda: (change_mode, there(), self.random.choice([0o600, 0o644, 0o755, 0o700]))),
            (0.02, lambda: (set_xattr, there(), f"user.{self.random.choice('xy')}", self.random.randbytes(self.random.choice([3, 700])))),
            (0.01, lambda: (remove_xattr, there(), "user.x")),
            (0.02, lambda: (set_times, there(), self.random.randrange(10**18))),
            (0.02, lambda: (remove_tree, there())),
        ]
        total = sum(weight for weight, _ in choices)
        pick *= total
        for weight, choice in choices:
            pick -= weight
            if pick <= 0:
                return choice()
        return choices[0][1]()

    def step(self):
        if self.random.random() < 0.4:
            self.step_own()
        else:
            self.step_shared()

    def attempt(self, root, function, *arguments):
        """The errno's name, or "" for success."""
        try:
            function(root, *arguments)
            return ""
        except OSError as error:
            # Nobody else cuts these files short.
            if isinstance(error, BusError) and not self.has_died():
                fail("a mapped file gave SIGBUS although the agent lives")
            # Between two mounts there is an empty directory.
            if error.errno in DEAD or (root == self.own and self.died()):
                raise Interrupted() from error
            return errno.errorcode[error.errno]

    def died(self):
        """Whether the agent died since this was asked last."""
        before, self.seen_deaths = self.seen_deaths, os.path.getsize(self.deaths)
        return self.seen_deaths > before

    def has_died(self):
        return os.path.getsize(self.deaths) > self.seen_deaths

    def step_own(self):
        function, *arguments = self.operation(self.shadow, self.token())
        try:
            outcome = self.attempt(self.own, function, *arguments)
        except Interrupted:
            before = self.shadow + "-before"
            mirror(self.shadow, before)
            while True:
                self.wait()
                try:
                    return self.follow(before, function, arguments)
                except OSError:
                    if not self.died():
                        raise
        expected = self.attempt(self.shadow, function, *arguments)
        if outcome != expected:
            fail(f"{function.__name__} {[str(a)[:60] for a in arguments]} gave {outcome or 'success'}, a disk {expected or 'success'}", different(self.own, self.shadow))

    def follow(self, before, function, arguments):
        """After a death: the operation happened as a whole, or not at all; only what takes several calls may have stopped between."""
        mirror(before, self.shadow)
        if self.alike():
            return
        self.attempt(self.shadow, function, *arguments)
        if self.alike():
            return
        if self.has_died():
            raise OSError(errno.ENOTCONN, "the agent died again")
        if function not in SEVERAL:
            fail(f"after a death in {function.__name__} {arguments[:2]} the tree is neither old nor new", different(self.own, self.shadow))
        mirror(self.own, self.shadow)

    def alike(self):
        return plain(self.own) == plain(self.shadow)

    def step_shared(self):
        token = self.token()
        try:
            function, *arguments = self.operation(self.shared, token)
            runner = getattr(self, f"shared_{function.__name__}", None)
            made, gone, self.began, self.raced, self.touched = set(), set(), time.time(), [], []
            try:
                if runner is not None:
                    runner(made, gone, *arguments)
                else:
                    function(self.shared, *arguments)
                self.told(function, arguments, made, gone, True)
            except OSError as error:
                if error.errno in DEAD:
                    self.told(function, arguments, made, gone, False)
                    raise
                # Refused: nothing was made, but of what takes several steps a part may have been done.
                self.told(function, arguments, set(), gone, True, errno.errorcode[error.errno])
        except OSError as error:
            if error.errno in DEAD:
                self.wait()
            # Others change what is looked at.
            elif error.errno not in (errno.ENOENT, errno.ESTALE, errno.ENOTDIR):
                raise

    def told(self, function, arguments, made, gone, sure, refused=None):
        line = {"began": self.began, "t": time.time(), "op": function.__name__, "on": [a for a in arguments if isinstance(a, str)], "sure": sure}
        hits = {"raced": self.raced, "touched": self.touched}
        if made or gone or self.raced or refused is None:
            print(json.dumps({**line, "made": sorted(made), "gone": sorted(gone), **hits, "refused": refused}), flush=True)

    def inside(self, path):
        return os.path.join(self.shared, path)

    def in_place(self, made, gone, path, after, function, *arguments):
        """Changes bytes; `after` gives the new ones. A file that is touched first stays as it is until that is published."""
        os.utime(self.inside(path))
        self.touched.append(path)
        fd = open_direct(self.inside(path))
        try:
            before = read_all(fd)
            old, new = tokens(before), tokens(after(before))
            try:
                function(self.shared, path, *arguments)
            except OSError as error:
                self.raced.append(path)
                gone |= old - new if error.errno in DEAD else missing(old - new, fd)
                raise
            # It was done, wherever the name leads by now.
            if not leads_to(self.inside(path), fd):
                self.raced.append(path)
        finally:
            os.close(fd)
        gone |= old - new
        made |= new - old

    def replace(self, gone, path, function, *arguments):
        """What takes a name from what is there."""
        replaced = Watched(self.inside(path))
        try:
            function(self.shared, *arguments)
        except OSError as error:
            replaced.close()
            if error.errno in DEAD:
                gone |= replaced.before
                self.raced.append(path)
            raise
        gone |= replaced.destroyed()
        if replaced.raced:
            self.raced.append(path)

    def shared_create(self, made, gone, path, data):
        create(self.shared, path, data)
        made |= tokens(data)

    def shared_unnamed(self, made, gone, path, data):
        unnamed(self.shared, path, data)
        made |= tokens(data)

    def shared_append(self, made, gone, path, data):
        append(self.shared, path, data)
        made |= tokens(data)

    def shared_overwrite(self, made, gone, path, data):
        self.in_place(made, gone, path, lambda before: data, overwrite, data)

    def shared_patch(self, made, gone, path, offset, data):
        patched = lambda before: before[:offset].ljust(offset, b"\0") + data + before[offset + len(data) :]
        self.in_place(made, gone, path, patched, patch, offset, data)

    def shared_mapped(self, made, gone, path, offset, data):
        patched = lambda before: before[:offset] + data + before[offset + len(data) :]
        self.in_place(made, gone, path, patched, mapped, offset, data)

    def shared_truncate(self, made, gone, path, size):
        self.in_place(made, gone, path, lambda before: before[:size], truncate, size)

    def shared_punch(self, made, gone, path, offset, length):
        self.in_place(made, gone, path, lambda before: before[:offset] + before[offset + length :], punch, offset, length)

    def shared_save(self, made, gone, path, data):
        # The temporary name may be there from another's death.
        leftover = Watched(self.inside(path + "~"))
        gone |= leftover.before
        leftover.close()
        self.replace(gone, path, save, path, data)
        made |= tokens(data)

    def shared_rename(self, made, gone, source, target):
        if os.path.lexists(self.inside(target)):
            return self.replace(gone, target, rename, source, target)
        renameat2(self.inside(source), self.inside(target), RENAME_NOREPLACE)

    def shared_unlink(self, made, gone, path):
        self.replace(gone, path, unlink, path)

    def shared_unlink_open(self, made, gone, path, data):
        self.shared_unlink(made, gone, path)

    def shared_remove_tree(self, made, gone, path):
        for folder, directories, files in os.walk(self.inside(path), topdown=False):
            for name in files:
                self.shared_unlink(made, gone, os.path.relpath(os.path.join(folder, name), self.shared))
            for name in directories:
                full = os.path.join(folder, name)
                if os.path.islink(full):
                    self.shared_unlink(made, gone, os.path.relpath(full, self.shared))
                else:
                    os.rmdir(full)
        os.rmdir(self.inside(path))

    def wait(self):
        """Until the mount answers again."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.died()
            try:
                if self.seen_deaths % 2 == 0 and os.path.ismount(self.mount) and os.path.isdir(self.shared):
                    return
            except OSError:
                pass
            time.sleep(0.01)
        fail("the mount did not come back in a minute")

    def run(self):
        os.makedirs(self.shadow, exist_ok=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            self.step()
        details = different(self.own, self.shadow)
        if details:
            fail("the own folder is not as on a disk", details)


def fail(why, details=()):
    print(json.dumps({"failed": why, "details": list(details)[:10]}), flush=True)
    sys.exit(1)


if __name__ == "__main__":
    Churn(*sys.argv[1:6]).run()
