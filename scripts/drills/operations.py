"""What programs do to files: each function takes the root folder and paths in it, and does the same on a mount and on a disk.

Needs Linux: renameat2, O_TMPFILE, extended attributes.
"""
import ctypes
import errno
import mmap
import os
import shutil
import signal

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400
PUNCH_HOLE_KEEP_SIZE = 3
# What a mount answers while its agent is dead.
DEAD = {errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV}
libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def renameat2(source, target, flags):
    checked(libc.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags))


def write_file(root, path, data, flags, offset=0, sync=False):
    fd = os.open(os.path.join(root, path), os.O_WRONLY | flags | os.O_NOFOLLOW, 0o644)
    try:
        if flags & os.O_APPEND:
            os.write(fd, data)
        else:
            os.pwrite(fd, data, offset)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def create(root, path, data):
    write_file(root, path, data, os.O_CREAT | os.O_EXCL)


def overwrite(root, path, data):
    write_file(root, path, data, os.O_TRUNC, sync=True)


def append(root, path, data):
    write_file(root, path, data, os.O_APPEND)


def patch(root, path, offset, data):
    write_file(root, path, data, 0, offset)


def save(root, path, data):
    """As editors do: a new file, synced, renamed over the old one."""
    temporary = os.path.join(root, path + "~")
    write_file(root, path + "~", data, os.O_CREAT | os.O_TRUNC, sync=True)
    try:
        os.rename(temporary, os.path.join(root, path))
    except OSError as error:
        if error.errno not in DEAD:
            os.unlink(temporary)
        raise


def unnamed(root, path, data):
    """O_TMPFILE, which gets its name when it is complete."""
    parent = os.path.dirname(os.path.join(root, path))
    fd = os.open(parent, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        os.write(fd, data)
        source, target = os.fsencode(f"/proc/self/fd/{fd}"), os.fsencode(os.path.join(root, path))
        checked(libc.linkat(AT_FDCWD, source, AT_FDCWD, target, AT_SYMLINK_FOLLOW))
    finally:
        os.close(fd)


def mapped(root, path, offset, data):
    fd = os.open(os.path.join(root, path), os.O_RDWR | os.O_NOFOLLOW)
    try:
        size = os.fstat(fd).st_size
        if size < offset + len(data):
            raise OSError(errno.EINVAL, "too short")
        with mmap.mmap(fd, size) as memory:
            in_child(store, memory, offset, data)
    finally:
        os.close(fd)


def store(memory, offset, data):
    memory[offset : offset + len(data)] = data
    memory.flush()


class BusError(OSError):
    """A mapping answered with SIGBUS: the agent is dead, or others cut the file short."""


def in_child(function, *arguments):
    """Calls the function in a process of its own, which SIGBUS may end. Raises OSError as the function does, and BusError."""
    child = os.fork()
    if child == 0:
        number = 255
        try:
            function(*arguments)
            number = 0
        except OSError as error:
            number = error.errno
        finally:
            os._exit(number)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGBUS:
        raise BusError(errno.ENOTCONN, "SIGBUS")
    if status != 0:
        raise OSError(status, os.strerror(status))


def truncate(root, path, size):
    fd = os.open(os.path.join(root, path), os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


def punch(root, path, offset, length):
    fd = os.open(os.path.join(root, path), os.O_RDWR | os.O_NOFOLLOW)
    try:
        checked(libc.fallocate(fd, PUNCH_HOLE_KEEP_SIZE, ctypes.c_long(offset), ctypes.c_long(length)))
    finally:
        os.close(fd)


def rename(root, source, target):
    os.rename(os.path.join(root, source), os.path.join(root, target))


def exchange(root, source, target):
    renameat2(os.path.join(root, source), os.path.join(root, target), RENAME_EXCHANGE)


def link(root, source, target):
    os.link(os.path.join(root, source), os.path.join(root, target), follow_symlinks=False)


def symlink(root, path, target):
    os.symlink(target, os.path.join(root, path))


def make_directory(root, path):
    os.mkdir(os.path.join(root, path))


def remove_directory(root, path):
    os.rmdir(os.path.join(root, path))


def unlink(root, path):
    os.unlink(os.path.join(root, path))


def unlink_open(root, path, data):
    """The file goes on without a name, and what is written to it then goes with it."""
    fd = os.open(os.path.join(root, path), os.O_RDWR | os.O_NOFOLLOW)
    try:
        os.unlink(os.path.join(root, path))
        if os.fstat(fd).st_nlink > 0:
            return
        os.pwrite(fd, data, 0)
        if os.pread(fd, len(data), 0) != data:
            raise AssertionError("an unlinked file does not hold what was written to it")
    finally:
        os.close(fd)


def storm(root, path, count):
    """Directories that come and go."""
    for number in range(count):
        os.mkdir(os.path.join(root, path, f"storm{number}"))
        os.mkdir(os.path.join(root, path, f"storm{number}", "inner"))
    for number in range(count):
        os.rmdir(os.path.join(root, path, f"storm{number}", "inner"))
        os.rmdir(os.path.join(root, path, f"storm{number}"))


def change_mode(root, path, mode):
    os.chmod(os.path.join(root, path), mode)


def set_xattr(root, path, name, value):
    os.setxattr(os.path.join(root, path), name, value, follow_symlinks=False)


def remove_xattr(root, path, name):
    os.removexattr(os.path.join(root, path), name, follow_symlinks=False)


def set_times(root, path, ns):
    os.utime(os.path.join(root, path), ns=(ns, ns), follow_symlinks=False)


def remove_tree(root, path):
    shutil.rmtree(os.path.join(root, path))
