"""Plays a kernel whose requests an agent left unanswered: runs the arguments as a command with descriptors 3 and 4.

Each is a socket that keeps messages apart, as /dev/fuse does. Descriptor 3 has many appends to inode 5 in no useful order;
a GETATTR; and a new append. With --resent before the command, all but the new append are marked as sent again.
"""
import fcntl
import os
import socket
import struct
import subprocess
import sys

APPENDS = 100
GETATTR, WRITE = 3, 16
RESENT = 1 << 63


def request(opcode, unique, body):
    return struct.pack("<IIQQIIIHH", 40 + len(body), opcode, unique, 5, 0, 0, 0, 0, 0) + body


def append(unique, offset):
    return request(WRITE, unique, struct.pack("<QQIIQII", 0, offset, 8, 0, 0, os.O_APPEND, 0) + b"x" * 8)


arguments = sys.argv[1:]
resent = RESENT if arguments[0] == "--resent" else 0
command = arguments[1:] if resent else arguments
kernels, devices = [], []
for _ in range(2):
    kernel, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kernels.append(socket.socket(fileno=fcntl.fcntl(kernel.detach(), fcntl.F_DUPFD, 100)))
    devices.append(fcntl.fcntl(device.detach(), fcntl.F_DUPFD, 200))
for index in (position * 37 % APPENDS for position in reversed(range(APPENDS))):
    # The offsets tell the order, the numbers do not.
    kernels[0].send(append((2 + 2 * (index * 53 % APPENDS)) | resent, 8 * index))
kernels[0].send(request(GETATTR, 1000 | resent, bytes(16)))
kernels[0].send(append(1002, 8 * APPENDS))
for descriptor, device in enumerate(devices, 3):
    os.set_blocking(device, False)
    os.dup2(device, descriptor)
sys.exit(subprocess.run(command, pass_fds=(3, 4), timeout=60).returncode)
