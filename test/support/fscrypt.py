"""
Encryption of directories by Linux (fscrypt), for machines without its tools.
  fscrypt.py encrypt DIRECTORY    an empty one; its key is added
  fscrypt.py lock DIRECTORY       the key is removed
  fscrypt.py unlock DIRECTORY     the key is added again
"""
import fcntl
import os
import struct
import sys

# linux/fscrypt.h
SET_POLICY, ADD_KEY, REMOVE_KEY = 0x800C6613, 0xC0506617, 0xC0406619
IDENTIFIER, POLICY_V2, AES_256_XTS, AES_256_CTS = 2, 2, 1, 4
KEY = bytes(64)


def add(directory):
    call = bytearray(struct.pack("=II32sII32x", IDENTIFIER, 0, b"", len(KEY), 0) + KEY)
    fcntl.ioctl(directory, ADD_KEY, call)
    return bytes(call[8:24])


what, path = sys.argv[1:]
directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
identifier = add(directory)
if what == "encrypt":
    fcntl.ioctl(directory, SET_POLICY, struct.pack("=BBBB4x16s", POLICY_V2, AES_256_XTS, AES_256_CTS, 3, identifier))
elif what == "lock":
    # What is open stays readable.
    above = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    os.close(directory)
    fcntl.ioctl(above, REMOVE_KEY, bytearray(struct.pack("=II32sI20x", IDENTIFIER, 0, identifier, 0)))
