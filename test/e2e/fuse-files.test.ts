/** What programs may expect of files on a mount: the POSIX surface, through the kernel. */
import { mkdir, open, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CompiledServer, eventually, type FuseProcess, python, shell, whyNoMount } from "../support/fuse-process.ts";

const reason = whyNoMount();

describe.skipIf(reason !== undefined)(`files on a mount${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  let server: CompiledServer;
  let fuse: FuseProcess;

  beforeAll(async () => {
    server = await CompiledServer.compile();
    fuse = await server.mount();
  });
  afterAll(async () => {
    await fuse[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  async function directory(name: string): Promise<string> {
    await mkdir(fuse.path(name));
    return fuse.path(name);
  }

  /** How many there are once the kernel has forgotten those that lost their last name: it does so when it likes to. */
  async function inodesAtRest(): Promise<number> {
    await eventually(async () => expect(await fuse.tell({ do: "orphans" })).toBe(0));
    return Number(await fuse.tell({ do: "inodes" }));
  }

  test("names are bytes: names that are not UTF-8 survive", async () => {
    const cwd = await directory("names");
    const out = await python(
      `name = bytes([0xff, 0x41, 0x0a, 0xc3, 0x28])
       os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
       os.rename(name, name + b"\\x80")
       os.symlink(b"target-\\xfe", b"link-\\xfd")
       print(sorted(os.listdir(b".")), os.readlink(b"link-\\xfd"))`.replace(/^ +/gm, ""),
      cwd,
    );
    expect(out.trim()).toBe(String.raw`[b'link-\xfd', b'\xffA\n\xc3(\x80'] b'target-\xfe'`);
  });

  test("times keep their nanoseconds, even before 1970", async () => {
    const cwd = await directory("times");
    const out = await python(
      `open("f", "w").close()
for times in [(1, 999999999), (-1, 1700000000123456789), (-2000000000000000001, 4102444800000000003)]:
    os.utime("f", ns=times)
    st = os.stat("f")
    print((st.st_atime_ns, st.st_mtime_ns) == times)`,
      cwd,
    );
    expect(out).toBe("True\nTrue\nTrue\n");
  });

  test("chown with -1 for both IDs updates the ctime and clears set-id bits, as on ext4", async () => {
    const script = `open("given", "w").close()
os.chmod("given", 0o6755)
before = os.stat("given").st_ctime_ns
os.chown("given", -1, -1)
print(os.stat("given").st_ctime_ns > before, oct(os.stat("given").st_mode))`;
    expect(await python(script, fuse.mountPoint)).toBe("True 0o100755\n");
  });

  test("a modification time set by utimes holds until the next write", async () => {
    const cwd = await directory("written");
    const out = await python(
      `fd = os.open("f", os.O_CREAT | os.O_RDWR)
os.write(fd, b"one")
os.utime(fd, ns=(5, 7))
print(os.fstat(fd).st_mtime_ns)
os.write(fd, b"two")
print(os.fstat(fd).st_mtime_ns > 10**18)`,
      cwd,
    );
    expect(out).toBe("7\nTrue\n");
  });

  test("renameat2 refuses to replace, exchanges, and leaves a whiteout, as its flags say", async () => {
    const cwd = await directory("renames");
    const out = await python(
      `def rename2(a, b, flags):
    return check(libc.renameat2(-100, a, -100, b, flags))
for name in "ab":
    open(name, "w").write(name)
os.mkdir("d")
print(refused(lambda: rename2(b"a", b"b", 1)), refused(lambda: rename2(b"a", b"c", 1)))
rename2(b"c", b"d", 2)
print(os.path.isdir("c"), open("d").read())
print(refused(lambda: rename2(b"b", b"missing", 2)), refused(lambda: rename2(b"b", b"d", 6)))
rename2(b"b", b"x", 4)
print(open("x").read(), oct(os.stat("b").st_mode), os.stat("b").st_rdev, sorted(os.listdir(".")))
os.rename("x", "b")
os.mkdir("c/inner")
print(refused(lambda: os.rename("c", "c/inner/c")), refused(lambda: os.rename("b", "c")), refused(lambda: os.rename("c", "b")))
os.mkdir("full"); open("full/x", "w").close(); os.mkdir("empty")
print(refused(lambda: os.rename("empty", "full")), refused(lambda: os.rename("full", "empty")))`,
      cwd,
    );
    expect(out.trim().split("\n")).toEqual([
      "EEXIST allowed",
      "True a",
      "ENOENT EINVAL",
      "b 0o20000 0 ['b', 'c', 'd', 'x']",
      "EINVAL EISDIR ENOTDIR",
      "ENOTEMPTY allowed",
    ]);
  });

  test("an unlinked open file lives until its last handle closes, and is then gone", async () => {
    const cwd = await directory("unlinked");
    const before = await inodesAtRest();
    await python(
      `fd = os.open("f", os.O_CREAT | os.O_RDWR)
os.write(fd, b"kept")
os.unlink("f")
os.write(fd, b" on")
assert os.pread(fd, 100, 0) == b"kept on" and os.fstat(fd).st_nlink == 0
os.open("g", os.O_CREAT | os.O_RDWR)
os.replace("g", "h"); os.open("i", os.O_CREAT); os.replace("i", "h"); os.unlink("h")
os.mkdir("d"); there = os.open("d", os.O_RDONLY); os.rmdir("d")
assert os.listdir(there) == [] and refused(lambda: os.open("x", os.O_CREAT, dir_fd=there)) == "ENOENT"`,
      cwd,
    );
    await eventually(async () => expect(await fuse.tell({ do: "inodes" })).toBe(before));
  });

  test("O_TMPFILE creates a file without a name, which vanishes unless a link gives it one", async () => {
    const cwd = await directory("unnamed");
    const before = await inodesAtRest();
    await python(
      `for name in [b"named", None]:
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"content")
    if name:
        check(libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, name, 0x400))`,
      cwd,
    );
    expect(await readFile(`${cwd}/named`, "utf8")).toBe("content");
    await eventually(async () => expect(await fuse.tell({ do: "inodes" })).toBe(before + 1));
  });

  test("SEEK_DATA, SEEK_HOLE and fallocate work, with punched holes and ranges past the end", async () => {
    const cwd = await directory("holes");
    const out = await python(
      `MiB = 1 << 20
