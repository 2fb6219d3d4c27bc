"""
A filesystem whose program is gone, on a directory: the system does not tell what is there (ENOTCONN).
  dead-mount.py DIRECTORY
"""
import ctypes
import os
import sys

connection = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={connection},rootmode=40000,user_id=0,group_id=0"
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"dead", sys.argv[1].encode(), b"fuse", 0, options.encode()) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
