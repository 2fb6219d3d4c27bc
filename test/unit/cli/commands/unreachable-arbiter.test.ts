/** Commands whose arbiter is out of reach. */
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { commandsFor } from "../../../../src/cli/commands.ts";
import { runCommandLine } from "../../../../src/cli/program.ts";
import { commandTree, tailOf } from "../../../support/command-tree.ts";
import { createFakeRuntime } from "../../../support/fake-runtime.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

test.each([["migrate up"], ["migrate down"], ["migrate status"], ["serve"]])(
  "%s ends with 6 if its arbiter is out of reach, as its help says",
  async (name) => {
    const folder = await temporaryFolder();
    const server = createServer((socket) => socket.destroy());
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    const arbiter = ["--arbiter", `postgres://syncline@127.0.0.1:${port}/syncline`];
    const store = name === "serve" ? ["--store", `file://${join(folder, "packs")}`, "--listen", "127.0.0.1:0"] : [];
    const args = [...name.split(" "), ...arbiter, ...store];
    const runtime = createFakeRuntime({});
    const status = await runCommandLine(args, runtime, await commandsFor(args), "1.2.3");
    expect({ status, err: runtime.err() }).toMatchObject({ status: 6 });
    const found = (await commandTree()).leaves.find((each) => each.name === name);
    expect(found && tailOf(found).exits).toContain(status);
  },
);
