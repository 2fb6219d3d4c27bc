"""
Random calls about modes, owners and access control lists, by several users, in the working directory. Prints after each call
what it answered and what everybody sees: two filesystems that follow the same rules print the same.
  acl-sequence.py SEED STEPS
"""
import os
import random
import struct
import sys

seed, steps = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
# uid, gid, further groups
USERS = [(0, 0, []), (61001, 62001, []), (61002, 62002, [62001]), (61003, 62003, []), (61004, 62001, [62003])]
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
OWNER, USER, OWNING_GROUP, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
NO_ID = 0xFFFFFFFF


def as_user(user, action):
    """Returns the answer of `action`, run in a process of the user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups(user[2])
        os.setresgid(user[1], user[1], user[1])
        os.setresuid(user[0], user[0], user[0])
        try:
            answer = str(action())
        except OSError as error:
            answer = f"errno {error.errno}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    return answer


def permissions():
    return rng.choice([0, 1, 4, 5, 6, 7, 7])


def some_acl():
    entries = [(OWNER, permissions(), NO_ID)]
    users = rng.sample([61001, 61002, 61003, 61004], rng.randrange(3))
    groups = rng.sample([62001, 62002, 62003], rng.randrange(3))
    entries += [(USER, permissions(), user) for user in users]
    entries += [(OWNING_GROUP, permissions(), NO_ID)]
    entries += [(GROUP, permissions(), group) for group in groups]
    if users or groups or rng.random() < 0.2:
        entries += [(MASK, permissions(), NO_ID)]
    entries += [(OTHER, permissions(), NO_ID)]
    if rng.random() < 0.06:
        entries.pop(rng.randrange(len(entries)))
    if rng.random() < 0.04:
        entries.reverse()
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def xattr(path, name):
    try:
        return os.getxattr(path, name, follow_symlinks=False).hex()
    except OSError as error:
        return f"errno {error.errno}"


paths = []


def everything():
    shown = []
    for path in sorted(paths):
        stat = os.lstat(path)
        names = sorted(os.listxattr(path, follow_symlinks=False))
        lists = [xattr(path, name) for name in (ACCESS, DEFAULT)]
        shown.append(f"{path} {stat.st_mode:o} {stat.st_uid}:{stat.st_gid} {names} {lists}")
    for user in USERS:
        access = lambda: [[path, [os.access(path, bit) for bit in (4, 2, 1)]] for path in sorted(paths)]
        shown.append(f"{user[0]} {as_user(user, access)}")
    return shown


def make(kind, parent, name, mode, umask):
    path = os.path.join(parent, name)

    def act():
        os.umask(umask)
        if kind == "file":
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        elif kind == "directory":
            os.mkdir(path, mode)
        elif kind == "fifo":
            os.mkfifo(path, mode)
        elif kind == "symlink":
            os.symlink("there", path)
        else:
            file = os.open(parent, os.O_TMPFILE | os.O_RDWR, mode)
            # With a directory's descriptor, Python makes the call that follows symlinks.
            os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file, follow_symlinks=True)
        return "made"

    return path, act


def chmod_through_write(path):
    with open(path, "ab") as file:
        file.write(b"x")
    return "written"


os.umask(0)
os.chmod(".", 0o777)
for step in range(steps):
    user = rng.choice(USERS)
    directories = ["."] + [path for path in paths if os.path.isdir(path) and not os.path.islink(path)]
    what = rng.choice(["make", "make", "set", "set", "set default", "remove", "chmod", "chmod", "chown", "write", "move"])
    target = rng.choice(paths) if paths and rng.random() < 0.9 else "."
    if what == "make":
        kind = rng.choice(["file", "file", "directory", "directory", "fifo", "symlink", "unnamed"])
        umask = rng.choice([0, 0o022, 0o027, 0o077])
        mode = rng.choice([0o666, 0o777, 0o640, 0o2755, 0o600])
        path, act = make(kind, rng.choice(directories), f"n{step}", mode, umask)
        call = f"{kind} {path} {mode:o} {umask:o}"
    elif what in ("set", "set default"):
        name = ACCESS if what == "set" else DEFAULT
        if name == DEFAULT and rng.random() < 0.9:
            target = rng.choice(directories)
        value = some_acl()
        act = lambda: os.setxattr(target, name, value, follow_symlinks=False)
        call = f"{what} {target} {value.hex()}"
    elif what == "remove":
        name = rng.choice([ACCESS, DEFAULT])
        act = lambda: os.removexattr(target, name, follow_symlinks=False)
        call = f"remove {target} {name}"
    elif what == "chmod":
        mode = rng.choice([0o000, 0o600, 0o640, 0o664, 0o755, 0o2775, 0o4750, 0o070, 0o1777])
        act = lambda: os.chmod(target, mode)
        call = f"chmod {target} {mode:o}"
    elif what == "chown":
        # Never -1 twice: through FUSE, the kernel lets anybody drop set-id bits that way.
        uid, gid = rng.choice([(-1, 62001), (-1, 62002), (61002, -1), (61001, 62003), (61003, 62001)])
        act = lambda: os.lchown(target, uid, gid)
        call = f"chown {target} {uid} {gid}"
    elif what == "write":
        act = (lambda: chmod_through_write(target)) if os.path.isfile(target) else (lambda: "skipped")
        call = f"write {target}"
    else:
        path = os.path.join(rng.choice(directories), f"n{step}")
        act = lambda: os.rename(target, path)
        call = f"move {target} {path}"
    answer = as_user(user, act)
    if answer == "made":
        paths.append(path)
    if what == "move" and answer == "None":
        inside = target + "/"
        paths = [path + each[len(target):] if each == target or each.startswith(inside) else each for each in paths]
    print(f"{step} {user[0]} {call}: {answer}")
    for line in everything():
        print(f"    {line}")
