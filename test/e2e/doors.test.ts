/** One agent with several doors: what comes in through one is in the others, and it is asked, flushed and ended as one. */
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { request, type RequestOptions } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { whyNoMount } from "../support/fuse-process.ts";
import { Workspace } from "../support/syncline.ts";

const reason = whyNoMount();
const space = new Workspace("doors");
afterAll(() => space[Symbol.dispose]());
const soon = { timeout: 90_000, interval: 50 };

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await once(server.close(), "close");
  return port;
}

/** The status of an answer over HTTPS; undefined if there is none. */
function statusOf(options: RequestOptions): Promise<number | undefined> {
  return new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", ...options }, (answer) => resolve(answer.resume().statusCode));
    asked.once("error", () => resolve(undefined)).end();
  });
}

const read = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : undefined);

test("syncing a folder beside a read-only mount, or inside the mount itself, is refused", () => {
  const url = space.url("refused");
  space.do("init", url);
  const [dir, folder] = [space.at("here"), space.at("here/work")];
  for (const args of [
    ["mount", url, dir, "--sync", folder],
    ["mount", url, dir, "--read-only", "--sync", space.at("beside")],
  ])
    expect(space.run([...args, "--json"]).status).toBe(2);
});

test(
  "status of a folder whose agent has ended suggests `syncline sync`, even if the agent is back without it",
  { timeout: 400_000 },
  () => {
    const url = space.url("once-beside");
    space.do("init", url);
    const folder = space.at("beside-webdav");
    const args = ["webdav", url, "--listen", "127.0.0.1:0", "--no-auth"];
    const { pid } = space.behind(...args, "--sync", folder);
    expect(space.json("status", folder)).toMatchObject({ agents: [{ pid }] });
    space.json("unmount", folder);
    const isTold = () => {
      const { status, out } = space.run(["status", folder]);
      expect([status, out]).toEqual([1, expect.stringContaining(`syncline sync ${url}`)]);
    };
    isTold();
    const alone = space.behind(...args) as { pid: number; webdav: string };
    isTold();
    expect(space.run(["unmount", folder, "--json"]).status).toBe(1);
    expect(space.json("status")).toMatchObject({ agents: [{ pid: alone.pid }] });
    space.json("unmount", alone.webdav);
  },
);

