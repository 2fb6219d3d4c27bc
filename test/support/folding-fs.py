"""A directory as a file system that takes names which differ in case or in Unicode form only for one, and keeps them as they were made.

  /usr/bin/python3 folding-fs.py FROM AT    says "mounted"; ends when AT is unmounted

As disks of macOS and Windows do it; for machines whose kernel has no such file system. Needs Debian's python3-fusepy.
"""
import errno
import os
import sys
import unicodedata

from fusepy import FUSE, FuseOSError, Operations


def folded(name):
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


class Folding(Operations):
    use_ns = True

    def __init__(self, root):
        self.root = root

    def __call__(self, op, path, *args):
        try:
            return super().__call__(op, path, *args)
        except OSError as error:
            raise FuseOSError(error.errno)

    def init(self, path):
        print("mounted", flush=True)

    def at(self, path):
        """Where it is: by the spelling that each name was made with, or that it would be made with."""
        here = self.root
        for name in filter(None, path.split("/")):
            if not os.path.lexists(os.path.join(here, name)) and os.path.isdir(here):
                name = next((there for there in os.listdir(here) if folded(there) == folded(name)), name)
            here = os.path.join(here, name)
        return here

    def getattr(self, path, fh=None):
        stat = os.fstat(fh) if fh is not None else os.lstat(self.at(path))
        times = {f"st_{which}time": getattr(stat, f"st_{which}time_ns") for which in "acm"}
        keys = ("st_gid", "st_mode", "st_nlink", "st_size", "st_uid", "st_ino")
        return times | {key: getattr(stat, key) for key in keys}

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(self.at(path))]

    def readlink(self, path):
        return os.readlink(self.at(path))

    def mkdir(self, path, mode):
        os.mkdir(self.at(path), mode)

    def rmdir(self, path):
        os.rmdir(self.at(path))

    def unlink(self, path):
        os.unlink(self.at(path))

    def symlink(self, path, target):
        os.symlink(target, self.at(path))

    def link(self, path, target):
        os.link(self.at(target), self.at(path), follow_symlinks=False)

    def rename(self, old, new):
        source, there = self.at(old), self.at(new)
        # Another spelling of its own name is a new one.
        if source == there:
            there = os.path.join(os.path.dirname(source), os.path.basename(new))
        os.rename(source, there)

    def chmod(self, path, mode):
        os.chmod(self.at(path), mode)

    def chown(self, path, uid, gid):
        os.chown(self.at(path), uid, gid, follow_symlinks=False)

    def utimens(self, path, times=None):
        os.utime(self.at(path), ns=times, follow_symlinks=False)

    def truncate(self, path, length, fh=None):
        os.truncate(self.at(path) if fh is None else fh, length)

    def create(self, path, mode, fi=None):
        return os.open(self.at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path, flags):
        return os.open(self.at(path), flags & ~(os.O_CREAT | os.O_EXCL | os.O_APPEND))

    def read(self, path, size, offset, fh):
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def release(self, path, fh):
        os.close(fh)

    def fsync(self, path, datasync, fh):
        os.fsync(fh)

    def statfs(self, path):
        stat = os.statvfs(self.root)
        return {key: getattr(stat, key) for key in dir(stat) if key.startswith("f_") and key != "f_fsid"}


FUSE(Folding(sys.argv[1]), sys.argv[2], foreground=True, nothreads=True, use_ino=True, attr_timeout=0, entry_timeout=0)
