"""What is in files before programs destroy them: each version holds a token, like Ta000042. for the agent a."""
import errno
import mmap
import os
import re
import stat
import time

from operations import DEAD

TOKEN = re.compile(rb"T[a-z]\d{6}\.")


def read_all(fd):
    """Past the page cache: what the agent has now."""
    parts, at = [], 0
    buffer = mmap.mmap(-1, 1 << 20)
    while True:
        count = os.preadv(fd, [buffer], at)
        if count == 0:
            return b"".join(parts)
        parts.append(buffer[:count])
        at += count


def open_direct(path):
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)


def tokens(data):
    return {match.decode() for match in TOKEN.findall(data)}


def leads_to(path, fd):
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except OSError:
        return False


def missing(held, fd):
    """Those tokens that are not in the file any more, as far as it can be read."""
    try:
        return held - tokens(read_all(fd))
    except OSError:
        return set()


class Watched:
    """A file at a path that an operation may destroy: afterwards it tells what was in it, if its last name went."""

    def __init__(self, path):
        self.fd, self.raced, self.began_ns = None, False, time.time_ns()
        try:
            if stat.S_ISREG(os.lstat(path).st_mode):
                self.fd = open_direct(path)
        except OSError as error:
            if error.errno in DEAD:
                raise
        self.links = 0 if self.fd is None else os.fstat(self.fd).st_nlink
        self.before = tokens(read_all(self.fd)) if self.fd is not None else set()

    def destroyed(self):
        """
        To be asked once its name was taken. Where the file did not lose it just now, somebody had put another one there, or taken it
        away before; `raced` tells.
        """
        if self.fd is None:
            return set()
        try:
            about = os.fstat(self.fd)
            self.raced = about.st_nlink >= self.links or about.st_ctime_ns < self.began_ns
            return tokens(read_all(self.fd)) | self.before if about.st_nlink == 0 else set()
        except OSError as error:
            # The operation was done; nobody can tell of a dead agent what it hit.
            if error.errno != errno.ESTALE and error.errno not in DEAD:
                raise
            self.raced = True
            return self.before if error.errno in DEAD else set()
        finally:
            self.close()

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
        self.fd = None