describe.skipIf(reason !== undefined)(`with a mount${reason === undefined ? "" : ` (skipped: ${reason})`}`, () => {
  test(
    "a mount with a folder beside it survives a kill of its agent while the bucket is unreachable",
    { timeout: 400_000 },
    async () => {
      const [url, dir, folder] = [space.url("away"), space.mountPoint("goes-on"), space.at("goes-on-folder")];
      space.do("init", url);
      const pid = space.mount(url, dir, "--sync", folder);
      writeFileSync(`${dir}/f`, "before");
      space.json("flush", dir);
      renameSync(space.at("away"), space.at("far-away"));
      process.kill(pid, "SIGKILL");
      await expect.poll(() => existsSync(`/proc/${pid}`), soon).toBe(false);
      writeFileSync(`${dir}/g`, "after");
      renameSync(space.at("far-away"), space.at("away"));
      await expect.poll(() => read(`${folder}/g`), soon).toBe("after");
      space.do("unmount", dir);
    },
  );

  test(
    "a killed agent's mount goes on while its synced folder is missing, and the folder is synced once it is back",
    { timeout: 400_000 },
    async () => {
      const [url, dir, folder] = [space.url("unplugged"), space.mountPoint("stays"), space.at("stick")];
      space.do("init", url);
      const pid = space.mount(url, dir, "--sync", folder);
      writeFileSync(`${dir}/f`, "before");
      await expect.poll(() => read(`${folder}/f`), soon).toBe("before");
      renameSync(folder, space.at("pulled"));
      process.kill(pid, "SIGKILL");
      await expect.poll(() => existsSync(`/proc/${pid}`), soon).toBe(false);
      expect(read(`${dir}/f`)).toBe("before");
      writeFileSync(`${dir}/g`, "after");
      // The next agent opens the folder after its mount.
      await expect
        .poll(() => space.json("status"), soon)
        .toMatchObject({ agents: [{ mount: dir, lastError: { code: "no_such_path" } }] });
      expect(space.run(["flush", dir, "--json"]).status).toBe(3);
      renameSync(space.at("pulled"), folder);
      await expect.poll(() => read(`${folder}/g`), soon).toBe("after");
      expect(space.json("unmount", dir)).toMatchObject({ drained: true });
    },
  );

  test(
    "a killed agent's mount goes on while WebDAV's certificate and passwords are missing, and WebDAV opens once they are back",
    { timeout: 400_000 },
    async () => {
      const [url, dir, tls] = [space.url("unreadable"), space.mountPoint("kept"), space.at("tls")];
      space.do("init", url);
      cpSync(join(import.meta.dirname, "../support/tls"), tls, { recursive: true });
      const { password, file } = space.json("webdav", "password", "laptop") as { password: string; file: string };
      const port = await freePort();
      const listen = ["--webdav", `127.0.0.1:${port}`, "--tls-cert", join(tls, "cert.pem")];
      const pid = space.mount(url, dir, ...listen, "--tls-key", join(tls, "key.pem"));
      const status = () => statusOf({ port, auth: `laptop:${password}`, rejectUnauthorized: false });
      expect(await status()).toBe(200);
      writeFileSync(`${dir}/f`, "before");
      for (const path of [tls, file]) renameSync(path, `${path}.away`);
      process.kill(pid, "SIGKILL");
      await expect.poll(() => existsSync(`/proc/${pid}`), soon).toBe(false);
      expect(read(`${dir}/f`)).toBe("before");
      expect(space.json("status", dir)).toMatchObject({ agents: [{ mount: dir }] });
      expect(await status()).toBe(undefined);
      for (const path of [tls, file]) renameSync(`${path}.away`, path);
      await expect.poll(status, soon).toBe(200);
      space.do("unmount", dir);
    },
  );

  test(
    "a mount, WebDAV and a folder of one agent show the same files; flush and unmount cover all of them",
    { timeout: 400_000 },
    async () => {
      const url = space.url("bucket");
      space.do("init", url);
      const [dir, folder] = [space.mountPoint("mount"), space.at("folder")];
      mkdirSync(folder);
      writeFileSync(`${folder}/first`, "from the folder");
      const args = ["mount", url, dir, "--webdav", "127.0.0.1:0", "--no-auth", "--sync", folder];
      const told = space.behind(...args);
      expect(told).toMatchObject({ sync: folder });
      const { webdav, pid } = told as { webdav: string; pid: number };
      try {
        await expect.poll(() => read(`${dir}/first`), soon).toBe("from the folder");
        writeFileSync(`${dir}/mounted`, "from the mount");
        expect((await fetch(`${webdav}sent`, { method: "PUT", body: "from the web" })).status).toBe(201);
        expect(await (await fetch(`${webdav}mounted`)).text()).toBe("from the mount");
        await expect.poll(() => read(`${folder}/mounted`), soon).toBe("from the mount");
        await expect.poll(() => read(`${folder}/sent`), soon).toBe("from the web");
        rmSync(`${folder}/mounted`);
        await expect.poll(() => existsSync(`${dir}/mounted`), soon).toBe(false);

        const doors = [
          { door: "mount", mount: dir },
          { door: "webdav", url: webdav },
          { door: "sync", folder },
        ];
        for (const place of [[], [dir], [folder], [webdav]])
          expect(space.json("status", ...place)).toMatchObject({ agents: [{ pid, doors }] });
        writeFileSync(`${dir}/last`, "one");
        writeFileSync(`${folder}/newest`, "two");
        expect(space.json("flush")).toMatchObject({ published: true });
        expect([space.do("cat", `${url}/last`), space.do("cat", `${url}/newest`)]).toEqual(["one", "two"]);
        const second = space.run(["sync", url, folder, "--once", "--json"]);
        expect([second.status, second.err]).toEqual([4, expect.stringContaining("state_in_use")]);
        writeFileSync(`${folder}/end`, "three");
      } finally {
        expect(space.json("unmount", folder)).toMatchObject({ drained: true });
      }
      await expect(fetch(webdav)).rejects.toThrow(/fetch failed/);
      expect([space.do("cat", `${url}/end`), existsSync(`${dir}/first`)]).toEqual(["three", false]);
      await expect.poll(() => space.json("status"), soon).toEqual({ agents: [] });
      // The folder is the same one to a command that only syncs.
      expect(space.json("sync", url, folder, "--once")).toMatchObject({ sent: { added: 0 }, left: [] });
    },
  );
});
