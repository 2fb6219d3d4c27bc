/** `upgrade` while the program on disk cannot serve the mount: the agent goes on. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { onTestFinished, test, expect } from "vitest";
import { whyNoMount } from "../support/fuse-process.ts";
import { killAgent } from "../support/supervisor.ts";
import { Workspace } from "../support/syncline.ts";

test.skipIf(whyNoMount() !== undefined)(
  "an agent hands over only to a program that can serve its mount",
  { timeout: 200_000 },
  () => {
    using space = new Workspace("upgrade");
    const [url, dir, program] = [space.url("bucket"), space.mountPoint("mount"), space.at("main.js")];
    const [node = "", main = ""] = Workspace.command();
    const current = `await import(${JSON.stringify(main)});`;
    writeFileSync(space.at("package.json"), '{ "type": "module" }');
    writeFileSync(program, current);
    space.do("init", url);
    const mount = [program, "mount", url, dir, "--background", "--json"];
    const { pid } = JSON.parse(execFileSync(node, mount, { env: space.env, encoding: "utf8" })) as { pid: number };
    onTestFinished(() => killAgent(pid));
    writeFileSync(`${dir}/file`, "kept");

    for (const other of ['await import("./chunk-that-is-not-built.js")', 'console.log("[]")']) {
      writeFileSync(program, other);
      const { status, err } = space.run(["upgrade", dir, "--json"]);
      expect({ status, ...JSON.parse(err) }).toMatchObject({ status: 4, code: "precondition_failed" });
    }
    expect(space.status(dir)).toMatchObject({ pid });
    expect(readFileSync(`${dir}/file`, "utf8")).toBe("kept");

    writeFileSync(program, current);
    const { before, pid: next } = space.json("upgrade", dir) as { before: number; pid: number };
    expect(before).toBe(pid);
    expect(space.status(dir)).toMatchObject({ pid: next });
    expect(readFileSync(`${dir}/file`, "utf8")).toBe("kept");
    space.do("unmount", dir);
  },
);
