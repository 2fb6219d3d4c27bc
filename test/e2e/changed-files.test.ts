/** Files that a mount's options name, changed since the mount began: an agent that takes over serves the mount all the same. */
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { whyNoMount } from "../support/fuse-process.ts";
import { MasterProcess } from "../support/master-process.ts";
import { Workspace } from "../support/syncline.ts";

const reason = whyNoMount();
const soon = { timeout: 90_000, interval: 50 };
const GIB = 2 ** 30;

test.skipIf(reason !== undefined)(
  `a killed agent's mount goes on although its files were moved or are invalid, and valid changes count${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  { timeout: 400_000 },
  async () => {
    using space = new Workspace("changed-files");
    const [url, dir, folder] = [space.url("bucket"), space.mountPoint("mount"), space.at("folder")];
    const [map, ca] = [space.at("map"), space.at("ca.pem")];
    const config = space.at("config/syncline/config.toml");
    const writeConfig = (text: string) => writeFileSync(config, text);
    mkdirSync(space.at("config/syncline"), { recursive: true });
    writeConfig('cache-size = "1 GiB"\n');
    writeFileSync(map, "uid 0 1001\n");
    cpSync(join(import.meta.dirname, "../support/tls/cert.pem"), ca);
    space.do("init", url);
    let pid = space.mount(url, dir, "--owner", `@${map}`, "--tls-ca", ca, "--sync", folder);
    writeFileSync(`${dir}/file`, "before");
    // The map shows the stored 0 as 1001.
    chownSync(`${dir}/file`, 1001, 0);
    await expect.poll(() => existsSync(`${folder}/file`), soon).toBe(true);

    /** Kills the agent, and checks that the next one serves the mount. */
    const kill = async () => {
      process.kill(pid, "SIGKILL");
      await expect.poll(() => existsSync(`/proc/${pid}`), soon).toBe(false);
      expect(readFileSync(`${dir}/file`, "utf8")).toBe("before");
    };
    /** What the agent shows, once the configuration is valid for `status`. */
    const shown = () => {
      const { pid: next, cache } = space.status(dir) as { pid: number; cache: { limit: number } };
      pid = next;
      return { owner: statSync(`${dir}/file`).uid, limit: cache.limit };
    };

    writeConfig('cache-size = "2 GiB"\nnew-option = 1\n');
    await kill();
    writeConfig("");
    expect(shown()).toEqual({ owner: 1001, limit: GIB });

    // Each of these is valid by itself, but no mount can have it.
    writeConfig('cache-size = "1 MiB"\n');
    await kill();
    writeConfig('cache-size = "2 GiB"\n');
    expect(shown()).toEqual({ owner: 1001, limit: GIB });

    rmSync(map);
    await kill();
    expect(shown()).toEqual({ owner: 1001, limit: GIB });

    writeFileSync(map, "uid 0 1002\n");
    for (const away of [() => writeFileSync(ca, ""), () => rmSync(ca)]) {
      away();
      await kill();
      expect(shown()).toEqual({ owner: 1001, limit: GIB });
    }

    cpSync(join(import.meta.dirname, "../support/tls/cert.pem"), ca);
    renameSync(folder, `${folder}-away`);
    writeFileSync(folder, "a file");
    await kill();
    expect(shown()).toEqual({ owner: 1002, limit: 2 * GIB });
    await expect.poll(() => space.status(dir), soon).toMatchObject({ lastError: { code: "not_a_directory" } });
    writeFileSync(`${dir}/later`, "");
    rmSync(folder);
    renameSync(`${folder}-away`, folder);
    await expect.poll(() => existsSync(`${folder}/later`), soon).toBe(true);

    // What that agent read is what counts from now on.
    rmSync(map);
    await kill();
    expect(shown()).toEqual({ owner: 1002, limit: 2 * GIB });
    expect(space.json("unmount", dir)).toMatchObject({ drained: true });
  },
);

test.skipIf(reason !== undefined)(
  `a killed agent's mount goes on while the wallet's key is away, and publishes once it is back${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  { timeout: 400_000 },
  async () => {
    using space = new Workspace("key-away");
    writeFileSync(space.at("hex"), space.env["SYNCLINE_KEY"] ?? "");
    delete space.env["SYNCLINE_KEY"];
    const path = String(space.json("key", "import", space.at("hex"))["path"]);
    const master = await MasterProcess.start();
    onTestFinished(() => master.end("SIGKILL"));
    const [url, dir] = [master.newBucket(), space.mountPoint("mount")];
    space.do("init", url);
    const pid = space.mount(url, dir);
    writeFileSync(`${dir}/file`, "before");
    space.json("flush", dir);
    const files = [path, path.replace(/json$/, "pass")];
    for (const each of files) renameSync(each, `${each}.away`);
    process.kill(pid, "SIGKILL");
    await expect.poll(() => existsSync(`/proc/${pid}`), soon).toBe(false);
    expect(readFileSync(`${dir}/file`, "utf8")).toBe("before");
    writeFileSync(`${dir}/later`, "after");
    await expect.poll(() => space.status(dir), soon).toMatchObject({ lastError: { code: "key_invalid" } });
    expect(existsSync(path)).toBe(false);
    for (const each of files) renameSync(`${each}.away`, each);
    await expect.poll(() => space.status(dir), soon).toMatchObject({ lastError: null, pending: { files: 0 } });
    space.do("unmount", dir);
  },
);
