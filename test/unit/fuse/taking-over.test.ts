/** A door that goes on where an agent was killed. */
import { describe, expect, test } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { Door } from "../../../src/fuse/door.ts";
import { chooseOptions } from "../../../src/fuse/options.ts";
import { INIT2, MINOR_WITH_EPOCH } from "../../../src/fuse/protocol.ts";
import { diskFull } from "../../../src/simulate/disks/simulated-disk.ts";
import { FakeSession } from "../../support/fake-session.ts";
import { VfsHarness } from "../../support/vfs-harness.ts";

/** More than a journal prepares; each agent begins one. */
const SPARE_SEGMENTS = 5;

function takeOver(fs: VfsHarness): FakeSession {
  const session = new FakeSession();
  const handoff = { minor: MINOR_WITH_EPOCH, flags: 0, flags2: INIT2.HAS_RESEND };
  const supervision = { log: "", cwd: "", command: [], env: {}, mayResend: true, isInherited: true, handoff };
  const options = chooseOptions({ mountPoint: "", source: "", log: silentLog, clock: fs.clock, supervision });
  void new Door(session.addon, { device: 3, slots: 4 }, fs.vfs, options, { ready: () => {}, ended: () => {} });
  return session;
}

describe("a door that takes over", () => {
  test("answers on a full disk, also once the journal has no room to say that the requests sent again are over", async () => {
    const fs = await VfsHarness.create();
    await fs.make("made");
    fs.vfs.persist();
    for (let kill = 0; kill < SPARE_SEGMENTS; kill++) {
      fs.restart();
      fs.disk.before = (call) => {
        if (call === "create") throw diskFull();
      };
      const session = takeOver(fs);
      session.send(...[9, 11].map((unique) => ({ opcode: "LOOKUP" as const, unique, name: "made" })));
      expect(session.done.slice(-2)).toEqual(["answer LOOKUP kind 2", "answer LOOKUP kind 2"]);
    }
  });
});
