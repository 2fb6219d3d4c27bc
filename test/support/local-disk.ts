/** A folder on the local disk as the oracle for a filesystem's answers, by path. */
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Operation } from "./vfs-operations.ts";

export class LocalDisk implements Disposable {
  readonly #root: string;

  /** `root`: an empty folder, removed at the end. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Performs the operation. Returns 0 or Linux's error number. */
  apply(operation: Operation): number {
    try {
      this.#do(operation);
      return 0;
    } catch (error) {
      if (error instanceof Error && "errno" in error && typeof error.errno === "number") return -error.errno;
      throw error;
    }
  }

  isFile(path: string): boolean {
    try {
      return lstatSync(join(this.#root, path)).isFile();
    } catch {
      return false;
    }
  }

  /** Path → type, mode, links, contents. Files of one inode share a number, in order of their first paths. */
  tree(): Map<string, string> {
    const tree = new Map<string, string>();
    const numbers = new Map<number, number>();
    const walk = (path: string): void => {
      const full = join(this.#root, path);
      const stat = lstatSync(full);
      const mode = (stat.mode & 0o7777).toString(8);
      if (stat.isDirectory()) {
        const names = readdirSync(full).sort();
        const directories = names.filter((name) => lstatSync(join(full, name)).isDirectory()).length;
        tree.set(path, path === "" ? `directory ${2 + directories}` : `directory ${2 + directories} ${mode}`);
        for (const name of names) walk(path === "" ? name : `${path}/${name}`);
        return;
      }
      const number = numbers.get(stat.ino) ?? numbers.size;
      numbers.set(stat.ino, number);
      const contents = stat.isSymbolicLink() ? readlinkSync(full) : readFileSync(full).toString("base64");
      tree.set(path, `${stat.isFile() ? "file" : "symlink"} #${number} ${stat.nlink} ${mode} ${stat.size} ${contents}`);
    };
    walk("");
    return tree;
  }

  [Symbol.dispose](): void {
    rmSync(this.#root, { recursive: true });
  }

  #do(operation: Operation): void {
    const path = join(this.#root, operation.path);
    switch (operation.op) {
      case "create":
        closeSync(openSync(path, "wx", 0o644));
        return;
      case "mkdir":
        return void mkdirSync(path, 0o755);
      case "symlink":
        return symlinkSync(operation.target, path);
      case "link":
        return linkSync(path, join(this.#root, operation.to));
      case "unlink":
        return unlinkSync(path);
      case "rmdir":
        return rmdirSync(path);
      case "rename":
        return renameSync(path, join(this.#root, operation.to));
      case "chmod":
        return chmodSync(path, operation.mode);
      case "write":
        return this.#open(path, (fd) => writeSync(fd, operation.bytes, 0, operation.bytes.length, operation.offset));
      case "truncate":
        return this.#open(path, (fd) => ftruncateSync(fd, operation.size));
    }
  }

  #open(path: string, work: (fd: number) => void): void {
    const fd = openSync(path, "r+");
    try {
      work(fd);
    } finally {
      closeSync(fd);
    }
  }
}