fd = os.open("f", os.O_CREAT | os.O_RDWR)
os.pwrite(fd, b"x" * MiB, 2 * MiB)
os.ftruncate(fd, 5 * MiB)
print([os.lseek(fd, 0, os.SEEK_DATA) // MiB, os.lseek(fd, 2 * MiB, os.SEEK_HOLE) // MiB, refused(lambda: os.lseek(fd, 3 * MiB, os.SEEK_DATA))])
fallocate = lambda mode, offset, length: check(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))
fallocate(3, 2 * MiB, MiB // 2)
print(os.pread(fd, 1, 2 * MiB), os.pread(fd, 1, 2 * MiB + MiB // 2), os.lseek(fd, 0, os.SEEK_DATA) * 2 // MiB)
fallocate(0x10 | 1, 0, 9 * MiB); print(os.fstat(fd).st_size // MiB, os.lseek(fd, 0, os.SEEK_HOLE))
fallocate(0, 0, 7 * MiB); print(os.fstat(fd).st_size // MiB)
print(refused(lambda: fallocate(8, 0, 4096)))`,
      cwd,
    );
    expect(out).toBe("[2, 3, 'ENXIO']\nb'\\x00' b'x' 5\n5 0\n7\nENOTSUP\n");
  });

  test("offsets reach far beyond 4 GiB; larger ones fail with EFBIG", async () => {
    const cwd = await directory("far");
    const out = await python(
      `fd = os.open("f", os.O_CREAT | os.O_RDWR)
far = (1 << 45) + 12345
os.pwrite(fd, b"far", far)
print(os.fstat(fd).st_size - far, os.pread(fd, 10, far), os.pread(fd, 2, far - 2))
print(refused(lambda: os.pwrite(fd, b"x", 1 << 60)), refused(lambda: os.ftruncate(fd, 1 << 60)))`,
      cwd,
    );
    expect(out).toBe("3 b'far' b'\\x00\\x00'\nEFBIG EFBIG\n");
  });

  test("copy_file_range copies within the mount", async () => {
    const cwd = await directory("copies");
    const out = await python(
      `open("a", "wb").write(bytes(range(256)) * 1000)
a = os.open("a", os.O_RDONLY); b = os.open("b", os.O_CREAT | os.O_RDWR)
print(os.copy_file_range(a, b, 100_000, 1000, 5), os.fstat(b).st_size)
print(os.pread(b, 100_000, 5) == open("a", "rb").read()[1000:101_000], os.copy_file_range(a, b, 10, 256_000, 0))`,
      cwd,
    );
    expect(out).toBe("100000 100005\nTrue 0\n");
  });

  test("extended attributes are set, listed, replaced and removed as on a disk", async () => {
    const cwd = await directory("xattrs");
    const out = await python(
      `open("f", "w").close()
os.setxattr("f", "user.bytes", b"\\x00\\xff", os.XATTR_CREATE)
os.setxattr("f", b"user.caf\\xe9", b"")
os.setxattr("f", "user.large", b"x" * 65536)
print(refused(lambda: os.setxattr("f", "user.bytes", b"", os.XATTR_CREATE)), refused(lambda: os.setxattr("f", "user.none", b"", os.XATTR_REPLACE)))
print(sorted(map(os.fsencode, os.listxattr("f"))), os.getxattr("f", "user.bytes"), len(os.getxattr("f", "user.large")))
buffer = ctypes.create_string_buffer(1)
print(refused(lambda: check(libc.getxattr(b"f", b"user.large", buffer, 1))))
os.removexattr("f", "user.bytes")
print(refused(lambda: os.getxattr("f", "user.bytes")), refused(lambda: os.removexattr("f", "user.bytes")))
print(refused(lambda: os.setxattr("f", "strange.name", b"")), refused(lambda: os.getxattr("f", "system.posix_acl_access")), refused(lambda: os.setxattr("f", "user.", b"")))
print(refused(lambda: os.getxattr("f", "security.selinux")), refused(lambda: os.getxattr("f", "security.other")))
os.setxattr("f", "security.selinux", b"label"); print(os.getxattr("f", "security.selinux"))
os.setxattr("f", "trusted.roots", b""); os.chmod(".", 0o777); os.setgroups([]); os.setuid(65534)
print("trusted.roots" in os.listxattr("f"), "user.large" in os.listxattr("f"))`,
      cwd,
    );
    expect(out.trim().split("\n")).toEqual([
      "EEXIST ENODATA",
      String.raw`[b'user.bytes', b'user.caf\xe9', b'user.large'] b'\x00\xff' 65536`,
      "ERANGE",
      "ENODATA ENODATA",
      "ENOTSUP ENOTSUP EINVAL",
      "ENOTSUP ENODATA",
      "b'label'",
      "False True",
    ]);
  });

  test("permissions apply to users other than root, and their writes clear set-id bits", async () => {
    const cwd = await directory("permissions");
    const out = await python(
      `os.chmod(".", 0o777)
mode = lambda name: oct(os.stat(name).st_mode & 0o7777)
def make(name, bits):
    open(name, "w").write("text"); os.chmod(name, bits)
make("secret", 0o600); make("tool", 0o6777); make("cut", 0o4777); make("grown", 0o4777); make("given", 0o6755); make("locked", 0o2767)
open("tool", "a").write("root"); print(mode("tool"))
os.chown("given", 1234, 1234); print(mode("given"))
os.mkdir("shared"); os.chown("shared", 0, 4321); os.chmod("shared", 0o2777)
os.mkdir("sticky"); os.chmod("sticky", 0o1777); make("sticky/roots", 0o666)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(refused(lambda: open("secret")), refused(lambda: os.chmod("tool", 0o777)), refused(lambda: os.unlink("sticky/roots")))
for name in ["tool", "locked"]:
    open(name, "a").write("x")
os.truncate("cut", 1)
libc.fallocate(os.open("grown", os.O_RDWR), 0, ctypes.c_long(0), ctypes.c_long(9))
print(mode("tool"), mode("locked"), mode("cut"), mode("grown"))
open("shared/f", "w").close(); os.mkdir("shared/d"); st = os.stat("shared/f")
print(st.st_uid, st.st_gid, os.stat("shared/d").st_gid, mode("shared/d"))`,
      cwd,
    );
    expect(out.trim().split("\n")).toEqual([
      "0o6777",
      "0o755",
      "EACCES EPERM EPERM",
      "0o777 0o2767 0o777 0o777",
      "65534 4321 4321 0o2755",
    ]);
  });

  test("a shared mapping and reads see the same bytes, and writes through the mapping reach the file", async () => {
    const cwd = await directory("mapped");
    await python(
      `fd = os.open("f", os.O_CREAT | os.O_RDWR)
os.ftruncate(fd, 3 * 4096)
memory = mmap.mmap(fd, 3 * 4096)
os.pwrite(fd, b"written", 4096)
assert memory[4096:4103] == b"written"
memory[0:6] = b"mapped"
memory.flush(); memory.close(); os.close(fd)`,
      cwd,
    );
    // The page cache may hold it: the other side is asked after it was dropped.
    await shell("echo 1 > /proc/sys/vm/drop_caches", cwd);
    expect((await readFile(`${cwd}/f`)).subarray(0, 6).toString()).toBe("mapped");
  });

  test("appends by several processes lose no line", async () => {
    const cwd = await directory("appends");
    const append = 'for i in $(seq 200); do echo "$0 $i" >> log; done';
    await shell(["a", "b", "c", "d"].map((name) => `bash -c '${append}' ${name} &`).join("\n") + "\nwait", cwd);
    const lines = (await readFile(`${cwd}/log`, "utf8")).trim().split("\n");
    expect(new Set(lines).size).toBe(800);
  });

  test("a long append with O_DIRECT is stored in order while back-pressure holds up one of its pieces", async () => {
    const cwd = await directory("direct");
    await writeFile(`${cwd}/log`, "");
    await fuse.tell({ do: "pause-write" });
    const out = await python(
      `log = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_DIRECT)
       pieces = mmap.mmap(-1, 4 << 20)
       pieces.write(b"".join(bytes([index]) * (1 << 20) for index in b"abcd"))
       print(os.write(log, pieces), open("log").read()[::1 << 20])`.replace(/^ +/gm, ""),
      cwd,
    );
    expect(out).toBe(`${4 << 20} abcd\n`);
  });

  test("flock and POSIX locks hold between processes", async () => {
    const cwd = await directory("locks");
    const out = await python(
      `f = open("f", "w"); g = open("g", "w")
fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(g, fcntl.LOCK_EX)
if os.fork() == 0:
    f = open("f", "w"); g = open("g", "w")
    print(refused(lambda: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)), refused(lambda: fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB)), flush=True)
    os._exit(0)
os.wait(); f.close(); g.close()
fcntl.flock(open("f"), fcntl.LOCK_EX | fcntl.LOCK_NB); print("free")`,
      cwd,
    );
    expect(out).toMatch(/^(EAGAIN|EWOULDBLOCK) (EAGAIN|EACCES)\nfree\n$/);
  });

  test("operations that a file does not support fail as on a disk", async () => {
    const cwd = await directory("refusals");
    const out = await python(
      `import select, socket
os.mkfifo("fifo"); os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3)); socket.socket(socket.AF_UNIX).bind("socket")
print([oct(stat.S_IFMT(os.lstat(name).st_mode)) for name in ["fifo", "null", "socket"]], os.stat("null").st_rdev == os.makedev(1, 3))
f = open("f", "w+")
print(refused(lambda: open("null")), refused(lambda: fcntl.ioctl(f, 0x5401, b" " * 64)), refused(lambda: os.listdir("f")))
poll = select.poll(); poll.register(f, select.POLLIN); print(poll.poll(0)[0][1] == select.POLLIN)
print(refused(lambda: os.open("f/x", os.O_RDONLY)), refused(lambda: os.mkdir("f")), refused(lambda: os.rmdir("f")), refused(lambda: os.unlink(".")))
print(refused(lambda: open("x" * 256, "w")), refused(lambda: os.link(".", "dir")), refused(lambda: os.open("f", os.O_CREAT | os.O_EXCL)))
os.fsync(f.fileno()); os.fsync(os.open(".", os.O_RDONLY)); os.sync()`,
      cwd,
    );
    expect(out.trim().split("\n")).toEqual([
      "['0o10000', '0o20000', '0o140000'] True",
      "EACCES ENOTTY ENOTDIR",
      "True",
      "ENOTDIR EEXIST ENOTDIR EISDIR",
      "ENAMETOOLONG EPERM EEXIST",
    ]);
  });

  test("a large directory lists every name once, even while names come and go", async () => {
    const cwd = await directory("many");
    const out = await python(
      `names = [f"file-{i:04}-{'x' * (i % 50)}" for i in range(3000)]
for name in names: open(name, "w").close()
seen = []
with os.scandir(".") as entries:
    for i, entry in enumerate(entries):
        seen.append(entry.name)
        if i % 10 == 0:
            os.unlink(entry.name); open(f"new-{i}", "w").close()
old = [name for name in seen if name.startswith("file-")]
print(sorted(old) == sorted(names), len(seen) == len(set(seen)))`,
      cwd,
    );
    expect(out).toBe("True True\n");
    expect((await readdir(cwd)).length).toBeGreaterThanOrEqual(3000);
    await shell("rm -r ../many", cwd);
  });

  test("reads and writes of any alignment give the right bytes", async () => {
    const cwd = await directory("alignment");
    const file = await open(`${cwd}/f`, "w+");
    const expected = Buffer.alloc(3_000_000);
    let seed = 1;
    const next = (limit: number) => (seed = (seed * 48271) % 2147483647) % limit;
    for (let i = 0; i < 60; i++) {
      const offset = next(1_500_000);
      const bytes = Buffer.alloc(1 + next(1_400_000), next(256));
      await file.write(bytes, 0, bytes.length, offset);
      bytes.copy(expected, offset);
    }
    await file.close();
    await shell("echo 1 > /proc/sys/vm/drop_caches", cwd);
    const read = await readFile(`${cwd}/f`);
    expect(read.equals(expected.subarray(0, read.length))).toBe(true);
    expect((await stat(`${cwd}/f`)).size).toBe(read.length);
  });

  test("a hundred concurrent writes and reads are all answered", async () => {
    const cwd = await directory("many");
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        await writeFile(`${cwd}/${i}`, `number ${i}`);
        expect(await readFile(`${cwd}/${i}`, "utf8")).toBe(`number ${i}`);
      }),
    );
    expect(await readdir(cwd)).toHaveLength(100);
  });
});
