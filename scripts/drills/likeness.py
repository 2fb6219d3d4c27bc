"""Whether a folder of a mount and one on a disk are alike, and copies for comparing them."""
import os
import shutil

from census import census


def plain(root):
    """A folder without what differs between a mount and a disk that are alike."""
    return {path: {key: about[key] for key in ("mode", "links", "size", "held", "xattrs", "same")} for path, about in census(root).items()}


def mirror(source, target):
    """Makes `target` a copy of `source`, as a whole or not at all."""
    fresh = target + "-fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    copy_tree(source, fresh)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(fresh, target)


def copy_tree(source, target):
    shutil.copytree(source, target, symlinks=True)
    first = {}
    for folder, _, files in os.walk(source):
        for name in files:
            full = os.path.join(folder, name)
            about = os.lstat(full)
            copy = os.path.join(target, os.path.relpath(full, source))
            if about.st_nlink > 1 and about.st_ino in first:
                os.unlink(copy)
                os.link(first[about.st_ino], copy, follow_symlinks=False)
            first.setdefault(about.st_ino, copy)


def different(own, shadow):
    here, there = plain(own), plain(shadow)
    return [f"{path}: mount {here.get(path)}, disk {there.get(path)}" for path in sorted(here.keys() | there.keys()) if here.get(path) != there.get(path)]
