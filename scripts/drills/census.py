"""What a folder shows, as JSON: every path with type, mode, owner, links, times, size, SHA-256 or target, attributes, and tokens in it.

    python3 scripts/drills/census.py DIR
"""
import hashlib
import json
import os
import re
import stat
import sys

TOKEN = re.compile(rb"T[a-z]\d{6}\.")


def describe(path, about):
    held = b""
    if stat.S_ISREG(about.st_mode):
        with open(path, "rb") as file:
            held = file.read()
        if len(held) != about.st_size:
            held += b"(read %d bytes of %d)" % (len(held), about.st_size)
    if stat.S_ISLNK(about.st_mode):
        held = os.fsencode(os.readlink(path))
    return {
        "mode": oct(about.st_mode),
        "owner": f"{about.st_uid}:{about.st_gid}",
        "links": about.st_nlink,
        "mtime": about.st_mtime_ns,
        "size": 0 if stat.S_ISDIR(about.st_mode) else about.st_size,
        "held": hashlib.sha256(held).hexdigest(),
        "xattrs": {} if stat.S_ISLNK(about.st_mode) else {key: os.getxattr(path, key).hex() for key in sorted(os.listxattr(path))},
        "tokens": sorted({match.decode() for match in TOKEN.findall(held)}),
    }


def census(root):
    seen, inodes = {}, {}
    for folder, directories, files in os.walk(os.fsencode(root)):
        for name in directories + files:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            key = os.path.relpath(path, os.fsencode(root)).decode("latin1")
            seen[key] = describe(path, about)
            inodes.setdefault(about.st_ino, []).append(key)
    # Names of one file are told by the first of them.
    for names in inodes.values():
        for name in names:
            seen[name]["same"] = min(names)
    return seen


if __name__ == "__main__":
    json.dump(census(sys.argv[1]), sys.stdout)
