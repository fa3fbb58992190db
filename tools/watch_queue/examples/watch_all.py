#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Watches the mounts, a file system, a disk and devices, and prints what happens.

usage: watch_all.py DIRECTORY DISK, such as /srv /dev/sda
"""

import fcntl
import os
import struct
import sys

SET_SIZE = 0x5760  # IOC_WATCH_QUEUE_SET_SIZE
ADD_WATCH = 0xc0185763  # IOC_WATCH_QUEUE_ADD_WATCH, but on mips, powerpc and sparc
META, KEY, MOUNT, SUPERBLOCK, BLOCK, DEVICE = range(6)
NAMES = ["meta", "key", "mounts", "file system", "disk", "devices"]


def watch(queue, source, path=None, flags=0):
    """Has the queue watch what is at a path; messages have the source as their tag."""
    file = os.open(path, flags) if path else -1
    fcntl.ioctl(queue, ADD_WATCH, struct.pack("=IiIIQ", source, file, source, 0, 0))
    if path:
        os.close(file)  # The watch does not need it any more, and it keeps the mount busy.


directory, disk = sys.argv[1:]
queue, _write_end = os.pipe2(os.O_EXCL | os.O_CLOEXEC)  # O_NOTIFICATION_PIPE
fcntl.ioctl(queue, SET_SIZE, 256)
watch(queue, MOUNT, "/proc/self/ns/mnt", os.O_RDONLY)
watch(queue, SUPERBLOCK, directory, os.O_PATH)
watch(queue, BLOCK, disk, os.O_RDONLY)
watch(queue, DEVICE)
print("watching", flush=True)
while data := os.read(queue, 4096):
    while data:
        word, info = struct.unpack_from("=II", data)
        message, data = data[:info & 0x7f], data[info & 0x7f:]
        if sys.byteorder == "little":
            kind, event = word & 0xffffff, word >> 24
        else:
            kind, event = word >> 8, word & 0xff
        name = NAMES[info >> 8 & 0xff or META]
        if (kind, event) == (META, 1):
            print(f"{info >> 16} messages lost", flush=True)
        else:
            what = "gone" if kind == META else f"event {event}: {message[8:].hex()}"
            print(f"{name}: {what}", flush=True)
