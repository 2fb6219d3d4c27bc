/** Everyday programs on a mount do what they do on a disk. */
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CompiledServer,
  type FuseProcess,
  hasCommand,
  python,
  run,
  shell,
  whyNoMount,
} from "../support/fuse-process.ts";

const reason = whyNoMount();

describe.skipIf(reason !== undefined)(
  `programs on a mount${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  () => {
    let server: CompiledServer;
    let fuse: FuseProcess;
    /** A tree on the local disk, to compare with. */
    let tree: string;

    beforeAll(async () => {
      server = await CompiledServer.compile();
      fuse = await server.mount();
      tree = await makeTree();
    });
    afterAll(async () => {
      await fuse[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await rm(tree, { recursive: true });
    });

    /** Everything that a copy must keep, one line an entry. */
    const listing = (directory: string) =>
      shell(
        `find . -printf '%P %y %m %U %G %n %T@ %l\\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum`,
        directory,
      );

    test("cp -a keeps types, modes, links, times and contents, in both directions", async () => {
      await run("cp", ["-a", tree, fuse.path("copy")]);
      expect(await listing(fuse.path("copy"))).toBe(await listing(tree));
      await run("cp", ["-a", fuse.path("copy"), `${tree}-back`]);
      expect(await listing(`${tree}-back`)).toBe(await listing(tree));
      await rm(`${tree}-back`, { recursive: true });
    });

    test("tar unpacks and packs the same tree", async () => {
      await mkdir(fuse.path("untar"));
      await shell(`tar -C '${tree}' --format=posix -cf - . | tar -C untar -xpf -`, fuse.mountPoint);
      expect(await listing(fuse.path("untar"))).toBe(await listing(tree));
      await shell(`tar --format=posix -cf all.tar untar && tar -df all.tar && rm -r untar`, fuse.mountPoint);
    });

    test("mv within the mount renames, and rm -r leaves nothing", async () => {
      await run("cp", ["-a", tree, fuse.path("moving")]);
      const out = await shell(
        "mkdir into; mv moving into/moved; ls -d moving into/moved 2>&1 || rm -r into; ls",
        fuse.mountPoint,
      );
      expect(out).toMatch(/cannot access 'moving'.*\ninto\/moved\n/);
      expect(out.split("\n")).not.toContain("into");
    });

    test("git clones onto the mount, commits, and passes git fsck", async () => {
      const source = join(tree, "repository");
      await mkdir(source);
      const as = "git -c user.name=t -c user.email=t@example.org";
      await shell(
        `git init -q; seq 2000 > numbers; mkdir d; touch d/{1..50}; git add .; ${as} commit -qm first`,
        source,
      );
      const commits = await shell(
        `git clone -q --no-hardlinks '${source}' clone; cd clone; git fsck --strict
       test -z "$(git status --porcelain)"
       for i in 1 2 3 4 5; do echo $i >> numbers; git mv d/$i e-$i; ${as} commit -qam "change $i"; done
       git gc -q; git fsck --strict; git checkout -q HEAD~3; test -z "$(git status --porcelain)"
       git log --oneline --all | wc -l`,
        fuse.mountPoint,
      );
      expect(Number(commits)).toBe(6);
      await rm(source, { recursive: true });
    });

    test.skipIf(!hasCommand("sqlite3"))(
      "SQLite works in both journal modes, even from two processes at once",
      async () => {
        for (const mode of ["delete", "wal"]) {
          const sql = (text: string) =>
            run("sqlite3", ["-cmd", ".timeout 10000", `db-${mode}`, text], { cwd: fuse.mountPoint });
          await sql(`pragma journal_mode=${mode}; create table t (n integer)`);
          const insert = `with recursive c(n) as (select 1 union all select n + 1 from c where n < 300) insert into t select n from c;`;
          await Promise.all([sql(insert.repeat(3)), sql(insert.repeat(3))]);
          expect(await sql("select count(*), sum(n) from t; pragma integrity_check")).toBe(`1800|270900\nok\n`);
        }
      },
    );

    describe("a file created, synced and removed under the same name again and again", () => {
      test.skipIf(!mapsPastCache())("bypasses the kernel's page cache after a few rounds", async () => {
        const seen: string[] = [];
        for (let round = 0; round < 5; round++) {
          const file = await open(fuse.path("passing"), "wx+");
          const text = async () => (await file.read(Buffer.alloc(3), 0, 3, 0)).buffer.toString("latin1");
          try {
            await file.write("one");
            await file.datasync();
            expect(await text()).toBe("one");
            await fuse.tell({ do: "change", how: "write", name: "passing", text: "two" });
            seen.push(await text());
          } finally {
            await file.close();
          }
          await rm(fuse.path("passing"));
        }
        expect(seen).toEqual(["one", "one", "one", "two", "two"]);
      });

      test("has the same content for writes, appends, reads and mappings, and a write drops its capabilities", async () => {
        await mkdir(fuse.path("passed"));
        const out = await python(
          `import mmap, struct
for again in range(3):
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    os.fsync(fd)
    os.close(fd)
    os.unlink("f")
for again in range(2):
    fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.pwrite(fd, b"a" * 512, 0)
    os.pwrite(fd, b"b" * 4096, 516)
    other = os.open("f", os.O_RDWR | os.O_APPEND)
    os.write(other, b"c" * 5000)
    whole = b"a" * 512 + bytes(4) + b"b" * 4096 + b"c" * 5000
    map = mmap.mmap(fd, len(whole))
    print(map[:] == whole, os.pread(fd, 100_000, 0) == whole, open("f", "rb").read() == whole)
    os.fsync(fd)
    map[600:603] = b"map"
    map.flush()
    os.pwrite(other, b"end", 9_000)
    print(os.pread(fd, 3, 600), os.pread(other, 3, 600), os.pread(fd, 10, len(whole)))
    map.close()
    os.setxattr(fd, "security.capability", struct.pack("<IIIII", 0x02000000, 1, 0, 0, 0))
    os.pwrite(fd, b"x", 0)
    print(os.listxattr(fd))
    os.close(fd)
    os.close(other)
    os.unlink("f")`,
          fuse.path("passed"),
        );
        expect(out).toBe("True True True\nb'map' b'map' b'end'\n[]\n".repeat(2));
      });
    });

    test.skipIf(!hasCommand("vim"))("vim edits a file, with a backup and a swap file", async () => {
      await writeFile(fuse.path("edited.txt"), "one\ntwo\n");
      await shell(
        `vim -u NONE -es -c 'set backup backupskip= swapfile' -c '%s/two/three/' -c wq edited.txt`,
        fuse.mountPoint,
      );
      expect(await readFile(fuse.path("edited.txt"), "utf8")).toBe("one\nthree\n");
      expect(await readFile(fuse.path("edited.txt~"), "utf8")).toBe("one\ntwo\n");
    });

    test.skipIf(!hasCommand("rsync"))("rsync -aHAX copies a tree, and a second run finds nothing to do", async () => {
      const sync = () => run("rsync", ["-aHAXi", "--modify-window=-1", `${tree}/`, fuse.path("synced/")]);
      await sync();
      expect(await listing(fuse.path("synced"))).toBe(await listing(tree));
      expect(await sync()).toBe("");
    });

    test("a program can be compiled and run on the mount", async () => {
      await writeFile(fuse.path("answer.c"), "int main(void) { return 42; }\n");
      await expect(shell("gcc -o answer answer.c && ./answer", fuse.mountPoint)).rejects.toMatchObject({ code: 42 });
    });
  },
);

/** Linux 6.6 maps files that are open past its page cache; before it, the door opens none like that. */
function mapsPastCache(): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return major > 6 || (major === 6 && minor >= 6);
}

/** A few files of every kind, with times that show whether nanoseconds survive. */
async function makeTree(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "syncline-tree-"));
  await mkdir(join(directory, "sub/deep"), { recursive: true });
  await writeFile(join(directory, "text"), "text\n".repeat(1000));
  await writeFile(join(directory, "sub/large"), Buffer.alloc(5_000_000, "0123456789"));
  await shell(
    `ln -s sub/large link; ln text sub/hard; mkfifo sub/fifo; touch $'latin1-\\xe9'
     truncate -s 10M sub/sparse; printf end >> sub/sparse; chmod 4711 sub/large; chown 1234:5678 text
     touch -d '2001-02-03 04:05:06.789012345' sub/deep text; touch -hd '1969-12-31 23:59:59.5' link; chmod 1777 sub`,
    directory,
  );
  return directory;
}
